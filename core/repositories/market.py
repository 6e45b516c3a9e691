"""Candles, events and the account's state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from core.errors import TradekeepError
from core.models import AccountState, Candle, SystemEvent
from core.models.market import EventSeverity, Timeframe
from core.repositories.alone import alone
from core.repositories.base import Numbered, Repository, ago, limited, refuse_uneven

TRACES = ("DECISION_TRACE", "NO_SIGNAL")
TRACE_EVERY_S = 300
CANDLE_KEY, CANDLE_VALUES = ("symbol", "timeframe", "open_time"), ("open", "high", "low", "close", "volume")


class Candles(Repository[Candle]):
    """Open, high, low, close and volume of symbols."""

    model = Candle

    def upsert(self, rows: Sequence[Mapping[str, Any]]) -> int:
        """Write candles of any number of coins in one flush; how many were new or changed.

        rows: symbol, timeframe, open_time, open, high, low, close, volume, exchange (none where it is not given). Of
        two rows with one key the later one counts. Raises data.mapping for a row that lacks one of these or names
        another, data errors.
        """
        refuse_uneven(rows, (*CANDLE_KEY, *CANDLE_VALUES), ("exchange",))
        unique = {tuple(row[name] for name in CANDLE_KEY): row for row in rows}
        whole = [{"exchange": None, **row} for row in unique.values()]
        return self._upsert(whole, CANDLE_KEY, (*CANDLE_VALUES, "exchange"))

    def window(
        self,
        symbol: str,
        timeframe: Timeframe | str,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 500,
    ) -> list[Candle]:
        """The newest candles that begin from since and before until, oldest first. Raises data.value."""
        if timeframe not in {*Timeframe}:
            message = f"{timeframe!r} is not a timeframe: {', '.join(Timeframe)}."
            raise TradekeepError("data.value", message)
        wanted = sa.select(Candle).where(Candle.symbol == symbol, Candle.timeframe == timeframe)
        if since is not None:
            wanted = wanted.where(Candle.open_time >= since)
        if until is not None:
            wanted = wanted.where(Candle.open_time < until)
        return self._all(wanted.order_by(Candle.open_time.desc()).limit(limited(limit)))[::-1]


class Events(Numbered[SystemEvent]):
    """Decision traces and the audit trail."""

    model = SystemEvent

    def recent(self, limit: int = 100, event_type: str | None = None, symbol: str | None = None) -> list[SystemEvent]:
        """The newest events, newest first."""
        wanted = sa.select(SystemEvent).order_by(SystemEvent.occurred_at.desc(), SystemEvent.id.desc())
        if event_type is not None:
            wanted = wanted.where(SystemEvent.event_type == event_type)
        if symbol is not None:
            wanted = wanted.where(SystemEvent.symbol == symbol)
        return self._all(wanted.limit(limited(limit)))

    def record(
        self,
        event_type: str,
        message: str,
        *,
        symbol: str | None = None,
        severity: EventSeverity = EventSeverity.INFO,
        payload: Mapping[str, Any] | None = None,
        at: datetime | None = None,
    ) -> bool:
        """Write an event; whether it was written: of a coin's decision traces one in TRACE_EVERY_S is kept."""
        at = at or datetime.now(UTC)
        if event_type in TRACES and symbol is not None and not self._may_trace(symbol, at):
            return False
        self.add(
            SystemEvent(
                event_type=event_type,
                message=message,
                symbol=symbol,
                severity=severity,
                payload=dict(payload or {}),
                occurred_at=at,
            )
        )
        return True

    def _may_trace(self, symbol: str, at: datetime) -> bool:
        """Whether there is no trace of the coin, and nobody is writing one: looked at again once that is certain."""
        if self._traced(symbol, at) or not alone(self.session.connection(), "trace", symbol):
            return False
        return not self._traced(symbol, at)

    def _traced(self, symbol: str, at: datetime) -> bool:
        """Whether there is one around that time: clocks differ, so one that is ahead counts as well."""
        span = timedelta(seconds=TRACE_EVERY_S)
        recent = sa.select(SystemEvent.id).where(
            SystemEvent.symbol == symbol,
            SystemEvent.occurred_at > at - span,
            SystemEvent.occurred_at < at + span,
            SystemEvent.event_type.in_(TRACES),
        )
        return self.session.execute(recent.limit(1)).first() is not None


class AccountStates(Numbered[AccountState]):
    """The account's balance at the exchange."""

    model = AccountState

    def latest(self, account: str = "main") -> AccountState | None:
        """The newest of an account."""
        own = sa.select(AccountState).where(AccountState.account == account)
        return self._one(own.order_by(AccountState.recorded_at.desc(), AccountState.id.desc()))

    def history(self, account: str = "main", days: int = 30, limit: int = 10_000) -> list[AccountState]:
        """An account's states of so many days, oldest first; of more than limit the newest."""
        own = sa.select(AccountState).where(AccountState.account == account, AccountState.recorded_at > ago(days=days))
        newest = (AccountState.recorded_at.desc(), AccountState.id.desc())
        return self._all(own.order_by(*newest).limit(limited(limit)))[::-1]
