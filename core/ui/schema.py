"""The parts of the Schema page: tables with their state, and revisions with their SQL."""

from __future__ import annotations

from collections import Counter

import streamlit as st

from core import state
from core.database import Database
from core.format import count, size
from core.schema import migrate
from core.schema.migrate import Revision, SchemaVersion
from core.schema.present import TableState
from core.setup import wizard
from core.ui import cards, work
from core.ui.cache import cached, clear

UPGRADE = "schema_upgrade"
sql_of = cached(ttl=3600)(migrate.sql)
WORDS = {"present": "present", "missing": "missing", "extra": "not ours", "incomplete": "columns missing"}
ICONS = {
    "present": ":green[:material/check_circle:]",
    "missing": ":red[:material/error:]",
    "incomplete": ":orange[:material/warning:]",
    "extra": ":gray[:material/help:]",
}


def condition(table: TableState) -> str:
    """present, incomplete (a column is missing), missing or extra."""
    return "incomplete" if table.missing_columns else table.state


def sentence(tables: list[TableState], found: SchemaVersion) -> str:
    """The answer to "does the database look as it should?" in one sentence."""
    counts = Counter(condition(table) for table in tables)
    expected = len(tables) - counts["extra"]
    if not found.compatible:
        return f"The database has revision {found.current_version}, which this version of Tradekeep does not know."
    if found.unmanaged:
        return f"{count(len(found.unmanaged), 'table')} of ours were made by hand: no revision is recorded."
    if counts["missing"] == expected:
        return "The database is empty: none of the tables is there yet."
    if counts["missing"] or counts["incomplete"]:
        return f"{counts['missing']} of {count(expected, 'table')} are missing, {counts['incomplete']} lack columns."
    if found.migration_needed:
        return f"All tables are there; {count(len(found.pending), 'revision')} to go."
    return f"All {count(expected, 'table')} are there, at the newest revision {found.current_version}."


def counts(tables: list[TableState]) -> None:
    """How many tables are in which state."""
    found = Counter(condition(table) for table in tables)
    with st.container(horizontal=True):
        for name in ("present", "missing", "incomplete", "extra"):
            if found[name] or name in ("present", "missing"):
                icon = ICONS[name] if found[name] else ":gray[:material/check:]"
                st.markdown(f"{icon} **{found[name]}** {WORDS[name]}")


def table_list(tables: list[TableState]) -> None:
    """Every table with area, state, what differs, rows (estimated) and size."""
    chosen = st.segmented_control(
        "Show", ["All", "Differences"], default="All", key="schema_show", label_visibility="collapsed"
    )
    rows = [table for table in tables if chosen != "Differences" or condition(table) != "present"]
    if not rows:
        cards.empty("No difference: every table is as expected.", icon=":material/verified:")
        return
    differ = any(table.missing_columns or table.extra_columns for table in rows)
    st.dataframe(
        [_row(table, differ) for table in rows],
        hide_index=True,
        width="stretch",
        height="content",
        column_config={
            "Rows": st.column_config.TextColumn(help="The server's estimate; exact after ANALYZE.", alignment="right"),
            "Size": st.column_config.TextColumn(help="Table and indexes together.", alignment="right"),
        },
    )


def _row(table: TableState, differ: bool) -> dict[str, str]:
    row = {"Table": table.name, "Area": table.area or "not ours", "State": WORDS[condition(table)]}
    if differ:
        missing = [f"missing {name}" for name in table.missing_columns]
        row["Columns that differ"] = ", ".join(missing + [f"extra {name}" for name in table.extra_columns])
    row["Rows"] = "" if table.rows_estimate is None else f"~{table.rows_estimate:,}"
    row["Size"] = "" if table.bytes is None else size(table.bytes)
    return row


def upgrade(found: SchemaVersion) -> None:
    """Create or upgrade with live progress; refused with a reason where it would do harm."""
    task = work.ended(UPGRADE)
    if work.running(UPGRADE):
        return
    if task is not None and task.state == "done":
        made = task.result
        st.success(
            f"{count(len(made.tables_created), 'table')} created, {len(made.tables_skipped)} were already there.",
            icon=":material/check_circle:",
        )
    if not found.migration_needed or not found.compatible:
        return
    label = "Upgrade" if found.current_version else "Create the tables"
    if st.button(label, type="primary", key="schema_upgrade_button"):
        databases = state.databases()

        def run(progress: work.Progress) -> object:
            made = wizard.create_tables(databases, progress)
            clear()
            state.refresh(3.0)
            return made

        state.tasks().forget(UPGRADE)
        work.begin(UPGRADE, "Creating the tables", run)
        st.rerun()


def history(db: Database, found: SchemaVersion, revisions: list[Revision]) -> None:
    """The revisions, newest last, each with its SQL."""
    pending = {revision.id for revision in found.pending}
    for revision in revisions:
        current = revision.id == found.current_version
        word = "pending" if revision.id in pending else "current" if current else "done"
        icon = ":blue[:material/pending:]" if word == "pending" else ":green[:material/check_circle:]"
        with st.expander(f"{icon} {revision.id} · {cards.text(revision.title)} · {word}"):
            st.code(sql_of(db, revision.id), language="sql")
