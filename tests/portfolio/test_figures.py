"""The figures agree with an independent library, and say why where they mean nothing."""

from __future__ import annotations

import math
import warnings
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from core.portfolio import equity, figures
from core.portfolio.equity import Course
from core.portfolio.figures import Figure
from core.portfolio.scope import Scope
from core.portfolio.sums import Sums

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import empyrical  # type: ignore[import-untyped]  # it has no types

FIRST = date(2025, 1, 1)
CAPITAL = Decimal(10_000)


def one(net: str | float | Decimal, hold_s: int = 3600) -> Sums:
    """What one round trip with this net profit and a commission of 1 comes to."""
    value, hold = Decimal(str(net)), Decimal(hold_s)
    won = value > 0
    return Sums(
        1, 1, int(won), int(value < 0), value, value + 1, Decimal(1), value if won else Decimal(0), value, value,
        hold, hold if won else Decimal(0),
    )  # fmt: skip


def course(nets: list[Any], capital: Decimal | None = CAPITAL, **range_: Any) -> Course:
    """Day by day from FIRST on, a list of profits each; None for a day without a round trip."""
    found = {}
    for number, net in enumerate(nets):
        values = [] if net is None else net if isinstance(net, list) else [net]
        if values:
            found[FIRST + timedelta(days=number),] = sum((one(value) for value in values), Sums())
    today = FIRST + timedelta(days=len(nets) - 1)
    return equity.course(found, Scope(since=FIRST, **range_), today=today, capital=capital)


def by_name(of: Course) -> dict[str, Figure]:
    return {figure.name: figure for figure in figures.figures(of, "USDT")}


amounts = st.decimals(-80, 90, places=2)
series = st.lists(st.one_of(st.none(), st.lists(amounts, min_size=1, max_size=3)), min_size=100, max_size=300)


@settings(max_examples=60, deadline=None)
@given(series)
def test_ratios_agree_with_empyrical(nets: list[Any]) -> None:
    of = course(nets)
    assume(of.sums.trips)
    found = by_name(of)
    gains = equity.returns(of)
    assume(gains is not None)
    daily = np.array(gains)
    with np.errstate(all="ignore"):
        wanted = {
            "return": empyrical.cum_returns_final(daily),
            "cagr": empyrical.cagr(daily, annualization=365),
            "sharpe": empyrical.sharpe_ratio(daily, annualization=365),
            "sortino": empyrical.sortino_ratio(daily, annualization=365),
            "max_drawdown": empyrical.max_drawdown(daily),
            "calmar": empyrical.calmar_ratio(daily, annualization=365),
        }
    for name, value in wanted.items():
        own = found[name].value
        if own is None:
            assert found[name].why
            assert not math.isfinite(value) or (name, value) == ("max_drawdown", 0), name
        else:
            assert float(own) == pytest.approx(float(value), rel=1e-7, abs=1e-10), name


@settings(max_examples=60, deadline=None)
@given(st.lists(amounts, min_size=10, max_size=200))
def test_figures_of_trades_follow_from_each_of_them(nets: list[Decimal]) -> None:
    found = by_name(course([nets[start : start + 3] for start in range(0, len(nets), 3)]))
    wins, losses = [net for net in nets if net > 0], [net for net in nets if net < 0]
    assert found["net_pnl"].value == sum(nets)
    assert found["win_rate"].value == Decimal(len(wins)) / len(nets)
    assert found["expectancy"].value == sum(nets) / len(nets)
    assert found["fees"].value == len(nets)
    assert (found["best"].value, found["worst"].value) == (max(nets), min(nets))
    assert {figure.n for figure in found.values() if figure.basis == "trades"} == {len(nets)}
    if losses:
        assert found["profit_factor"].value == pytest.approx(sum(wins) / -sum(losses, Decimal(0)))
    else:
        assert (found["profit_factor"].value, found["profit_factor"].why) == (None, "no loss")
    if wins and losses:
        mean = (sum(wins, Decimal(0)) / len(wins)) / (-sum(losses, Decimal(0)) / len(losses))
        assert found["payoff"].value == pytest.approx(float(mean))
    else:
        assert found["payoff"].value is None


def test_no_trades_have_no_figures() -> None:
    for of in (equity.course({}, Scope(), today=FIRST), course([None] * 120)):
        assert {figure.value for figure in figures.figures(of, "USDT")} == {None}
        assert {figure.why for figure in figures.figures(of, "USDT")} == {"no closed round trips"}


def test_one_trade_is_too_few_for_most() -> None:
    found = by_name(course(["5"]))
    assert {name for name, figure in found.items() if figure.value is not None} == {
        "net_pnl", "return", "fees", "hold", "exposure", "best", "worst",
    }  # fmt: skip
    assert found["sharpe"].why == "too few days: 1 of 30"
    assert found["win_rate"].why == "too few trades: 1 of 10"
    assert figures.shown(found["win_rate"], "USDT") == "too few trades"
    assert "Basis: 1 closed round trip. Too few trades: 1 of 10." in figures.basis(found["win_rate"])


def test_all_wins_and_all_losses() -> None:
    won, lost = by_name(course(["5"] * 100)), by_name(course(["-5"] * 100))
    assert (won["win_rate"].value, lost["win_rate"].value) == (1, 0)
    assert (won["profit_factor"].why, lost["profit_factor"].value) == ("no loss", 0)
    assert (won["payoff"].why, lost["payoff"].why) == ("no loss", "no win")
    assert (won["max_drawdown"].why, won["sortino"].why, won["calmar"].why) == (
        "never fell", "no losing day", "never fell",
    )  # fmt: skip
    assert lost["max_drawdown"].value == pytest.approx(-0.05)
    assert "not made good yet" in lost["max_drawdown"].remark


def test_days_without_a_round_trip_count() -> None:
    gappy = course(["10", *[None] * 49, "-4", *[None] * 49])
    assert (len(gappy.days), gappy.active) == (100, 2)
    assert by_name(gappy)["sharpe"].n == 100
    assert by_name(gappy)["sharpe"].value is not None


def test_capital_that_was_used_up_has_no_ratios() -> None:
    found = by_name(course(["-5000", "-5000", *["1"] * 120]))
    for name in ("return", "sharpe", "sortino", "cagr", "calmar"):
        assert (found[name].value, found[name].why) == (None, "the capital was used up")
    assert found["max_drawdown"].value == -1


def test_a_range_that_begins_with_nothing_has_no_ratios() -> None:
    found = by_name(course(["5", "-3"] * 60, capital=Decimal(-500)))
    for name in ("return", "sharpe", "sortino", "cagr", "calmar"):
        assert (found[name].value, found[name].why) == (None, "no capital at the begin")
    assert found["max_drawdown"].unit == "money"


def test_a_great_gain_in_few_days_is_no_yearly_rate() -> None:
    found = by_name(course(["900"], capital=Decimal(100)))
    assert found["return"].value == 9
    assert (found["cagr"].why, found["calmar"].why) == ("too few days: 1 of 90", "too few days: 1 of 90")
    long = by_name(course(["1e18", *[None] * 89], capital=Decimal("1e-10")))
    assert math.isfinite(long["cagr"].value or 0)


def test_a_range_ends_with_today_or_the_last_round_trip() -> None:
    found = {(FIRST,): one("5")}
    for until in (date(4000, 12, 30), date.max):
        of = equity.course(found, Scope(until=until), today=FIRST + timedelta(days=3), capital=CAPITAL)
        assert [day.day for day in of.days] == [FIRST + timedelta(days=number) for number in range(4)]


def test_without_a_capital_there_is_money_only() -> None:
    found = by_name(course(["5", "-3", "2"] * 40, capital=None))
    assert found["return"].why == "the capital is not known"
    assert (found["max_drawdown"].value, found["max_drawdown"].unit) == (-3, "money")
    assert found["net_pnl"].value == 160


def test_the_deepest_fall_is_the_deepest_share() -> None:
    of = course(["-1000", "21000", "-1500", "600", "1000"])
    fall = equity.deepest(of)
    assert fall is not None
    assert (fall.peak, fall.trough, fall.recovered) == (FIRST - timedelta(days=1), FIRST, FIRST + timedelta(days=1))
    assert (fall.amount, fall.share) == (-1000, pytest.approx(-0.1))
    assert of.days[2].drawdown == -1500


def test_what_was_earned_before_the_range_is_capital() -> None:
    found = {(FIRST + timedelta(days=number),): one(net) for number, net in enumerate(["100", "-50", "20"])}
    last = FIRST + timedelta(days=2)
    of = equity.course(found, Scope(since=last), today=last, capital=CAPITAL)
    assert (of.capital, len(of.days), of.days[0].equity) == (10_050, 1, 10_070)


def test_days_before_the_first_round_trip_say_nothing() -> None:
    of = equity.course({(FIRST,): one("5")}, Scope(since=FIRST - timedelta(days=60)), today=FIRST, capital=CAPITAL)
    assert [day.day for day in of.days] == [FIRST]
    assert equity.course({(FIRST,): one("5")}, Scope(until=FIRST - timedelta(days=1)), today=FIRST).days == ()


def test_thinned_points_keep_sums_ends_and_depth() -> None:
    of = course([str((number % 7) - 3) for number in range(5000)])
    points = equity.thinned(of.days)
    assert 1000 < len(points) <= equity.POINTS
    assert sum((point.sums for point in points), Sums()) == of.sums
    assert points[-1].equity == of.days[-1].equity
    assert min(point.drawdown for point in points) == min(day.drawdown for day in of.days)
    assert equity.thinned(of.days[:50]) == list(of.days[:50])


@pytest.mark.parametrize("number", [1, 400, 801, 802])
def test_stretches_follow_each_other(number: int) -> None:
    of = course(["1"] * number)
    points = equity.thinned(of.days, 400)
    ends = [point.day for point in points]
    assert equity.starts(of.days, points) == [FIRST, *(end + timedelta(days=1) for end in ends[:-1])]
    assert equity.starts(of.days, points)[-1] <= ends[-1] == of.days[-1].day


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("net_pnl", Decimal("-1234.5"), "−1,234.50 USDT"),
        ("fees", Decimal("3"), "3.00 USDT"),
        ("return", 0.1234, "+12.3 %"),
        ("max_drawdown", -0.05, "−5.0 %"),
        ("win_rate", Decimal("0.5"), "50.0 %"),
        ("sharpe", -1.5, "−1.50"),
        ("hold", Decimal(5400), "1 h 30 min"),
        ("exposure", 1.25, "1.25 open"),
    ],
)
def test_figures_are_written_with_sign_and_unit(name: str, value: Any, shown: str) -> None:
    figure = by_name(course(["5", "-3"] * 60))[name]
    assert figures.shown(Figure(**{**figure.__dict__, "value": value}), "USDT") == shown
