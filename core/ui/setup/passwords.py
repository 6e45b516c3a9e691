"""Finding a password on this machine, and changing one that everybody would guess."""

from __future__ import annotations

import time

import streamlit as st
from pydantic import SecretStr

from core import state
from core.format import duration
from core.settings import DatabaseConfig
from core.setup import credentials
from core.setup.credentials import Source
from core.setup.diagnose import diagnose
from core.setup.flow import Draft
from core.tasks import Progress
from core.ui import cards, work
from core.ui.page import shown

WORDS = {
    "works": (":green[:material/check_circle:]", "works"),
    "fails": (":red[:material/error:]", "does not work"),
    "unreadable": (":orange[:material/warning:]", "cannot be read"),
    "elsewhere": (":gray[:material/radio_button_unchecked:]", "for another server"),
    "nothing": (":gray[:material/radio_button_unchecked:]", "nothing there"),
    "skipped": (":gray[:material/do_not_disturb_on:]", "not tried"),
    "found": (":gray[:material/radio_button_unchecked:]", "found, not tried"),
}
TELLING = ("works", "fails", "unreadable")
KEPT_S = 900.0
# Generated passwords that were shown and not yet set: in the process only, never in a widget's or session's state.
_pending: dict[str, tuple[float, SecretStr]] = {}


def show(draft: Draft) -> bool:
    """Look for a password, and what was found in each place; True when somebody chose one and it is the draft's."""
    wanted = _wanted(draft)
    name = f"{draft.task('setup_passwords')}:{wanted.fingerprint()[:8]}"
    work.ended(name)
    if work.running(name):
        return False
    task = state.tasks().latest(name)
    sources: list[Source] = task.result if task is not None and task.state == "done" else []
    label = "Look again" if sources else "Look for a password"
    hint = "In .env.local, .env, variables, pg_service.conf and ~/.pgpass; then without one; then a few common ones."
    if st.button(label, icon=":material/search:", key="setup_passwords_look", help=hint):
        settings = state.settings()
        state.tasks().forget(name)
        work.begin(
            name,
            "Looking for a password",
            lambda progress: credentials.search(wanted, settings, progress=progress),
        )
        st.rerun()
    return _list(draft, wanted, sources) if sources else False


def _wanted(draft: Draft) -> DatabaseConfig:
    """The chosen server; user and database where somebody named them. No password."""
    base = (draft.server or DatabaseConfig()).replace(password=None)
    login = draft.login
    return base.replace(user=login.user, database=login.database) if login is not None else base


def _list(draft: Draft, wanted: DatabaseConfig, sources: list[Source]) -> bool:
    telling = [source for source in sources if source.verdict in TELLING]
    rest = [source for source in sources if source.verdict not in TELLING]
    chosen = False
    with st.container(gap="xsmall"):
        for number, source in enumerate(telling):
            chosen = _line(draft, wanted, source, number) or chosen
    if not any(source.verdict == "works" for source in telling):
        st.caption("No password was found that works. Type it above, or set a new one: the test says how.")
    if rest:
        with st.expander(f"Other places ({len(rest)})"), st.container(gap="xsmall"):
            for source in rest:
                st.markdown(_sentence(source))
    return chosen


def _sentence(source: Source) -> str:
    icon, word = WORDS[source.verdict]
    parts = [f"{word}: {source.why}" if source.why else word, "superuser" if source.superuser else ""]
    who = f" as {cards.text(source.user)}" if source.user and source.kind in ("pgpass", "service", "file") else ""
    took = f" · :gray[{duration(source.ms / 1000)}]" if source.ms else ""
    return f"{icon} **{cards.text(source.name)}**{who} · {cards.text(', '.join(filter(None, parts)))}{took}"


def _line(draft: Draft, wanted: DatabaseConfig, source: Source, number: int) -> bool:
    """One place; with a button to use what works, and one to change what is a danger. True when it was chosen."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(_sentence(source), width="stretch")
        use = source.verdict == "works" and st.button("Use", key=f"setup_passwords_use_{number}")
        weak = source.kind == "default" and source.verdict == "works"
        if weak and st.button("Change it", key="setup_passwords_change", type="primary"):
            st.session_state["setup_passwords_changing"] = source.key
    if source.danger:
        st.warning(cards.text(source.danger), icon=":material/gpp_maybe:")
    if weak and st.session_state.get("setup_passwords_changing") == source.key:
        _change(draft, wanted, source)
    if not use:
        return False
    with shown():
        _take(draft, credentials.login_of(source, wanted, state.settings()))
        return True
    return False


def _take(draft: Draft, config: DatabaseConfig) -> None:
    draft.choose(config.replace(password=None))
    draft.sign_in(config)


def _new(key: str) -> SecretStr:
    """The password that is shown for this change: the same one until it is set, forgotten after 15 minutes."""
    now = time.monotonic()
    for old in [name for name, (at, _) in _pending.items() if now - at > KEPT_S]:
        del _pending[old]
    return _pending.setdefault(key, (now, credentials.new_password()))[1]


def _change(draft: Draft, wanted: DatabaseConfig, source: Source) -> None:
    """Show a generated password before it is set, so that it is lost in no case; set it as a task."""
    key = draft.task("setup_change")
    work.ended(key)
    if work.running(key):
        return
    with st.container(border=True):
        new = _new(key)
        st.markdown(
            f"The new password of **{cards.text(source.user)}**. Put it into your password store now: it is shown here "
            "only, and kept nowhere. Whatever signs in with the old one needs it too."
        )
        st.code(new.get_secret_value(), language=None)
        stored = st.checkbox("I have stored it", key="setup_passwords_stored")
        with st.container(horizontal=True):
            wants = st.button("Set the new password", type="primary", disabled=not stored, key="setup_passwords_set")
            if st.button("Keep the old one", key="setup_passwords_keep"):
                _pending.pop(key, None)
                st.session_state.pop("setup_passwords_changing", None)
                st.rerun()
    if wants:
        settings = state.settings()

        def work_of(progress: Progress) -> None:
            progress(0, 1, f"Setting the password of {source.user}")
            changed = credentials.change_password(credentials.login_of(source, wanted, settings), new)
            _pending.pop(key, None)
            _take(draft, changed.login)
            draft.take_tested(draft.tests, diagnose(changed.login))

        state.tasks().forget(key)
        st.session_state.pop("setup_passwords_stored", None)
        work.begin(key, "Changing the password", work_of)
        st.rerun()
