"""The Setup page as a whole: two ways in, the vertical flow, the local journey, and what stands at the end."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from core import embedded, state
from core.settings import ConfigIssue, Settings
from core.setup import flow, wizard
from core.setup.flow import Draft, StepState
from core.state import Status
from core.tasks import Progress
from core.ui import cards, work
from core.ui.cache import clear
from core.ui.page import shown
from core.ui.setup import results, steps

LOCAL = "setup_local"
PROMISES = (
    ("group", "Makes one database with three roles: owner, runtime for your bots, viewer for this dashboard."),
    ("key", "Generates their passwords. An administrator's password is used once and stored nowhere."),
    ("description", "Writes `.env.local` and `.env.tradekeep` into the project folder; shows every change before."),
    ("table", "Creates the 34 tables, then writes, reads back and rolls back a row in each of them."),
    ("replay", "Can be run again at any time: what is there already is kept."),
)
MARKS = {
    "done": ":green[:material/check_circle:]",
    "now": ":blue[:material/radio_button_checked:]",
    "waiting": ":gray[:material/radio_button_unchecked:]",
    "failed": ":red[:material/error:]",
}
SEVERITIES = {
    "error": ":red[:material/error:]",
    "warning": ":orange[:material/warning:]",
    "info": ":blue[:material/info:]",
}


def project(settings: Settings) -> None:
    """The trading platform's folder, whose env files are written, and a way to change it."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f":material/folder: Project folder · `{settings.project}`")
        with st.popover("Change", help="The folder of your trading platform: .env.local is written there."):
            folder = st.text_input("Folder", value=str(settings.project), key="setup_project")
            if st.button("Use this folder", key="setup_project_use"):
                with shown():
                    state.use_project(Path(folder))
                    flow.start_over()
                    clear()
                    st.rerun()


def ways(draft: Draft, status: Status) -> None:
    """The two ways in, side by side; before them what is wrong with the configuration, if it cannot be used."""
    if status.error is not None:
        cards.error_card(status.error)
    left, right = st.columns(2)
    with left.container(border=True, height="stretch"):
        st.markdown("#### :material/bolt: Start a local PostgreSQL")
        st.markdown("A real server in your user folder: own port, own passwords. Ready in seconds; nothing to install.")
        reason = embedded.available()
        if reason:
            st.caption(f":material/block: {cards.text(reason)}")
        if st.button("Start a local PostgreSQL", type="primary", key="setup_start_local", disabled=bool(reason)):
            draft.way = "local"
            begin_local()
            st.rerun()
    with right.container(border=True, height="stretch"):
        st.markdown("#### :material/dns: Use my server")
        st.markdown("A PostgreSQL that you already run, here or elsewhere. Sign in once; the roles are made for you.")
        if st.button("Use my server", key="setup_use_server"):
            draft.way = "server"
            st.rerun()
    st.markdown("##### What either way does")
    for icon, line in PROMISES:
        st.markdown(f":gray[:material/{icon}:] {line}")


def begin_local() -> None:
    """Everything on the bundled server, as one task of the app."""
    settings = state.settings()

    def run(progress: Progress) -> wizard.Outcome:
        outcome = wizard.set_up(settings, progress)
        clear()
        state.refresh(3.0)
        return outcome

    state.tasks().forget(LOCAL)
    work.begin(LOCAL, "Setting up a local PostgreSQL", run, wizard.JOURNEY)


def local(draft: Draft) -> bool:
    """The local journey while it runs or after it failed; True while it has the page to itself."""
    task = work.ended(LOCAL)
    if work.running(LOCAL):
        return True
    if task is None or draft.way != "local":
        return False
    if task.state == "done":
        if not draft.verifications:
            draft.verifications = task.result.verifications
        return False
    with st.container(horizontal=True):
        if st.button("Try again", type="primary", key="setup_local_again"):
            begin_local()
            st.rerun()
        if st.button("Back", key="setup_local_back"):
            state.tasks().forget(LOCAL)
            flow.start_over()
            st.rerun()
    return True


def flow_view(draft: Draft, states: list[StepState]) -> None:
    """The seven steps; only the present one is open."""
    for number, step in enumerate(states, start=1):
        with st.container(border=True):
            heading, action = st.container(horizontal=True, vertical_alignment="center"), None
            with heading:
                summary = f" · :gray[{cards.text(step.summary)}]" if step.summary else ""
                st.markdown(f"{MARKS[step.state]} **{number} {step.title}**{summary}", width="stretch")
                if step.state == "done" and draft.made is None and step.name in ("server", "login"):
                    action = st.button("Change", key=f"setup_change_{step.name}")
            if action:
                draft.at, draft.tested = step.name, None
                st.rerun()
            if step.name == "test" and step.state == "done" and draft.tested is not None:
                with st.expander("What the test found"):
                    results.connection_card(draft.tested)
            if step.state in ("now", "failed"):
                with shown():
                    steps.BODIES[step.name](draft)
    if st.button("Start over", key="setup_over", type="tertiary"):
        flow.start_over()
        st.rerun()


def done(draft: Draft, status: Status, settings: Settings) -> None:
    """The end: what works, where things are, and what one may want to do next."""
    with st.container(border=True):
        st.markdown(f"#### :green[:material/verified:] {cards.text(status.label)} works")
        st.markdown(
            f"PostgreSQL {cards.text(status.server_version)}, schema up to date. Your bots read `DATABASE_URL` from:"
        )
        st.code(str(settings.project / ".env.local"), language=None)
        st.caption(
            "Owner and viewer stand in .env.tradekeep beside it, so that the bots never get the owner's password."
        )
    task = state.tasks().latest(LOCAL)
    if task is not None and task.state == "done":
        with st.container(border=True):
            work.show_steps(task.steps)
    with st.container(border=True), shown():
        steps.verification(draft)
    if st.button("Set up another server", key="setup_another", type="tertiary"):
        state.tasks().forget(LOCAL)
        flow.start_over().way = "server"
        st.rerun()


def away(draft: Draft, status: Status, settings: Settings) -> None:
    """A configured database that does not answer: why, and the ways back."""
    if status.error is not None:
        cards.error_card(status.error)
    with st.container(horizontal=True):
        if st.button("Try again now", type="primary", key="setup_retry"):
            state.refresh(3.0)
            st.rerun()
        bundled = embedded.status(home=settings.home)
        if bundled.state == "stopped" and st.button("Start the local PostgreSQL", key="setup_restart"):
            draft.way = "local"
            begin_local()
            st.rerun()
        if st.button("Change the connection", key="setup_reconnect"):
            fresh = flow.start_over()
            fresh.way, fresh.server = "server", settings.database.replace(password=None) if settings.database else None
            fresh.at = "server"
            st.rerun()


def issues(found: list[ConfigIssue]) -> None:
    """What is doubtful about the configuration, worst first, each with what to do."""
    if not found:
        return
    with st.expander(f"Configuration: {len(found)} to look at", expanded=any(i.severity == "error" for i in found)):
        for issue in found:
            st.markdown(f"{SEVERITIES[issue.severity]} **{cards.text(issue.component)}** · {cards.text(issue.message)}")
            st.caption(cards.text(issue.suggested_fix))
