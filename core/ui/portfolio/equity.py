"""The first screen: one sentence, equity with drawdown below it, and the figures."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import streamlit as st

from core.format import count, money
from core.portfolio import equity, figures
from core.portfolio.address import View
from core.portfolio.capital import Capital
from core.portfolio.equity import Course, Day
from core.portfolio.figures import Figure
from core.portfolio.scope import Scope
from core.ui.cards import text
from core.ui.portfolio import charts

FIRST = 8
WHEN = {"7d": "in 7 days", "30d": "in 30 days", "90d": "in 90 days", "1y": "in a year", "all": "since the beginning"}


def sentence(of: Course, currency: str, view: View) -> str:
    """How it went, in one line."""
    own = of.sums
    when = "in these days" if view.dated else WHEN[view.range]
    if not own.trips:
        return f"No round trip was closed {when}."
    return f"{money(own.net_pnl, currency, sign=True)} net {when}, from {count(own.trips, 'round trip')}."


def show(of: Course, scope: Scope, capital: Capital) -> None:
    """Equity and drawdown, day by day."""
    currency = scope.currency or ""
    points = [equity.begin(of), *equity.thinned(of.days, equity.POINTS - 1)]
    known = of.capital is not None
    label = "Equity" if known else "Cumulative P&L"
    alone = known and (scope.symbol is not None or scope.strategy is not None)
    what = f"{label}, as if only these round trips had been made" if alone else label
    below = "Drawdown"
    table = _table(points, currency, known)
    with st.container(border=True, gap="xsmall", key="portfolio_equity"):
        st.markdown(f"**{what}** :small[:gray[{text(currency)}, at the end of each UTC day]]")
        tooltip = charts.tips(when="Day", equity_text=label, net_text="Net P&L", drawdown_text=below)
        form = charts.form(point.equity for point in points)
        start = float(of.capital) if of.capital is not None else 0.0
        charts.draw(
            table,
            charts.line("equity", height=230, form=form, rule=start, tooltip=tooltip),
            key="portfolio_equity_chart",
            alt=f"{label} in {currency} from {points[0].day} to {points[-1].day}",
        )
        st.markdown(f"**{below}** :small[:gray[below the highest before{', in %' if known else ''}]]")
        charts.draw(
            table,
            charts.depth(
                "drawdown",
                height=90,
                form=".1%" if known else charts.form(point.drawdown for point in points),
                tooltip=tooltip,
            ),
            key="portfolio_drawdown_chart",
            alt=f"Drawdown from {points[0].day} to {points[-1].day}",
        )
        start_text = f"Begins with {money(of.capital, currency)}: " if known else "Without a capital, because "
        words = capital.words(of.days[0].day)
        step = -(-len(of.days) // (len(points) - 1))
        thin = "" if step == 1 else f" Each point stands for {step} days."
        st.caption(text(f"{start_text}{words}. Open positions are not in it.{thin}"))


def _table(points: Sequence[Day], currency: str, known: bool) -> pa.Table:
    amounts = [float(point.drawdown) if not known else point.share for point in points]
    return pa.table({
        "day": charts.days([point.day for point in points]),
        "when": [f"{point.day}" for point in points],
        "equity": pa.array([float(point.equity) for point in points]),
        "equity_text": [money(point.equity, currency) for point in points],
        "net_text": [money(point.sums.net_pnl, currency, sign=True) for point in points],
        "drawdown": pa.array(amounts, pa.float64()),
        "drawdown_text": [_depth(point, currency) for point in points],
    })  # fmt: skip


def _depth(point: Day, currency: str) -> str:
    share = "" if point.share is None else f" ({point.share * 100:.1f} %)".replace("-", "−")
    return f"{money(point.drawdown, currency)}{share}"


def show_figures(found: Sequence[Figure], currency: str) -> None:
    """The first ones as cards, each with formula and basis; the others behind a fold."""
    with st.grid(4, min_column_width=165, key="portfolio_figures"):
        for figure in found[:FIRST]:
            _card(figure, currency)
    if len(found) <= FIRST:
        st.caption("The figures of single round trips follow when the rollups are built.")
        return
    with st.expander("More figures, with formula and basis"), st.grid(4, min_column_width=165):
        for figure in found[FIRST:]:
            _card(figure, currency)


def _card(figure: Figure, currency: str) -> None:
    value = figures.shown(figure, currency)
    with st.container(border=True, height="stretch", gap="xsmall"):
        st.markdown(f":small[:gray[{text(figure.label)}]]", help=text(figures.basis(figure)))
        if figure.value is None:
            st.markdown(f":gray[{text(value)}]")
        else:
            st.markdown(f"#### {_toned(figure, value)}")
        n = count(figure.n, "round trip" if figure.basis == "trades" else "day")
        under = figure.remark or (figure.why if figure.value is None else "")
        st.caption(text(f"{n} · {under}" if under else n))


def _toned(figure: Figure, value: str) -> str:
    signed = figure.unit in ("money", "share") and figure.name not in ("fees", "win_rate")
    number = float(figure.value or 0)
    if not signed or not number:
        return text(value)
    return f":{'green' if number > 0 else 'red'}[{text(value)}]"
