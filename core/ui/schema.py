"""The parts of the Schema page: tables with their state, and revisions with their SQL."""

from __future__ import annotations

from collections import Counter

import streamlit as st

from core import state
from core.database import Database
from core.format import count, size
from core.schema import migrate
from core.schema.migrate import InitializationResult, Revision, SchemaVersion
from core.schema.present import TableState
from core.ui import cards, work
from core.ui.cache import cached, clear
from core.ui.page import shown

UPGRADE = "schema_upgrade"
SHOWN = 40
sql_of = cached(ttl=3600)(migrate.sql)
damage_of = cached(ttl=5)(migrate.damage)
# Worst first.
WORDS = {"missing": "missing", "incomplete": "columns missing", "present": "present", "extra": "not ours"}
ICONS = {
    "present": ":green[:material/check_circle:]",
    "missing": ":red[:material/error:]",
    "incomplete": ":orange[:material/warning:]",
    "extra": ":gray[:material/help:]",
}
SIGNS = {"missing": "✕", "incomplete": "△", "present": "✓", "extra": "?"}  # a cell of a table shows no icons


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
        verb = "was" if len(found.unmanaged) == 1 else "were"
        return f"{count(len(found.unmanaged), 'table')} of ours {verb} made by hand: no revision is recorded."
    if counts["missing"] == expected:
        return "The database is empty: none of the tables is there yet."
    parts = []
    if missing := counts["missing"]:
        parts.append(f"{missing} of {count(expected, 'table')} {'is' if missing == 1 else 'are'} missing")
    if incomplete := counts["incomplete"]:
        parts.append(f"{count(incomplete, 'table')} {'lacks' if incomplete == 1 else 'lack'} columns")
    if parts:
        return f"{', and '.join(parts)}."
    if found.migration_needed:
        return f"All {count(expected, 'table')} are there; {count(len(found.pending), 'revision')} to go."
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
    """Every table with state, what differs, rows (estimated), size and area; damaged ones first."""
    chosen = st.segmented_control(
        "Show", ["All", "Differences"], default="All", key="schema_show", label_visibility="collapsed"
    )
    rows = [table for table in tables if chosen != "Differences" or condition(table) != "present"]
    if not rows:
        cards.empty("No difference: every table is as expected.", icon=":material/verified:")
        return
    rank = list(WORDS)
    if any(condition(table) in rank[:2] for table in rows):
        rows = sorted(rows, key=lambda table: rank.index(condition(table)))
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
    state = condition(table)
    row = {"Table": table.name, "State": f"{SIGNS[state]} {WORDS[state]}"}  # a phone shows the first columns only
    if differ:
        missing = [f"missing {name}" for name in table.missing_columns]
        row["Columns that differ"] = ", ".join(missing + [f"extra {name}" for name in table.extra_columns])
    row["Rows"] = "" if table.rows_estimate is None else f"~{table.rows_estimate:,}"
    row["Size"] = "" if table.bytes is None else size(table.bytes)
    row["Area"] = table.area or "not ours"
    return row


def upgrade(found: SchemaVersion) -> None:
    """Create or upgrade with live progress; refused with a reason where it would do harm."""
    task = work.ended(UPGRADE)
    if work.running(UPGRADE):
        return
    if task is not None and task.state == "done" and task.result is not None:
        _show_result(task.result)
    if not found.migration_needed or not found.compatible:
        return
    if found.matching:
        record(found, UPGRADE)
        return
    damaged = bool(found.missing or found.incomplete)
    label = "Create what is missing" if damaged else "Upgrade" if found.current_version else "Create the tables"
    if damaged:
        damage(state.databases().owner)
    if st.button(label, type="primary", key="schema_upgrade_button"):
        databases, wait_s = state.databases(), state.settings().init_timeout_s

        def run(progress: work.Progress) -> object:
            made = migrate.upgrade(databases.owner, progress=progress, lock_wait_s=wait_s)
            clear()
            state.refresh(3.0)
            return made

        state.tasks().forget(UPGRADE)
        upgrades = found.pending and found.current_version
        work.begin(UPGRADE, "Upgrading the schema" if upgrades else "Creating the tables", run)
        st.rerun()


def record(found: SchemaVersion, name: str) -> None:
    """Offer to record the revision that tables without a record match; name: of the task that does it."""
    st.markdown(
        f"The record of the schema's revision is lost; all tables of revision {cards.text(str(found.matching))} are "
        "there. Recording that changes no table and no row, and upgrades go on from there."
    )
    if st.button(f"Record revision {found.matching}", type="primary", key=f"{name}_record"):
        databases, wait_s = state.databases(), state.settings().init_timeout_s

        def run(progress: work.Progress) -> None:
            migrate.stamp(databases.owner, migrate.MATCHING, lock_wait_s=wait_s)
            clear()
            state.refresh(3.0)

        state.tasks().forget(name)
        work.begin(name, "Recording the revision", run)
        st.rerun()


def damage(owner: Database) -> None:
    """What is missing in a database at the newest revision, and the SQL that makes it again, all or nothing."""
    with st.expander("What is missing, and the SQL that makes it again"):
        with shown():
            found = damage_of(owner)
            for title, sql in found[:SHOWN]:
                st.markdown(f":orange[:material/build:] {cards.text(title)}")
                st.code(sql, language="sql")
            if len(found) > SHOWN:
                st.caption(f"And {len(found) - SHOWN} more.")
        st.caption("Rows that stood there are not brought back: for those restore a backup.")


def _show_result(made: InitializationResult) -> None:
    there = len(made.tables_skipped)
    verb = "was" if there == 1 else "were"
    told = f"{count(len(made.tables_created), 'table')} created, {there} {verb} already there."
    if made.success:
        st.success(told, icon=":material/check_circle:")
        return
    left = "".join(f"\n- {cards.text(error)}" for error in made.errors)
    st.warning(f"{told} Not everything could be made again, and the rest is kept:{left}", icon=":material/warning:")


@st.fragment
def history(db: Database, found: SchemaVersion, revisions: list[Revision]) -> None:
    """The revisions, newest last; the SQL of one is sent when it is opened: to colour it is work."""
    pending = {revision.id for revision in found.pending}
    for revision in revisions:
        current = revision.id == found.current_version
        word = "pending" if revision.id in pending else "current" if current else "done"
        icon = ":blue[:material/pending:]" if word == "pending" else ":green[:material/check_circle:]"
        title = f"{icon} {revision.id} · {cards.text(revision.title)} · {word}"
        opened = st.expander(title, key=f"schema_revision_{revision.id}", on_change="rerun")
        if opened.open:
            with opened, shown():
                st.code(sql_of(db, revision.id), language="sql")
