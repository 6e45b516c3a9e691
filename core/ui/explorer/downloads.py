"""Taking away everything that matches: written to a file as a task, then offered."""

from __future__ import annotations

import secrets
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
from core.ui.explorer.place import shape_of

HELP = {
    "csv": "With a heading. A text that a spreadsheet would take for a formula gets an apostrophe before it.",
    "parquet": "With types: exact numbers and times in UTC.",
    "jsonl": "One object a line.",
}


def show(db: Database, view: View) -> None:
    """The popover: format, progress, and the finished file."""
    name = _task()
    with st.popover("Download", icon=":material/download:", key="explorer_download_open"):
        task = work.ended(name)
        if work.running(name):
            return
        if task is not None and task.state == "done":
            _offered(task.result)
        chosen = st.segmented_control(
            "Format", list(exports.MEDIA), format_func=lambda one: exports.MEDIA[one], default="csv", required=True,
            key="explorer_format",
        )  # fmt: skip
        what = "Every row that matches" if view.filters or view.search else "Every row of the table"
        columns = count(len(view.columns), "chosen column") if view.columns not in ((), (ALL,)) else "all columns"
        if chosen is None:
            return
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

    state.tasks().forget(name)
    work.begin(name, f"Writing {view.table} as {exports.MEDIA[chosen]}", run)


def _offered(made: Offer) -> None:
    if offered(made.token) is None:
        st.caption("The last file is not kept any longer.")
        return
    st.link_button(
        cards.text(made.name),
        urljoin(st.context.url or "/", f"exports/{made.token}"),
        icon=":material/download:",
        type="primary",
    )
    st.caption(f"{count(made.rows, 'row')} · {size(made.bytes)} · kept for an hour")
