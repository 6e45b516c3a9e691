"""Charts as Vega-Lite has them: plain dictionaries, so that no chart library is loaded.

Days are UTC days, moments those of the viewer's zone; a profit is green above the line and a loss red below it, with
its sign in the words.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import tzinfo
from typing import Any

import pyarrow as pa
import streamlit as st

from core.ui import theme

Spec = dict[str, Any]
AXIS_PX = 58  # room for the figures at the left, the same in charts that stand below each other


def colour(name: str) -> str:
    """A colour of the present scheme by its name in the theme: `green`, `redText`, `border`."""
    return str(st.get_option(f"theme.{theme.scheme()}.{name}Color"))


def days(values: list[Any]) -> pa.Array:
    """UTC days as a chart takes them."""
    return pa.array(values, pa.date32()).cast(pa.timestamp("ms")).cast(pa.timestamp("ms", tz="UTC"))


def moments(values: list[Any]) -> pa.Array:
    """Aware times as a chart takes them."""
    return pa.array(values, pa.timestamp("ms", tz="UTC"))


def draw(data: pa.Table, spec: Spec, *, key: str, alt: str) -> None:
    """Draw a chart as wide as there is room; alt is what it shows, for those who cannot see it."""
    st.vega_lite_chart(data, {"autosize": {"type": "fit", "contains": "padding"}, **spec}, key=key, alt=alt)


def time_axis(*, field: str = "day", zone: tzinfo | None = None) -> Spec:
    """The horizontal axis; zone: the viewer's, for moments, in hours from 0 to 24; without one for UTC days.

    Of zones a chart knows its browser's and UTC.
    """
    local = zone is not None and str(zone) != "UTC"
    axis: Spec = {"title": None, "grid": False, "labelOverlap": True, "tickCount": 6, "labelFlush": True}
    axis["labelExpr"] = _labels("" if local else "utc", "''" if zone is None else "'%H:%M'")
    return {"field": field, "type": "temporal", "scale": {"type": "time" if local else "utc"}, "axis": axis}


def _labels(of: str, hours: str) -> str:
    """What stands at a tick: the largest part of the time that begins there. of: "utc", or "" for the browser's."""
    at, written = "datum.value", f"{of or 'time'}Format(datum.value, "
    return (
        f"{of}hours({at}) || {of}minutes({at}) ? {written}{hours}) : {of}date({at}) > 1 ? {written}'%b %d')"
        f" : {of}month({at}) ? {written}'%b') : {written}'%Y')"
    )


def amount_axis(field: str, *, form: str = "~s", zero: bool = False, title: str | None = None) -> Spec:
    """The vertical axis; form as d3 has it."""
    axis = {"title": title, "format": form, "minExtent": AXIS_PX, "maxExtent": AXIS_PX, "tickCount": 4, "grid": True}
    return {"field": field, "type": "quantitative", "scale": {"zero": zero, "nice": True}, "axis": axis}


def form(values: Iterable[Any]) -> str:
    """How figures of this size are written on an axis: `12k`, `112.5`, `0.00342`."""
    most = max((abs(float(value)) for value in values), default=0.0)
    return "~s" if most >= 5000 else ",.2~f" if most >= 5 else ",.3~r"


def tips(**fields: str) -> list[Spec]:
    """What is told of the point under the pointer: field -> its title; texts that are made already."""
    return [{"field": field, "type": "nominal", "title": title} for field, title in fields.items()]


def signed(field: str) -> Spec:
    """Green for a profit, red for a loss."""
    return {
        "condition": {"test": f"datum['{field}'] >= 0", "value": colour("green")},
        "value": colour("red"),
    }


def hover(x: Spec, y: Spec, found: list[Spec]) -> Spec:
    """A layer that shows the nearest point in time under the pointer, and tells of it."""
    return {
        "params": [
            {
                "name": "near",
                "select": {
                    "type": "point", "nearest": True, "on": "pointerover", "clear": "pointerout",
                    "fields": [x["field"]], "encodings": ["x"],
                },
            }
        ],
        "mark": {"type": "point", "filled": True, "size": 60, "color": colour("text")},
        "encoding": {
            "x": x,
            "y": y,
            "tooltip": found,
            "opacity": {"condition": {"param": "near", "empty": False, "value": 1}, "value": 0},
        },
    }  # fmt: skip


def line(field: str, *, height: int, form: str, zero: bool = False, rule: float, tooltip: list[Spec]) -> Spec:
    """A line over time; rule: a level to compare with."""
    x, y = time_axis(), amount_axis(field, form=form, zero=zero)
    level = {
        "mark": {"type": "rule", "strokeDash": [4, 4], "color": colour("gray")},
        "encoding": {"y": {"datum": rule, "type": "quantitative", "axis": y["axis"]}},
    }
    curve = {"mark": {"type": "line", "strokeWidth": 2, "color": colour("blue")}, "encoding": {"x": x, "y": y}}
    return {"height": height, "layer": [level, curve, hover(x, y, tooltip)]}


def depth(field: str, *, height: int, form: str, tooltip: list[Spec]) -> Spec:
    """How far below the highest: an area that hangs from zero."""
    x, y = time_axis(), amount_axis(field, form=form, zero=True)
    area = {
        "mark": {"type": "area", "color": colour("red"), "opacity": 0.25, "line": {"color": colour("red")}},
        "encoding": {"x": x, "y": y},
    }
    return {"height": height, "layer": [area, hover(x, y, tooltip)]}


def bars(field: str, *, height: int, form: str, many: int, tooltip: list[Spec]) -> Spec:
    """A bar for each of so many stretches, from the field `day` to `until`: up for a profit, down for a loss."""
    encoding = {
        "x": time_axis(),
        "x2": {"field": "until"},
        "y": amount_axis(field, form=form, zero=True),
        "y2": {"datum": 0},
        "color": signed(field),
        "tooltip": tooltip,
    }
    mark = {"type": "rect", "stroke": colour("background"), "strokeWidth": 1 if many <= 120 else 0}
    zero = {"mark": {"type": "rule", "color": colour("border")}, "encoding": {"y": {"datum": 0}}}
    return {"height": height, "layer": [{"mark": mark, "encoding": encoding}, zero]}
