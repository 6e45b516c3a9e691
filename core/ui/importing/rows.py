"""Rows of a file into a table: the first ones, which column goes where, and the two buttons."""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa
import streamlit as st

from core.database import Database
from core.explore.imports import import_rows, preview
from core.explore.imports.mapping import guessed, wanting
from core.explore.imports.preview import Seen
from core.repositories.bulk import Target
from core.tasks import Progress
from core.ui import cards
from core.ui.cache import cached
from core.ui.importing.place import tables_of
from core.ui.importing.source import Source
from core.ui.importing.work import buttons

LEFT_OUT = "leave out"
target_of = cached(ttl=10)(preview.target_of)
ADD, UPSERT = "Add every row", "Add new rows, change changed ones"


def rows(db: Database, chosen: Source, seen: Seen) -> None:
    """What the file holds, where it goes, and what to do."""
    table = _table(db, seen)
    if table is None:
        return
    of = target_of(db, table)
    mapping, values = _mapping(of, seen)
    _first_rows(seen)
    for note in seen.notes:
        st.caption(f":material/info: {cards.text(note)}")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        way = st.selectbox("What to do", [UPSERT, ADD], key="import_do", help=_help(of, mapping, values))
        zone = st.text_input("Time zone of times without one", "UTC", key="import_zone", width=240)
    missing = wanting(of, [*filter(None, mapping.values()), *values])
    if missing:
        st.markdown(f":orange[:material/warning:] {cards.text(table)} needs {cards.text(', '.join(missing))}.")

    def run(dry_run: bool, progress: Progress) -> Any:
        return import_rows(
            db, table, chosen.path, mapping=mapping, values=values, upsert=way == UPSERT, dry_run=dry_run,
            zone=zone.strip() or "UTC", source_table=seen.table, progress=progress, name=chosen.name,
        )  # fmt: skip

    importing = f"Importing {chosen.name} into {table}"
    buttons(f"Import into {cards.text(table)}", f"Looking at {chosen.name}", importing, run, off=bool(missing))


def _table(db: Database, seen: Seen) -> str | None:
    """The table to write into, and the one to read from a SQLite file."""
    tables = tables_of(db)
    with st.container(horizontal=True):
        if len(seen.tables) > 1:
            place = seen.tables.index(seen.table) if seen.table in seen.tables else 0
            st.selectbox("Table of the file", seen.tables, index=place, key="import_from")
        known = st.session_state.get("import_fits")
        mark = (seen.name, seen.names, tuple(tables))
        if known is None or known[0] != mark:
            own = [name for name in tables if "." not in name][:60]
            known = (mark, preview.fitting(db, seen.names, own))
            st.session_state["import_fits"] = known
            st.session_state.pop("import_table", None)
        index = tables.index(known[1]) if known[1] in tables else None
        return st.selectbox("Into the table", tables, index=index, key="import_table", placeholder="Choose a table")


def _mapping(of: Target, seen: Seen) -> tuple[dict[str, str | None], dict[str, str]]:
    """File column -> table column, as chosen; and values for what the file does not have."""
    likely = guessed(seen.names, of)
    options = [LEFT_OUT, *(column.name for column in of.columns if not column.given)]
    chosen: dict[str, str | None] = {}
    left_out = sum(to is None for to in likely.values())
    with st.expander(
        f"Columns: {len(likely) - left_out} of {len(likely)} are known", expanded=True, key="import_columns"
    ):
        for number, column in enumerate(seen.columns):
            key = f"import_map_{of.name}_{number}_{column.name}"
            with st.container(horizontal=True, vertical_alignment="center"):
                samples = ", ".join(column.samples) or "no value in the first rows"
                st.markdown(
                    f"**{cards.text(column.name)}** · :gray[{column.words}]  \n:gray[{cards.text(samples[:44])}]",
                    width="stretch",
                )
                to = likely[column.name] or LEFT_OUT
                picked = st.selectbox(
                    f"{_spoken(column.name)} goes to", options, index=options.index(to), key=key,
                    label_visibility="collapsed", width=200,
                )  # fmt: skip
                chosen[column.name] = None if picked == LEFT_OUT else picked
        values = {}
        for name in wanting(of, [*filter(None, chosen.values())]):
            given = st.text_input(f"{cards.text(name)}, the same for every row", key=f"import_set_{of.name}_{name}")
            if given.strip():
                values[name] = given.strip()
    return chosen, values


def _spoken(name: str) -> str:
    """A column's name as a hidden label: words only, since also there an image would be asked for."""
    return re.sub(r"\W+", " ", name).strip() or "The column"


def _first_rows(seen: Seen) -> None:
    """The first rows as they stand in the file: a canvas draws them, so nothing in them acts."""
    if not seen.rows:
        cards.empty("The file has no row.")
        return
    table = {column.name: [row[place] for row in seen.rows] for place, column in enumerate(seen.columns)}
    st.dataframe(pa.table(table), hide_index=True, height=200, key="import_rows")


def _help(of: Target, mapping: dict[str, str | None], values: dict[str, str]) -> str:
    key = of.key_for([*filter(None, mapping.values()), *values])
    told = f"Rows are told apart by {cards.text(', '.join(key.columns))}; where one of them is empty" if key else "Here"
    content = f"{told}, a row's whole content tells it apart: it is added as often as the file has it more often."
    return f"{content} Importing the same file again changes nothing. “{ADD}” does not look at what is there."
