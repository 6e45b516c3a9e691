"""The flow of the setup: each step a plain function, and the whole of it as one journey."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from core import embedded, envfile, private
from core.database import Databases, session
from core.errors import TradekeepError, classify
from core.progress import Journey, Report, silent
from core.schema import migrate
from core.schema.migrate import InitializationResult
from core.settings import DatabaseConfig, Settings, load_settings, parse_connection
from core.settings.config import option_variables
from core.settings.settings import ENVIRONMENT, FILES
from core.settings.variables import VARIABLES
from core.setup import analytics, provision, verify
from core.setup.provision import Provisioned
from core.setup.verify import Verification

LOCAL, OURS = ".env.local", ".env.tradekeep"
LOCK_WAIT_S = 60.0
NEXT = "_NEXT"  # behind a key: its value to come, while the passwords are rotated
# Keys of an earlier configuration that would change where or how the new one connects.
LEADING_ASTRAY = frozenset(name for name in option_variables().values() if name) - {
    "PGAPPNAME", "PGOPTIONS", "PGCLIENTENCODING", "PGCONNECT_TIMEOUT", "PGDATESTYLE", "PGTZ",
}  # fmt: skip
LOGIN_KEYS = tuple(
    key
    for variable in VARIABLES
    if variable.field in ("database", "owner", "viewer")
    for key in (variable.name, *variable.also)
)
NEXT_KEYS = frozenset(key + NEXT for key in LOGIN_KEYS)
JOURNEY = [
    ("server", "Start a PostgreSQL server"),
    ("roles", "Create the database and its roles"),
    ("config", "Write the configuration"),
    ("schema", "Create the tables"),
    ("verify", "Verify everything"),
]


@dataclass(frozen=True)
class Outcome:
    """What a whole setup made. ready: every verification passed."""

    provisioned: Provisioned
    written: list[Path] = field(default_factory=list)
    schema: InitializationResult | None = None
    verifications: list[Verification] = field(default_factory=list)

    @property
    def ready(self) -> bool:
        """Whether every line of the verification passed."""
        return verify.passed(self.verifications)


def known_logins(settings: Settings, database: str = "trading") -> list[DatabaseConfig]:
    """The logins that the env files hold already, and those of the bundled server; provisioning keeps what works."""
    configs = [settings.owner, settings.database, settings.viewer]
    texts = list(envfile.values(logins_file(settings, database)).values())
    for found in next_logins(settings).values():
        texts += found.values()
    return [config for config in (*configs, *map(parse_connection, texts)) if config is not None]


def next_logins(settings: Settings) -> dict[Path, dict[str, str]]:
    """What an interrupted rotation of passwords left in the files: path -> {KEY_NEXT: connection string}."""
    left = {}
    for path, values in env_values(settings).items():
        found = {key: text for key, text in values.items() if key in NEXT_KEYS and readable(text)}
        if found:
            left[path] = found
    return left


def env_values(settings: Settings) -> dict[Path, dict[str, str]]:
    """The values of each env file of the project, strongest first; one that cannot be read holds nothing."""
    found = {}
    for path in (settings.project / name for name in FILES):
        with suppress(TradekeepError):  # .env may be a folder, for instance; who writes to a file says what is wrong
            found[path] = envfile.values(path)
    return found


def readable(text: str) -> bool:
    """Whether it is a connection string."""
    try:
        parse_connection(text)
    except TradekeepError:
        return False
    return True


def logins_file(settings: Settings, database: str) -> Path:
    """Where the logins of the bundled server are kept beside its own: a second project gets the same ones."""
    name = hashlib.blake2b(database.encode(), digest_size=8).hexdigest()
    return settings.home / "logins" / f"{name}.env"


def configuration(settings: Settings, made: Provisioned) -> dict[Path, dict[str, str | None]]:
    """What belongs into which file: the runtime role into .env.local, the others into .env.tradekeep.

    The bots read .env.local, so it never holds the owner's password. None removes a key: those of an earlier
    configuration (PGHOSTADDR, PGSSLROOTCERT ...) would lead the new one astray.
    """
    single = made.owner.user == made.runtime.user
    left = next_logins(settings)
    ours: dict[str, str | None] = {
        "DATABASE_OWNER_URL": None if single else made.owner.url(),
        "DATABASE_VIEWER_URL": None if single else made.viewer.url(),
    } | dict.fromkeys(left.get(settings.project / OURS, ()))
    present = envfile.values(settings.project / LOCAL)
    stale = {name: None for name in present if name in LEADING_ASTRAY | NEXT_KEYS}
    theirs: dict[str, str | None] = {**stale, "DATABASE_URL": made.runtime.url(), **made.runtime.extra_env()}
    return {settings.project / OURS: ours, settings.project / LOCAL: theirs}


def preview(files: Mapping[Path, Mapping[str, str | None]]) -> dict[Path, str]:
    """A masked unified difference a file; "" where nothing would change."""
    return {path: envfile.preview(path, values) for path, values in files.items()}


def write(files: Mapping[Path, Mapping[str, str | None]], settings: Settings) -> list[Path]:
    """Write the files, all or none, then read them as everybody else will; gives those that changed.

    Raises config.shadowed if the environment or another file overrides what was written.
    """
    with prepared(files) as publish:
        changed = publish()
    _read_back(files, settings)
    return changed


@contextmanager
def prepared(files: Mapping[Path, Mapping[str, str | None]]) -> Iterator[Callable[[], list[Path]]]:
    """The new versions of all files written beside the old ones; the function that is given puts them in place.

    Raises what envfile refuses, with every file as it was. Without a call everything is dropped again.
    """
    with ExitStack() as stack:
        ready = {}
        for path, values in files.items():
            if path.exists() or any(value is not None for value in values.values()):
                ready[path] = stack.enter_context(envfile.prepare(path, values))

        def publish() -> list[Path]:
            return [path for path, version in ready.items() if version.publish().changed]

        yield publish


def check_shadow(settings: Settings, made: Provisioned) -> None:
    """Raise config.shadowed if the environment or another file would override what is going to be written."""
    source = settings.source_of("DATABASE_URL")
    wins = source not in (LOCAL, ".env", "default")
    if wins and not (settings.database and settings.database.same_login(made.runtime)):
        raise _overridden(source)


def rehearse(settings: Settings, made: Provisioned) -> None:
    """Raise what would keep these logins from being written down, before any of them is changed."""
    check_shadow(load_settings(settings.project), made)
    with prepared(configuration(settings, made)):
        pass


def _read_back(files: Mapping[Path, Mapping[str, str | None]], settings: Settings) -> None:
    wanted = files.get(settings.project / LOCAL, {}).get("DATABASE_URL")
    found = load_settings(settings.project)
    if wanted is not None and (found.database is None or not found.database.same_login(parse_connection(wanted))):
        raise _overridden(found.source_of("DATABASE_URL"))


def _overridden(source: str) -> TradekeepError:
    return TradekeepError("config.shadowed", source="the environment" if source == ENVIRONMENT else source)


def create_tables(
    databases: Databases, progress: Report = silent, *, lock_wait_s: float | None = None
) -> InitializationResult:
    """Bring the schema to the newest revision as the owner. Raises what the migration raises.

    lock_wait_s: longest wait for another migration, by default the migration's own.
    """
    return migrate.upgrade(databases.owner, progress=progress, lock_wait_s=lock_wait_s)


def set_up(
    settings: Settings, journey: Journey, *, admin: DatabaseConfig | None = None, database: str = "trading"
) -> Outcome:
    """The whole journey: on the bundled server, or on the server to which admin signs in. Safe to run again.

    The files' new versions are written first, then the roles are changed, then the files are put in place: a
    password never changes that cannot be written down. Raises the TradekeepError of the step that failed; what
    earlier steps made is found and kept by the next run.
    """
    provision.role_names(database)
    bundled = admin is None
    journey = analytics.Noted(journey, settings.home)
    with journey.step("server") as step:
        if admin is None:
            server = embedded.start(home=settings.home)
            admin = server.admin_config
            step.message = f"PostgreSQL {server.version} on port {server.port}"
        else:
            with session(admin):
                step.message = admin.label
    # One project at a time, else the passwords of one run could end in the file of another; and one setup of the
    # bundled server at a time, whose logins all projects share.
    with alone(settings, str(settings.project)), alone(settings, "bundled" if bundled else ""), ExitStack() as stack:
        current = load_settings(settings.project)
        publish: list[Callable[[], list[Path]]] = []

        def prepare(made: Provisioned) -> None:
            check_shadow(current, made)
            files = configuration(settings, made)
            if bundled:
                publish.append(stack.enter_context(prepared(_logins(settings, database, made))))
            publish.append(stack.enter_context(prepared(files)))

        with journey.step("roles") as step:
            known = known_logins(current, database)
            made = provision.provision(
                admin, database=database, progress=journey, known=known, prepare=prepare, bundled=bundled
            )
            step.message = _told(made)
        with journey.step("config") as step:
            written = [path for put in publish for path in put() if path.parent == settings.project]
            _read_back(configuration(settings, made), settings)
            step.message = ", ".join(path.name for path in written) or "nothing to change"
    return _complete(settings, journey, made, written)


def _logins(settings: Settings, database: str, made: Provisioned) -> dict[Path, dict[str, str | None]]:
    file = logins_file(settings, database)
    private.folder(file.parent)
    configs = {"OWNER_URL": made.owner, "RUNTIME_URL": made.runtime, "VIEWER_URL": made.viewer}
    return {file: {name: config.url() for name, config in configs.items()}}


def finish(settings: Settings, journey: Journey, made: Provisioned) -> Outcome:
    """The journey's second half, once the roles exist: configuration, tables, verification."""
    journey = analytics.Noted(journey, settings.home)
    with alone(settings, str(settings.project)), journey.step("config") as step:
        check_shadow(load_settings(settings.project), made)
        written = write(configuration(settings, made), settings)
        step.message = ", ".join(path.name for path in written) or "nothing to change"
    return _complete(settings, journey, made, written)


@contextmanager
def alone(settings: Settings, what: str) -> Iterator[None]:
    """One setup of that project (or server) at a time, over threads and processes; the lock ends with its process."""
    if not what:
        yield
        return
    folder = settings.home / "locks"
    name = hashlib.blake2b(what.encode(), digest_size=12).hexdigest()
    lock = FileLock(folder / f"setup-{name}.lock", timeout=LOCK_WAIT_S, mode=0o600)
    try:
        private.folder(folder)
        lock.acquire()
    except Timeout:
        raise TradekeepError("schema.provisioning_busy") from None
    except OSError as exc:
        raise classify(exc) from None
    try:
        yield
    finally:
        lock.release()


def _complete(settings: Settings, journey: Journey, made: Provisioned, written: list[Path]) -> Outcome:
    used = load_settings(settings.project)
    with Databases.from_settings(used) as databases:
        with journey.step("schema") as step:
            schema = create_tables(databases, journey, lock_wait_s=settings.init_timeout_s)
            step.message = f"{len(schema.tables_created)} created, {len(schema.tables_skipped)} already there"
            if not schema.success:
                step.state, step.message = "failed", "; ".join(schema.errors)
        with journey.step("verify") as step:
            lines = _verified(used, databases, journey)
            bad = [line for line in lines if not line.ok]
            step.message = f"{len(lines) - len(bad)} of {len(lines)} passed"
            if bad:
                step.state = "failed"
    return Outcome(made, written, schema, lines)


def _verified(used: Settings, databases: Databases, journey: Journey) -> list[verify.Verification]:
    """The verification; once more with what the files hold then, where somebody rotated the passwords meanwhile."""
    lines = verify.verify(databases, tracked=None, progress=journey)
    if verify.passed(lines):
        return lines
    with alone(used, str(used.project)):  # a rotation that is under way is waited for
        current = load_settings(used.project)
    if (current.database, current.owner, current.viewer) == (used.database, used.owner, used.viewer):
        return lines
    with Databases.from_settings(current) as fresh:
        return verify.verify(fresh, tracked=None, progress=journey)


def _told(made: Provisioned) -> str:
    if not made.created:
        return "everything was already there"
    return ", ".join(made.created)
