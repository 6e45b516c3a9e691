"""Schema: does the database look as it should?"""

import streamlit as st

from core import state, ui
from core.schema import migrate, present
from core.ui import schema

status_of = ui.cached(ttl=2)(migrate.status)
tables_of = ui.cached(ttl=5)(present.tables)

db = ui.page("Schema", "The tables that Tradekeep expects, against those that are there.")
with ui.guard():
    found = status_of(db)
    tables = tables_of(db)
    st.markdown(f"#### {ui.text(schema.sentence(tables, found))}")
    schema.counts(tables)
    if state.status().mode == "connected":
        schema.upgrade(found)
    tables_tab, revisions_tab = st.tabs(["Tables", "Revisions"])
    with tables_tab:
        schema.table_list(tables)
    with revisions_tab:
        schema.history(db, found, migrate.revisions())
