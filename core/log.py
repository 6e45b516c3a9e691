"""JSON-lines logging that rotates and never holds a secret."""

from __future__ import annotations

import base64
import html
import json
import logging
import logging.handlers
import os
import re
import sys
import threading
import time
from dataclasses import dataclass
from functools import cached_property
from io import TextIOWrapper
from pathlib import Path
from typing import cast
from urllib.parse import unquote

from core import private

MASK = "***"
SHORTEST_SECRET = 4
# Passwords that everybody tries first, and words and numbers of ordinary texts: hiding them hides nothing, and a text
# with holes where "postgres" stood says that this is the password. They are masked where a password stands.
COMMON = frozenset({
    "admin", "administrator", "changeme", "database", "default", "demo", "docker", "example", "guest", "local",
    "localhost", "master", "owner", "pass", "passwd", "password", "postgres", "postgresql", "public", "root", "runtime",
    "secret", "server", "test", "tester", "timescale", "tradekeep", "trader", "trading", "user", "username", "viewer",
    "1234", "12345", "123456", "1234567", "12345678", "123456789", "1234567890", "0000", "1111", "5432",
})  # fmt: skip
_KEYS = r"(?:password|passwd|passphrase|passwort|pwd|_pass|secret|token|api[_-]?key)"
_PATTERNS = (
    # scheme://user:password@host, the password up to the last @ of the word, for PostgreSQL's own of the line
    (re.compile(r"(?P<keep>\bpostgres\w*(?:\+\w+)?://[^\s:/@]*:)[^\n]*(?P<end>@)", re.I), rf"\g<keep>{MASK}\g<end>"),
    (re.compile(r"(?P<keep>[a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s]*(?P<end>@)", re.I), rf"\g<keep>{MASK}\g<end>"),
    # password=..., "password": "...", DB_PASSWORD='...', and the same inside of quoted JSON
    (
        re.compile(
            rf"(?P<keep>{_KEYS}\\*[\"']?\s*(?:=>|=|:)\s*)"
            r"(?:'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.)*\"|\\+\"[^\"]*\"|[^\s,;&)}\]]+)",
            re.I,
        ),
        rf"\g<keep>{MASK}",
    ),
    (
        re.compile(r"(?P<keep>\bPASSWORD\s+)(?:E?'(?:[^'\\]|\\.|'')*'|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)", re.I),
        rf"\g<keep>'{MASK}'",
    ),
    (re.compile(r"(?P<keep>\b(?:Bearer|Basic)\s+)[A-Za-z0-9._~+/=-]{8,}"), rf"\g<keep>{MASK}"),
    (re.compile(r"SCRAM-SHA-256\$[^\s'\"]+|\bmd5[0-9a-f]{32}\b"), MASK),
)
_secrets: dict[str, _Secret] = {}
_longest_first: tuple[_Secret, ...] = ()
_lock = threading.Lock()


@dataclass
class _Secret:
    """A secret and what must occur in a text before it is worth looking for all the ways to write it."""

    secret: str
    core: str
    in_base64: tuple[str, ...]

    @cached_property
    def expression(self) -> re.Pattern[str]:
        """Every way to write the secret: each character in any of its forms, or the whole in base64."""
        return re.compile("|".join(["".join(map(_written, self.secret)), *map(re.escape, self.in_base64)]))

    def may_occur(self, text: str, plain: str) -> bool:
        return self.core in plain or self.core in text or any(form in text for form in self.in_base64)


def remember_secret(secret: str | None) -> None:
    """Have every later `redact` mask this secret in each form in which it may be written.

    Forms: raw, percent-encoded (wholly or in part, either case), escaped for JSON, Python, SQL, a shell or HTML,
    and inside of base64. Secrets under four characters and those of COMMON stand in many texts for something else;
    the patterns mask them beside their key, in a URL and in a statement.
    """
    global _longest_first
    if not secret or len(secret) < SHORTEST_SECRET or secret.casefold() in COMMON or secret in _secrets:
        return
    core = max(re.findall(r"[A-Za-z0-9]+", secret), key=len, default="")
    with _lock:
        _secrets[secret] = _Secret(secret, core, _base64_forms(secret))
        _longest_first = tuple(sorted(_secrets.values(), key=lambda known: len(known.secret), reverse=True))


def _base64_forms(secret: str) -> tuple[str, ...]:
    """The secret inside of base64, longest first.

    What stands before it moves its bits, so there are three alignments; the ends depend on the neighbours.
    """
    raw = secret.encode("utf-8", "surrogatepass")
    forms = set()
    for before, start in enumerate((0, 2, 3)):
        form = base64.b64encode(b"\0" * before + raw).decode()[start : (before + len(raw)) * 8 // 6]
        forms |= {form, form.replace("+", "-").replace("/", "_")}
    return tuple(sorted((form for form in forms if len(form) >= SHORTEST_SECRET), key=len, reverse=True))


def _written(character: str) -> str:
    """A character as itself, or as quoting makes it, as an expression."""
    if character.isascii() and character.isalnum():
        return rf"(?:{character}|%(?i:{ord(character):02x}))"
    raw = character.encode("utf-8", "surrogatepass")
    forms = {
        re.escape(character),
        "(?i:" + "".join(f"%{byte:02x}" for byte in raw) + ")",
        r"\\+(?i:u[0-9a-f]{4}\\+u[0-9a-f]{4})" if ord(character) > 0xFFFF else rf"\\+(?i:u{ord(character):04x})",
        rf"\\+(?i:U{ord(character):08x})",
        rf"\\+(?i:x{ord(character):02x})",
        *(_escape(form(character)[1:-1]) for form in (repr, json.dumps)),
        rf"\\+{re.escape(character)}",
        re.escape(html.escape(character)),
        rf"&#(?:{ord(character)}|(?i:x0*{ord(character):x}));",
    }
    if character in "'\"%\\":
        forms.add(rf"{re.escape(character)}+")
    if character == "'":
        forms |= {"'\"'\"'", r"'\\''"}
    if character == " ":
        forms.add(r"\+")
    return "(?:" + "|".join(sorted(forms, key=len, reverse=True)) + ")"


def _escape(written: str) -> str:
    """As an expression, with any number of backslashes where there is one: quoting twice doubles them."""
    return r"\\+" + re.escape(written.lstrip("\\")) if len(written) > 1 and written[0] == "\\" else re.escape(written)


def redact(text: str) -> str:
    """The text with every remembered secret and everything that looks like one replaced by `***`."""
    plain = html.unescape(unquote(text)).replace("\\", "") if _longest_first else ""
    for known in _longest_first:
        if known.may_occur(text, plain):
            text = known.expression.sub(MASK, text)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


class JsonLines(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, and `extra` fields; redacted as a whole."""

    converter = staticmethod(time.gmtime)
    _standard = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

    def format(self, record: logging.LogRecord) -> str:
        row: dict[str, object] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": redact(message_of(record)),
        }
        for key, value in vars(record).items():
            if key not in self._standard:
                row[key] = redact(str(value))
        if record.exc_info:
            row["exception"] = redact(self.formatException(record.exc_info))
        return json.dumps(row, ensure_ascii=False, default=str)


def message_of(record: logging.LogRecord) -> str:
    """The record's text; one whose arguments do not fit is kept, as logging would print it unmasked to stderr."""
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):
        return f"{record.msg} {record.args}"


def _only_for_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


class _Private(logging.handlers.RotatingFileHandler):
    """A rotating file that only its owner can read, whatever the umask."""

    def _open(self) -> TextIOWrapper:
        path, mode = self.baseFilename, self.mode
        stream = open(path, mode, encoding="utf-8", errors="backslashreplace", opener=_only_for_owner)  # noqa: SIM115 - the handler closes it
        Path(path).chmod(0o600)  # it may be older, and wider
        return cast(TextIOWrapper, stream)


def configure(folder: Path | None, *, level: str = "INFO", echo_sql: bool = False) -> Path | None:
    """Send the product's log records to `<folder>/tradekeep.jsonl` (5 files of 5 MB) and warnings to stderr.

    Returns the file, or None where the folder cannot be written (then stderr alone is used). Calling it again
    replaces the earlier handlers.
    """
    logger = logging.getLogger("core")
    for handler in [h for h in logger.handlers if getattr(h, "tradekeep", False)]:
        logger.removeHandler(handler)
        handler.close()
    handlers: list[logging.Handler] = []
    file: Path | None = None
    if folder is not None:
        try:
            private.folder(folder)
            file = folder / "tradekeep.jsonl"
            handlers.append(_Private(file, maxBytes=5_000_000, backupCount=4))
        except OSError:
            file = None
    stderr = logging.StreamHandler(sys.stderr)
    stderr.setLevel(logging.WARNING if file else level)
    handlers.append(stderr)
    for handler in handlers:
        handler.tradekeep = True  # type: ignore[attr-defined]  # marks our own handlers for the next call
        handler.setFormatter(JsonLines())
        logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False
    sql = logging.getLogger("sqlalchemy.engine")
    sql.handlers = handlers if echo_sql else []
    sql.setLevel(logging.INFO if echo_sql else logging.WARNING)
    sql.propagate = not echo_sql  # other handlers would write the statements unmasked
    return file
