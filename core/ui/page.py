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


def heading(title: str, sentence: str) -> None:
    """Draw title, status badge and sentence: where the page is, and where the process stands."""
    cache.begin_run()
    with st.container(horizontal=True, vertical_alignment="center", key="page_heading"):
        st.title(title, anchor=False, width="content")
        st.space("stretch")
        cards.badge(state.status())
    st.caption(sentence)


def page(title: str, sentence: str) -> Database:
    """Draw heading and banner; the database to read from: the real one, or the demo's.

    Ends the run with the error's card where the configuration cannot be read: then there is nothing to show.
    """
    heading(title, sentence)
    status = state.status()
    banner(status)
    with guard():
        if not state.settings().configured:
            return demo.database(state.settings().home)
        return state.databases().reader
    raise AssertionError("guard ends the run")


def banner(status: Status) -> None:
    """Why the page does not show fresh, real data, and what to do about it; nothing when all is well."""
    if status.mode == "demo":
        _banner(
            "Demo data",
            "No database is configured. Nothing here is real, and nothing is saved.",
            "Set up a database",
        )
    elif status.mode == "misconfigured":
        _banner(
            "The configuration cannot be read",
            "So there is no database to read from.",
            "Look at the setup",
            icon=":red[:material/error:]",
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
