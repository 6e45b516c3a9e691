"""Values as text that is safe to show: exact, cut where it is long, without characters that act on the screen."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, date, datetime, time, tzinfo
from decimal import Decimal
from typing import Any

from psycopg.types.multirange import Multirange
from psycopg.types.range import Range

from core.explore.filters import range_text
from core.explore.relation import Column

LONGEST = 300
_ZONED = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d{1,6})?")
# What would break the line, ring the bell, or turn the direction of what stands after it.
_ACTING = {
    code: f"\\u{code:04x}"
    for codes in (range(0x2070), range(0xFFF0, 0xFFFC), range(0xE0000, 0xE0080))
    for code in codes
    if unicodedata.category(chr(code)) in ("Cc", "Cf", "Zl", "Zp") and code not in (0x200C, 0x200D)
}
_ACTING |= {ord("\n"): "↵", ord("\r"): "", ord("\t"): "⇥", 0xAD: "", 0xFEFF: "\\ufeff"}
_PLAIN = re.compile(r"[\x20-\x7e]*")
_JSON = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


def cell(value: Any, column: Column, zone: tzinfo, longest: int = LONGEST) -> str | None:
    """A value on one line; None for NULL. Times with a zone are moved to `zone`."""
    if value is None:
        return None
    return shortened(one_line(full(value, column, zone, longest + 1)), longest)


def full(value: Any, column: Column, zone: tzinfo, longest: int | None = None) -> str:
    """A value in full, with its lines; JSON and arrays as JSON. longest: more than that need not be made."""
    maker = _MAKERS.get(type(value))
    if maker is not None:
        return maker(value)
    if isinstance(value, str):
        return _text(value if longest is None else value[: longest + 1], column, zone)
    if isinstance(value, datetime):
        return moment(value, zone)
    if isinstance(value, bytes | bytearray | memoryview):
        return _hex(bytes(value), longest)
    if isinstance(value, Range | Multirange):
        return range_text(value, lambda bound: full(bound, column, zone))
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def moment(value: datetime, zone: tzinfo) -> str:
    """A time in the zone, to the second or as exact as it is; one without a zone as it is."""
    try:
        moved = value if value.tzinfo is None else value.astimezone(zone)
    except (OverflowError, ValueError):  # at the ends of the calendar
        moved = value
    text = moved.replace(tzinfo=None).isoformat(" ")
    return text.rstrip("0") if "." in text else text


def moment_of(value: Any, column: Column) -> datetime | None:
    """The aware moment that a value is: a timestamptz, or what SQLite keeps of one; None for everything else."""
    if isinstance(value, datetime):
        return value if value.tzinfo is not None else None
    if isinstance(value, str) and is_time(column) and _ZONED.fullmatch(value):
        try:
            return datetime.fromisoformat(value).replace(tzinfo=UTC)
        except ValueError:  # 2024-02-30: SQLite keeps any text
            return None
    return None


def is_time(column: Column) -> bool:
    """Whether the column holds moments: with a zone on PostgreSQL, by its declared type on SQLite."""
    return column.type in ("timestamp with time zone", "datetime", "timestamp")


def one_line(text: str) -> str:
    """Text without line breaks, and with characters that act on the screen spelled out."""
    return text if _PLAIN.fullmatch(text) else text.translate(_ACTING).encode("utf-8", "replace").decode()


def indented(text: str) -> str:
    """JSON with a line for each value, and every digit and key as it was; other text as it is."""
    try:
        json.loads(text, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return text
    made, depth, before = list[str](), 0, ""
    for part in _JSON.findall(text):
        depth -= part in "}]"
        if before == "," or (before in ("{", "[")) != (part in "}]"):
            made.append("\n" + "  " * depth)
        made.append(": " if part == ":" else part)
        depth += part in "{["
        before = part
    return "".join(made)


def shortened(text: str, longest: int = LONGEST) -> str:
    """Text of at most that many characters; … where it goes on."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _text(value: str, column: Column, zone: tzinfo) -> str:
    found = moment_of(value, column)
    return value if found is None else moment(found, zone)


def _decimal(value: Decimal) -> str:
    """Every digit, without zeros at the end that say nothing."""
    if not value.is_finite():
        return str(value)
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _hex(value: bytes, longest: int | None) -> str:
    shown = value if longest is None else value[: longest // 2 + 1]
    return f"\\x{shown.hex()}"


_MAKERS: dict[type, Callable[[Any], str]] = {
    int: str,
    bool: lambda value: "true" if value else "false",
    float: repr,
    Decimal: _decimal,
    date: date.isoformat,
    time: time.isoformat,
}
