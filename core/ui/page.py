"""The frame of a page: heading, status, banner, and the one place where errors are shown."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from core import state
from core.database import Database
from core.errors import TradekeepError
from core.format import duration
from core.state import Status
from core.ui import cache, cards

SETUP, EXPLORER = "pages/setup.py", "pages/explorer.py"


def heading(title: str, sentence: str) -> None:
    """Draw title, status badge and sentence: where the page is, and where the process stands."""
    cache.begin_run()
    with st.container(horizontal=True, vertical_alignment="center", key="page_heading"):
        st.title(title, anchor=False, width="content")
        st.space("stretch")
        cards.badge(state.status())
    st.caption(sentence)


def page(title: str, sentence: str, *, shows_next_step: bool = False) -> Database:
    """Draw heading and banner; the database to read from: the real one, or the demo's.

    shows_next_step: the page itself leads on to the setup, so that the banner need not. Ends the run with the
    error's card where the configuration cannot be read: then there is nothing to show.
    """
    heading(title, sentence)
    banner(state.status(), action=not shows_next_step)
    with guard():
        if not state.settings().configured:
            from core import demo  # its generator loads numpy, which no configured app needs to start

            return demo.database(state.settings().home)
        return state.databases().reader
    raise AssertionError("guard ends the run")


def banner(status: Status, *, action: bool = True) -> None:
    """Why the page does not show fresh, real data; with action: a button that leads on. Nothing when all is well."""
    found = _reason(status)
    if found is None:
        return
    title, sentence, label = found
    icon = ":red[:material/error:]" if status.mode in ("down", "misconfigured") else ":material/info:"
    with st.container(border=True, horizontal=True, vertical_alignment="center", key="page_banner"):
        st.markdown(f"{icon} **{cards.text(title)}** · {cards.text(sentence)}", width="stretch")
        if action and st.button(label, key="page_banner_action", type="primary"):
            st.switch_page(SETUP)


def _reason(status: Status) -> tuple[str, str, str] | None:
    """What a banner says: title, sentence, and the label of its button."""
    why = f"{status.error.message.rstrip('.')}." if status.error else ""
    if status.mode == "demo":
        sentence = "No database is configured. Nothing here is real, and nothing is saved."
        return "Demo data", sentence, "Set up a database"
    if status.mode == "misconfigured":
        return "The configuration cannot be read", "So there is no database to read from.", "Look at the setup"
    if status.mode == "connecting" and status.error:
        sentence = f"Try {status.attempt} failed: {why} The next one follows by itself."
        return f"Connecting to {status.label}", sentence, "Look at the setup"
    if status.mode == "down":
        return f"{status.label} is away", f"{why} Pages show the last good data, if there is any.", "Look at the setup"
    if status.mode == "connected" and not status.ready:
        sentence = "The database answers, but its schema is not up to date."
        return "The tables are not as expected", sentence, "Look at the setup"
    if status.demo_data:
        sentence = "Invented rows were loaded into this database; remove them before your bots trade on it."
        return "Demo data", sentence, "Remove it in the setup"
    return None


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
