"""Bytes, durations, money and ages as text; names and texts as SQL has them."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal


def size(n: int | None) -> str:
    """A number of bytes in binary units: `1536` -> `1.5 KiB`; None -> `no data`."""
    if n is None:
        return "no data"
    if abs(n) < 1024:
        return f"{n} B"
    value = float(n)
    for unit in ("KiB", "MiB", "GiB"):
        value /= 1024
        if round(abs(value), 1) < 1024:
            return f"{value:.1f} {unit}"
    return f"{value / 1024:.1f} TiB"


def duration(seconds: float | None) -> str:
    """A length of time in its two largest units: `0.0042` -> `4.2 ms`, `95` -> `1 min 35 s`."""
    if seconds is None:
        return "no data"
    if seconds < 0:
        return f"−{duration(-seconds)}"
    if round(seconds, 3) < 1:
        ms = seconds * 1000
        return f"{ms:.1f} ms" if round(ms, 1) < 10 else f"{ms:.0f} ms"
    if round(seconds) < 60:
        return f"{seconds:.1f} s" if round(seconds, 1) < 10 else f"{seconds:.0f} s"
    whole = round(seconds)
    for unit, length, below, below_length in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= length:
            first, rest = divmod(whole, length)
            second = rest // below_length
            return f"{first} {unit} {second} {below}" if second else f"{first} {unit}"
    return f"{whole} s"


def age(moment: datetime | None, now: datetime | None = None) -> str:
    """How long ago an aware moment was: `3 min ago`; None -> `never`; a future moment -> `in 3 min`."""
    if moment is None:
        return "never"
    seconds = ((now or datetime.now(UTC)) - moment).total_seconds()
    if abs(seconds) < 1:
        return "now"
    text = duration(abs(seconds)) if abs(seconds) < 60 else duration(abs(seconds)).rsplit(" ", 2)[0]
    if len(text.split()) < 2:
        text = duration(abs(seconds))
    return f"{text} ago" if seconds > 0 else f"in {text}"


def money(amount: Decimal | None, currency: str, *, places: int = 2, sign: bool = False) -> str:
    """An amount with its currency: `Decimal("-1234.5"), "USD"` -> `−1,234.50 USD`."""
    if amount is None:
        return "no data"
    text = f"{abs(amount):,.{places}f}"
    shown = any(digit in "123456789" for digit in text)  # an amount that is rounded to zero has no sign
    prefix = "" if not shown else "−" if amount < 0 else "+" if sign else ""
    return f"{prefix}{text} {currency}"


def count(n: int | None, noun: str, plural: str | None = None) -> str:
    """A number with its noun: `1 trade`, `2 trades`, `1,000 trades`."""
    if n is None:
        return f"no data on {plural or noun + 's'}"
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def utc(moment: datetime | None) -> str:
    """A moment in UTC to the second: `2026-01-02 03:04:05 UTC`."""
    return "never" if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def identifier(name: str) -> str:
    """A name as SQL takes it, whatever is in it: `user` -> `"user"`."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as SQL takes it where no parameter can stand: `it's` -> `'it''s'`."""
    return "'" + text.replace("'", "''") + "'"
