"""A page of rows as a table of texts: nothing in it can be taken for a link, an image or markup."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo
from typing import Any

import pyarrow as pa
import streamlit as st

from core.explore import Page, Sort
from core.explore.made import Row, Shown
from core.ui import cards, theme

ROWS_SHOWN, HEIGHT_PX = 14, 493
NARROWEST_PX, WIDEST_PX, EDGE_PX, CHARACTER_PX = 64, 420, 18, 7.8
TONES = {"good": "green", "bad": "red", "doubt": "orange", "quiet": "gray"}


def drawn(page: Page, columns: Sequence[Shown], zone: tzinfo, sort: Sequence[Sort]) -> dict[str, Any]:
    """What st.dataframe takes to draw a page: the data, how high they are, and how each column is shown."""
    rows = [page.named(row) for row in page.rows]
    shown = texts(rows, columns, zone)
    return {
        "data": _data(shown, rows, columns),
        "hide_index": True,
        "width": "stretch",
        "height": HEIGHT_PX if len(rows) > ROWS_SHOWN else "content",
        "column_config": _config(shown, columns, sort),
    }


def texts(rows: Sequence[Row], columns: Sequence[Shown], zone: tzinfo) -> dict[str, list[str | None]]:
    """What the grid shows, column by column, under names of our own."""
    return {name_of(number): [one.text(row, zone) for row in rows] for number, one in enumerate(columns)}


def _data(shown: dict[str, list[str | None]], rows: Sequence[Row], columns: Sequence[Shown]) -> Any:
    """The texts as a table; coloured where a column has tones."""
    tones = {name_of(number): [one.tone(row) for row in rows] for number, one in enumerate(columns) if one.tone}
    table = pa.table({name: pa.array(values, pa.string()) for name, values in shown.items()})
    return _coloured(table, tones) if tones else table


def _coloured(table: pa.Table, tones: dict[str, list[str]]) -> Any:
    """The table as a Styler that knows its colours already.

    Finding them out cell by cell, as pandas does it for HTML, takes longer than everything else of a page.
    """
    styler: Any = table.to_pandas().style
    rules = [
        {"props": [("color", color)], "selectors": _cells(table, tones, tone)}
        for tone, color in _colors().items()
        if any(tone in values for values in tones.values())
    ]
    styler._compute = lambda: styler
    styler._translate = lambda *_: {"cellstyle": rules, "body": []}
    return styler


def _colors() -> dict[str, str]:
    """The theme's colours; plain ones where its file was not found."""
    return {tone: st.get_option(f"theme.{theme.scheme()}.{name}TextColor") or name for tone, name in TONES.items()}


def _cells(table: pa.Table, tones: dict[str, list[str]], tone: str) -> list[str]:
    places = ((table.column_names.index(name), values) for name, values in tones.items())
    return [f"row{row}_col{column}" for column, values in places for row, value in enumerate(values) if value == tone]


def name_of(number: int) -> str:
    """The name under which the grid knows a column: the table's own may be any text."""
    return f"c{number}"


def number_of(name: str) -> int:
    """The number of a column from its name."""
    return int(name[1:])


def _config(shown: dict[str, list[str | None]], columns: Sequence[Shown], sort: Sequence[Sort]) -> dict[str, Any]:
    """How each column is shown: its label with the order's arrow, texts only, as wide as they are."""
    arrows = {one.column: "↓" if one.descending else "↑" for one in reversed(sort)}
    marked: set[str] = set()
    made = {}
    for number, one in enumerate(columns):
        own = one.needs[0]
        arrow = arrows.get(own, "") if own not in marked else ""
        marked.add(own)
        label, name = f"{one.label} {arrow}".rstrip(), name_of(number)
        made[name] = st.column_config.TextColumn(
            label,
            width=_width_px([label, *(text or "" for text in shown[name])]),
            help=cards.text(one.help) if one.help else None,
            alignment="right" if one.right else None,
        )
    return made


def _width_px(lines: Sequence[str]) -> int:
    """Figures are wider in the grid than it thinks when it measures them itself."""
    longest = max(map(len, lines))
    return round(min(WIDEST_PX, max(NARROWEST_PX, EDGE_PX + CHARACTER_PX * longest)))
