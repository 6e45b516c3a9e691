"""What the page shows, as its address has it: a link draws the same picture again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from core.models.rollups import FIRST_DAY, LAST_DAY
from core.portfolio.choices import Choices
from core.portfolio.scope import Scope

RANGES = {"7d": 7, "30d": 30, "90d": 90, "1y": 365, "all": None}
LABELS = {"7d": "7 d", "30d": "30 d", "90d": "90 d", "1y": "1 y", "all": "All"}
USUAL = "90d"
PARTS = {
    "days": "Days",
    "split": "Symbols, strategies",
    "positions": "Open positions",
    "trips": "Round trips",
    "candles": "Candles",
}
_TEXTS = {"kind": "kind", "currency": "currency", "symbol": "symbol", "coin": "candles", "after": "after",
          "before": "before"}  # fmt: skip


@dataclass(frozen=True)
class View:
    """range: a key of RANGES, unless since or until is given. strategy: "" for round trips that name none.

    part: a key of PARTS. coin: whose candles. trip: the round trip that is shown on them. after, before: where in
    the list of round trips.
    """

    range: str = USUAL
    since: date | None = None
    until: date | None = None
    kind: str | None = None
    currency: str | None = None
    symbol: str | None = None
    bot: int | None = None
    strategy: str | None = None
    part: str = "days"
    coin: str | None = None
    trip: int | None = None
    after: str | None = None
    before: str | None = None

    @property
    def dated(self) -> bool:
        """Whether days were chosen instead of a range."""
        return self.since is not None or self.until is not None

    def params(self) -> dict[str, str]:
        """The address's parameters; what is as usual is left out."""
        found = {"range": "" if self.dated or self.range == USUAL else self.range}
        found |= {"part": "" if self.part == "days" else self.part}
        found |= {"from": str(self.since or ""), "to": str(self.until or "")}
        found |= {param: str(getattr(self, name) or "") for name, param in _TEXTS.items()}
        found |= {"bot": str(self.bot or ""), "trip": str(self.trip or "")}
        kept = {name: value for name, value in found.items() if value}
        return kept if self.strategy is None else kept | {"strategy": self.strategy}

    def first(self, **changes: Any) -> View:
        """Another view, at the beginning of its list."""
        return replace(self, **({"after": None, "before": None} | changes))


def view_of(params: Mapping[str, str]) -> View:
    """The view of an address; what makes no sense in it is left out."""
    since, until = _day(params.get("from")), _day(params.get("to"))
    if since and until and since > until:
        since, until = until, since
    texts = {name: params.get(param) or None for name, param in _TEXTS.items()}
    return View(
        range=params["range"] if params.get("range") in RANGES else USUAL,
        since=since,
        until=until,
        bot=_number(params.get("bot")),
        trip=_number(params.get("trip")),
        strategy=params.get("strategy"),
        part=params["part"] if params.get("part") in PARTS else "days",
        **texts,
    )


def known(view: View, choices: Choices) -> View:
    """The view without a kind and a currency that no round trip has."""
    kind = view.kind if view.kind in choices.kinds else None
    currencies = choices.currencies(kind or choices.usual_kind)
    return replace(view, kind=kind, currency=view.currency if view.currency in currencies else None)


def all_days(view: View) -> View:
    """The view with every day there is."""
    return view.first(range="all", since=None, until=None)


def scope_of(view: View, choices: Choices, today: date) -> Scope:
    """The round trips that a view is about; the usual kind and currency where the address names none that exist."""
    kind = view.kind if view.kind in choices.kinds else choices.usual_kind
    currencies = choices.currencies(kind)
    currency = view.currency if view.currency in currencies else next(iter(currencies), None)
    since, until = view.since, view.until
    if not view.dated and (days := RANGES[view.range]):
        since, until = today - timedelta(days=days - 1), today
    return Scope(kind, currency, since, until, view.symbol, view.bot, view.strategy)


def _day(text: str | None) -> date | None:
    try:
        return min(max(date.fromisoformat(text), FIRST_DAY), LAST_DAY) if text else None
    except ValueError:
        return None


def _number(text: str | None) -> int | None:
    """An id: loaded demo data has negative ones."""
    digits = (text or "").removeprefix("-")
    return int(text or "") if digits.isascii() and digits.isdigit() and len(digits) < 19 else None
