"""Candles, events and account states in one unit of work each.

Candles that cannot be written raise. An event that cannot be written is counted and logged, and its caller goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from core.database import Database
from core.models import AccountState, Candle, EventSeverity, SystemEvent, Timeframe
from core.repositories import async_unit_of_work, unit_of_work
from core.services.tally import Counts, Tally

if TYPE_CHECKING:
    from core.database import AsyncDatabase

_tally = Tally("an event")


def save_candles(db: Database, rows: Sequence[Mapping[str, Any]]) -> int:
    """Write candles of any number of coins in one flush, all or none; how many were new or changed.

    rows: symbol, timeframe, open_time, open, high, low, close, volume, exchange (optional). Raises data errors.
    """
    with unit_of_work(db) as unit:
        return unit.candles.upsert(rows)


def candles(
    db: Database,
    symbol: str,
    timeframe: Timeframe | str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 500,
) -> list[Candle]:
    """The newest candles that begin from since and before until, oldest first."""
    with unit_of_work(db) as unit:
        return unit.candles.window(symbol, timeframe, since=since, until=until, limit=limit)


def recent_events(
    db: Database, limit: int = 100, event_type: str | None = None, symbol: str | None = None
) -> list[SystemEvent]:
    """The newest events, newest first."""
    with unit_of_work(db) as unit:
        return unit.events.recent(limit, event_type, symbol)


def account_state(db: Database, account: str = "main") -> AccountState | None:
    """The newest balance of an account."""
    with unit_of_work(db) as unit:
        return unit.account_states.latest(account)


def record_event(
    db: Database,
    event_type: str,
    message: str,
    *,
    symbol: str | None = None,
    severity: EventSeverity = EventSeverity.INFO,
    payload: Mapping[str, Any] | None = None,
) -> bool:
    """Write an event in a unit of work of its own; whether it was written. Raises nothing.

    Of a coin's decision traces (DECISION_TRACE, NO_SIGNAL) one in five minutes is kept. `event_counts` tells how
    many events were written, left out, and lost.
    """
    try:
        with unit_of_work(db) as unit:
            written = unit.events.record(event_type, message, symbol=symbol, severity=severity, payload=payload)
    except Exception as exc:  # noqa: BLE001  # an event is never worth a trade: whatever it is, the caller goes on
        return _tally.lost(exc, event_type=event_type)
    return _tally.noted(written)


async def record_event_async(
    db: AsyncDatabase,
    event_type: str,
    message: str,
    *,
    symbol: str | None = None,
    severity: EventSeverity = EventSeverity.INFO,
    payload: Mapping[str, Any] | None = None,
) -> bool:
    """record_event for asyncio; a task that is cancelled is cancelled here too."""
    try:
        async with async_unit_of_work(db) as unit:
            written = await unit.events.record(event_type, message, symbol=symbol, severity=severity, payload=payload)
    except Exception as exc:  # noqa: BLE001  # as above
        return _tally.lost(exc, event_type=event_type)
    return _tally.noted(written)


def event_counts() -> Counts:
    """How many events this process wrote, left out (a trace of that coin was just written), and lost."""
    return _tally.counts
