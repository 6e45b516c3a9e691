"""Whether anything can be imported here, and through which connection."""

from __future__ import annotations

import streamlit as st

from core import state
from core.database import Database
from core.explore.imports import rights
from core.format import count
from core.ui import cards
from core.ui.cache import cached, clear

rights_of = cached(ttl=10)(rights.tables)
statements_of = cached(ttl=10)(rights.statements)
USUAL = "trades"


def allowed() -> Database | None:
    """The database to write to, the owner's connection where there is one; else says why not and gives None."""
    if not state.settings().configured:
        cards.empty("Demo data is read only: rows are imported once a database is set up.", icon=":material/science:")
        return None
    db = state.databases().owner
    found = rights_of(db)
    if any(found.values()):
        return db
    if found:
        _forbidden(db, list(found))
    else:
        cards.empty("There is no table yet to import into. Create the tables on the Schema page.")
        st.page_link("pages/schema.py", label="Go to the schema", icon=":material/schema:")
    return None


def tables_of(db: Database) -> list[str]:
    """The tables that this role may insert into, by name."""
    return [name for name, may in rights_of(db).items() if may]


def _forbidden(db: Database, tables: list[str]) -> None:
    """What this role lacks, table by table, as the statements that grant it."""
    cards.empty(
        f"The role {db.config.user} may only read: it may write to none of the {count(len(tables), 'table')} here.",
        icon=":material/lock:",
    )
    usual = tables.index(USUAL) if USUAL in tables else 0
    table = st.selectbox("Table to import into", tables, index=usual, key="import_forbidden")
    if table is None:
        return
    st.markdown("Have the owner of the table grant what is missing, and nothing else:")
    st.code("\n".join(statements_of(db, table)), language="sql", wrap_lines=True)
    st.caption("Or give Tradekeep the owner's login as DATABASE_OWNER_URL: the bots' own role stays as it is.")
    st.button("Look again", key="import_again", icon=":material/refresh:", on_click=clear)
