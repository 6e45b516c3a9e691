"""Every table and view: areas, sizes, estimated rows; one click opens it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import streamlit as st

from core import state
from core.explore import TableInfo
from core.explore.address import View
from core.explore.cells import one_line, shortened
from core.explore.related import table_name
from core.explore.saved import SavedView, saved_views
from core.format import size
from core.ui import cards
from core.ui.explorer.place import PAGE, current, go

KEY = "explorer_tables"
MANY = 12


def compact(number: int | None) -> str:
    """An estimate in few characters: `~10.2 M`; "" where nobody knows."""
    if number is None:
        return ""
    if number < 10_000:
        return f"~{number:,}"
    value = float(number)
    for unit in ("k", "M"):
        value /= 1000
        if round(value, 1) < 1000:
            return f"~{value:.1f} {unit}"
    return f"~{value / 1000:,.1f} G"


def weight(info: TableInfo) -> str:
    """What is known of a table in a few words: `~10.2 M rows · 1.9 GiB`."""
    rows = f"{compact(info.rows_estimate)} rows" if info.rows_estimate is not None else info.kind
    return " · ".join(filter(None, (rows, size(info.bytes) if info.bytes is not None else "")))


def show(found: Sequence[TableInfo]) -> None:
    """The saved views, then the tables; a field to find one where there are many."""
    if not found:
        cards.empty("There is no table here that this role may read. The Schema page creates Tradekeep's tables.")
        st.page_link("pages/schema.py", label="Go to the schema", icon=":material/schema:")
        return
    _saved(saved_views(state.settings().home), found)
    wanted = ""
    if len(found) > MANY:
        wanted = st.text_input(
            "Find a table", key="explorer_find", placeholder="Find a table", label_visibility="collapsed",
            icon=":material/search:", type="search", live=True,
        )  # fmt: skip
    listed = [info for info in found if _fits(info, wanted or "")]
    if not listed:
        cards.empty(f"No table has “{wanted}” in its name, area or comment.")
        return
    st.dataframe(
        pa.table(_columns(listed)),
        key=KEY,
        on_select=lambda: _opened(listed),
        selection_mode="single-cell",
        hide_index=True,
        width="stretch",
        height="content",
        column_config={
            "Table": st.column_config.TextColumn(width="medium"),
            "Rows": st.column_config.TextColumn(help="The server's estimate.", alignment="right", width="small"),
            "Size": st.column_config.TextColumn(help="Estimated, with indexes.", alignment="right", width="small"),
            "Area": st.column_config.TextColumn(width="small"),
            "What is in it": st.column_config.TextColumn(width="large"),
        },
        alt="Tables and views",
    )


def _saved(views: Sequence[SavedView], found: Sequence[TableInfo]) -> None:
    here = {table_name(info.schema, info.name) for info in found}
    usable = [one for one in views if one.view.table in here]
    if not usable:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown("**Saved views**", width="content")
        for one in usable:
            st.page_link(
                PAGE, label=cards.text(one.name), icon=":material/bookmark:", width="content",
                query_params=one.view.params(),
            )  # fmt: skip


def _fits(info: TableInfo, wanted: str) -> bool:
    text = f"{info.schema}.{info.name} {info.area} {info.kind} {info.comment}".lower()
    return all(part in text for part in wanted.lower().split())


def _columns(listed: Sequence[TableInfo]) -> dict[str, list[str]]:
    columns = {
        "Table": [one_line(table_name(info.schema, info.name)) for info in listed],
        "Rows": [compact(info.rows_estimate) for info in listed],
        "Size": [size(info.bytes) if info.bytes is not None else "" for info in listed],
        "Area": [info.area or (info.kind if info.kind != "table" else "not ours") for info in listed],
        "What is in it": [shortened(one_line(info.comment)) for info in listed],
    }
    return {name: values for name, values in columns.items() if any(values)}


def _opened(listed: Sequence[TableInfo]) -> None:
    chosen: dict[str, Any] = st.session_state[KEY]["selection"]
    rows = [row for row, _ in chosen["cells"]]
    if rows and rows[0] < len(listed):
        info = listed[rows[0]]
        go(View(table_name(info.schema, info.name), utc=current().utc))
