"""The foot of the sidebar: where the process is connected to, always true, without a click."""

from __future__ import annotations

import streamlit as st

from core import state
from core.format import duration
from core.ui import cards
from core.ui.page import SETUP

EVERY_S = 3
_BREAK = "\u200b"  # a line may end here; without it a long name is cut anywhere


def foot() -> None:
    """Draw the connection in the sidebar and keep it fresh; when the mode changes, the page runs again."""
    # A rerun from within a whole run would swallow the click that caused it, so only the fragment's own runs ask.
    st.session_state["shell_whole_run"] = True
    with st.sidebar:
        _connection()


@st.fragment(run_every=EVERY_S)
def _connection() -> None:
    status = state.status()
    seen = (status.mode, status.ready, status.label, status.demo_data)
    whole_run = st.session_state.pop("shell_whole_run", False)
    before = st.session_state.get("shell_seen", seen)
    st.session_state["shell_seen"] = seen
    if before != seen and not whole_run:
        st.rerun(scope="app")
    with st.container(key="shell_foot", border=True):
        with st.container(horizontal=True, gap="xsmall"):
            cards.badge(status)
        if status.label:
            st.caption(_breakable(status.label))
        if status.latency_ms is not None:
            st.caption(f"PostgreSQL {status.server_version} · {duration(status.latency_ms / 1000)}")
        elif status.mode in ("demo", "misconfigured"):
            st.caption("No database is configured." if status.mode == "demo" else "The configuration cannot be read.")
        st.page_link(SETUP, label="Connection and setup", icon=":material/build:")


def _breakable(label: str) -> str:
    """The label as text whose lines end after @ and / rather than within a name."""
    return cards.text(label).replace("@", f"@{_BREAK}").replace("/", f"/{_BREAK}")
