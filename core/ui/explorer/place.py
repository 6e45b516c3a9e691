"""Where the viewer is: the view as the address has it, and how to get to another one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, tzinfo
from typing import Any

import streamlit as st

from core.errors import TradekeepError
from core.explore.address import View, view_of
from core.explore.related import described
from core.ui.cache import cached
from core.ui.page import shown
from core.ui.viewer import local_zone

PAGE = "pages/explorer.py"
ROWS = "explorer_rows"
# The page that the grid shows, and how many it showed; what is selected in it, as (its key, rows, columns); how often
# it was built anew.
PLACE, TURNS, CHOSEN, AGAIN = "explorer_place", "explorer_turns", "explorer_chosen", "explorer_again"
shape_of = cached(ttl=30)(described)


def arrive() -> View:
    """The view that the address means, at the beginning of a run; ends the run where it means none, with a way out.

    A link from this page to this page changes what Streamlit knows of the address, not what the browser shows of it.
    """
    if st.query_params:
        st.query_params.from_dict({name: st.query_params.get_all(name) for name in st.query_params})
    with shown():
        return current()
    st.button("Begin at the table's first page", key="explorer_anew", on_click=changed, args=(lambda view: view,))
    st.stop()


def current() -> View:
    """The view that the address means. Raises data.filter."""
    return view_of({name: st.query_params.get_all(name) for name in st.query_params})


def go(view: View) -> None:
    """Make this view the address; the run that follows draws it, and the browser's back button leads here again."""
    if view.params() != {name: _found(name) for name in st.query_params}:
        st.query_params.from_dict(view.params())


def _found(name: str) -> str | list[str]:
    values = st.query_params.get_all(name)
    return values if name in ("where", "sort") else values[-1]


def changed(change: Callable[[View], View]) -> None:
    """Go to what `change` makes of the present view; from an address without sense to its table's beginning."""
    try:
        view = current()
    except TradekeepError:
        view = View(st.query_params.get("table", ""))
    go(change(view))


def open_row(row: tuple[Any, ...]) -> None:
    """Show the row of this key in detail; () for none."""
    changed(lambda view: replace(view, row=row))


def begin_anew() -> None:
    """Have the grid forget what is selected in it."""
    st.session_state[AGAIN] = st.session_state.get(AGAIN, 0) + 1
    st.session_state.pop(CHOSEN, None)


def zone(view: View) -> tzinfo:
    """The zone in which times are shown."""
    return UTC if view.utc else local_zone()


def zone_name(view: View) -> str:
    """The zone's name: `UTC`, `Europe/Berlin`."""
    return "UTC" if view.utc else str(local_zone())
