"""What another bot's database comes to in our tables, before anything is written: where a foreign row becomes ours."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from functools import cache
from math import isfinite
from typing import Any, NamedTuple, TypeVar

from core.explore.imports.values import shortened
from core.format import count
from core.models import Trade, TradingTrade
from core.models.base import Choice, LimitedText

PLACES = Decimal("1e-10")  # what our numbers keep
LARGEST = Decimal("1e18")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOST_LEFT = 1000
T = TypeVar("T")
FAULTS = (KeyError, TypeError, ValueError, AttributeError, ArithmeticError)


class Unfit(Exception):
    """Why a foreign row cannot become one of ours."""


@dataclass
class Carried:
    """The rows for trading_bots, trading_trades and trades. round_trips: with source_id, the other program's own
    number, and more, what has no column of its own. left: what could not be carried over, a sentence each. sums:
    name -> what the other database says; without: how much of it is in `left`. first: what tells this database from
    another of the same program, where its round trips do not. once: an order is one execution, whose time may change.
    """

    kind: str
    name: str
    bot: dict[str, Any]
    round_trips: list[dict[str, Any]] = field(default_factory=list)
    executions: Iterable[dict[str, Any]] = ()
    left: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    sums: dict[str, Decimal] = field(default_factory=dict)
    without: dict[str, Decimal] = field(default_factory=dict)
    first: str = ""
    once: bool = False
    unsaid: int = 0

    def add(self, name: str, amount: Decimal) -> None:
        """Count something of theirs."""
        self.sums[name] = self.sums.get(name, Decimal(0)) + amount

    def lose(self, name: str, amount: Decimal) -> None:
        """Count something of theirs that is not carried over."""
        self.without[name] = self.without.get(name, Decimal(0)) + amount

    def leave(self, line: str) -> None:
        """Say what is not carried over; after MOST_LEFT lines only how many more there are."""
        if len(self.left) < MOST_LEFT:
            self.left.append(line)
        else:
            self.unsaid += 1

    def told(self) -> list[str]:
        """All that is not carried over."""
        return self.left + ([f"And {count(self.unsaid, 'more row')} at fault."] if self.unsaid else [])

    @contextmanager
    def taking(self, what: str) -> Iterator[None]:
        """Make a foreign row ours: where that fails, whatever the reason, the row is left out and said."""
        try:
            yield
        except Unfit as why:
            self.leave(f"{shortened(what)}: {why}.")
        except FAULTS as error:
            unlike = f"it is not as {self.kind} writes it"
            self.leave(f"{shortened(what)}: {unlike} ({type(error).__name__}: {shortened(error)}).")


# --- values of a foreign row; each raises Unfit


def number(row: Mapping[str, Any], column: str) -> Decimal | None:
    """A number as it is written: a float by its shortest text, never by its binary tail. None where there is none."""
    value = row.get(column)
    if value is None or value == "":
        return None
    try:
        found = value if isinstance(value, Decimal) else Decimal(str(value))
    except InvalidOperation:
        found = None
    if isinstance(value, bool) or found is None or not found.is_finite():
        raise Unfit(f"{column} is {shortened(value)}, which is no number")
    return found


def moment(row: Mapping[str, Any], column: str) -> datetime | None:
    """A time of a database that means UTC and does not say so. None where there is none."""
    value = row.get(column)
    if value is None or value == "":
        return None
    try:
        found = value if isinstance(value, datetime) else datetime.fromisoformat(value.removesuffix(" UTC"))
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, AttributeError, OverflowError):
        raise Unfit(f"{column} is {shortened(value)}, which is no date and time") from None


def of_ms(row: Mapping[str, Any], column: str) -> datetime:
    """A time of unix milliseconds."""
    value = row.get(column)
    try:
        if isinstance(value, int) and not isinstance(value, bool):
            return EPOCH + timedelta(milliseconds=value)
    except OverflowError:
        pass
    raise Unfit(f"{column} is {shortened(value)}, which is no time in milliseconds")


def text(row: Mapping[str, Any], column: str) -> str | None:
    """A text. None where there is none."""
    value = row.get(column)
    if isinstance(value, bytes):
        raise Unfit(f"{column} is no text")
    found = "" if value is None else str(value)
    if "\0" in found:
        raise Unfit(f"{column} holds a NUL, which no text may")
    return sys.intern(found) or None  # a bot says the same few words in every row


def given(value: T | None, column: str) -> T:
    """A value that a row must have."""
    if value is None:
        raise Unfit(f"{column} is empty")
    return value


def kept(value: Decimal) -> Decimal:
    """A number as our tables keep it, rounded as PostgreSQL does."""
    if abs(value) >= LARGEST:
        raise Unfit(f"{shortened(value)} has more than 18 digits before the point")
    return value.quantize(PLACES, ROUND_HALF_UP)


def plain(value: Any) -> Any:
    """A value as JSON takes it: times as ISO, numbers that are none in JSON as text."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bool | int | str) or (isinstance(value, float) and isfinite(value)):
        return value
    return str(value)


# --- our tables


class _Rules(NamedTuple):
    needed: tuple[str, ...]
    longest: tuple[tuple[str, int], ...]
    choices: tuple[tuple[str, frozenset[str]], ...]


@cache
def _rules(model: type[Trade | TradingTrade]) -> _Rules:
    own = [one for one in model.__table__.columns if one.name not in ("bot_id", "trade_type")]  # the bot's
    return _Rules(
        tuple(one.name for one in own if not one.nullable and one.server_default is None and one.default is None),
        tuple((one.name, one.type.longest) for one in own if isinstance(one.type, LimitedText)),
        tuple((one.name, frozenset(one.type.choices)) for one in own if isinstance(one.type, Choice)),
    )


def fitting(model: type[Trade | TradingTrade], row: dict[str, Any]) -> dict[str, Any]:
    """The row, where its table takes it. Raises Unfit."""
    rules = _rules(model)
    for name in rules.needed:
        if row[name] is None:
            raise Unfit(f"it has no {name}")
    for name, longest in rules.longest:
        if row[name] is not None and len(row[name]) > longest:
            raise Unfit(f"{name} has more than {longest} characters")
    for name, choices in rules.choices:
        if row[name] not in choices:
            raise Unfit(f"{name} is {shortened(row[name])}, not one of {', '.join(sorted(choices))}")
    if any(isinstance(value, str) and "\0" in value for value in row.get("more", {}).values()):
        raise Unfit("one of its texts holds a NUL, which no text may")
    return row
