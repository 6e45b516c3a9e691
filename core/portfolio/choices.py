"""What there is to choose from: kinds, currencies, bots, strategies and symbols that have closed round trips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import sqlalchemy as sa

from core.models import BotType, TradingBot
from core.portfolio.scope import Scope
from core.portfolio.totals import totals

T = TypeVar("T")
LIVE = BotType.LIVE.value


@dataclass(frozen=True)
class Group:
    """Closed round trips that have these in common, and how many there are."""

    kind: str
    currency: str
    bot_id: int
    strategy: str
    trips: int


@dataclass(frozen=True)
class Choices:
    """Every group of round trips, the bots' names, and (kind, currency) -> its symbols, most round trips first."""

    groups: tuple[Group, ...]
    names: dict[int, str]
    symbols: dict[tuple[str, str], tuple[str, ...]]

    @property
    def kinds(self) -> list[str]:
        """Live, paper ...: live ones first, then by their number of round trips."""
        found = _most((group.kind, group.trips) for group in self.groups)
        return sorted(found, key=lambda kind: kind != LIVE)

    @property
    def usual_kind(self) -> str | None:
        """Real money, if there is any."""
        return next(iter(self.kinds), None)

    def currencies(self, kind: str | None) -> list[str]:
        """The currencies of a kind, the one with the most round trips first."""
        return _most((group.currency, group.trips) for group in self.groups if group.kind == kind)

    def bots(self, kind: str | None, currency: str | None, strategy: str | None = None) -> list[int]:
        """The bots that traded so, the busiest first; with a strategy: those that used it."""
        found = self._of(kind, currency)
        return _most((group.bot_id, group.trips) for group in found if strategy in (None, group.strategy))

    def strategies(self, kind: str | None, currency: str | None) -> list[str]:
        """The strategies that traded so, the busiest first; "" for none named."""
        return _most((group.strategy, group.trips) for group in self._of(kind, currency))

    def name(self, bot_id: int) -> str:
        """A bot's name, or its number where the bot is gone."""
        return self.names.get(bot_id, f"bot {bot_id}")

    def _of(self, kind: str | None, currency: str | None) -> list[Group]:
        return [group for group in self.groups if (group.kind, group.currency) == (kind, currency)]


def choices(connection: sa.Connection) -> Choices:
    """Everything that closed round trips have to choose from."""
    groups = totals(connection, Scope(), ("trade_type", "currency", "bot_id", "strategy"))
    symbols: dict[tuple[str, str], list[tuple[str, int]]] = {}
    for (kind, currency, symbol), own in totals(connection, Scope(), ("trade_type", "currency", "symbol")).items():
        symbols.setdefault((str(kind), currency), []).append((symbol, own.trips))
    names = _names(connection.execute(sa.select(TradingBot.id, TradingBot.name)).all())
    return Choices(
        tuple(Group(str(kind), currency, bot, strategy, own.trips)
              for (kind, currency, bot, strategy), own in groups.items()),
        names,
        {key: tuple(_most(found)) for key, found in symbols.items()},
    )  # fmt: skip


def _most(found: Iterable[tuple[T, int]]) -> list[T]:
    """Each value once, the one with the highest sum first."""
    sums: dict[T, int] = {}
    for value, number in found:
        sums[value] = sums.get(value, 0) + number
    return sorted(sums, key=lambda value: (-sums[value], str(value)))


def choices_of_bots(connection: sa.Connection) -> Choices:
    """What the bots alone tell: enough to begin with while the round trips cannot be summed quickly."""
    rows = connection.execute(sa.select(TradingBot.id, TradingBot.name, TradingBot.type, TradingBot.currency)).all()
    groups = tuple(Group(str(row.type), row.currency, row.id, "", 0) for row in rows)
    return Choices(groups, _names(rows), {})


def _names(rows: Sequence[Any]) -> dict[int, str]:
    """Bot -> its name, with its number where several have the same."""
    often = Counter(row.name for row in rows)
    return {row.id: row.name if often[row.name] == 1 else f"{row.name} ({row.id})" for row in rows}
