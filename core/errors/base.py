"""The one exception of the product, and the table of kinds that words it."""

from __future__ import annotations

import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.log import redact

TYPES = (
    "service", "auth", "network", "tls", "schema", "permission", "resource", "transient", "config", "data",
    "unexpected",
)  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """One row of the table: what a person reads, and what a program may do about it."""

    name: str
    code: str
    error_type: str
    title: str
    why: str
    fix: str
    steps: tuple[str, ...] = ()
    http: int = 500
    retryable: bool = False
    retry_after: float | None = None


def _load() -> dict[str, Kind]:
    suffix = {"win32": "_windows", "darwin": "_macos"}.get(sys.platform, "")
    rows = tomllib.loads((Path(__file__).parent / "kinds.toml").read_text("utf-8"))
    return {
        name: Kind(
            name=name,
            code=row["code"],
            error_type=row["type"],
            title=row["title"],
            why=row["why"],
            fix=row["fix"],
            steps=tuple(row.get(f"steps{suffix}", row.get("steps", ()))),
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
        self.recovery_steps = [_fill(step, facts) for step in row.steps]
        self.retryable = row.retryable
        self.retry_after = row.retry_after
        self.http_status = row.http
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
            "retryable": self.retryable,
            "facts": {key: redact(str(value)) for key, value in self.facts.items()},
        }


def _rebuild(kind: str, message: str | None, details: str, facts: dict[str, object]) -> TradekeepError:
    return TradekeepError(kind, message, details=details, **facts)


_PLACEHOLDER = re.compile(r"\{(\w+)\}")


def _fill(text: str, facts: dict[str, object]) -> str:
    """The text with {name} replaced by the fact of that name, or by "the name" where it is not known."""

    def value(found: re.Match[str]) -> str:
        fact = facts.get(found[1])
        return f"the {found[1].replace('_', ' ')}" if fact is None or fact == "" else str(fact)

    return _PLACEHOLDER.sub(value, text)
