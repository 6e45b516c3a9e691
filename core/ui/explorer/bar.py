"""What stands above the rows: which table, a search, and the ways to narrow, arrange, keep and take away."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core import state
from core.database import Database
from core.explore import TableInfo
from core.explore.address import ALL, View
from core.explore.cells import one_line
from core.explore.made import shown_of
from core.explore.saved import FILE, SavedView, remove_view, save_view, saved_views, unreadable
from core.ui import cards
from core.ui.explorer import downloads, filtering
from core.ui.explorer.asked import MOST_COLUMNS
from core.ui.explorer.listing import weight
from core.ui.explorer.place import PAGE, changed, go, shape_of
from core.ui.page import shown
from core.ui.viewer import follow

LIST = ""  # no table: the list of them


def show(db: Database, infos: Mapping[str, TableInfo], view: View) -> DeltaGenerator:
    """Two lines: the table with its search, and what can be done with it; gives the place for chips."""
    left, right = st.columns([2, 3], gap="small", vertical_alignment="bottom")
    with left:
        _picker(infos, view)
    with right:
        st.text_input(
            "Search",
            key=follow("explorer_search", view.search),
            placeholder="Search all text columns",
            label_visibility="collapsed",
            icon=":material/search:",
            type="search",
            on_change=lambda: changed(lambda now: now.first(search=st.session_state["explorer_search"] or "")),
        )
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="explorer_bar"):
        with st.container(width="content"):
            filtering.show(db, view.table)
        _columns(db, view)
        _views(view)
        downloads.show(db)
    return st.container(horizontal=True, vertical_alignment="center", gap="xsmall", key="explorer_chips")


def _picker(infos: Mapping[str, TableInfo], view: View) -> None:
    names = [LIST, *infos] if view.table in infos else [LIST, view.table, *infos]

    def label(name: str) -> str:
        if name == LIST:
            return "All tables"
        return f"{one_line(name)} · {weight(infos[name])}" if name in infos else one_line(name)

    st.selectbox(
        "Table",
        names,
        key=follow("explorer_table", view.table),
        format_func=label,
        label_visibility="collapsed",
        icon=":material/table:",
        filter_mode="contains",
        on_change=lambda: go(View(st.session_state["explorer_table"] or "", limit=view.limit, utc=view.utc)),
    )


def _columns(db: Database, view: View) -> None:
    of = shape_of(db, view.table)
    usual = [one.needs[0] for one in shown_of(of, (), MOST_COLUMNS)]
    every = [column.name for column in of.readable]
    chosen = list(view.columns) or list(dict.fromkeys(usual))
    if view.columns == (ALL,):
        chosen = every if len(every) <= MOST_COLUMNS else []
    with st.popover("Columns", icon=":material/view_column:", key="explorer_columns_open"):
        st.multiselect(
            "Columns, in this order",
            every,
            key=follow("explorer_columns", [name for name in chosen if name in of.by_name]),
            format_func=one_line,
            placeholder=f"All {len(every):,} columns are shown" if view.columns == (ALL,) else None,
            on_change=lambda: changed(lambda now: now.first(columns=tuple(st.session_state["explorer_columns"]))),
        )
        with st.container(horizontal=True):
            st.button(
                "All", key="explorer_columns_all", on_click=changed, args=(lambda now: now.first(columns=(ALL,)),),
                disabled=view.columns == (ALL,),
            )  # fmt: skip
            st.button(
                "As usual", key="explorer_columns_usual", on_click=changed, args=(lambda now: now.first(columns=()),),
                disabled=not view.columns,
            )  # fmt: skip


def _views(view: View) -> None:
    home = state.settings().home
    with st.popover("Views", icon=":material/bookmark:", key="explorer_views_open"):
        st.caption("The address of this page says everything: copy it to share the view. Or keep it under a name here.")
        for path in unreadable(home):
            st.caption(cards.text(f"{path} cannot be read. Mend it and call it {FILE} to have its views back."))
        kept = saved_views(home)
        for number, one in enumerate(kept):
            _view(home, one, number)
        with st.form("explorer_view_form", border=False, clear_on_submit=True):
            name = st.text_input("Name", key="explorer_view_name", placeholder="Losing trades this week", max_chars=80)
            if st.form_submit_button("Save this view", icon=":material/bookmark_add:"):
                with shown():
                    saved = save_view(home, name or "", view)
                    done = "Replaced" if saved.name in {one.name for one in kept} else "Saved as"
                    st.toast(f"{done} {cards.text(saved.name)}.", icon=":material/check_circle:")
                    st.rerun()


def _view(home: Path, one: SavedView, number: int) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.page_link(PAGE, label=cards.text(one.name), icon=":material/bookmark:", query_params=one.view.params())
        st.space("stretch")
        if st.button("Remove", key=f"explorer_view_remove_{number}", icon=":material/delete:", type="tertiary"):
            with shown():
                remove_view(home, one.name)
                st.rerun()
