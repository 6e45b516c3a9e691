"""The one exception of the product, and the table of kinds that words it."""

from __future__ import annotations

import re
import shlex
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from core.format import identifier
from core.log import redact

TYPES = (
    "service", "auth", "network", "tls", "schema", "permission", "resource", "transient", "config", "data",
    "unexpected",
)  # fmt: skip
# kinds.toml: Tradekeep's own errors. failures.toml: those of PostgreSQL, its drivers and the file system.
TABLES = ("kinds.toml", "failures.toml")
GUIDE = "docs/errors.md"
PLATFORM_NAMES = {"linux": "Linux", "macos": "macOS", "windows": "Windows"}
PLATFORM = {"win32": "windows", "darwin": "macos"}.get(sys.platform, "linux")


@dataclass(frozen=True)
class Kind:
    """One row of the table: what a person reads, and what a program may do about it."""

    name: str
    code: str
    error_type: str
    title: str
    why: str
    fix: str
    steps_on: dict[str, tuple[str, ...]] = field(default_factory=dict)
    http: int = 500
    retryable: bool = False
    retry_after: float | None = None

    @property
    def steps(self) -> tuple[str, ...]:
        """The steps for this platform."""
        return self.steps_on.get(PLATFORM, self.steps_on["linux"])

    @property
    def help(self) -> str:
        """Where the troubleshooting guide explains it: a file of the project and its anchor."""
        return f"{GUIDE}#{self.code.lower()}"


def _load() -> dict[str, Kind]:
    rows: dict[str, dict[str, Any]] = {}
    for table in TABLES:
        rows |= tomllib.loads((Path(__file__).parent / table).read_text("utf-8"))
    return {
        name: Kind(
            name=name,
            code=row["code"],
            error_type=row["type"],
            title=row["title"],
            why=row["why"],
            fix=row["fix"],
            steps_on={"linux": tuple(row.get("steps", ()))}
            | {on: tuple(row[f"steps_{on}"]) for on in ("macos", "windows") if f"steps_{on}" in row},
            http=row.get("http", 500),
            retryable=row.get("retryable", False),
            retry_after=row.get("retry_after"),
        )
        for name, row in rows.items()
    }


KINDS: dict[str, Kind] = _load()


class TradekeepError(Exception):
    """What happened, why, and what to do next; the same on a page, in the API and on the command line.

    kind: a name in KINDS. message: what happened in words (default: the kind's title). details: the technical
    text. facts: host, port, user, database, path, command ... that fill the kind's texts. All of it is redacted.
    """

    def __init__(self, kind: str, message: str | None = None, *, details: str = "", **facts: object) -> None:
        message = redact(message) if message else None
        details = redact(details)
        facts = {name: redact(fact) if isinstance(fact, str) else fact for name, fact in facts.items()}
        self._given = (kind, message, details, facts)
        row = KINDS[kind]
        self.kind = kind
        self.facts = facts
        self.error_code = row.code
        self.error_type = row.error_type
        self.title = _fill(row.title, facts)
        self.why = _fill(row.why, facts)
        self.message = message or self.title
        self.details = details
        self.suggested_fix = _fill(row.fix, facts)
        self.recovery_steps = [_command(step, facts) for step in row.steps]
        # The server may run on another system than the one that shows the error.
        self.steps_elsewhere = {
            platform: [_command(step, facts) for step in steps]
            for platform, steps in row.steps_on.items()
            if steps and steps != row.steps
        }
        self.retryable = row.retryable
        self.retry_after = row.retry_after
        self.http_status = row.http
        self.help = row.help
        super().__init__(self.message)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, self._given

    def as_dict(self) -> dict[str, Any]:
        """The HTTP shape: error (its type), message, details, retry_after (s or None), error_code."""
        return {
            "error": self.error_type,
            "message": self.message,
            "details": self.details,
            "retry_after": self.retry_after,
            "error_code": self.error_code,
        }

    def diagnostic_info(self) -> dict[str, Any]:
        """Everything that helps somebody else to find the cause, without a secret."""
        return self.as_dict() | {
            "kind": self.kind,
            "title": self.title,
            "why": self.why,
            "suggested_fix": self.suggested_fix,
            "recovery_steps": list(self.recovery_steps),
            "help": self.help,
            "retryable": self.retryable,
            "facts": {key: redact(str(value)) for key, value in self.facts.items()},
        }


def explained(error: TradekeepError) -> str:
    """The error for a terminal: what happened with its code, why, what to do, and the technical details."""
    parts = [f"{error.message} ({error.error_code})"]
    if error.message != error.title:
        parts.append(error.title)
    parts += [error.why, "", error.suggested_fix]
    parts += [f"  {number}. {step}" for number, step in enumerate(error.recovery_steps, 1)]
    parts += ["", f"Help: {error.help}"]
    if error.details:
        parts += ["", "Technical details:", *(f"  {line}" for line in error.details.splitlines())]
    return "\n".join(parts)


def _rebuild(kind: str, message: str | None, details: str, facts: dict[str, object]) -> TradekeepError:
    return TradekeepError(kind, message, details=details, **facts)


_PLACEHOLDER = re.compile(r"\{host\}:\{port\}|(?P<quoted>\"?)\{(?P<name>\w+)\}(?P=quoted)")
_HARMLESS = re.compile(r"[\w./:@%+,=-]+")


def _known(facts: dict[str, object], name: str) -> str:
    fact = facts.get(name)
    return "" if fact is None else str(fact)


def _fill(text: str, facts: dict[str, object]) -> str:
    """The text with {name} replaced by the fact of that name, or by "the name" where it is not known."""

    def value(found: re.Match[str]) -> str:
        if not found["name"]:
            host, port = _known(facts, "host"), _known(facts, "port")
            address = f"[{host}]" if ":" in host else host
            return f"{address}:{port}" if host and port else address or (f"port {port}" if port else "the server")
        fact = _known(facts, found["name"])
        return f"{found['quoted']}{fact}{found['quoted']}" if fact else f"the {found['name'].replace('_', ' ')}"

    filled = _PLACEHOLDER.sub(value, text)
    return filled[:1].upper() + filled[1:] if filled.startswith("the ") else filled


def _command(step: str, facts: dict[str, object]) -> str:
    """The step with its facts, quoted where a shell or SQL would read more than a name; unknown ones as NAME."""

    def value(name: str, quoted: str = "") -> str:
        fact = _known(facts, name)
        if not fact:
            return f"{quoted}{name.upper()}{quoted}"
        if quoted:
            return identifier(fact)
        return fact if _HARMLESS.fullmatch(fact) else shlex.quote(fact)

    def both(found: re.Match[str]) -> str:
        """A fact, or host and port as a URL has them: IPv6 in brackets, a folder of sockets percent-encoded."""
        if found["name"]:
            return value(found["name"], found["quoted"])
        host = _known(facts, "host") or "HOST"
        host = f"[{host}]" if ":" in host else quote(host, safe="") if host.startswith("/") else host
        return f"{host if _HARMLESS.fullmatch(host) else shlex.quote(host)}:{value('port')}"

    return _PLACEHOLDER.sub(both, step)
