"""Day by day: profit and loss of each, all together, and as a calendar."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from itertools import accumulate
from typing import Any

import pyarrow as pa
import streamlit as st

from core.format import count, money
from core.portfolio import equity
from core.portfolio.equity import Course, Day
from core.portfolio.sums import Sums
from core.ui.cards import text
from core.ui.portfolio import charts

WEEKS = 13
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def show(of: Course, currency: str) -> None:
    """Bars of each day, the sum so far, then the calendars."""
    points = equity.thinned(of.days, 400)
    step = -(-len(of.days) // len(points))
    totals = list(accumulate((point.sums.net_pnl for point in points), initial=Decimal(0)))[1:]
    starts = equity.starts(of.days, points)
    table = pa.table({
        "day": charts.days(starts),
        "until": charts.days([point.day + timedelta(days=1) for point in points]),
        "when": [str(point.day) if step == 1 else f"{start} to {point.day}"
                 for start, point in zip(starts, points, strict=True)],
        "net": pa.array([float(point.sums.net_pnl) for point in points]),
        "total": pa.array([float(total) for total in totals]),
        "net_text": [money(point.sums.net_pnl, currency, sign=True) for point in points],
        "total_text": [money(total, currency, sign=True) for total in totals],
        "trips": [count(point.sums.trips, "round trip") for point in points],
    })  # fmt: skip
    tooltip = charts.tips(when="Day", net_text="Net P&L", trips="Closed", total_text="Since the begin")
    left, right = st.columns(2, gap="medium")
    with left.container(border=True, gap="xsmall", height="stretch"):
        each = "Daily P&L" if step == 1 else f"P&L of every {step} days"
        st.markdown(f"**{each}** :small[:gray[{text(currency)}, by UTC day of the exit]]")
        form = charts.form(point.sums.net_pnl for point in points)
        spec = charts.bars("net", height=200, form=form, many=len(points), tooltip=tooltip)
        charts.draw(table, spec, key="portfolio_days_chart", alt=each)
    with right.container(border=True, gap="xsmall", height="stretch"):
        st.markdown(f"**Cumulative P&L** :small[:gray[{text(currency)}, since {of.days[0].day}, by UTC day]]")
        spec = charts.line("total", height=200, form=charts.form(totals), zero=True, rule=0.0, tooltip=tooltip)
        charts.draw(table, spec, key="portfolio_total_chart", alt="Cumulative P&L")
    left, right = st.columns(2, gap="medium")
    with left.container(border=True, gap="xsmall", height="stretch"):
        _weeks(of.days, currency)
    with right.container(border=True, gap="xsmall", height="stretch"):
        _months(of.days, currency)


def _weeks(days: Sequence[Day], currency: str) -> None:
    last = days[-1].day
    monday = last - timedelta(days=last.weekday() + 7 * (WEEKS - 1))
    chosen = [day for day in days if day.day >= monday]
    left = "" if len(chosen) == len(days) else f", the last {WEEKS} weeks"
    st.markdown(f"**Calendar** :small[:gray[{text(currency)} a UTC day{left}]]")
    rows = [
        {"x": WEEKDAYS[day.day.weekday()], "y": str(day.day - timedelta(days=day.day.weekday())), "when": str(day.day),
         "sums": day.sums}
        for day in chosen
    ]  # fmt: skip
    _grid(rows, currency, list(WEEKDAYS), sorted({str(row["y"]) for row in rows}), "portfolio_weeks_chart", week=True)


def _months(days: Sequence[Day], currency: str) -> None:
    st.markdown(f"**Months** :small[:gray[{text(currency)} a month, in UTC]]")
    found: dict[date, Sums] = {}
    for day in days:
        month = day.day.replace(day=1)
        found[month] = found.get(month, Sums()) + day.sums
    rows = [
        {"x": str(month.year), "y": MONTHS[month.month - 1], "when": f"{MONTHS[month.month - 1]} {month.year}",
         "sums": sums}
        for month, sums in found.items()
    ]  # fmt: skip
    years = [str(year) for year in range(days[0].day.year, days[-1].day.year + 1)]
    months = list(dict.fromkeys(str(row["y"]) for row in rows)) if len(years) == 1 else list(MONTHS)
    _grid(rows, currency, years, months, "portfolio_months_chart")


def _grid(
    rows: Sequence[dict[str, Any]], currency: str, across: list[str], down: list[str], key: str, *, week: bool = False
) -> None:
    """Fields coloured by profit or loss, each with its amount and sign; nothing was closed in one without colour."""
    nets = [float(row["sums"].net_pnl) for row in rows]
    most = max((abs(net) for net in nets), default=0) or 1
    table = pa.table({
        "x": [row["x"] for row in rows],
        "y": [row["y"] for row in rows],
        "when": [row["when"] for row in rows],
        "share": pa.array([net / most if row["sums"].trips else None for net, row in zip(nets, rows, strict=True)],
                          pa.float64()),
        "amount": [_short(net) if row["sums"].trips else "" for net, row in zip(nets, rows, strict=True)],
        "net_text": [money(row["sums"].net_pnl, currency, sign=True) for row in rows],
        "trips": [count(row["sums"].trips, "round trip") for row in rows],
    })  # fmt: skip
    x = {"field": "x", "type": "ordinal", "sort": across, "axis": {"title": None, "orient": "top", "labelAngle": 0}}
    x["scale"] = {"domain": across, "paddingInner": 0.04}
    labels = {"labelExpr": "slice(datum.label, 5)"} if week else {}
    y = {
        "field": "y",
        "type": "ordinal",
        "sort": down,
        "axis": {"title": None, "minExtent": 52, "labelFlush": False, **labels},
    }
    y["scale"] = {"domain": down, "paddingInner": 0.08}
    colours = {
        "field": "share", "type": "quantitative", "legend": None,
        "scale": {"domain": [-1, 0, 1], "interpolate": "rgb", "range": [
            charts.colour(name) for name in ("red", "secondaryBackground", "green")]},
    }  # fmt: skip
    empty = {"condition": {"test": "datum.share === null", "value": charts.colour("secondaryBackground")}, **colours}
    field = {
        "mark": {"type": "rect", "cornerRadius": 3, "opacity": 0.7},
        "encoding": {"x": x, "y": y, "color": empty, "tooltip": charts.tips(when="Day", net_text="Net P&L",
                                                                           trips="Closed")},
    }  # fmt: skip
    words = {
        "mark": {"type": "text", "fontSize": 11, "color": charts.colour("text")},
        "encoding": {"x": x, "y": y, "text": {"field": "amount", "type": "nominal"}},
    }
    spec = {"height": 24 * max(4, len(down)) + 30, "layer": [field, words]}
    charts.draw(table, spec, key=key, alt="Profit and loss as a calendar")


def _short(net: float) -> str:
    """An amount in few characters: `+1.2k`, `−35`, `0`."""
    size = abs(net)
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size >= limit:
            words = f"{size / limit:.1f}{unit}" if size < 100 * limit else f"{size / limit:.0f}{unit}"
            break
    else:
        words = f"{size:.0f}" if size >= 10 else f"{size:.1f}" if size >= 0.1 else f"{size:.2g}"
    return f"{'+' if net > 0 else '−' if net < 0 else ''}{words}"
