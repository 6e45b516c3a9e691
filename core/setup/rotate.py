"""New passwords for the roles of a project: prepared in its files, changed on the server, proved, then published."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from psycopg import sql
from pydantic import SecretStr

from core import embedded, envfile
from core.database import Connection, session
from core.errors import TradekeepError
from core.log import remember_secret
from core.progress import Report, silent
from core.settings import DatabaseConfig, Settings, load_settings, parse_connection
from core.settings.settings import ENVIRONMENT
from core.settings.variables import VARIABLES
from core.setup import administration, bundled, provision, wizard
from core.setup.wizard import NEXT

ROLES = ("owner", "runtime", "viewer")
FIELDS = {"owner": "owner", "runtime": "database", "viewer": "viewer"}
AFTERWARDS = (
    "Connections that are open stay open; a new one needs the new password. Restart your bots, so that they read it. "
    "Another project that uses the same roles gets it when its setup is run again."
)


@dataclass(frozen=True)
class Rotated:
    """What a rotation did. roles: who has a new password. recovered: whose password of an interrupted one was kept."""

    roles: list[str] = field(default_factory=list)
    written: list[Path] = field(default_factory=list)
    recovered: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Place:
    """One key of a file that holds a login."""

    path: Path
    key: str
    text: str


@dataclass(frozen=True)
class _Login:
    """One role that signs in, and every place in the files where its password stands, strongest first."""

    config: DatabaseConfig
    places: tuple[_Place, ...]

    def using(self, password: str) -> dict[_Place, str]:
        """The text of each place with another password."""
        return {place: with_password(place.text, password) for place in self.places}


def rotate(
    settings: Settings,
    *,
    admin: DatabaseConfig | None = None,
    roles: Sequence[str] = ROLES,
    progress: Report | None = None,
) -> Rotated:
    """Give the roles new generated passwords, on the server and in the project's files; safe to run again.

    Each role changes its own password; admin: a login that does it for them, also for a role whose password is lost
    (the bundled server's is found). The new passwords stand in the files as KEY_NEXT before anything is changed, so
    that whatever happens the file holds the one that works, and a second run finds it. When signing in with a new
    one fails, the old ones are put back. With a single login for everything that one is rotated.
    Raises config.rotation for what stands in no file, config.no_database, schema.provisioning_busy, and what signing
    in or writing raises.
    """
    if unknown := [role for role in roles if role not in ROLES]:
        raise TradekeepError("config.rotation", f"There is no role {unknown[0]}: it is one of {', '.join(ROLES)}.")
    first = load_settings(settings.project)
    on_bundled = first.database is not None and bundled.behind(first.database, first.home) is not None
    with wizard.alone(first, str(first.project)), wizard.alone(first, "bundled" if on_bundled else ""):
        current = load_settings(settings.project)
        logins = _logins(current, roles)
        if on_bundled and admin is None:
            admin = embedded.start(home=current.home).admin_config
        with _lock(current, admin):
            recovered = [login.config.user for login in logins if _recovered(current, login)]
            logins = _logins(load_settings(settings.project), roles)
            written = _rotated(current, logins, admin, progress or silent)
    return Rotated([login.config.user for login in logins], written, recovered)


def interrupted(settings: Settings) -> bool:
    """Whether a rotation of this project was interrupted: running it again brings everything in line."""
    return bool(wizard.next_logins(settings))


def with_password(text: str, password: str) -> str:
    """The connection string with another password and not a character else changed, where that can be done.

    Programs may need the form as it is: `postgresql+asyncpg://`, a conninfo, a JDBC URL.
    """
    wanted = parse_connection(text).replace(password=SecretStr(password))
    for pattern in (r"(?s)(\A[\w+.-]+://[^:/?#]*:)(.*)(@)", r"(?si)(\bpassword\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s&]*)()"):
        changed = re.sub(pattern, lambda found: found[1] + password + found[3], text, count=1)
        try:
            if changed != text and parse_connection(changed) == wanted:
                return changed
        except TradekeepError:
            continue
    return wanted.url()


def _logins(settings: Settings, roles: Sequence[str]) -> list[_Login]:
    """The logins behind these roles, each once. Raises config.rotation for one that no file holds."""
    if settings.database is None:
        raise settings.error or TradekeepError("config.no_database")
    if settings.database.backend == "sqlite":
        raise TradekeepError("config.rotation", "SQLite is a file, and has no passwords.")
    found: dict[str, _Login] = {}
    for role in roles:
        variable = next(variable for variable in VARIABLES if variable.field == FIELDS[role])
        config = getattr(settings, variable.field)
        if config is None:  # one login for everything
            variable = next(variable for variable in VARIABLES if variable.field == "database")
            config = settings.database
        if settings.source_of(variable.name) == ENVIRONMENT:
            message = f"{variable.name} comes from the environment, which Tradekeep cannot change."
            raise TradekeepError("config.rotation", message)
        places = _places(settings, config)
        if config.password is None or not places:
            raise TradekeepError("config.rotation", f"No file of the project holds the password of {config.user}.")
        found.setdefault(config.user, _Login(config, tuple(places)))
    return list(found.values())


def _places(settings: Settings, config: DatabaseConfig) -> list[_Place]:
    """Where the files hold this very login."""
    found = []
    for path, values in wizard.env_values(settings).items():
        keys = (key for key in wizard.LOGIN_KEYS if _means(values.get(key, ""), config))
        found += [_Place(path, key, values[key]) for key in keys]
    return found


def _means(text: str, config: DatabaseConfig) -> bool:
    if not text.strip() or not wizard.readable(text):
        return False
    other = parse_connection(text)
    return other.user == config.user and other.same_server(config) and other.password is not None


def _lock(current: Settings, admin: DatabaseConfig | None) -> AbstractContextManager[None]:
    """Nobody provisions meanwhile; where no role may take the server's lock, the project's own must do."""
    if admin is not None:
        return administration.alone(admin)
    return administration.alone_inside(current.owner) if current.owner else nullcontext()


def _recovered(settings: Settings, login: _Login) -> bool:
    """Finish what an interrupted rotation left: the file gets the password that the server takes."""
    pending = wizard.next_logins(settings)
    found = next((text for place in login.places if (text := pending.get(place.path, {}).get(place.key + NEXT))), None)
    if found is None:
        return False
    config = parse_connection(found)
    taken = config.password is not None and not provision.works(login.config) and provision.works(config)
    password = config.password.get_secret_value() if config.password and taken else None
    _write(_files(login.using(password) if password else dict.fromkeys(login.places)))
    return taken


def _files(texts: Mapping[_Place, str | None]) -> dict[Path, dict[str, str | None]]:
    """What is written in the end: the texts under their keys (None: as they are), and no KEY_NEXT any more."""
    files: dict[Path, dict[str, str | None]] = {}
    for place, text in texts.items():
        values = files.setdefault(place.path, {})
        values[place.key + NEXT] = None
        if text is not None:
            values[place.key] = text
    return files


def _rotated(settings: Settings, logins: list[_Login], admin: DatabaseConfig | None, report: Report) -> list[Path]:
    """Prepare, change, prove, publish; the files that changed."""
    new = {login.config.user: _generated() for login in logins}
    texts = {place: text for login in logins for place, text in login.using(new[login.config.user]).items()}
    files = _files(texts)
    journal: dict[Path, dict[str, str | None]] = {}
    for place, text in texts.items():
        journal.setdefault(place.path, {})[place.key + NEXT] = text
    with wizard.prepared(files):
        pass  # whatever keeps them from being written shows before anything happens
    total, publishing = len(logins) + 1, False
    with _Changes(admin) as changes:
        for login in logins:
            changes.sign_in(login.config)
        try:
            _write(journal)
            with wizard.prepared(files) as publish:
                for number, login in enumerate(logins):
                    report(number, total, f"Role {login.config.user}")
                    changes.set_password(login.config, new[login.config.user])
                report(len(logins), total, "Signing in with the new passwords")
                for login in logins:
                    with session(login.config.replace(password=SecretStr(new[login.config.user]))):
                        pass
                publishing = True  # from here on the new ones count; a second run finishes what fails
                written = publish()
        except BaseException:
            if not publishing and changes.undo():
                _write(_files(dict.fromkeys(texts)))
            raise
    _tell_bundled(settings, logins, new)
    report(total, total, "The new passwords work")
    return written


def _write(files: dict[Path, dict[str, str | None]]) -> None:
    with wizard.prepared(files) as publish:
        publish()


def _generated() -> str:
    password = secrets.token_urlsafe(24)
    remember_secret(password)
    return password


class _Changes:
    """The sessions in which passwords are changed, and what has to be put back if one of them does not work."""

    def __init__(self, admin: DatabaseConfig | None) -> None:
        self._sessions = ExitStack()
        self._admin = admin
        self._by: dict[str, Connection] = {}
        self._changed: list[DatabaseConfig] = []
        self._lost: set[str] = set()

    def sign_in(self, config: DatabaseConfig) -> None:
        """Open what can change this role's password: its own session, or the administrator's. Raises what fails."""
        if self._admin is None:
            self._by[config.user] = self._sessions.enter_context(session(config))
            return
        if not self._by:
            self._by[""] = self._sessions.enter_context(session(self._admin))
        self._by[config.user] = self._by[""]
        if not provision.works(config):
            self._lost.add(config.user)

    def set_password(self, config: DatabaseConfig, password: str) -> None:
        """Change it; the server sees a verifier, never the password."""
        connection = self._by[config.user]
        self._changed.append(config)
        role = config.user
        if self._admin is None:  # behind some poolers the name of the login is not the role's
            role = (connection.execute("SELECT session_user::text").fetchone() or (role,))[0]
        verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
        remember_secret(verifier)
        statement = sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(verifier))
        connection.execute(statement)

    def undo(self) -> bool:
        """Put the old passwords back; whether all of them work again."""
        back = True
        for config in list(self._changed):
            try:
                if config.password is None or config.user in self._lost:
                    raise TradekeepError("config.rotation")
                self.set_password(config, config.password.get_secret_value())
                with session(config):
                    pass
            except Exception:  # noqa: BLE001  # whatever it is: what is not put back stays written as KEY_NEXT
                back = False
        return back

    def __enter__(self) -> _Changes:
        return self

    def __exit__(self, *exc: object) -> None:
        self._sessions.close()


def _tell_bundled(settings: Settings, logins: list[_Login], new: dict[str, str]) -> None:
    """Let the bundled server's own list of logins know, from which other projects get theirs."""
    for database in {login.config.database for login in logins}:
        file = wizard.logins_file(settings, database)
        texts = envfile.values(file)
        changed: dict[str, str | None] = {
            key: with_password(text, new[config.user])
            for key, text in texts.items()
            if (config := parse_connection(text)).user in new and any(config.same_server(o.config) for o in logins)
        }
        if changed:
            envfile.set_values(file, changed)
