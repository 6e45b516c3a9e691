"""Resolving the chosen alerts with a note."""

from __future__ import annotations

import streamlit as st

from core import state
from core.errors import TradekeepError
from core.format import count
from core.services import alerts
from core.ui import cards
from core.ui.cache import cached, clear
from core.ui.explorer.asked import Found
from core.ui.explorer.detail import remember
from core.ui.explorer.place import begin_anew
from core.ui.page import shown

allowed_of = cached(ttl=30)(alerts.may_resolve)


def show(now: Found, rows: list[int]) -> None:
    """What can be done with the chosen rows; a hint while none is."""
    chosen = [now.values(row) for row in rows]
    ids = [row["id"] for row in chosen if not row["resolved"]]
    refusal = _refusal(now)
    with st.container(horizontal=True, vertical_alignment="center", key="explorer_alerts"):
        label = f"Resolve {count(len(ids), 'alert')}" if ids else "Resolve"
        if st.button(label, key="explorer_resolve", type="primary", icon=":material/done_all:",
                     disabled=bool(refusal) or not ids):  # fmt: skip
            _ask(ids)
        if len(rows) == 1:
            st.button(
                "Show row", key="explorer_show_row", icon=":material/open_in_full:", on_click=remember,
                args=(now, rows[0]),
            )  # fmt: skip
        st.caption(cards.text(refusal or _hint(len(rows), len(ids))), width="content")


def _hint(chosen: int, still_open: int) -> str:
    if not chosen:
        return "Choose alerts in the first column to resolve them with a note."
    done = chosen - still_open
    return f"{count(done, 'chosen alert')} {'is' if done == 1 else 'are'} resolved already." if done else ""


def _refusal(now: Found) -> str:
    """Why nobody can resolve alerts here and now; "" where they can."""
    if not state.settings().configured:
        return "Demo data is read only: alerts can be resolved once a database is set up."
    if now.age_s is not None:
        return "Alerts can be resolved again when the database is back."
    try:
        writer = state.databases().writer
        if allowed_of(writer):
            return ""
    except TradekeepError as error:
        return f"Alerts cannot be resolved now: {error.message.rstrip('.')}."
    return (
        f"The role {writer.config.user} may not change alerts and note it in the audit log. Ask whoever set up the "
        "database to connect Tradekeep with the role that the bots use, in DATABASE_URL."
    )


@st.dialog("Resolve alerts")
def _ask(ids: list[int]) -> None:
    note = st.text_area(
        "What was done?", key="explorer_note", max_chars=alerts.LONGEST_NOTE, placeholder="Restarted the feed at 14:05"
    )
    st.caption(f"Written to {count(len(ids), 'alert')} and to the audit log, with your name and the time.")
    if not st.button("Resolve", key="explorer_resolve_now", type="primary"):
        return
    if not (note or "").strip():  # the button is not disabled meanwhile: the browser sends a text with the click after
        st.caption(":red[:material/error:] A note is needed: it is what the next person reads.")
        return
    with shown():
        done = alerts.resolve(state.databases().writer, ids, note or "", by=alerts.local_operator())
        clear()
        others = len(ids) - len(done)
        told = f"{count(len(done), 'alert')} resolved."
        st.toast(told + (f" {count(others, 'other')} had been resolved by somebody else." if others else ""),
                 icon=":material/check_circle:")  # fmt: skip
        st.session_state.pop("explorer_note", None)
        begin_anew()
        st.rerun()
