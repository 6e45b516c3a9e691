"""The flow of the setup: each step a plain function, and the whole of it as one journey."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from core import embedded, envfile
from core.database import Database, Databases, Limits
from core.errors import TradekeepError, classify
from core.progress import Journey, Report, silent
from core.schema import migrate
from core.schema.migrate import InitializationResult
from core.settings import DatabaseConfig, Settings, load_settings, parse_connection
from core.setup import provision, verify
from core.setup.provision import Provisioned
from core.setup.verify import Verification

LOCAL, OURS = ".env.local", ".env.tradekeep"
LOCK_WAIT_S = 60.0
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


def known_logins(settings: Settings) -> list[DatabaseConfig]:
    """The logins that the env files hold already; provisioning keeps those that still work."""
    return [config for config in (settings.owner, settings.database, settings.viewer) if config is not None]


def configuration(settings: Settings, made: Provisioned) -> dict[Path, dict[str, str | None]]:
    """What belongs into which file: the runtime role into .env.local, the others into .env.tradekeep.

    The bots read .env.local, so it never holds the owner's password. None removes a key.
    """
    single = made.owner.user == made.runtime.user
    ours: dict[str, str | None] = {
        "DATABASE_OWNER_URL": None if single else made.owner.url(),
        "DATABASE_VIEWER_URL": None if single else made.viewer.url(),
    }
    theirs: dict[str, str | None] = {"DATABASE_URL": made.runtime.url(), **made.runtime.extra_env()}
    return {settings.project / OURS: ours, settings.project / LOCAL: theirs}


def preview(files: Mapping[Path, Mapping[str, str | None]]) -> dict[Path, str]:
    """A masked unified difference a file; "" where nothing would change."""
    return {path: envfile.preview(path, values) for path, values in files.items()}


def write(files: Mapping[Path, Mapping[str, str | None]], settings: Settings) -> list[Path]:
    """Write the files, then read them as everybody else will; gives those that changed.

    Raises config.shadowed if the environment or another file overrides what was written.
    """
    changed = []
    for path, values in files.items():
        present = any(value is not None for value in values.values())
        if (present or path.exists()) and envfile.set_values(path, values).changed:
            changed.append(path)
    wanted = files.get(settings.project / LOCAL, {}).get("DATABASE_URL")
    found = load_settings(settings.project)
    if wanted is not None and (found.database is None or not found.database.same_login(parse_connection(wanted))):
        raise TradekeepError("config.shadowed", source=found.source_of("DATABASE_URL") or "another setting")
    return changed


def create_tables(databases: Databases, progress: Report = silent) -> InitializationResult:
    """Bring the schema to the newest revision as the owner. Raises what the migration raises."""
    return migrate.upgrade(databases.owner, progress=progress)


def set_up(
    settings: Settings, journey: Journey, *, admin: DatabaseConfig | None = None, database: str = "trading"
) -> Outcome:
    """The whole journey: on the bundled server, or on the server to which admin signs in. Safe to run again.

    Raises the TradekeepError of the step that failed; what earlier steps made is found and kept by the next run.
    """
    with journey.step("server") as step:
        if admin is None:
            server = embedded.start(home=settings.home)
            admin = server.admin_config
            step.message = f"PostgreSQL {server.version} on port {server.port}"
        else:
            Database(admin, limits=Limits.of(settings)).ping()
            step.message = admin.label
    with _alone(settings):  # else the passwords of one run could end in the file of another
        with journey.step("roles") as step:
            known = known_logins(load_settings(settings.project))
            made = provision.provision(admin, database=database, progress=journey, known=known)
            step.message = _told(made)
        written = _configure(settings, journey, made)
    return _complete(settings, journey, made, written)


def finish(settings: Settings, journey: Journey, made: Provisioned) -> Outcome:
    """The journey's second half, once the roles exist: configuration, tables, verification."""
    with _alone(settings):
        written = _configure(settings, journey, made)
    return _complete(settings, journey, made, written)


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """One setup of a project at a time, over threads and processes; the lock ends with its process."""
    folder = settings.home / "locks"
    name = hashlib.blake2b(str(settings.project).encode(), digest_size=12).hexdigest()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with FileLock(folder / f"setup-{name}.lock", timeout=LOCK_WAIT_S, mode=0o600):
            yield
    except Timeout:
        raise TradekeepError("schema.provisioning_busy") from None
    except OSError as exc:
        raise classify(exc) from None


def _configure(settings: Settings, journey: Journey, made: Provisioned) -> list[Path]:
    with journey.step("config") as step:
        written = write(configuration(settings, made), settings)
        step.message = ", ".join(path.name for path in written) or "nothing to change"
    return written


def _complete(settings: Settings, journey: Journey, made: Provisioned, written: list[Path]) -> Outcome:
    databases = Databases.from_settings(load_settings(settings.project))
    try:
        with journey.step("schema") as step:
            schema = create_tables(databases, journey)
            step.message = f"{len(schema.tables_created)} created, {len(schema.tables_skipped)} already there"
        with journey.step("verify") as step:
            lines = verify.verify(databases, progress=journey)
            bad = [line for line in lines if not line.ok]
            step.message = f"{len(lines) - len(bad)} of {len(lines)} passed"
            if bad:
                step.state = "failed"
    finally:
        databases.dispose()
    return Outcome(made, written, schema, lines)


def _told(made: Provisioned) -> str:
    if not made.created:
        return "everything was already there"
    return ", ".join(made.created)
