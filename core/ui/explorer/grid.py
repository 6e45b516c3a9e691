"""One page of rows: chips of what is asked, the grid, the pager; a fragment of its own, so that paging is quick."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.database import Database
from core.errors import TradekeepError
from core.explore import Sort, TableInfo
from core.explore.address import View
from core.explore.cells import one_line
from core.explore.typed import TIMED, ops_of
from core.format import duration
from core.ui import cards
from core.ui.explorer import chips, detail, frame, nowhere, pager, resolve
from core.ui.explorer.asked import Found, found, is_away
from core.ui.explorer.place import AGAIN, CHOSEN, PLACE, ROWS, TURNS, begin_anew, changed, current, zone
from core.ui.page import shown

BEGIN: dict[str, Any] = {"sort": (), "search": ""}


@st.fragment(key=ROWS)
def show(db: Database, info: TableInfo | None, place: DeltaGenerator) -> None:
    """Chips, grid and pager of the view that the address means now, and the row that it opens.

    info: what the list of tables says of it. place: where the chips belong.
    """
    with shown():
        view = current()
        chips.show(db, view, place, one_line(info.comment) if info else "")
        try:
            with st.skeleton(height=frame.HEIGHT_PX):
                now = found(db, view)
        except TradekeepError as error:
            _refused(db, view, error)
            return
        if now.unlike:
            _unlike(now)
        if now.page.rows:
            _rows(db, now, info.rows_estimate if info else None)
        else:
            _empty(now)
        _remarks(now, view)
        if view.row:
            detail.show(db, now)


def _refused(db: Database, view: View, error: TradekeepError) -> None:
    """Why there are no rows, and the way out where the view has one; filters have their own, their chips."""
    if nowhere.column(db, view, error):
        return
    cards.error_card(error)
    if not is_away(error) and view != view.first(**BEGIN):
        _begin_button()


def _unlike(now: Found) -> None:
    """That these rows are of before the last click, plainly: somebody may take them for what the chips say."""
    change = " and ".join(filter(None, [", ".join(now.unlike[:-1]), now.unlike[-1]]))
    st.markdown(
        ":orange[:material/history:] **These rows are not what you asked for.** The database is away, so the change of "
        f"{change} is not applied yet. They are {duration(now.age_s or 0)} old; what you asked for comes by itself."
    )


def _rows(db: Database, now: Found, estimate: int | None) -> None:
    key = _key(now)
    st.dataframe(
        **frame.drawn(now.page, now.columns, zone(now.view), now.sort),
        key=key,
        on_select=lambda: _selected(now, key),
        selection_mode=["multi-row" if now.alerts else "single-row", "single-column"],
        placeholder="NULL",
        alt=f"Rows of {now.view.table}",
    )
    if now.alerts:
        resolve.show(now, [row for row in st.session_state[key]["selection"]["rows"] if row < len(now.page.rows)])
    pager.show(db, now, estimate)


def _key(now: Found) -> str:
    """The grid's key: the same for every page of the same rows, or the browser would build it anew for each.

    It does so where a row is selected, which on another page would be another row.
    """
    view = now.view
    place = replace(view, row=(), utc=False).query()
    if st.session_state.get(PLACE) != place:
        st.session_state[TURNS] = st.session_state.get(TURNS, 0) + 1
        if (st.session_state.get(CHOSEN) or ("", [], []))[1]:
            begin_anew()
    st.session_state[PLACE] = place
    rows = view.matching().query()
    digest = hashlib.blake2b(rows.encode(), digest_size=8).hexdigest()
    return f"explorer_grid_{digest}_{st.session_state.get(AGAIN, 0)}"


def _remarks(now: Found, asked: View) -> None:
    """What there is to say of the page, where `asked` was asked for."""
    if now.age_s is not None and not now.unlike:
        another = (asked.after, asked.before) != (now.view.after, now.view.before)
        coming = "This is the page you came from; the one you asked for" if another else "Fresh data"
        st.caption(f":material/history: Last good data, {duration(now.age_s)} old. {coming} comes by itself.")
    if now.page.warning:
        st.caption(f":material/info: {cards.text(now.page.warning)}")
    if now.age_s is None and now.limit < now.view.limit:
        st.caption(f"Pages have {now.limit} rows at most here, because so many columns are shown.")
    shown_columns, readable = len(now.columns), len(now.of.readable)
    if not now.view.columns and shown_columns < readable and not any(one.tone for one in now.columns):
        st.caption(f"{shown_columns} of {readable:,} columns are shown. Choose others under Columns.")


def _empty(now: Found) -> None:
    view = now.view
    if view.after or view.before:
        cards.empty("There are no rows at this place any more.")
        _begin_button()
    elif view.filters or view.search:
        cards.empty("No row matches. Remove a filter above.", icon=":material/filter_alt_off:")
    else:
        cards.empty(f"{view.table} has no rows yet. What is written to it stands here.")


def _begin_button() -> None:
    """Out of a place, an order or a search that does not work."""
    st.button(
        "Begin at the first page", key="explorer_to_first", on_click=changed, args=(lambda view: view.first(**BEGIN),)
    )


def _selected(now: Found, key: str) -> None:
    """A click on a heading sorts by it or turns the order; one on a row opens it, unless rows are chosen here.

    A second click on the same one takes it from the selection, and means the same.
    """
    chosen = st.session_state[key]["selection"]
    rows, columns = chosen["rows"], chosen["columns"]
    of, rows_before, columns_before = st.session_state.get(CHOSEN) or (key, [], [])
    if of != key:
        rows_before, columns_before = [], []
    st.session_state[CHOSEN] = (key, rows, columns)
    if rows and rows != rows_before:
        _row(now, rows[0])
    elif columns != columns_before:
        _column(now, (columns or columns_before)[0])
    elif rows_before and not rows:
        _row(now, rows_before[0])


def _row(now: Found, row: int) -> None:
    if not now.alerts:
        detail.remember(now, row)


def _column(now: Found, name: str) -> None:
    number = frame.number_of(name)
    if number >= len(now.columns):
        return
    column = now.columns[number]
    if column.computed:
        st.toast(f"{column.label} is worked out row by row. Sort by a column that it is made of: {column.help}.")
    else:
        changed(lambda view: view.first(sort=(_turned(now, column.needs[0]),)))


def _turned(now: Found, column: str) -> Sort:
    """The order after a click: turned where it is by this column; a new one ascending, times newest first."""
    if now.sort and now.sort[0].column == column:
        return Sort(column, not now.sort[0].descending)
    return Sort(column, ops_of(now.of.by_name[column]) is TIMED)
