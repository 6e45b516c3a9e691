"""The frame of a page: heading, status, banner, and the one place where errors are shown."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from core import demo, state
from core.database import Database
from core.errors import TradekeepError
from core.format import duration
from core.state import Status
from core.ui import cache, cards

SETUP = "pages/setup.py"


def page(title: str, sentence: str) -> Database:
    """Draw heading, status badge and banner; the database to read from: the real one, or the demo's."""
    cache.begin_run()
    status = state.status()
    with st.container(horizontal=True, vertical_alignment="center", key="page_heading"):
        st.title(title, anchor=False, width="content")
        st.space("stretch")
        cards.badge(status)
    st.caption(sentence)
    if title != "Setup":
        banner(status)
    if status.mode == "demo" or (status.mode == "starting" and state.settings().database is None):
        return demo.database(state.settings().home)
    return state.databases().reader


def banner(status: Status) -> None:
    """Why the page does not show fresh, real data, and what to do about it; nothing when all is well."""
    if status.mode == "demo" and status.error is not None:
        _banner("The configuration cannot be used, so this is demo data.", cards.text(status.error.message), "Set up")
    elif status.mode == "demo":
        _banner(
            "Demo data",
            "No database is configured. Nothing here is real, and nothing is saved.",
            "Set up a database",
        )
    elif status.mode == "connecting" and status.error is not None:
        _banner(
            f"Connecting to {cards.text(status.label)}",
            f"Try {status.attempt} failed: {cards.text(status.error.message)} The next one follows by itself.",
            "Look at the setup",
        )
    elif status.mode == "down" and status.error is not None:
        _banner(
            f"{cards.text(status.label)} is away",
            f"{cards.text(status.error.message)}. Pages show the last good data, if there is any.",
            "Look at the setup",
            icon=":red[:material/error:]",
        )
    elif status.mode == "connected" and not status.ready:
        _banner("The tables are not there yet", "The database answers, but its schema is not up to date.", "Go on")


def _banner(title: str, sentence: str, action: str, *, icon: str = ":material/info:") -> None:
    with st.container(border=True, horizontal=True, vertical_alignment="center", key="page_banner"):
        st.markdown(f"{icon} **{title}** · {sentence}", width="stretch")
        if st.button(action, key="page_banner_action", type="primary"):
            st.switch_page(SETUP)


@contextmanager
def shown() -> Iterator[None]:
    """Show a TradekeepError as its card where it happened; the rest of the page is drawn all the same."""
    try:
        yield
    except TradekeepError as error:
        cards.error_card(error)


@contextmanager
def guard() -> Iterator[None]:
    """Show a TradekeepError as its card and end this run of the page; tell the age of data that is not fresh."""
    try:
        yield
    except TradekeepError as error:
        cards.error_card(error)
        st.stop()
    age_s = cache.oldest_stale()
    if age_s is not None:
        st.caption(f":material/history: Last good data, {duration(age_s)} old. Fresh data comes by itself.")
