"""Bots, their heartbeats and their round trips."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa

from core.errors import TradekeepError
from core.models import TradingBot, TradingTrade
from core.models.bots import RoundTripStatus
from core.repositories.base import Numbered, ago, limited

ALIVE_S = 300
NAMED = 5


class Bots(Numbered[TradingBot]):
    """Trading bots."""

    model = TradingBot

    def with_heartbeat(self, seconds: int = ALIVE_S) -> list[TradingBot]:
        """Those that were heard of within so many seconds, the latest first."""
        alive = sa.select(TradingBot).where(TradingBot.last_heartbeat > ago(seconds=seconds))
        return self._all(alive.order_by(TradingBot.last_heartbeat.desc(), TradingBot.id))

    def beat(self, id: int, *, at: datetime | None = None) -> bool:
        """Note that a bot is alive; whether it exists. An earlier time than the noted one changes nothing."""
        at = at or datetime.now(UTC)
        own = sa.update(TradingBot).where(TradingBot.id == id)
        later = sa.case((TradingBot.last_heartbeat > at, TradingBot.last_heartbeat), else_=at)
        return self._changed(own.values(last_heartbeat=later)) > 0

    def remove(self, id: int) -> bool:
        """Delete a bot; whether there was one. Raises data.foreign_key, naming the trades that stand in the way."""
        trips = sa.select(TradingTrade.symbol, TradingTrade.status).where(TradingTrade.bot_id == id)
        held = self.session.execute(trips.order_by(TradingTrade.status != RoundTripStatus.OPEN).limit(NAMED)).all()
        if held:
            named = ", ".join(f"{symbol} ({status})" for symbol, status in held)
            raise TradekeepError(
                "data.foreign_key", f"Bot {id} has round trips: {named}. Archive or delete them first."
            )
        return super().remove(id)


class RoundTrips(Numbered[TradingTrade]):
    """Round trips: from entry to exit."""

    model = TradingTrade

    def of_bot(self, bot_id: int, limit: int = 100) -> list[TradingTrade]:
        """A bot's newest, newest first."""
        own = sa.select(TradingTrade).where(TradingTrade.bot_id == bot_id)
        return self._all(own.order_by(TradingTrade.entry_time.desc(), TradingTrade.id.desc()).limit(limited(limit)))

    def open(self, limit: int = 1000) -> list[TradingTrade]:
        """Those that are open, newest first. They have no exit yet, by which an index finds them among millions."""
        open_ones = (TradingTrade.status == RoundTripStatus.OPEN, TradingTrade.exit_time.is_(None))
        held = sa.select(TradingTrade).where(*open_ones)
        return self._all(held.order_by(TradingTrade.entry_time.desc(), TradingTrade.id.desc()).limit(limited(limit)))
