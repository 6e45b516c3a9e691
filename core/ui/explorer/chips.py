"""What narrows or orders a view, each with a click to remove it."""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.database import Database
from core.explore.address import View
from core.explore.cells import one_line, shortened
from core.explore.typed import sentence
from core.ui import cards
from core.ui.explorer.place import changed, shape_of, zone


def show(db: Database, view: View, place: DeltaGenerator, otherwise: str) -> None:
    """The chips of a view in `place`; a remark where nothing narrows or orders it."""
    if not (view.filters or view.search or view.sort):
        place.caption(cards.text(otherwise), width="content")
        return
    of = shape_of(db, view.table)
    with place:
        for number, one in enumerate(view.filters):
            left = view.filters[:number] + view.filters[number + 1 :]
            _chip(sentence(one, of, zone(view)), f"filter_{number}", view.first(filters=left))
        if view.search:
            _chip(f"anywhere “{shortened(one_line(view.search), 40)}”", "search", view.first(search=""))
        if view.sort:
            named = ", ".join(f"{one_line(one.column)} {'↓' if one.descending else '↑'}" for one in view.sort)
            _chip(f"sorted by {named}", "sort", view.first(sort=()))
        if len(view.filters) + bool(view.search) > 1:
            st.button(
                "Clear all",
                key="explorer_chip_all",
                type="tertiary",
                on_click=changed,
                args=(lambda now: now.first(filters=(), search=""),),
            )


def _chip(label: str, key: str, without: View) -> None:
    st.button(
        cards.text(label),
        key=f"explorer_chip_{key}",
        icon=":material/close:",
        icon_position="right",
        on_click=changed,
        args=(lambda _: without,),
    )
