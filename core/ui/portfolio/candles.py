"""Candles of one symbol with entries and exits, and what decided on them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

import pyarrow as pa
import streamlit as st

from core.database import Database
from core.explore.cells import one_line
from core.explore.made import readable
from core.format import age, count, money
from core.models.market import LENGTHS
from core.portfolio.address import View
from core.portfolio.candles import AVERAGES, Chart, Trip
from core.portfolio.choices import Choices
from core.portfolio.scope import Scope
from core.portfolio.sums import finite
from core.ui.cards import empty, text
from core.ui.portfolio import asked, charts
from core.ui.portfolio.place import changed, local, zones
from core.ui.portfolio.split import toned
from core.ui.viewer import follow, local_zone


def show(db: Database, scope: Scope, view: View, choices: Choices) -> None:
    """The chosen round trip with what came before and after, or the whole range of one symbol."""
    trip = asked.trip_of(db, view.trip) if view.trip else None
    own = choices.symbols.get((scope.trade_type or "", scope.currency or ""), ())
    known = list(dict.fromkeys([*own, *asked.symbols_of(db)]))
    coin = trip.symbol if trip else view.coin or scope.symbol or next(iter(known), None)
    if coin is None:
        empty("No candles yet. What the bots record of the market stands here, with their entries and exits on it.")
        return
    _choose(coin, known, trip)
    found = asked.around_of(db, trip, scope) if trip else asked.range_of(db, coin, scope)
    if not found.bars:
        _no_candles(found, coin)
        return
    _draw(found, trip)


def _choose(coin: str, known: list[str], trip: Trip | None) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key="portfolio_candles_bar"):
        options = known if coin in known else [coin, *known]
        st.selectbox(
            "Symbol",
            options,
            format_func=one_line,
            key=follow("portfolio_coin", coin),
            label_visibility="collapsed",
            width=220,
            filter_mode="contains" if len(options) > 8 else None,
            on_change=lambda: changed(lambda now: replace(now, coin=st.session_state["portfolio_coin"], trip=None)),
        )
        if trip:
            st.button(
                "The whole range", key="portfolio_candles_all", icon=":material/zoom_out_map:", on_click=changed,
                args=(lambda now: replace(now, coin=coin, trip=None),),
            )  # fmt: skip
    if trip:
        _told(trip)


def _told(trip: Trip) -> None:
    """One round trip in words."""
    result = toned(trip.net_pnl, trip.currency) if finite(trip.net_pnl) else _unvalued(trip)
    left = f"left {text(local(trip.exit_time))}" if trip.exit_time else "not left yet"
    why = f" ({text(one_line(trip.exit_reason))})" if trip.exit_reason else ""
    st.markdown(f"**{_side(trip)}** entered {text(local(trip.entry_time))}, {left}{why}: {result}")


def _unvalued(trip: Trip) -> str:
    return "still open" if trip.exit_time is None else "no net profit"


def _no_candles(found: Chart, coin: str) -> None:
    if found.newest is None:
        empty(f"No candles of {coin} are recorded. Entries and exits need them to be drawn on.")
    else:
        empty(f"No candles of {coin} in these days; the newest are {age(found.newest)}.")


def _side(trip: Trip) -> str:
    return "▲ Long" if trip.direction == "LONG" else "▼ Short"


def _draw(found: Chart, trip: Trip | None) -> None:
    legend = ", ".join(f"average of {width} closes" for width in AVERAGES)
    st.markdown(
        f"**{text(one_line(found.symbol))}** :small[:gray[{found.timeframe} candles, {legend};"
        " ▲ and ▼ entries, ● exits with a profit, ■ exits with a loss]]"
    )
    last = found.bars[-1].at + LENGTHS[found.timeframe or "1h"]
    charts.draw(_bars(found), _spec(found, trip, last), key="portfolio_candles_chart",
                alt=f"Candles of {found.symbol} with entries and exits")  # fmt: skip
    if found.more:
        st.caption(f"The newest {len(found.trips)} round trips are drawn; {count(found.more, 'older one')} are not.")
    elif not found.trips:
        st.caption("No round trip was entered or left in this time.")
    st.caption(text(zones()))


def _bars(found: Chart) -> pa.Table:
    half = LENGTHS[found.timeframe or "1h"] * 0.35
    columns = {
        "at": charts.moments([bar.at for bar in found.bars]),
        "from": charts.moments([bar.at + half * 0.43 for bar in found.bars]),
        "to": charts.moments([bar.at + half * 2.43 for bar in found.bars]),
        "mid": charts.moments([bar.at + half / 0.7 for bar in found.bars]),
        "when": [local(bar.at) for bar in found.bars],
        "up": pa.array([1 if bar.close >= bar.open else -1 for bar in found.bars]),
    }
    for name in ("open", "high", "low", "close"):
        values: list[Decimal] = [getattr(bar, name) for bar in found.bars]
        columns[name] = pa.array([float(value) for value in values])
        columns[f"{name}_text"] = [readable(value) for value in values]
    for number, width in enumerate(AVERAGES):
        columns[f"average_{width}"] = pa.array([bar.averages[number] for bar in found.bars], pa.float64())
    return pa.table(columns)


def _spec(found: Chart, trip: Trip | None, last: datetime) -> charts.Spec:
    x, color = _axis("mid"), charts.signed("up")
    form = charts.form([bar.high for bar in found.bars])
    price = charts.amount_axis("low", form=form)
    tooltip = charts.tips(when="Begins", open_text="Open", high_text="High", low_text="Low", close_text="Close")
    layers: list[charts.Spec] = [
        {"mark": {"type": "rule"}, "encoding": {"x": x, "y": price, "y2": {"field": "high"}, "color": color,
                                                "tooltip": tooltip}},
        {"mark": {"type": "rect"},
         "encoding": {"x": _axis("from"), "x2": {"field": "to"}, "color": color,
                      "y": charts.amount_axis("open", form=form), "y2": {"field": "close"}, "tooltip": tooltip}},
    ]  # fmt: skip
    for name, width in zip(("violet", "orange"), AVERAGES, strict=True):
        mark = {"type": "line", "strokeWidth": 1.2, "color": charts.colour(name), "opacity": 0.8}
        layers.append({"mark": mark, "encoding": {"x": x, "y": charts.amount_axis(f"average_{width}", form=form)}})
    first = found.bars[0].at
    rows = [_row(one, first, last, first - LENGTHS[found.timeframe or "1h"], trip) for one in found.trips]
    if rows:
        layers += _markers(rows, form, large=trip is not None or len(rows) <= 30)
    return {"height": 360, "layer": layers}


def _axis(field: str) -> charts.Spec:
    return charts.time_axis(field=field, zone=local_zone())


def _row(one: Trip, first: datetime, last: datetime, soonest: datetime, chosen: Trip | None) -> dict[str, object]:
    """A round trip as its marks need it; an end that lies outside of the picture is left away.

    first, last: of the picture; soonest: when the candle before it begins, in which a round trip may be entered.
    """
    net = one.net_pnl if finite(one.net_pnl) else None
    begin = max(first, one.entry_time) if one.entry_time > soonest and finite(one.entry_price) else None
    end = one.exit_time if one.exit_time is not None and first <= one.exit_time <= last else None
    return {
        "entered": _ms(begin) if begin else None,
        "entry": float(one.entry_price) if begin else None,
        "left": _ms(end) if end and finite(one.exit_price) else None,
        "exit": float(one.exit_price) if end and finite(one.exit_price) else None,
        "net": float(net) if net is not None else 0.0,
        "shape": "triangle-up" if one.direction == "LONG" else "triangle-down",
        "out": "square" if net is not None and net < 0 else "circle",
        "strong": 1.0 if chosen is None or chosen.id == one.id else 0.25,
        "trip": f"{_side(one)} entered {local(one.entry_time)} at {readable(one.entry_price)}",
        "result": _unvalued(one) if net is None else money(net, one.currency, sign=True),
        "entry_logic": one_line(one.entry_logic or "not named"),
        "exit_logic": one_line(one.exit_logic or one.exit_reason or "not named"),
        "closed": "open" if one.exit_time is None
        else f"{local(one.exit_time)} at {readable(one.exit_price)} ({one_line(one.exit_reason or 'no reason named')})",
    }  # fmt: skip


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _markers(rows: list[dict[str, object]], form: str, *, large: bool) -> list[charts.Spec]:
    """A line from entry to exit, a triangle at the entry, a circle or cross at the exit."""
    tooltip = charts.tips(trip="Round trip", entry_logic="Entry by", closed="Left", exit_logic="Exit by", result="Net")
    times = {"values": rows}
    strong = {"field": "strong", "type": "quantitative", "scale": None, "legend": None}
    entered, left = _axis("entered"), _axis("left")
    entry = charts.amount_axis("entry", form=form)
    mark = {
        "type": "point",
        "filled": True,
        "size": 110 if large else 45,
        "stroke": charts.colour("background"),
        "strokeWidth": 1,
    }
    shape = {"type": "nominal", "scale": None, "legend": None}
    begun, done = [{"filter": "datum.entered !== null"}], [{"filter": "datum.left !== null"}]
    return [
        {"data": times, "transform": begun + done, "mark": {"type": "rule", "strokeDash": [3, 3], "strokeWidth": 1.5},
         "encoding": {"x": entered, "x2": {"field": "left"}, "y": entry, "y2": {"field": "exit"},
                      "color": charts.signed("net"), "opacity": strong}},
        {"data": times, "transform": begun, "mark": mark,
         "encoding": {"x": entered, "y": entry, "shape": {"field": "shape", **shape},
                      "color": {"value": charts.colour("blue")}, "opacity": strong, "tooltip": tooltip}},
        {"data": times, "transform": done, "mark": mark,
         "encoding": {"x": left, "y": charts.amount_axis("exit", form=form), "shape": {"field": "out", **shape},
                      "color": charts.signed("net"), "opacity": strong, "tooltip": tooltip}},
    ]  # fmt: skip
