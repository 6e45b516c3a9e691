"""What is wrong or risky about a configuration, each with its fix."""

from __future__ import annotations

import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from core import envfile
from core.errors import TradekeepError
from core.settings.config import DatabaseConfig, this_machine
from core.settings.settings import ENVIRONMENT, ConfigIssue, Settings, environment, sources_of
from core.settings.settings import _issue as issue
from core.settings.variables import VARIABLES

DEFAULT_PASSWORDS = {
    "postgres", "postgresql", "password", "passwd", "pass", "secret", "admin", "administrator", "root",
    "trading", "trader", "test", "testing", "changeme", "change_me", "change-me", "example", "default",
    "user", "guest", "letmein", "welcome", "qwerty", "123", "1234", "12345", "123456",
    "1234567", "12345678", "123456789", "password1", "password123", "admin123", "postgres123", "p@ssw0rd",
}  # fmt: skip
_ORDER = {"error": 0, "warning": 1, "info": 2}
_ROLES = {"database": "DATABASE_URL", "owner": "DATABASE_OWNER_URL", "viewer": "DATABASE_VIEWER_URL"}


def issues_of(settings: Settings) -> list[ConfigIssue]:
    """All issues, errors first; looks at the files as they are now."""
    found = list(settings.found)
    for field, name in _ROLES.items():
        config = getattr(settings, field)
        if config:
            found += _connection_issues(settings, name, config)
    found += _shadowed(settings)
    found += _led_astray(settings)
    for path in (settings.env_tradekeep, settings.env_local, settings.project / ".env"):
        found += _file_issues(settings, path)
    unique = list(dict.fromkeys(found))
    return sorted(unique, key=lambda one: _ORDER[one.severity])


def is_local(config: DatabaseConfig) -> bool:
    """Whether the connection stays on this machine: a socket, or loopback addresses only."""
    hosts = (config.options.get("hostaddr") or config.host).split(",")
    return all(this_machine(host) for host in hosts)


def _connection_issues(settings: Settings, name: str, config: DatabaseConfig) -> Iterator[ConfigIssue]:
    strict = settings.env == "production"
    if config.backend == "sqlite":
        if strict:
            yield issue(
                "error",
                name,
                "Production runs on SQLite, which keeps numbers as 15 digits and takes one writer at a time.",
                f"Set up PostgreSQL and write its URL to {name}.",
            )
        return
    if config.misplaced:
        yield issue(
            "error",
            name,
            "Host, port or database seem to hold a piece of the password, which contains an @ or a / in clear.",
            "Write the password's special characters as %XX (@ is %40, / is %2F), or enter it on the Setup page.",
        )
    elif any(not 1 <= int(port) <= 65535 for port in config.port_text.split(",") if port.strip()):
        yield issue(
            "error", name, "The port is not between 1 and 65535.", "Correct the port; PostgreSQL's own is 5432."
        )
    yield from _tls_issues(name, config, strict)
    password = config.password.get_secret_value() if config.password else None
    if password is not None and (password.lower() in DEFAULT_PASSWORDS or (password and password == config.user)):
        yield issue(
            "error" if strict or not is_local(config) else "warning",
            name,
            "The password is one that everybody tries first.",
            "Give the role a strong password on the Setup page, or with \\password in psql.",
        )
    if name == "DATABASE_URL" and config.user in ("postgres", "root"):
        yield issue(
            "warning",
            name,
            "The bots sign in as a superuser.",
            "Let Setup create the roles: the bots then get one that may only read and write rows.",
        )


def _tls_issues(name: str, config: DatabaseConfig, strict: bool) -> Iterator[ConfigIssue]:
    mode = config.options.get("sslmode", "prefer")
    if is_local(config) or mode == "verify-full":
        return
    weak = {
        "disable": "is not encrypted",
        "allow": "is encrypted only if the server insists",
        "prefer": "may fall back to no encryption, and nobody checks who the server is",
        "require": "is encrypted, but nobody checks who the server is",
        "verify-ca": "accepts a server of another name with a certificate of the same authority",
    }
    what = weak.get(mode, "uses an sslmode that PostgreSQL does not know")
    yield issue(
        "error" if strict else "warning",
        name,
        f"The connection to a remote host {what} (sslmode={mode}).",
        "Use sslmode=verify-full, with sslrootcert=system or the path of the authority's certificate.",
    )


def _shadowed(settings: Settings) -> Iterator[ConfigIssue]:
    """A value in an env file that another source overrides: people edit the file and nothing changes."""
    sources = sources_of(settings.project)
    for variable in VARIABLES:
        names = (variable.name, *variable.also)
        given = [(s, n, s.values[n].strip()) for s in sources for n in names if s.values.get(n, "").strip()]
        if not given or variable.name == "TRADEKEEP_PROJECT":
            continue
        winner, winning_name, text = given[0]
        for source, name, other in given[1:]:
            if other == text:
                continue
            where = "the environment" if winner.name == ENVIRONMENT else winner.name
            yield issue(
                "warning",
                name,
                f"{name} in {'the environment' if source.path is None else source.name} has no effect: "
                f"{winning_name} in {where} has another value and goes first.",
                f"Remove one of the two; to see the environment's: printenv {winning_name}"
                if winner.path is None
                else f"Remove {winning_name} from {where}, or {name} from {source.name}.",
            )


def _led_astray(settings: Settings) -> Iterator[ConfigIssue]:
    """PGHOSTADDR in the environment: every program of libpq's then goes there, whatever host its URL names."""
    config = settings.database
    given = environment().get("PGHOSTADDR", "").strip()
    if not given or config is None or not config.host or "hostaddr" in config.options:
        return
    yield issue(
        "error",
        "PGHOSTADDR",
        f"PGHOSTADDR in the environment is {given}: bots that start in it connect there, not to {config.host}.",
        "Remove PGHOSTADDR from the environment; Tradekeep itself ignores it.",
    )


def _file_issues(settings: Settings, path: Path) -> Iterator[ConfigIssue]:
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    try:
        values, stumbling = envfile.values(path), envfile.problems(path)
    except TradekeepError:
        return  # it cannot be read: an issue of loading
    if sys.platform != "win32" and stat.S_IMODE(mode) & 0o077:
        readers = "Everybody on this machine" if mode & 0o007 else "The file's group"
        yield issue("warning", path.name, f"{readers} can read {path.name}.", f"chmod 600 {path}")
    for number, reason in stumbling:
        severe = "never closed" in reason
        yield issue(
            "error" if severe else "warning",
            path.name,
            f"Line {number} of {path.name} {reason}.",
            f"Correct line {number} of {path}.",
        )
    secret = any(values.get(name) for name in (*_ROLES.values(), "DB_URL", "PGPASSWORD"))
    if secret and envfile.gitignored(path) is False:
        yield issue(
            "warning",
            path.name,
            f"git does not ignore {path.name}, so its password can end up in the repository.",
            f"Add {path.name} to .gitignore; if it was committed already: git rm --cached {path.name}",
        )
    if path.name != ".env.tradekeep":
        for name in ("DATABASE_OWNER_URL", "DATABASE_VIEWER_URL"):
            if values.get(name):
                yield issue(
                    "warning",
                    path.name,
                    f"{name} stands in {path.name}, which the bots read.",
                    f"Move {name} to .env.tradekeep; Setup does it when it writes the configuration.",
                )
