"""The account day by day: what was earned, what it came to, and how far it stood below its highest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from core.portfolio.scope import Scope
from core.portfolio.sums import ZERO, Sums

POINTS = 2000
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Day:
    """One UTC day. equity: at its end; drawdown: equity less the highest before, 0 or negative; share: the same as a
    share of that highest, None without a known capital.

    In money; without a known capital the equity is what was earned since the range's begin.
    """

    day: date
    sums: Sums
    equity: Decimal
    drawdown: Decimal
    share: float | None


@dataclass(frozen=True)
class Drawdown:
    """The deepest fall: from the end of `peak` to the end of `trough`; recovered: when it was made good, if it was.

    amount: negative; share: of the equity at the peak, None without a known capital.
    """

    amount: Decimal
    share: float | None
    peak: date
    trough: date
    recovered: date | None


@dataclass(frozen=True)
class Course:
    """Every day of a range, those without a round trip too. capital: at the range's begin, None if nobody knows."""

    days: tuple[Day, ...]
    capital: Decimal | None

    @property
    def sums(self) -> Sums:
        """What the whole range comes to."""
        return sum((day.sums for day in self.days), Sums())

    @property
    def active(self) -> int:
        """On how many days something was closed."""
        return sum(1 for day in self.days if day.sums.trips)


def course(
    found: Mapping[tuple[Any, ...], Sums], scope: Scope, *, today: date, capital: Decimal | None = None
) -> Course:
    """The days of the scope's range from sums by day, (day,) -> Sums, of the whole time.

    capital: what there was before the first round trip of all (Capital.first); what was earned before the range is
    added to it.
    The range begins with the first round trip of all, if `since` lies before it: days before say nothing. It ends
    today or with the last round trip, if `until` does not lie before that.
    """
    by_day = {key[0]: value for key, value in found.items()}
    if not by_day:
        return Course((), capital)
    first = max(scope.since or min(by_day), min(by_day))
    last = min(scope.until or date.max, max(today, max(by_day)))
    before = sum((value.net_pnl for day, value in by_day.items() if day < first), ZERO)
    start = None if capital is None else capital + before
    equity = peak = start or ZERO
    days = []
    for number in range((last - first).days + 1):
        own = by_day.get(day := first + number * DAY, Sums())
        equity += own.net_pnl
        peak = max(peak, equity)
        share = float(equity / peak - 1) if start is not None and peak > 0 else None
        days.append(Day(day, own, equity, equity - peak, share))
    return Course(tuple(days), start)


def deepest(of: Course) -> Drawdown | None:
    """The deepest fall, as a share where the capital is known, else in money; None if it never fell.

    The range's begin counts as the end of a day.
    """
    known = bool(of.days) and all(day.share is not None for day in of.days)
    worst = min(of.days, key=lambda day: (day.share or 0) if known else day.drawdown, default=None)
    if worst is None or worst.drawdown >= 0:
        return None
    level = worst.equity - worst.drawdown
    peak = of.days[0].day - DAY
    for day in of.days:
        if day.day > worst.day:
            break
        if day.equity == level and day.drawdown == 0:
            peak = day.day
    recovered = next((day.day for day in of.days if day.day > worst.day and day.equity >= level), None)
    return Drawdown(worst.drawdown, worst.share if known else None, peak, worst.day, recovered)


def returns(of: Course) -> list[float] | None:
    """Each day's net profit by the equity before it; None without a capital, or where it was used up."""
    if of.capital is None or of.capital <= 0:
        return None
    found, before = [], of.capital
    for day in of.days:
        if before <= 0:
            return None
        found.append(float(day.sums.net_pnl / before))
        before = day.equity
    return None if before <= 0 else found


def begin(of: Course) -> Day:
    """Where the range begins: the end of the day before its first one. The course must have a day."""
    return Day(of.days[0].day - DAY, Sums(), of.capital or ZERO, ZERO, 0.0 if of.capital else None)


def thinned(days: Sequence[Day], most: int = POINTS) -> list[Day]:
    """At most so many points: stretches of equal length, each with its sums, last equity and deepest drawdown."""
    step = -(-len(days) // most) if days else 1
    if step <= 1:
        return list(days)
    stretches = [days[start : start + step] for start in range(0, len(days), step)]
    return [
        Day(
            stretch[-1].day,
            sum((day.sums for day in stretch), Sums()),
            stretch[-1].equity,
            min(day.drawdown for day in stretch),
            min((day.share for day in stretch if day.share is not None), default=None),
        )
        for stretch in stretches
    ]


def starts(days: Sequence[Day], points: Sequence[Day]) -> list[date]:
    """The first day of each stretch that `thinned` made of the days; the last stretch may be shorter."""
    return [] if not points else [days[0].day, *(point.day + DAY for point in points[:-1])]
