"""Rows of a file into a table: the first ones, which column goes where, and the two buttons."""

from __future__ import annotations

from typing import Any, Literal

import pyarrow as pa
import streamlit as st

from core.database import Database
from core.explore.imports import import_rows, preview
from core.explore.imports.preview import Seen
from core.repositories.bulk import Target
from core.tasks import Progress
from core.ui import cards
from core.ui.cache import cached
from core.ui.importing.columns import Chosen, columns, left_out
from core.ui.importing.place import tables_of
from core.ui.importing.source import Source
from core.ui.importing.work import buttons
from core.ui.kept import recall

target_of = cached(ttl=10)(preview.target_of)
DAY, MONTH = "a day of February", "a day of January"
ADD, UPSERT = "Add every row", "Add new rows, change changed ones"


def rows(db: Database, chosen: Source, seen: Seen) -> None:
    """What the file holds, where it goes, and what to do."""
    table = _table(db, seen)
    if table is None:
        told = f"No table has columns like these: {', '.join(seen.names[:12])}. Choose the one that the rows belong to."
        cards.empty(told, icon=":material/help:")
        _first_rows(seen)
        return
    of = target_of(db, table)
    picked = columns(db, of, seen)
    _first_rows(seen)
    for note in seen.notes:
        st.caption(f":material/info: {cards.text(note)}")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        doing = recall("import_do", UPSERT, [UPSERT, ADD])
        way = st.selectbox("What to do", [UPSERT, ADD], key=doing, help=_help(of, picked))
        zone = st.text_input(
            "Time zone of times without one", "UTC", key="import_zone", width=240, persist_state="session"
        )
    comma, day_first = _spelling(seen)
    if left := left_out(picked):
        st.markdown(left)
    if picked.missing:
        st.markdown(f":orange[:material/warning:] {cards.text(table)} needs {cards.text(', '.join(picked.missing))}.")

    def run(dry_run: bool, progress: Progress) -> Any:
        return import_rows(
            db, table, chosen.path, mapping=picked.mapping, values=picked.values, upsert=way == UPSERT,
            dry_run=dry_run, zone=zone.strip() or "UTC", source_table=seen.table, progress=progress, name=chosen.name,
            bot=picked.bot, comma=comma, day_first=day_first,
        )  # fmt: skip

    importing = f"Importing {chosen.name} into {table}"
    off = bool(picked.missing)
    buttons(f"Import into {cards.text(table)}", f"Looking at {chosen.name}", importing, run, off=off)


def _table(db: Database, seen: Seen) -> str | None:
    """The table to write into, and the one to read from a SQLite file."""
    tables = tables_of(db)
    with st.container(horizontal=True):
        if len(seen.tables) > 1:
            here = recall("import_from", seen.table, seen.tables)
            st.selectbox("Table of the file", seen.tables, key=here)
        known = st.session_state.get("import_fits")
        mark = (seen.name, seen.names, tuple(tables))
        if known is None or known[0] != mark:
            own = [name for name in tables if "." not in name][:60]
            known = (mark, preview.fitting(db, seen.names, own))
            st.session_state["import_fits"] = known
            st.session_state["import_table"] = known[1]
        into = recall("import_table", known[1], [None, *tables])
        return st.selectbox("Into the table", tables, index=None, key=into, placeholder="Choose a table")


def _spelling(seen: Seen) -> tuple[bool, bool | None]:
    """How numbers and days are written that can be read in two ways, where the file has such."""
    comma, day_first = False, None
    with st.container(horizontal=True):
        if seen.commas:
            key = recall("import_comma", False)
            comma = st.toggle("Decimal comma: 1.234,56", key=key, help="Without it, such numbers are refused.")
        if seen.unsure_days:
            told = st.segmented_control("01/02/2024 is", [DAY, MONTH], key=recall("import_days", None))
            day_first = None if told is None else told == DAY
    return comma, day_first


def _first_rows(seen: Seen) -> None:
    """The first rows as they stand in the file: a canvas draws them, so nothing in them acts."""
    if not seen.rows:
        cards.empty("The file has no row.")
        return
    table = {column.name: [row[place] for row in seen.rows] for place, column in enumerate(seen.columns)}
    height: int | Literal["content"] = "content" if len(seen.rows) < 5 else 200
    st.dataframe(pa.table(table), hide_index=True, height=height, key="import_rows", placeholder="NULL")


def _help(of: Target, picked: Chosen) -> str:
    key = of.key_for(picked.have)
    told = f"Rows are told apart by {cards.text(', '.join(key.columns))}; where one of them is empty" if key else "Here"
    content = f"{told}, a row's whole content tells it apart: it is added as often as the file has it more often."
    return f"{content} Importing the same file again changes nothing. “{ADD}” does not look at what is there."
