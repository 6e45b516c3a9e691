"""One try to sign in: with a deadline, and so that a wrong password counts once on the server."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import pq

from core.errors import classify
from core.probe import probe
from core.settings import DatabaseConfig
from core.setup.dial import Refused, dial, effective, pairs, resolve

TRY_S = 3.0
NO_PASSFILE = "no-password-file"  # a name that is none: an empty one would mean ~/.pgpass
# Words of servers and extensions that lock a login after wrong tries (credcheck, RDS, Azure, fail2ban's wrappers).
LOCKED = ("locked", "too many", "banned", "blocked", "suspended", "temporarily", "exceeded", "throttl", "rate limit")
# After these every further try is in vain, or harm: nobody lets us in, or somebody counts.
ENDING = ("service", "network", "resource", "transient")


@dataclass(frozen=True)
class Try:
    """What a try came to: kind and why of the failure; ends: that no further one should follow on this server."""

    ok: bool
    kind: str = ""
    why: str = ""
    ends: bool = False
    superuser: bool = False
    used_password: bool = False
    ms: float = 0.0


class Caller:
    """Tries on one server; remembers how it wants to be spoken to."""

    def __init__(self) -> None:
        self._modes: dict[tuple[str, str], str] = {}

    def try_login(self, config: DatabaseConfig, *, password: str | None = None, seconds: float = TRY_S) -> Try:
        """Sign in and out again. password: another one than the configuration's; "" for none at all."""
        config, chosen = self._once(config)
        found = _try(config, password, seconds)
        if chosen and found.kind.startswith(("auth.pg_hba", "tls.")):
            # A rule for the other kind of encryption: no password was looked at yet.
            other = {"require": "disable", "disable": "require"}[config.options["sslmode"]]
            again = _try(config.replace(options=config.options | {"sslmode": other}), password, seconds)
            if again.ok or not again.kind.startswith(("auth.pg_hba", "tls.")):
                self._modes[config.host, config.port_text] = other
                return again
        return found

    def _once(self, config: DatabaseConfig) -> tuple[DatabaseConfig, bool]:
        """The configuration with TLS or without it, as the server offers it.

        The driver's default takes either: after a wrong password inside TLS it tries again without, and the server
        counts two.
        """
        if config.host.startswith(("/", "@")) or "service" in config.options or "," in config.host:
            return config, False
        if (config.options.get("sslmode") or _default("sslmode")) not in ("prefer", "allow"):
            return config, False
        place = (config.host, config.port_text)
        if place not in self._modes:
            host = config.options.get("hostaddr") or config.host or "localhost"
            answer = probe(host, config.port or 5432, timeout_s=1.0, tls=True)
            self._modes[place] = "require" if answer.tls else "disable"
        return config.replace(options=config.options | {"sslmode": self._modes[place]}), True


def _default(keyword: str) -> str:
    """What libpq would take for a keyword that is not given: its variable's value, or its own default."""
    found = (
        option.val or option.compiled for option in pq.Conninfo.get_defaults() if option.keyword == keyword.encode()
    )
    return (next(found, None) or b"").decode()


def _try(config: DatabaseConfig, password: str | None, seconds: float) -> Try:
    begin = time.perf_counter()
    until = begin + seconds
    if password == "":
        config = config.replace(options=config.options | {"passfile": NO_PASSFILE})
    try:
        full = effective(config)
        wanted = pairs(full)
        places, _lost = resolve(wanted, until) if wanted else ([], [])
        found = dial(full, places, until, [], password=password)
    except Refused as refused:
        error = classify(refused.cause, config, probe_timeout_s=0)
        said = str(refused.cause).lower()
        locked = error.error_type == "auth" and any(word in said for word in LOCKED)
        kind = "auth.locked" if locked else error.kind
        why = "the server says that the login is locked" if locked else error.message
        ends = locked or error.error_type in ENDING
        return Try(False, kind, why, ends, ms=_ms(begin))
    except (psycopg.Error, UnicodeError, OSError) as exc:
        error = classify(exc, config, probe_timeout_s=0)
        return Try(False, error.kind, error.message, error.error_type in ENDING, ms=_ms(begin))
    pgconn: Any = found.connection.pgconn
    superuser = pgconn.parameter_status(b"is_superuser") == b"on"
    used = bool(pgconn.used_password)
    found.connection.close()
    return Try(True, superuser=superuser, used_password=used, ms=_ms(begin))


def _ms(begin: float) -> float:
    return round((time.perf_counter() - begin) * 1000, 3)
