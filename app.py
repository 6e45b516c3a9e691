"""Tradekeep: the list of its pages; the server when imported by `streamlit run app.py` or `uvicorn app:app`."""

from __future__ import annotations

import streamlit as st
from streamlit import runtime

from core.ui import shell, theme

PAGES = (
    # group, file in pages/, title, icon
    ("Start", "overview", "Overview", "space_dashboard"),
    ("Start", "setup", "Setup", "build"),
    ("Start", "schema", "Schema", "schema"),
    ("Use", "explorer", "Explorer", "table_view"),
    ("Use", "portfolio", "Portfolio", "monitoring"),
    ("Use", "import", "Import", "upload_file"),
)


def navigation() -> dict[str, list[st.Page]]:
    """The pages by their groups, in the order of the table; the first one is the start page."""
    groups: dict[str, list[st.Page]] = {}
    for group, file, title, icon in PAGES:
        groups.setdefault(group, []).append(st.Page(f"pages/{file}.py", title=title, icon=f":material/{icon}:"))
    return groups


if __name__ == "__main__" and runtime.exists():
    # The icon before st.navigation: it would take the page's, which the browser fetches from another host.
    st.set_page_config(page_icon=str(theme.ICON), layout="wide")
    page = st.navigation(navigation())
    st.set_page_config(page_title=f"{page.title} - Tradekeep")
    theme.dress()
    shell.foot()
    page.run()
else:
    from core.api import ROUTES, lifespan
    from core.ui.server import MIDDLEWARE, clean_logs, on_script_error

    clean_logs()
    # Without this, a deep link runs its page's file alone until somebody has opened the start page.
    st.navigation(navigation())
    # Literally so: `streamlit run` finds the app by reading this source.
    app = st.App(__file__, routes=ROUTES, lifespan=lifespan, middleware=MIDDLEWARE, on_script_error=on_script_error)
