"""Building a filter: column, comparison, value; with the most frequent values to click."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo
from typing import Any

import streamlit as st

from core.database import Database
from core.errors import TradekeepError
from core.explore import Filter, facets
from core.explore.address import LISTED, MOST_FILTERS, VALUELESS, View
from core.explore.cells import one_line, shortened
from core.explore.frequent import frequent
from core.explore.relation import Column, Relation
from core.explore.typed import (
    INTERVALS,
    TIMED,
    filter_of_text,
    is_boolean,
    is_number,
    ops_of,
    ready,
    value_of,
    value_text,
    word,
)
from core.ui import cards
from core.ui.cache import cached
from core.ui.explorer.place import changed, current, shape_of, zone
from core.ui.page import shown

OPEN, CLOSE = "explorer_filter_open", "explorer_filter_close"
FACETS, FACETS_WITHIN_S = 12, 1.0
facets_of, frequent_of = cached(ttl=60)(facets), cached(ttl=60)(frequent)


@st.fragment
def show(db: Database, table: str) -> None:
    """The button that opens the builder; what is in it is asked for when it is open."""
    if st.session_state.pop(CLOSE, False):
        st.session_state[OPEN] = False
    popover = st.popover("Filter", icon=":material/filter_alt:", type="primary", key=OPEN, on_change="rerun")
    with popover:
        if popover.open:
            _builder(db, table)


def _builder(db: Database, table: str) -> None:
    with shown():
        of = shape_of(db, table)
        view = current()
        names = [column.name for column in of.readable]
        name = st.selectbox(
            "Column",
            names,
            index=_likeliest(of),
            key=f"explorer_filter_column_{table}",
            format_func=one_line,
        )
        if name is None:
            return
        column = of.by_name[name]
        op = st.selectbox(
            "Comparison",
            ops_of(column),
            key=f"explorer_filter_op_{ops_of(column)}",
            format_func=lambda one: word(one, column),
            filter_mode=None,
        )
        _form(column, op, view)
        if op in ("=", "in", "!=") and not is_boolean(column):
            _facets(db, of, column, op, view)


def _likeliest(of: Relation) -> int:
    """The first column with words in it: the symbol, the status, the name."""
    return next((n for n, column in enumerate(of.readable) if column.textual or column.type.startswith("text")), 0)


def _form(column: Column, op: str, view: View) -> None:
    """The fields that the comparison needs, and the button that adds the filter."""
    with st.form(f"explorer_filter_form_{op}", border=False, enter_to_submit=True):
        value = _value(column, op)
        if st.form_submit_button("Add filter", type="primary", disabled=len(view.filters) >= MOST_FILTERS):
            if value is None:
                st.caption(":red[:material/error:] A value is needed.")
                return
            try:
                add(_asked(column, op, value, zone(view)))
            except TradekeepError as error:
                st.caption(f":red[:material/error:] {cards.text(error.message)}")


def _value(column: Column, op: str) -> Any:
    """What was typed; None where something is missing."""
    if op in VALUELESS:
        return ()
    key = f"explorer_filter_value_{op}"
    if op == "last":
        return st.selectbox("How long", INTERVALS, index=2, key=key, accept_new_options=True)
    if op == "=" and is_boolean(column):
        return st.segmented_control("Value", ["true", "false"], default="true", key=f"{key}_boolean")
    hint = "2026-01-31 14:00" if ops_of(column) is TIMED else "100" if is_number(column) else ""
    if op == "between":
        ends = [st.text_input(label, key=f"{key}_{label}", placeholder=hint) for label in ("From", "To")]
        return tuple(end or "" for end in ends) if all(ends) else None
    if op == "in":
        values = st.multiselect("Values", [], key=key, accept_new_options=True, placeholder="Type a value, then Enter")
        return tuple(values) or None
    return st.text_input("Value", key=key, placeholder=hint) or None


def _asked(column: Column, op: str, typed: Any, zone: tzinfo) -> Filter:
    """The filter that was typed. Raises data.filter."""
    if op in VALUELESS:
        return Filter(column.name, op)
    if op == "last":
        return Filter(column.name, op, typed)
    if isinstance(typed, tuple):
        return Filter(column.name, op, tuple(value_of(one, column, zone) for one in typed))
    return filter_of_text(column, op, typed, zone)


def add(one: Filter) -> None:
    """Add a filter to the view, and close the builder."""
    changed(lambda view: view.first(filters=tuple(dict.fromkeys((*view.filters, one)))))
    st.session_state[CLOSE] = True
    st.rerun()


def _facets(db: Database, of: Relation, column: Column, op: str, view: View) -> None:
    """The most frequent values among the rows that match, with their numbers; a click adds the filter."""
    if column.name in of.key and len(of.key) == 1:
        return
    found: Sequence[tuple[Any, int]] = facets_of(
        db, view.table, column.name, ready(view.filters, of), timeout_s=FACETS_WITHIN_S,
        search=view.search or None, limit=FACETS,
    )  # fmt: skip
    said, about = "Most frequent, with the rows that match now", ""
    if not found:
        found = frequent_of(db, view.table, column.name, limit=FACETS)
        said, about = "Most frequent in the whole table, by the server's statistics", "~"
    if not found:
        st.caption("The most frequent values could not be counted within a second: the table is large.")
    elif found[0][1] > 1:  # else it is as good as a key
        st.caption(said)
        _values(found, column, op, about, view)


def _values(found: Sequence[tuple[Any, int]], column: Column, op: str, about: str, view: View) -> None:
    with st.container(horizontal=True, gap="xsmall", key="explorer_facets"):
        for number, (value, rows) in enumerate(found):
            text = "NULL" if value is None else shortened(value_text(value, column, zone(view)), 40) or "empty text"
            rows_text = cards.text(f"{about}{rows:,}")
            if st.button(f"{cards.text(text)} :gray[{rows_text}]", key=f"explorer_facet_{number}", wrap=False):
                add(filter_of(column, op, value))


def filter_of(column: Column, op: str, value: Any) -> Filter:
    """The filter for a facet's value."""
    if value is None:
        return Filter(column.name, "is not null" if op == "!=" else "is null")
    plain = value if isinstance(value, str | int | float | bytes) else str(value)
    return Filter(column.name, op, (plain,) if op in LISTED else plain)
