"""Whether anything can be imported here, and through which connection."""

from __future__ import annotations

import streamlit as st

from core import state
from core.database import Database
from core.explore.imports import preview
from core.ui import cards
from core.ui.cache import cached

tables_of = cached(ttl=10)(preview.writable)
SETUP = "pages/setup.py"


def allowed() -> Database | None:
    """The database to write to, the owner's connection where there is one; else says why not and gives None."""
    if not state.settings().configured:
        cards.empty("Demo data is read only: rows are imported once a database is set up.", icon=":material/science:")
        if st.button("Set up a database", key="import_setup", type="primary", icon=":material/build:"):
            st.switch_page(SETUP)
        return None
    db = state.databases().owner
    if tables_of(db):
        return db
    role = db.config.user
    cards.empty(
        f"There is no table that the role {role} may write to. Create the tables on the Schema page, or ask whoever "
        "set up the database for the owner's connection, DATABASE_OWNER_URL.",
        icon=":material/lock:",
    )
    st.page_link("pages/schema.py", label="Go to the schema", icon=":material/schema:")
    return None
