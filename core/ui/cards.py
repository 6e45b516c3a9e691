"""What pages are made of: texts that cannot carry markup, badges, and the one card for every error."""

from __future__ import annotations

import re

import streamlit as st

from core.errors import PLATFORM_NAMES, TradekeepError
from core.state import Status

_MARKUP = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>$~:])")
# GFM makes links of these even where they are escaped; an empty span between their parts is neither seen nor copied.
_LINK = re.compile(r"@|www(?=\\\.)|\\:(?=//)", re.I)
_COMMAND = re.compile(r"^(?P<text>.*?): (?P<command>[\w./~$\"'\\-]+(?: .*)?[^.])$", re.S)
BADGES = {
    "connected": ("Connected", "green", ":material/check_circle:"),
    "demo": ("Demo", "violet", ":material/science:"),
    "connecting": ("Connecting", "orange", ":material/sync:"),
    "starting": ("Starting", "gray", ":material/sync:"),
    "misconfigured": ("Misconfigured", "red", ":material/error:"),
    "down": ("Down", "red", ":material/error:"),
    "attention": ("Needs setup", "orange", ":material/build:"),
}


def text(value: object) -> str:
    """A value as markdown that shows exactly its characters: no links, images or emphasis from data."""
    return _LINK.sub(r"\g<0>:small[]", _MARKUP.sub(r"\\\1", str(value)))


def badge(status: Status) -> None:
    """The status as a word with its icon; colour never alone."""
    mode = "attention" if status.mode == "connected" and not status.ready else status.mode
    word, color, icon = BADGES[mode]
    st.badge(word, color=color, icon=icon)  # type: ignore[arg-type]  # a colour's name from our own table
    if status.demo_data:
        st.badge("Demo data", color="violet", icon=":material/science:")


def error_card(error: TradekeepError, *, title: str | None = None) -> None:
    """What happened, why, what to do next, and the technical details behind a fold."""
    with st.container(border=True):
        st.markdown(f":red[:material/error:] **{text(title or error.title)}**")
        if error.message != error.title:
            st.markdown(text(error.message))
        st.markdown(text(error.why))
        st.markdown(f"**What to do** · {text(error.suggested_fix)}")
        for number, step in enumerate(error.recovery_steps, start=1):
            show_step(number, step)
        with st.expander(f"Technical details · {error.error_code}"):
            st.code(error.details or error.message, language=None, wrap_lines=True)
            for platform, steps in error.steps_elsewhere.items():
                st.markdown(f"**Where the server runs on {PLATFORM_NAMES[platform]}**")
                for number, step in enumerate(steps, start=1):
                    show_step(number, step)
            st.caption(f":material/help: Help for {text(error.error_code)}, all systems: {text(error.help)}")


def show_step(number: int, step: str) -> None:
    """One step of a recovery; a command in it can be copied."""
    found = _COMMAND.match(step)
    if not found:
        st.markdown(f"{number}\\. {text(step)}")
        return
    st.markdown(f"{number}\\. {text(found['text'])}:")
    st.code(found["command"], language="bash", wrap_lines=True)


def empty(what: str, *, icon: str = ":material/inbox:") -> None:
    """An empty state: what would be here."""
    st.caption(f"{icon} {text(what)}")
