"""What another bot's database comes to in our tables, before anything is written; and exact numbers and times."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

PLACES = Decimal("1e-10")  # what our numbers keep
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class Carried:
    """The rows for trading_bots, trading_trades and trades. round_trips: with source_id, the other program's own
    number. left: what could not be carried over, a sentence each. sums: name -> what the other database says."""

    kind: str
    name: str
    bot: dict[str, Any]
    round_trips: list[dict[str, Any]] = field(default_factory=list)
    executions: Iterable[dict[str, Any]] = ()
    left: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    sums: dict[str, Decimal] = field(default_factory=dict)

    def add(self, name: str, amount: Decimal) -> None:
        """Count something of theirs."""
        self.sums[name] = self.sums.get(name, Decimal(0)) + amount


def exact(value: Any) -> Decimal | None:
    """A number as it is written: a float by its shortest text, never by its binary tail. None for what is none."""
    if value is None or isinstance(value, bool) or value == "":
        return None
    try:
        found = value if isinstance(value, Decimal) else Decimal(str(value))
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def kept(value: Decimal | None) -> Decimal | None:
    """A number as our tables keep it, rounded as PostgreSQL does."""
    return None if value is None else value.quantize(PLACES, ROUND_HALF_UP)


def moment(value: Any) -> datetime | None:
    """A time of a database that means UTC and does not say so."""
    if value is None or value == "":
        return None
    found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def of_ms(value: Any) -> datetime:
    """A time of unix milliseconds."""
    return EPOCH + timedelta(milliseconds=int(value))


def plain(value: Any) -> Any:
    """A value as JSON takes it: times as ISO, numbers as text."""
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value
