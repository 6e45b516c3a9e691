"""JSON-lines logging that rotates and never holds a secret."""

from __future__ import annotations

import base64
import json
import logging
import logging.handlers
import re
import sys
import threading
import time
from pathlib import Path
from urllib.parse import quote

MASK = "***"
_PATTERNS = (
    # scheme://user:password@host, the password up to the last @ before the path
    (re.compile(r"(?P<keep>[a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s]*(?P<end>@)", re.I), rf"\g<keep>{MASK}\g<end>"),
    (
        re.compile(
            r"(?P<keep>\b(?:pg)?(?:password|passwd|pwd|passfile_password|secret|token|api[_-]?key)"
            r"[\"']?\s*(?:=|:|=>)\s*)(?:'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.)*\"|[^\s,;&)}\]]+)",
            re.I,
        ),
        rf"\g<keep>{MASK}",
    ),
    (re.compile(r"(?P<keep>\bPASSWORD\s+)'(?:[^']|'')*'", re.I), rf"\g<keep>'{MASK}'"),
    (re.compile(r"SCRAM-SHA-256\$[^\s'\"]+"), MASK),
)
_secrets: set[str] = set()
_forms: tuple[str, ...] = ()
_lock = threading.Lock()
SHORTEST_SECRET = 4


def remember_secret(secret: str | None) -> None:
    """Have every later `redact` mask this secret in each form in which it may be written.

    Forms: raw, percent-encoded, JSON-escaped, base64, Python repr. Secrets under four characters are too
    common to be masked wherever they occur; the patterns mask those beside their key.
    """
    global _forms
    if not secret or len(secret) < SHORTEST_SECRET or secret in _secrets:
        return
    with _lock:
        _secrets.add(secret)
        forms = {form for known in _secrets for form in _written(known) if len(form) >= SHORTEST_SECRET}
        _forms = tuple(sorted(forms, key=len, reverse=True))


def _written(secret: str) -> set[str]:
    raw = secret.encode("utf-8", "surrogatepass")
    return {
        secret,
        quote(secret, safe="", errors="replace"),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        base64.b64encode(raw).decode(),
        repr(secret)[1:-1],
        secret.replace("'", "''"),
    }


def redact(text: str) -> str:
    """The text with every remembered secret and everything that looks like one replaced by `***`."""
    for form in _forms:
        if form in text:
            text = text.replace(form, MASK)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


class JsonLines(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, and `extra` fields; redacted as a whole."""

    converter = time.gmtime
    _standard = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

    def format(self, record: logging.LogRecord) -> str:
        row: dict[str, object] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        for key, value in vars(record).items():
            if key not in self._standard:
                row[key] = redact(str(value))
        if record.exc_info:
            row["exception"] = redact(self.formatException(record.exc_info))
        return json.dumps(row, ensure_ascii=False, default=str)


class _Private(logging.handlers.RotatingFileHandler):
    """A rotating file that only its owner can read, whatever the umask."""

    def _open(self):  # type: ignore[no-untyped-def]  # the base class has no annotation either
        stream = super()._open()
        Path(self.baseFilename).chmod(0o600)
        return stream


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
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            file = folder / "tradekeep.jsonl"
            handlers.append(_Private(file, maxBytes=5_000_000, backupCount=4, encoding="utf-8"))
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
    return file
