"""Points in time as files write them: ISO with or without a zone, unix numbers, a few other shapes; nothing guessed.

A column is read in one shape, which its first values decide. A time without a zone is UTC unless another zone is
given. Days and months that could be either way round are refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal, InvalidOperation
from statistics import median
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from core.errors import TradekeepError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Units of unix numbers: their size in microseconds, and where such a number of the years 1990 to 2100 lies.
UNITS = {"s": Decimal(1_000_000), "ms": Decimal(1000), "us": Decimal(1), "ns": Decimal("0.001")}
UNIT_WORDS = {"s": "unix seconds", "ms": "unix milliseconds", "us": "unix microseconds", "ns": "unix nanoseconds"}
FROM_S, UNTIL_S = 631_152_000, 4_102_444_800
LONGEST = 64  # letters of a time; the patterns below are not for more
NUMBER = re.compile(r"^\d{9,19}(\.\d+)?$")
_PARTS = re.compile(r"^(\d{1,2})([./-])(\d{1,2})\2(\d{4})(.*)$")
_CLOCK = re.compile(r"^[ T,]*(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?\s*([AaPp][Mm])?\s*(.*)$")
_ISO = re.compile(r"^(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(.*)$")
_COMPACT = re.compile(r"^(\d{4})(\d{2})(\d{2})[T ]?(\d{2})(\d{2})(\d{2})?(.*)$")
_OFFSET = re.compile(r"^(?:(?:UTC|GMT)?\s*([+-])(\d{2}):?(\d{2})?)$")


@dataclass(frozen=True)
class Shape:
    """How a column's times are written. unit: of unix numbers; day_first: None where day and month cannot be told."""

    unit: str | None = None
    day_first: bool | None = None
    zone: tzinfo = UTC

    @property
    def words(self) -> str:
        """The shape for a person."""
        if self.unit:
            return UNIT_WORDS[self.unit]
        return "time"


def zone_of(name: str) -> tzinfo:
    """The time zone of that name. Raises data.value."""
    if name.upper() == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise TradekeepError("data.value", f"There is no time zone {name!r}; write it as Europe/Berlin.") from None


def shape_of(values: Sequence[str], zone: tzinfo = UTC) -> Shape:
    """The shape of a column, by its first values."""
    values = [value for value in values if len(value) <= LONGEST]
    numbers = [Decimal(value) for value in values if NUMBER.match(value)]
    if numbers and len(numbers) * 2 >= len(values):
        middle = median(numbers)
        fits = [unit for unit, micros in UNITS.items() if FROM_S <= middle * micros / 1_000_000 < UNTIL_S]
        return Shape(unit=fits[0] if fits else None, zone=zone)
    days = [parts for value in values if (parts := _PARTS.match(value))]
    if any(parts[2] == "." or int(parts[1]) > 12 for parts in days):
        return Shape(day_first=True, zone=zone)
    if any(int(parts[3]) > 12 for parts in days):
        return Shape(day_first=False, zone=zone)
    return Shape(zone=zone)


def moment(text: str, shape: Shape) -> datetime:
    """The moment that a text means, in UTC, to the microsecond. Raises ValueError with the reason."""
    if len(text) > LONGEST:
        raise ValueError("not a time; write 2024-05-31T14:30:00Z")
    if NUMBER.match(text) and not (_COMPACT.match(text) and shape.unit is None):
        return _unix(text, shape)
    for found, order in ((_ISO.match(text), (1, 2, 3)), (_PARTS.match(text), None)):
        if not found:
            continue
        if order is None:
            return _day_month(text, found, shape)
        year, month, day = (int(found[place]) for place in order)
        return _clocked(text, year, month, day, found[4], shape)
    if found := _COMPACT.match(text):
        clock = f"{found[4]}:{found[5]}:{found[6] or '00'}"
        return _clocked(text, int(found[1]), int(found[2]), int(found[3]), f" {clock}{found[7]}", shape)
    raise ValueError("not a time; write 2024-05-31T14:30:00Z")


def _unix(text: str, shape: Shape) -> datetime:
    if shape.unit is None:
        raise ValueError("a number, and no unix time in seconds, milliseconds, microseconds or nanoseconds")
    try:
        micros = Decimal(text) * UNITS[shape.unit]
    except InvalidOperation:
        raise ValueError("not a number") from None
    if not FROM_S * 1_000_000 <= micros < UNTIL_S * 1_000_000:
        raise ValueError(f"as {shape.words}, which this column is in, it is not between 1990 and 2100")
    return EPOCH + timedelta(microseconds=int(micros))


def _day_month(text: str, found: re.Match[str], shape: Shape) -> datetime:
    one, two = int(found[1]), int(found[3])
    day_first = True if found[2] == "." or one > 12 else False if two > 12 else shape.day_first
    if day_first is None:
        raise ValueError(f"{one}{found[2]}{two} may be either day and month or month and day; write 2024-05-31")
    day, month = (one, two) if day_first else (two, one)
    return _clocked(text, int(found[4]), month, day, found[5], shape)


def _clocked(text: str, year: int, month: int, day: int, rest: str, shape: Shape) -> datetime:
    """Date, clock and zone together."""
    hour = minute = second = micros = 0
    clock = _CLOCK.match(rest)
    if clock:
        hour, minute, second = int(clock[1]), int(clock[2]), int(clock[3] or 0)
        micros = int((clock[4] or "0").ljust(6, "0")[:6])
        if clock[5]:
            if hour > 12:
                raise ValueError("with AM or PM the hours go to 12")
            hour = hour % 12 + (12 if clock[5].lower() == "pm" else 0)
        rest = clock[6]
    rest = rest.strip()
    zone: tzinfo | timedelta = shape.zone
    if rest in ("Z", "z", "UTC", "GMT", "utc"):
        zone = UTC
    elif offset := _OFFSET.match(rest):
        ahead = timedelta(hours=int(offset[2]), minutes=int(offset[3] or 0))
        zone = ahead if offset[1] == "+" else -ahead
    elif rest:
        raise ValueError("not a time; write 2024-05-31T14:30:00Z")
    try:
        plain = datetime(year, month, day, hour, minute, second, micros)
        if isinstance(zone, timedelta):
            return (plain - zone).replace(tzinfo=UTC)
        found = plain.replace(tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("there is no such day or time of day") from None
    if clock and zone is not UTC:
        _once(plain, zone)
    return found


def _once(plain: datetime, zone: tzinfo) -> None:
    """Refuse a time of day that the zone's clocks showed twice or never. Raises ValueError."""
    first, second = (plain.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1))
    if first == second or first is None or second is None:
        return
    if first < second:
        raise ValueError(f"the clocks of {zone} went forward over it; there is no such time there")
    offset = f"{plain.replace(tzinfo=zone):%z}"
    raise ValueError(f"the clocks of {zone} went back, so it came twice; write it with {offset[:3]}:{offset[3:]} or Z")
