"""The import as a task, and what became of it: counts, notes, and the rows at fault as a file."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import streamlit as st

from core import state
from core.explore.imports import BotImport, Imported, errors_csv
from core.format import duration
from core.tasks import Progress
from core.ui import cards, work
from core.ui.cache import clear

NAME = "import"
SHOWN = 100


def busy() -> bool:
    """Whether an import runs now, here or in another window."""
    return work.running(NAME)


def begin(title: str, run: Callable[[Progress], Any]) -> None:
    """Start an import, unless one runs."""

    def cleared(progress: Progress) -> Any:
        try:
            return run(progress)
        finally:
            clear()  # what pages have kept is older than the rows

    state.tasks().forget(NAME)
    work.begin(NAME, title, cleared)


def buttons(label: str, looking: str, importing: str, run: Callable[[bool, Progress], Any], off: bool = False) -> None:
    """The two ways to begin: to try it without writing, and to do it. run(dry_run, progress).

    looking, importing: the titles of these two tasks.
    """
    st.session_state["import_waits"] = busy()
    off = off or st.session_state["import_waits"]
    with st.container(horizontal=True):
        st.button(
            "Try without writing", key="import_dry", icon=":material/fact_check:", disabled=off,
            on_click=begin, args=(looking, partial(run, True)),
        )  # fmt: skip
        st.button(
            label, key="import_go", type="primary", icon=":material/upload:", disabled=off,
            on_click=begin, args=(importing, partial(run, False)),
        )  # fmt: skip


def hide() -> None:
    """Show no more in this window what became of the last import: it belongs to another file."""
    task = state.tasks().latest(NAME)
    st.session_state["import_hidden"] = task.id if task and not task.running else None


def results() -> None:
    """Progress of the import that runs, or what became of the last one."""
    task = state.tasks().latest(NAME)
    if task is None or (not task.running and task.id == st.session_state.get("import_hidden")):
        return
    if task.running and work.ended(NAME) is None:
        return
    if st.session_state.pop("import_waits", False):  # it ended since the buttons were drawn, which would stay off
        st.rerun()
    with st.container(border=True, key="import_result"):
        work.head(task)
        work.ended(NAME)
        if task.state == "cancelled":
            st.markdown(f"**{cards.text(task.message if task.done else 'Nothing was written')}.**")
            st.caption("Each batch is there in full or not at all; importing the file again goes on from there.")
        elif isinstance(task.result, Imported):
            _rows(task.result)
        elif isinstance(task.result, BotImport):
            _bot(task.result)


def _figures(figures: dict[str, int]) -> None:
    with st.container(horizontal=True):
        for label, number in figures.items():
            st.metric(label, f"{number:,}")


def _rows(done: Imported) -> None:
    good = ":green[:material/check_circle:]" if not done.error_count else ":orange[:material/warning:]"
    what = "Nothing was written; this would happen" if done.dry_run else "Imported"
    st.markdown(f"{good} **{what}** · {cards.text(done.sentence)} · {duration(done.elapsed_ms / 1000)}")
    _figures(
        {"New": done.inserted, "Changed": done.updated, "There already": done.skipped, "At fault": done.error_count}
    )
    for note in done.notes:
        st.caption(f":material/info: {cards.text(note)}")
    if not done.errors:
        return
    st.dataframe(
        [{"Row": e.row, "Column": e.column, "Value": e.value, "Why": e.reason} for e in done.errors[:SHOWN]],
        hide_index=True, key="import_errors", height="content" if len(done.errors) < 8 else 300,
    )  # fmt: skip
    with st.container(horizontal=True):  # both are made when they are asked for
        st.download_button(
            "Download the rows at fault", partial(errors_csv, done.errors), "rows-at-fault.csv", "text/csv",
            key="import_errors_file", icon=":material/download:", on_click="ignore",
        )  # fmt: skip
        if done.faulty and done.faulty.rows:
            st.download_button(
                "Download them to correct", partial(done.faulty.csv, done.errors), "rows-to-correct.csv", "text/csv",
                key="import_errors_whole", icon=":material/edit_note:", on_click="ignore",
            )  # fmt: skip
    st.caption("Row 1 is the first one after the names. The file to correct has the rows as they stood, of the columns "
               "that are imported, with the reason; import it once they are right.")  # fmt: skip


def _bot(done: BotImport) -> None:
    ok = all(one.ok for one in done.reconciled)
    icon = ":green[:material/check_circle:]" if ok else ":red[:material/error:]"
    what = "Nothing was written; this would happen" if done.dry_run else "Imported"
    st.markdown(f"{icon} **{what}** · {cards.text(done.bot)}")
    for table, counts in done.counts.items():
        told = f"{counts.inserted:,} new, {counts.updated:,} changed, {counts.skipped:,} there already"
        st.markdown(f"{cards.text(table)}: {told}")
    st.dataframe(
        [
            {"": "✓" if one.ok else "✕", "Figure": one.name, done.kind: f"{one.theirs.normalize():f}",
             "Here": f"{one.ours.normalize():f}", "Why they differ": one.why}
            for one in done.reconciled
        ],
        hide_index=True, key="import_reconciled", height="content",
    )  # fmt: skip
    if done.left:
        with st.expander(f"Not carried over: {len(done.left)}"):
            for left in done.left[:200]:
                st.markdown(f"- {cards.text(left)}")
    for note in done.notes:
        st.caption(f":material/info: {cards.text(note)}")
