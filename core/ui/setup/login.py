"""The step "Sign in": who signs in, a pasted connection string, and the test that follows."""

from __future__ import annotations

import streamlit as st
from pydantic import SecretStr

from core import state
from core.errors import TradekeepError
from core.settings import DatabaseConfig, read_pasted
from core.setup import flow, reset
from core.setup.diagnose import diagnose
from core.setup.flow import Draft
from core.setup.reset import Guide, ResetStep
from core.ui import cards, work
from core.ui.setup import passwords

PASTE_HELP = (
    "A URL, key=value pairs, a psql command, a JDBC or ADO.NET string, a line of an env file: with whatever stood "
    "around it. It fills the fields below; the password stays hidden."
)


def paste(draft: Draft, text: str) -> None:
    """Fill the form's fields with what a pasted text means; they stay editable. Raises config.connection_string."""
    found = read_pasted(text)
    config = found.config
    if config.backend != "postgresql":
        raise TradekeepError("config.connection_string", "This is not a PostgreSQL server.")
    draft.choose(config.replace(password=None))
    if config.user:
        draft.sign_in(config)
    draft.at = "server"
    for note in found.notes:
        st.toast(cards.text(note), icon=":material/info:")
    st.rerun()


def login(draft: Draft) -> None:
    """Who signs in: an administrator's login, kept in memory until the roles exist."""
    given = draft.login or draft.server or DatabaseConfig()
    st.caption("Best a login that may create roles and databases, such as postgres. It is used now and stored nowhere.")
    with st.form("setup_login"):
        left, right = st.columns(2)
        user = left.text_input("User", value=given.user or "postgres", autocomplete="username").strip()
        password = right.text_input(
            "Password",
            type="password",
            autocomplete="current-password",
            help="An empty field keeps the password typed before, for the same user and server only.",
        )
        database = st.text_input("Database to sign in to", value=given.database or "postgres").strip()
        wanted = st.form_submit_button("Test the connection", type="primary")
    if wanted:
        _sign_in(draft, user, password, database)
    if passwords.show(draft):
        begin_test(draft)
        st.rerun()


def _sign_in(draft: Draft, user: str, password: str, database: str) -> None:
    if not user or not database:
        raise TradekeepError("config.login", f"The field {'User' if not user else 'Database to sign in to'} is empty.")
    base = draft.server or DatabaseConfig()
    before = draft.login
    same = before is not None and before.user == user and flow.same_server(before, base)
    kept = before.password if before is not None and same else None
    draft.sign_in(base.replace(user=user, password=SecretStr(password) if password else kept, database=database))
    begin_test(draft)
    st.rerun()


def begin_test(draft: Draft) -> None:
    """Test the draft's login as a task, which gives the guide to another password where this one was refused."""
    state.tasks().forget(draft.task("setup_test"))
    config, draft.tests = draft.login or draft.server or DatabaseConfig(), draft.tests + 1
    number, home = draft.tests, state.settings().home

    def test() -> Guide | None:
        result = diagnose(config)
        guide = reset.instructions(config, home) if result.error_type == "auth" else None
        draft.take_tested(number, result)
        return guide

    work.begin(draft.task("setup_test"), "Testing the connection", lambda progress: test())


def show_guide(draft: Draft) -> None:
    """How to set the password again, for this platform and installation; nothing where it was not refused."""
    task = state.tasks().latest(draft.task("setup_test"))
    guide = task.result if task is not None and task.state == "done" else None
    if not isinstance(guide, Guide):
        return
    with st.expander(f"Set a new password for {cards.text(guide.role)}", icon=":material/lock_reset:"):
        st.markdown(f"**{cards.text(guide.title)}**")
        _show_steps(guide.steps)
        if guide.note:
            st.caption(cards.text(guide.note))
        if guide.otherwise:
            st.markdown("**If that does not let you in**")
            _show_steps(guide.otherwise)


def _show_steps(steps: list[ResetStep]) -> None:
    for number, step in enumerate(steps, 1):
        st.markdown(f"{number}\\. {cards.text(step.text)}{':' if step.command else '.'}")
        if step.command:
            st.code(step.command, language={"psql": "sql"}.get(step.shell, step.shell), wrap_lines=True)
