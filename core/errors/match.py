"""Which kind an exception, an SQLSTATE, a text or a server's log belongs to: matchers.toml, applied."""

from __future__ import annotations

import errno
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_SQLITE_CONSTRAINT_DATATYPE = 3091  # Python 3.11 has no name for it
_FORMAT = re.compile(r"%(?:\d+\$)?(?:l?[sducm]|lu)")
# How PostgreSQL quotes in its languages, and what is left of that in a client without UTF-8.
_FOLDED = re.compile(r"(?:\s*(?:[^\x00-\x7f]|>>|<<|[\"'?`])\s*)+")


@dataclass(frozen=True)
class _Rule:
    kind: str
    pattern: re.Pattern[str] | None
    messages: tuple[str, ...]
    sqlstate: str = ""
    function: str = ""

    def fits(self, text: str, function: str | None) -> bool:
        return bool((self.function and function == self.function) or (self.pattern and self.pattern.search(text)))

    def fits_a_translation(self, exact: str, folded: str) -> bool:
        return any(
            _in_order(parts, folded if is_folded else exact)
            for message in self.messages
            for is_folded, parts in _written(message)
        )


@cache
def table() -> dict[str, Any]:
    """matchers.toml as it stands."""
    return tomllib.loads((Path(__file__).parent / "matchers.toml").read_text("utf-8"))


@cache
def translations() -> dict[str, dict[str, str]]:
    """PostgreSQL's messages in its languages: English text, then language to text."""
    return tomllib.loads((Path(__file__).parent / "translations.toml").read_text("utf-8"))


@cache
def _rules(section: str) -> tuple[_Rule, ...]:
    return tuple(
        _Rule(
            kind=row["kind"],
            pattern=_pattern([*row.get("patterns", ()), *map(_expression, row.get("messages", ()))]),
            messages=tuple(row.get("messages", ())),
            sqlstate=row.get("sqlstate", ""),
            function=row.get("function", ""),
        )
        for row in table()[section]
    )


def _pattern(expressions: Sequence[str]) -> re.Pattern[str] | None:
    return re.compile("|".join(expressions), re.IGNORECASE) if expressions else None


def _expression(message: str) -> str:
    """A message of PostgreSQL, its first line, as a regular expression."""
    return r"[^\n]*".join(re.escape(part) for part in _FORMAT.split(message.strip().split("\n")[0]))


@cache
def _written(message: str) -> tuple[tuple[bool, tuple[str, ...]], ...]:
    """A message of PostgreSQL in every other language, cut at its placeholders: (whether folded, its fixed parts)."""
    forms = []
    for text in translations().get(message, {}).values():
        parts = [part for part in _FORMAT.split(text.strip().split("\n")[0]) if part.strip(" \"'.:")]
        letters = [sign for sign in "".join(parts) if sign.isalpha()]
        # Latin letters with accents may arrive as "?"; of other scripts nothing would be left.
        latin = sum(sign.isascii() for sign in letters) > len(letters) / 2
        forms.append((latin, tuple(_fold(part) if latin else part.casefold() for part in parts)))
    return tuple(forms)


def _fold(text: str) -> str:
    return _FOLDED.sub("?", text.casefold())


def _in_order(parts: Sequence[str], text: str) -> bool:
    position = 0
    for part in parts:
        position = text.find(part, position)
        if position < 0:
            return False
        position += len(part)
    return bool(parts)


def _first(rules: Sequence[_Rule], text: str, function: str | None = None) -> str | None:
    """The kind of the first rule that fits in English, else of the first that fits in another language."""
    found = next((rule.kind for rule in rules if rule.fits(text, function)), None)
    if found is None and any(rule.messages for rule in rules):
        exact, folded = text.casefold(), _fold(text)
        found = next((rule.kind for rule in rules if rule.fits_a_translation(exact, folded)), None)
    return found


def by_class(exception: BaseException, section: str = "exceptions") -> str | None:
    """The kind for a class or its nearest ancestor, compared by package and name, so that nothing is imported."""
    kinds: dict[str, str] = table()[section]
    names = (f"{cls.__module__.partition('.')[0]}.{cls.__qualname__}" for cls in type(exception).__mro__)
    return next((kinds[name] for name in names if name in kinds), None)


def by_errno(exception: BaseException) -> str | None:
    """The kind for an operating system's error number; those of TLS and of name look-ups count differently."""
    if type(exception).__module__.partition(".")[0] in ("ssl", "socket"):
        return None
    number = getattr(exception, "errno", None)
    name = errno.errorcode.get(number) if isinstance(number, int) else None
    return table()["errnos"].get(name) if name else None


def by_sqlite(exception: BaseException) -> str | None:
    """The kind for SQLite's extended code: the longest name in the table that it begins with."""
    name = getattr(exception, "sqlite_errorname", None)
    if getattr(exception, "sqlite_errorcode", None) == _SQLITE_CONSTRAINT_DATATYPE:
        name = "SQLITE_CONSTRAINT_DATATYPE"
    while isinstance(name, str) and name:
        if kind := table()["sqlite"].get(name):
            return str(kind)
        name = name.rpartition("_")[0]
    return None


def by_sqlstate(sqlstate: str, text: str = "", function: str | None = None) -> str | None:
    """The kind for an SQLSTATE: where it has several causes the text decides, then the code, then its class."""
    refined = _first([rule for rule in _rules("refine") if rule.sqlstate == sqlstate], text, function)
    codes: dict[str, str] = table()["sqlstates"]
    return refined or codes.get(sqlstate) or codes.get(sqlstate[:2])


def by_text(text: str) -> str | None:
    """The kind for the text of a driver or server, in any of PostgreSQL's languages."""
    return _first(_rules("text"), text)


def by_log(text: str) -> str | None:
    """The kind for the log of a server that did not start: the first rule that fits, in English or else translated."""
    rules = _rules("log")
    found = next((rule.kind for rule in rules if rule.fits(text, None)), None)
    if found:
        return found
    # Line by line: the parts of one message stand in one line, and a log has many.
    lines = [(line.casefold(), _fold(line)) for line in text.splitlines()]
    return next((rule.kind for rule in rules if any(rule.fits_a_translation(*line) for line in lines)), None)
