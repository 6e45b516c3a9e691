"""Taking away everything that matches: written to a file as a task, then offered."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any
from urllib.parse import urljoin

import streamlit as st

from core import state
from core.database import Database
from core.explore.address import ALL, View
from core.explore.typed import ready
from core.format import count, size
from core.services import exports
from core.services.alerts import local_operator
from core.services.downloads import Offer, offered
from core.tasks import Progress
from core.ui import cards, work
from core.ui.explorer.place import current, shape_of
from core.ui.kept import recall
from core.ui.page import shown

EXPORTED = "explorer_exported"
HELP = {
    "csv": "With a heading. A text that a spreadsheet would take for a formula gets an apostrophe before it.",
    "parquet": "With types: exact numbers and times in UTC.",
    "jsonl": "One object a line.",
}


@st.fragment
def show(db: Database) -> None:
    """The popover: format, progress, and the finished file; of the view that the address means when it is opened."""
    popover = st.popover("Download", icon=":material/download:", key="explorer_download_open", on_change="rerun")
    with popover, shown():
        if popover.open:
            _popover(db, current())


def _popover(db: Database, view: View) -> None:
    name = _task()
    task = work.ended(name)
    if work.running(name):
        return
    if task is not None and task.state == "done":
        _offered(task.result, fresh=st.session_state.get(EXPORTED) == _rows_of(view))
    chosen = st.segmented_control(
        "Format", list(exports.MEDIA), format_func=lambda one: exports.MEDIA[one], required=True,
        key=recall("explorer_format", "csv", list(exports.MEDIA)),
    )  # fmt: skip
    if chosen is None:
        return
    what = "Every row that matches" if view.filters or view.search else "Every row of the table"
    columns = count(len(view.columns), "chosen column") if view.columns not in ((), (ALL,)) else "all columns"
    st.caption(f"{what}, {columns}. {HELP[chosen]}")
    st.button("Prepare the file", key="explorer_export", on_click=_begin, args=(db, view, chosen, name))


def _task() -> str:
    if "explorer_exporter" not in st.session_state:
        st.session_state["explorer_exporter"] = secrets.token_hex(8)
    return f"explorer_export_{st.session_state['explorer_exporter']}"


def _begin(db: Database, view: View, chosen: Any, name: str) -> None:
    home = state.settings().home
    configured = state.settings().configured
    demo = not configured or state.status().demo_data
    log = state.databases().writer if configured else None
    of = shape_of(db, view.table)
    asked = view.first(filters=ready(view.filters, of))

    def run(progress: Progress) -> Offer:
        return exports.export_view(
            db, asked, chosen, home=home, demo=demo, progress=progress, log=log, by=local_operator()
        )

    st.session_state[EXPORTED] = _rows_of(view)
    state.tasks().forget(name)
    work.begin(name, f"Writing {view.table} as {exports.MEDIA[chosen]}", run)


def _rows_of(view: View) -> str:
    """What decides which rows and columns a file has."""
    return replace(view.matching(), sort=view.sort, columns=view.columns).query()


def _offered(made: Offer, *, fresh: bool) -> None:
    """The finished file; fresh: whether it is of what the page shows now."""
    if offered(made.token) is None:
        st.caption("The last file is not kept any longer.")
        return
    if not fresh:
        st.caption("The last file is of another table, or of other filters, columns or order:")
    st.link_button(
        cards.text(made.name),
        urljoin(st.context.url or "/", f"exports/{made.token}"),
        icon=":material/download:",
        type="primary" if fresh else "secondary",
    )
    st.caption(f"{count(made.rows, 'row')} · {size(made.bytes)} · kept for an hour")
