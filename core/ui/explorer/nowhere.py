"""An address that names a table or a column which this database does not have: what it may mean, and the way out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import streamlit as st

from core.database import Database
from core.errors import TradekeepError
from core.explore.address import View
from core.explore.cells import one_line, shortened
from core.explore.likely import likely
from core.explore.listing import wanted
from core.explore.related import described
from core.ui import cards
from core.ui.explorer.place import changed, go, shape_of


def table(db: Database, name: str, tables: Sequence[str]) -> bool:
    """Whether no table has the name that the address says; its card is drawn then. tables: those that there are.

    Raises schema.missing_table where it is one of Tradekeep's own, which an upgrade of the schema makes.
    """
    try:
        shape_of(db, name)
    except TradekeepError as error:
        if error.kind != "schema.missing_table" or wanted(name):
            raise
    else:
        return False
    close = likely(name, tables)
    with _card(f"There is no table {_name(name)} here that this role may read", "for it", close):
        if close:
            st.button(f"Open {_label(close)}", key="explorer_meant", type="primary", on_click=go, args=(View(close),))
        st.button("Show all tables", key="explorer_all", on_click=go, args=(View(),))
    return True


def column(db: Database, view: View, error: TradekeepError) -> bool:
    """Whether there are no rows because the address names a column that the table has not; its card is drawn then.

    Not where it is a column of Tradekeep's own, which an upgrade of the schema makes.
    """
    if error.kind != "schema.missing_column":
        return False
    of = described(db, view.table)
    name = next((name for name in view.named() if name not in of.by_name and not wanted(view.table, name)), None)
    if name is None:
        return False
    close = likely(name, [column.name for column in of.readable if column.name not in view.columns])
    places = " and ".join(view.places(name))
    with _card(f"There is no column {_name(name)} in {_name(view.table)}", f"for it in {places}", close):
        if close:
            st.button(
                f"Use {_label(close)}", key="explorer_meant", type="primary", on_click=changed,
                args=(lambda now: now.naming(name, close),),
            )  # fmt: skip
        st.button(
            f"Remove {_label(name)} from {places}", key="explorer_unname", on_click=changed,
            args=(lambda now: now.naming(name, None),),
        )  # fmt: skip
    return True


@contextmanager
def _card(title: str, asked: str, close: str) -> Iterator[None]:
    """A card that says what is not there, around the buttons that lead on."""
    with st.container(border=True):
        st.markdown(f":red[:material/error:] **{title}**")
        meant = f" Did you mean {_name(close)}?" if close else ""
        st.markdown(f"The address of this page asks {asked}.{meant}")
        st.markdown("**What to do** · Use what is here:" if close else "**What to do** · Go on without it:")
        with st.container(horizontal=True, gap="small"):
            yield


def _label(name: str) -> str:
    return cards.text(shortened(one_line(name), 40))


def _name(name: str) -> str:
    return cards.text(shortened(one_line(name), 80)) or '""'
