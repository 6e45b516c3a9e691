"""Every exception that drivers, files and validation raise, as a TradekeepError; it never raises itself."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from typing import TYPE_CHECKING

from core.errors import ask, match
from core.errors.base import KINDS, TradekeepError
from core.log import MASK, redact, remember_secret

if TYPE_CHECKING:
    from core.settings import DatabaseConfig

# Texts about a connection string quote a piece of it, and that may be a piece of the password.
_QUOTES_PIECES = {"config.url_at", "config.port", "config.malformed"}
_QUOTED = re.compile(r"(?P<quote>['\"])(?P<inside>[^'\"\n]*)(?P=quote)")
_HARMLESS_PIECES = {"port", "host", "user", "dbname", "=", ":", "/", "&", "]", "[", "sqlalchemy.dialects"}
_TAIL_IN_HOST = re.compile(r"(?P<quote>['\"])[^'\"\n]*@(?=[^'\"@\n]*(?P=quote))")
_OPTION = re.compile(r"(invalid URI query parameter: )\"(?![a-z_]{2,40}\")[^\n]*")
_DRIVERS = {"psycopg", "psycopg_pool", "psycopg2", "asyncpg", "sqlalchemy", "sqlite3", "aiosqlite", "alembic"}
_SAID_BY_PYTHON = _QUOTES_PIECES | {"config.option", "config.driver", "data.nul"}
# DETAIL of these shows the whole row.
_SHOWS_ROWS = {"23502", "23514"}
_PLACES = (
    re.compile(r"connection to server at \"(?P<host>[^\"\n]+)\"(?: \([^)\n]*\))?, port (?P<port>\d+)"),
    re.compile(r"connection to server on socket \"(?P<host>[^\"\n]+)/\.s\.PGSQL\.(?P<port>\d+)\""),
    re.compile(r"(?:resolve host|translate host name) ['\"](?:[^'\"\n]*@)?(?P<host>[^'\"@\n]+)['\"]"),
)
_NAMES = (
    re.compile(r"(?:for user|role|user) \"(?P<user>[^\"\n]+)\""),
    re.compile(r"database \"(?P<database>[^\"\n]+)\""),
    re.compile(r"permission denied for schema (?P<schema>[^\s\"]+)"),
    re.compile(r"permission denied for (?:table|view|sequence|materialized view) (?P<table>[^\s\"]+)"),
)
_FILE = re.compile(r"(?:file|directory) \"(?P<path>[^\"\n]+)\"")
_LOG_PORT = re.compile(r"(?:on port|port) (?P<port>\d{2,5})\b")
DEEPEST = 10
LONGEST_LOG = 20_000
LONGEST_DETAILS = 4_000
LONGEST_FACT = 300


def classify(
    exc: BaseException, config: DatabaseConfig | None = None, *, probe_timeout_s: float = 1.0
) -> TradekeepError:
    """The error that an exception stands for. Never raises.

    With a config, the port is asked where the text does not settle the cause; each question takes up to
    probe_timeout_s (0 asks nothing) and blocks. Only host, port, user, database, password and options are read.
    """
    try:
        return _classified(exc, config, probe_timeout_s)
    except Exception as failure:  # noqa: BLE001 - an error in here must not hide the one that is being explained
        return TradekeepError("unexpected", details=f"{_name(exc)} (and {_name(failure)} while it was looked at)")


def classify_log(text: str | None) -> TradekeepError:
    """Why a server did not start, from its log and the output of pg_ctl; only its last start counts. Never raises."""
    text = str(text or "")[-LONGEST_LOG:]
    last = _last_start(text)
    kind = match.by_log(last) or match.by_log(text) or "service.start_failed"
    facts = {}
    if found := re.search(r"data directory \"([^\"\n]+)\"", last) or _FILE.search(last):
        facts["path"] = found[1]
    if found := _LOG_PORT.search(last):
        facts["port"] = found["port"]
    if "path" in facts and kind == "service.already_running":
        facts["path"] = facts["path"].removesuffix("/postmaster.pid")
    telling = [line for line in last.splitlines() if re.search(r"FATAL|PANIC|ERROR|HINT|DETAIL|could not|LOG: ", line)]
    details = redact("\n".join(telling or last.splitlines()))
    return TradekeepError(kind, details=details[-LONGEST_DETAILS:], **facts)


def _last_start(text: str) -> str:
    """What belongs to the last start in a log that is appended to."""
    for mark in ("database system is shut down\n", "starting PostgreSQL"):
        before, found, after = text.rpartition(mark)
        if found and re.search(r"FATAL|PANIC|could not", after):
            # The mark's own line is kept: what went wrong before a socket was opened stands after it.
            text = after if mark.endswith("\n") else before.rpartition("\n")[2] + found + after
    return text


def _classified(exc: BaseException, config: DatabaseConfig | None, timeout_s: float) -> TradekeepError:
    if isinstance(exc, TradekeepError):
        return exc
    _remember(config)
    for cause in _causes(exc):
        if isinstance(cause, TradekeepError):
            return cause
        text = _text(cause)
        kind = _kind(cause, text)
        if kind or cause is exc:
            culprit, said, found = cause, text, kind
        if kind:
            break
    # Masked as a whole before anything is cut out of it: a piece of a secret is not recognised as one.
    shown = redact(said)
    facts = _facts(culprit, shown, config)
    if found == "config.closed_here" and ask.connection_broke(culprit):
        found = "service.lost"
    if config is not None and timeout_s > 0:
        found, more = ask.settled(found or "unexpected", culprit, said, config, timeout_s)
        facts |= more
    kind = found or "unexpected"
    if kind == "service.refused" and str(facts.get("host", "")).startswith(("/", "@")):
        kind = "service.socket_missing"
    return TradekeepError(kind, _message(kind, culprit), details=_details(kind, culprit, shown), **facts)


def _causes(exc: BaseException) -> Iterator[BaseException]:
    """The exception as the driver raised it, then what wraps it, then what it was raised from."""
    seen: set[int] = set()
    queue = [exc]
    while queue and len(seen) < DEEPEST:
        current = queue.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        inner = getattr(current, "orig", None)
        if isinstance(inner, BaseException):
            yield from (cause for cause in _causes(inner) if id(cause) not in seen)
        yield current
        if isinstance(current, BaseExceptionGroup):
            queue += current.exceptions
        if current.__cause__ is not None:
            queue.append(current.__cause__)


def _kind(exc: BaseException, text: str) -> str | None:
    sqlstate = _sqlstate(exc)
    if sqlstate:
        return match.by_sqlstate(sqlstate, text, _diagnosis(exc, "source_function"))
    if isinstance(exc, UnicodeError) and "'idna' codec" in text:
        return "network.unresolved"  # a host name that can be none
    if _package(exc) == "ssl":
        return _tls(exc, text)
    kind = match.by_errno(exc) or match.by_sqlite(exc)
    exact = match.by_class(exc)
    # What drivers raise as plain OperationalError, and SQLite without an own code, say it in their text.
    if kind is None and exact is None:
        kind = _said(exc, text)
    return kind or exact or match.by_class(exc, "fallbacks") or _misused(exc)


def _tls(exc: BaseException, text: str) -> str | None:
    """The kind of Python's own TLS errors: by OpenSSL's verify code, else by the text, else by the class."""
    verdict = ask.BY_VERIFY_CODE.get(getattr(exc, "verify_code", None) or 0)
    said = match.by_text(text)
    return verdict or (said if said and said.startswith("tls.") else None) or match.by_class(exc)


def _misused(exc: BaseException) -> str | None:
    """The kind of what a driver raises as one of Python's own exceptions when it is given something wrong."""
    if not isinstance(exc, (ValueError, TypeError, AttributeError, LookupError)):
        return None
    frames = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(exc.__traceback__)]
    raised_in = str(frames[-1]) if frames else ""
    if raised_in == "sqlalchemy.engine.url":
        return "config.malformed"
    if raised_in.partition(".")[0] not in _DRIVERS:
        return None
    return match.by_text(str(exc)) or "config.program"


def _package(exc: BaseException) -> str:
    return type(exc).__module__.partition(".")[0]


def _said(exc: BaseException, text: str) -> str | None:
    """The kind by the text, where its words are a driver's own; of Python's only what can mean nothing else."""
    packages = {cls.__module__.partition(".")[0] for cls in type(exc).__mro__}
    if packages & _DRIVERS:
        return match.by_text(text)
    if "subprocess" in packages:
        return match.by_text(text)
    if isinstance(exc, OSError):
        return match.by_text(exc.strerror or ("" if exc.errno else text))
    kind = match.by_text(text) if isinstance(exc, (ImportError, ValueError)) else None
    return kind if kind in _SAID_BY_PYTHON else None


def _sqlstate(exc: BaseException) -> str | None:
    sqlstate = getattr(exc, "sqlstate", None) or getattr(exc, "pgcode", None)
    return sqlstate if isinstance(sqlstate, str) and re.fullmatch(r"[0-9A-Z]{5}", sqlstate) else None


def _diagnosis(exc: BaseException, field: str) -> str | None:
    value = getattr(getattr(exc, "diag", None), field, None)
    return value if isinstance(value, str) and value else None


def _text(exc: BaseException) -> str:
    """The text with nothing masked: for the matchers only."""
    notes = [str(note) for note in getattr(exc, "__notes__", None) or ()]
    if _package(exc) == "subprocess" and (said := getattr(exc, "stderr", None) or getattr(exc, "output", None)):
        # What the program said, not the command: an argument can be a secret.
        notes.append(said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said))
        return "\n".join(notes)
    return "\n".join([str(exc), *notes])


def _remember(config: DatabaseConfig | None) -> None:
    remember_secret(ask.secret_of(config))


def _facts(exc: BaseException, text: str, config: DatabaseConfig | None) -> dict[str, object]:
    """Host, port, user and database from the config, else from the text; table, column, constraint, path."""
    facts: dict[str, object] = {}
    for pattern in (*_PLACES, *_NAMES):
        if found := pattern.search(text):
            facts |= found.groupdict()
    if (path := getattr(exc, "filename", None)) is not None:
        facts["path"] = str(path)
    elif found := _FILE.search(text):
        facts["path"] = found["path"]
    for name in ("table", "column", "constraint"):
        if value := _diagnosis(exc, f"{name}_name"):
            facts[name] = value
    for name in ("host", "user", "database"):
        if value := getattr(config, name, None):
            facts[name] = str(value).rpartition("@")[2] if name == "host" and value[0] not in "@/" else value
    if port := getattr(config, "port", None):
        facts["port"] = port
    return {name: _short(fact) for name, fact in facts.items()}


def _short(fact: object) -> object:
    """A fact that fits into a sentence; masked before it is cut, as half a secret would no longer be known as one."""
    text = redact(str(fact))
    return fact if len(text) <= LONGEST_FACT else text[:LONGEST_FACT] + " ..."


def _message(kind: str, exc: BaseException) -> str | None:
    """A validation error names the settings at fault in its message; everything else has its title."""
    errors = getattr(exc, "errors", None)
    if kind != "config.invalid" or not callable(errors):
        return None
    found = [(".".join(str(part) for part in row.get("loc", ())), str(row.get("msg", ""))) for row in errors()]
    said = "; ".join(f"{place}: {text}" if place else text for place, text in found)
    return f"{KINDS[kind].title}: {redact(said)[:LONGEST_FACT]}"


def _details(kind: str, exc: BaseException, text: str) -> str:
    """Class, SQLSTATE and text, without what may be a piece of a secret or a whole row."""
    sqlstate = _sqlstate(exc)
    if sqlstate and _diagnosis(exc, "message_primary"):
        lines = [_diagnosis(exc, "message_primary") or ""]
        if sqlstate not in _SHOWS_ROWS and (more := _diagnosis(exc, "message_detail")):
            lines.append(f"DETAIL: {more}")
        if hint := _diagnosis(exc, "message_hint"):
            lines.append(f"HINT: {hint}")
        text = redact("\n".join(lines))
    if kind == "config.invalid":
        text = ""
    text = _TAIL_IN_HOST.sub(rf"\g<quote>{MASK}@", text)
    text = _OPTION.sub(rf'\1"{MASK}"', text)
    if kind in _QUOTES_PIECES or "invalid literal for int()" in text:
        text = _QUOTED.sub(_without_piece, text)
    head = f"{_name(exc)}{f' {sqlstate}' if sqlstate else ''}"
    return redact(f"{head}: {text}" if text else head)[:LONGEST_DETAILS]


def _without_piece(found: re.Match[str]) -> str:
    quote, inside = found["quote"], found["inside"]
    if inside in _HARMLESS_PIECES:
        return found[0]
    kept = f"@{inside.rpartition('@')[2]}" if "@" in inside else ""
    return f"{quote}{MASK}{kept}{quote}"


def _name(exc: BaseException) -> str:
    cls = type(exc)
    module = "" if cls.__module__ == "builtins" else f"{cls.__module__.partition('.')[0]}."
    return f"{module}{cls.__qualname__}"
