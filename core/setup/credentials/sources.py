"""Where a login may stand on this machine: each place by its name, in libpq's and people's order, nothing tried yet."""

from __future__ import annotations

import getpass
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, SecretStr

from core import envfile
from core.errors import TradekeepError
from core.log import remember_secret
from core.settings import DatabaseConfig, Settings, environment, parse_connection
from core.settings.config import PLACE_VARIABLES, option_variables, this_machine
from core.setup.credentials import passfile, servicefile

Verdict = Literal["found", "nothing", "unreadable", "elsewhere", "fails", "works", "skipped"]
URL_KEYS = ("DATABASE_URL", "DB_URL", "DATABASE_OWNER_URL", "POSTGRES_URL", "POSTGRESQL_URL", "SQLALCHEMY_DATABASE_URI")
# Other programs' names for the parts of a login: of the postgres image, and the usual ones of frameworks.
PARTS = (
    {"user": "POSTGRES_USER", "password": "POSTGRES_PASSWORD", "dbname": "POSTGRES_DB", "host": "POSTGRES_HOST",
     "port": "POSTGRES_PORT"},
    {"user": "DB_USER", "password": "DB_PASSWORD", "dbname": "DB_NAME", "host": "DB_HOST", "port": "DB_PORT"},
)  # fmt: skip
SOCKET_FOLDERS = ("/var/run/postgresql", "/run/postgresql", "/tmp")  # noqa: S108  # where libpq's builds look
USUAL = "postgres"


class Source(BaseModel):
    """One place and what it came to. Never a password: `key` finds the login again when somebody wants to use it.

    verdict: found (not tried yet), nothing (nothing there), unreadable, elsewhere (a login of another server),
    fails, works, skipped (why says the reason). danger: what is unsafe about one that works.
    """

    model_config = ConfigDict(frozen=True)
    key: str
    kind: str
    name: str
    verdict: Verdict
    why: str = ""
    user: str = ""
    database: str = ""
    superuser: bool | None = None
    danger: str = ""
    ms: float | None = None


@dataclass(frozen=True)
class Candidate:
    """A place, and the login that stands there, if one does."""

    source: Source
    config: DatabaseConfig | None = field(default=None, repr=False)


def candidates(wanted: DatabaseConfig, settings: Settings) -> list[Candidate]:
    """Every place in the order in which they are looked at, those with nothing in them included.

    wanted: the server to sign in to, with the user and database where they are known. Nothing is connected to.
    """
    found = [
        *_env_file(settings.project / ".env.local", wanted),
        *_env_file(settings.project / ".env", wanted),
        *_from_values("environment", "environment", environment(), wanted),
        *_services(wanted),
        *_pass_lines(wanted),
        *_without_password(wanted),
    ]
    return found


def shown(path: Path) -> str:
    """A path as people know it."""
    try:
        return f"~/{path.relative_to(Path.home()).as_posix()}"
    except (ValueError, RuntimeError):
        return str(path)


def _plain(kind: str, name: str, verdict: Verdict, why: str = "") -> Candidate:
    return Candidate(Source(key=f"{kind}:{name}", kind=kind, name=name, verdict=verdict, why=why))


def _login(kind: str, name: str, config: DatabaseConfig, wanted: DatabaseConfig) -> Candidate:
    """A login that was found: of this server or of another one, with a password or without."""
    if config.backend != "postgresql":
        return _plain(kind, name, "elsewhere", "it is a SQLite file")
    if not concerns(config, wanted):
        return _plain(kind, name, "elsewhere", f"it is for {_place(config)}")
    config = completed(config, wanted)
    if config.password is None or not config.password.get_secret_value():
        return _plain(kind, name, "nothing", "it names a login, but no password")
    source = Source(
        key=f"{kind}:{name}", kind=kind, name=name, verdict="found", user=config.user, database=config.database
    )
    return Candidate(source, config)


def _place(config: DatabaseConfig) -> str:
    shown = config.replace(user="", password=None, database="")
    return shown.label.rstrip("/") if not config.misplaced else "another server"


def concerns(config: DatabaseConfig, wanted: DatabaseConfig) -> bool:
    """Whether a login can be one of the wanted server: the same port, and the same host or both this machine."""
    if not config.host and not config.port_text and "hostaddr" not in config.options:
        return True  # a password without a place: libpq too would offer it to any server
    if (config.port_text or "5432") != (wanted.port_text or "5432") and "," not in config.port_text:
        return False
    own, other = _hosts(config), _hosts(wanted)
    return bool(own & other)


def _hosts(config: DatabaseConfig) -> set[str]:
    """The hosts' names, every way to this machine under one of them."""
    names = {*config.host.split(","), *config.options.get("hostaddr", "").split(",")} - {""}
    return {"localhost" if this_machine(name) else name.lower() for name in names} or {"localhost"}


def completed(config: DatabaseConfig, wanted: DatabaseConfig) -> DatabaseConfig:
    """The login with what it leaves open: the wanted place and encryption, the usual user and database."""
    options = wanted.options | config.options
    place = {"host": config.host, "port_text": config.port_text or wanted.port_text}
    if not config.host and "hostaddr" not in config.options:
        place = {"host": wanted.host, "port_text": wanted.port_text or config.port_text}
    user = config.user or wanted.user or USUAL
    database = config.database or wanted.database or USUAL
    return config.replace(**place, user=user, database=database, options=options)


def _env_file(path: Path, wanted: DatabaseConfig) -> Iterator[Candidate]:
    try:
        values = envfile.values(path)
    except TradekeepError as error:
        yield _plain("file", path.name, "unreadable", error.message)
        return
    if not path.exists():
        yield _plain("file", path.name, "nothing", "there is no such file in the project folder")
        return
    yield from _from_values("file", path.name, values, wanted)


def _from_values(kind: str, name: str, values: Mapping[str, str], wanted: DatabaseConfig) -> Iterator[Candidate]:
    """Logins in the variables of a file or of the environment: whole URLs, PG* variables, other programs' parts."""
    count = 0
    for key in URL_KEYS:
        text = values.get(key, "").strip()
        if text:
            count += 1
            yield _from_url(kind, f"{name}, {key}", text, wanted)
    keywords = {variable: keyword for keyword, variable in option_variables().items() if variable}
    params = {keywords[key]: values[key] for key in PLACE_VARIABLES if values.get(key) and key in keywords}
    if params.get("password"):
        count += 1
        yield _from_params(kind, f"{name}, PG* variables", params, wanted)
    for names in PARTS if this_machine(wanted.host.split(",")[0]) else ():
        params = {keyword: values[key] for keyword, key in names.items() if values.get(key)}
        if params.get("password"):
            count += 1
            yield _from_params(kind, f"{name}, {names['password']}", params, wanted)
    if not count:
        yield _plain(kind, name, "nothing", "none of its variables holds a password of PostgreSQL")


def _from_url(kind: str, name: str, text: str, wanted: DatabaseConfig) -> Candidate:
    try:
        config = parse_connection(text)
    except TradekeepError as error:
        remember_secret(text)
        return _plain(kind, name, "unreadable", error.message)
    return _login(kind, name, config, wanted)


def _from_params(kind: str, name: str, params: dict[str, str], wanted: DatabaseConfig) -> Candidate:
    try:
        config = DatabaseConfig.from_params({key: value for key, value in params.items() if key != "passfile"})
    except TradekeepError as error:
        return _plain(kind, name, "unreadable", error.message)
    return _login(kind, name, config, wanted)


def _services(wanted: DatabaseConfig) -> Iterator[Candidate]:
    count = 0
    for path in servicefile.places():
        found = servicefile.read(path)
        if found is None:
            continue
        count += 1
        if found.problem:
            yield _plain("service", shown(path), "unreadable", found.problem)
        elif not found.services:
            yield _plain("service", shown(path), "nothing", "it has no section")
        for service in found.services:
            name = f"{shown(path)}, [{service.name}]"
            if service.problem:
                yield _plain("service", name, "unreadable", service.problem)
            else:
                yield _from_params("service", name, service.values, wanted)
    if not count:
        yield _plain(
            "service",
            "pg_service.conf",
            "nothing",
            f"there is none; the usual place is {shown(servicefile.places()[0])}",
        )


def _pass_lines(wanted: DatabaseConfig) -> Iterator[Candidate]:
    """The lines of the password file that are for this server; libpq itself will read the one that it takes."""
    found = passfile.read()
    name = shown(found.path)
    if found.missing:
        yield _plain("pgpass", name, "nothing", "there is no such file")
        return
    if found.problem:
        yield _plain("pgpass", name, "unreadable", found.problem)
        return
    taken = set()
    port = wanted.port_text or "5432"
    for line in found.lines:
        user, database = line.user or wanted.user or USUAL, line.database or wanted.database or USUAL
        host = next((host for host in _spellings(wanted) if line.fits(passfile.pass_host(host), port)), None)
        if host is None or not line.password:
            continue
        first = found.first(host, port, database, user)
        if first is None or first.number in taken:
            continue
        taken.add(first.number)
        named = f"{name}, line {first.number}"
        try:
            config = wanted.replace(host=host, user=user, database=database, password=SecretStr(first.password))
        except TradekeepError as error:
            yield _plain("pgpass", named, "unreadable", error.message)
            continue
        yield _login("pgpass", named, config, wanted)
    if not taken:
        yield _plain("pgpass", name, "nothing", "no line of it is for this server")


def _spellings(wanted: DatabaseConfig) -> list[str]:
    """The host as it was given, and the other names of this machine where it is this one."""
    given = wanted.host.split(",")[0] or wanted.options.get("hostaddr", "") or "localhost"
    if not this_machine(given):
        return [given]
    return list(dict.fromkeys([given, "localhost", "127.0.0.1", "::1"]))


def _without_password(wanted: DatabaseConfig) -> Iterator[Candidate]:
    """Ways in that need none: through a socket as the system's own user (peer), over TCP where anybody may (trust)."""
    place = wanted.host.split(",")[0]
    if not this_machine(place):
        yield _plain("peer", "no password (peer, trust)", "skipped", "only for servers of this machine")
        return
    users = list(dict.fromkeys(user for user in (wanted.user, USUAL, _system_user()) if user))
    for folder in _sockets(place, wanted.port_text or "5432"):
        for user in users:
            config = _bare(wanted, folder, user)
            name = f"no password, as {user} through the socket in {folder}"
            yield Candidate(
                Source(
                    key=f"peer:{name}", kind="peer", name=name, verdict="found", user=user, database=config.database
                ),
                config,
            )
    if not place.startswith(("/", "@")):
        user = wanted.user or USUAL
        config = _bare(wanted, place or "localhost", user)
        name = f"no password, as {user} over TCP"
        yield Candidate(
            Source(key=f"trust:{name}", kind="trust", name=name, verdict="found", user=user, database=config.database),
            config,
        )


def _bare(wanted: DatabaseConfig, host: str, user: str) -> DatabaseConfig:
    return wanted.replace(host=host, user=user, database=wanted.database or USUAL, password=None)


def _sockets(place: str, port: str) -> list[str]:
    folders = [place] if place.startswith("/") else list(dict.fromkeys(str(Path(f).resolve()) for f in SOCKET_FOLDERS))
    found = []
    for folder in folders:
        try:
            if Path(folder, f".s.PGSQL.{port}").exists():
                found.append(folder)
        except OSError:
            continue
    return found


def _system_user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""
