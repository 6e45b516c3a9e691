"""Which closed round trips are looked at."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date


@dataclass(frozen=True)
class Scope:
    """Round trips of one kind and currency: sums of two currencies mean nothing. None stands for all.

    since, until: UTC days of the exit, both included. strategy: "" for trades that name none.
    """

    trade_type: str | None = None
    currency: str | None = None
    since: date | None = None
    until: date | None = None
    symbol: str | None = None
    bot_id: int | None = None
    strategy: str | None = None

    def ever(self) -> Scope:
        """The same without its days."""
        return replace(self, since=None, until=None)
