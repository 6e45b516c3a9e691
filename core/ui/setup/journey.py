"""The Setup page as a whole: two ways in, the vertical flow, the local journey, and what stands at the end."""

from __future__ import annotations

import streamlit as st

from core import embedded, envfile, state
from core.errors import TradekeepError
from core.settings import DatabaseConfig, Settings, parse_connection
from core.setup import bundled, flow, wizard
from core.setup.flow import Draft, StepState
from core.state import Status
from core.tasks import Progress
from core.ui import cache, cards, work
from core.ui.cache import clear
from core.ui.page import shown
from core.ui.setup import coverage, demo, files, results, steps

LOCAL, START = "setup_local", "setup_start"
# What running the local setup again mends: logins, database, rights.
MENDED_TYPES = ("auth", "schema", "permission")
PROMISES = (
    ("group", "Makes one database with three roles: owner, runtime for your bots, viewer for this dashboard."),
    ("key", "Generates their passwords. An administrator's password is used once and stored nowhere."),
    (
        "description",
        "Writes `.env.local` and `.env.tradekeep` into the project folder; keeps their other lines, and a backup.",
    ),
    ("table", "Creates the tables, then writes, reads back and rolls back a row in each of them."),
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
        st.markdown(f":material/folder: Project folder · {cards.text(settings.project)}")
        with st.popover("Change", help="The folder of your trading platform: .env.local is written there."):
            typed = st.text_input("Folder", value=str(settings.project), key="setup_project")
            if st.button("Use this folder", key="setup_project_use"):
                with shown():
                    state.use_project(typed.strip())
                    start_over()
                    clear()
                    state.refresh(3.0)
                    st.rerun()


def start_over() -> Draft:
    """Begin a new draft; what the old one's tasks still do or did is nobody's any more."""
    old = flow.draft()
    for name in flow.TASKS:
        task = state.tasks().latest(old.task(name))
        if task is not None:
            task.cancel()
        state.tasks().forget(old.task(name))
    return flow.start_over()


def ways(draft: Draft, settings: Settings) -> None:
    """The two ways in, side by side; before them what is wrong with the configuration, if it cannot be used."""
    if settings.error is not None:
        cards.error_card(settings.error)
    left, right = st.columns(2)
    with left.container(border=True, height="stretch"):
        st.markdown("#### :material/bolt: Start a local PostgreSQL")
        st.markdown("A real server in your user folder: own port, own passwords. Ready in seconds; nothing to install.")
        reason = embedded.available()
        if reason:
            st.caption(f":material/block: {cards.text(reason)}")
        if st.button("Start a local PostgreSQL", type="primary", key="setup_start_local", disabled=bool(reason)):
            if present_url(settings):
                st.session_state["setup_replace"] = True
            else:
                begin_local(draft)
            st.rerun()
    with right.container(border=True, height="stretch"):
        st.markdown("#### :material/dns: Use my server")
        st.markdown(
            "A PostgreSQL that you already run, here or elsewhere. Sign in once; the roles are made for you, "
            "and you see every change of a file before it is written."
        )
        if st.button("Use my server", key="setup_use_server"):
            draft.way = "server"
            st.rerun()
    if draft.way == "choose" and st.button("Back", key="setup_ways_back", icon=":material/arrow_back:"):
        start_over()
        st.rerun()
    st.markdown("##### What either way does")
    for icon, line in PROMISES:
        st.markdown(f":gray[:material/{icon}:] {line}")
    if st.session_state.get("setup_replace"):
        _ask_to_replace(draft, settings)


def present_url(settings: Settings) -> str:
    """The DATABASE_URL that stands in .env.local, masked, if the local way would replace it; "" if not."""
    try:
        text = (envfile.values(settings.env_local).get("DATABASE_URL") or "").strip()
    except TradekeepError:
        return ""  # the journey refuses to write into what cannot be read
    if not text:
        return ""
    try:
        config = parse_connection(text)
    except TradekeepError:
        return "a value that cannot be read as a connection string"
    return "" if bundled.behind(config, settings.home) else config.masked_url()


def _keep_present() -> None:
    st.session_state.pop("setup_replace", None)


@st.dialog("Replace the present DATABASE_URL?", on_dismiss=_keep_present)
def _ask_to_replace(draft: Draft, settings: Settings) -> None:
    st.markdown("Your bots read this file, and DATABASE_URL stands in it already:")
    st.code(f"{settings.env_local}\n{present_url(settings)}", language=None, wrap_lines=True)
    st.markdown(
        "It will be replaced by the local server's, so that bots that start from then on work there. "
        "The old database stays as it is, and a backup of the file is kept in `.tradekeep-backups`."
    )
    with st.container(horizontal=True):
        if st.button("Replace it", type="primary", key="setup_replace_yes"):
            _keep_present()
            begin_local(draft)
            st.rerun()
        if st.button("Keep it", key="setup_replace_no"):
            _keep_present()
            st.rerun()


def begin_local(draft: Draft, database: str = "trading") -> None:
    """Everything on the bundled server, as one task of the app."""
    settings = state.settings()

    def run(progress: Progress) -> None:
        outcome = wizard.set_up(settings, progress, database=database)
        # Not the outcome: passwords are in it.
        draft.take_verified(outcome.verifications, outcome.provisioned.runtime.label)
        clear()
        state.refresh(3.0)

    draft.way, draft.database = "local", database
    state.tasks().forget(draft.task(LOCAL))
    work.begin(draft.task(LOCAL), "Setting up a local PostgreSQL", run, wizard.JOURNEY)


def local(draft: Draft) -> bool:
    """The local journey while it runs or after it failed; True while it has the page to itself."""
    name = draft.task(LOCAL)
    task = state.tasks().latest(name)
    if draft.way != "local" or task is None or task.state == "done":
        return False
    work.ended(name)
    if work.running(name):
        return True
    with st.container(horizontal=True):
        if st.button("Try again", type="primary", key="setup_local_again"):
            begin_local(draft, draft.database)
            st.rerun()
        if st.button("Back", key="setup_local_back"):
            start_over()
            st.rerun()
    return True


def body(draft: Draft, status: Status, settings: Settings) -> None:
    """The part of the page that suits what is really there."""
    config = settings.database
    current = config is not None and status.label == config.label
    what = flow.view(draft, configured=config is not None, mode=status.mode, ready=status.ready, current=current)
    if what == "done" and steps.making_tables(draft):
        what = "steps"
    if what == "ways":
        ways(draft, settings)
    elif what == "steps":
        connected = current and status.mode == "connected"
        flow_view(draft, flow.steps(draft, config, connected=connected, schema_ready=connected and status.ready))
    elif what == "done":
        done(draft, status, settings)
    elif what == "away" and config is not None:
        away(draft, status, settings, config)
    else:
        cards.empty("Looking at the database of this configuration.", icon=":material/sync:")
    if what in ("done", "away") or settings.error is not None:
        files.show(draft, settings)


def flow_view(draft: Draft, states: list[StepState]) -> None:
    """The seven steps; only the present one is open. Start over comes first: no broken step can take it away."""
    with st.container(horizontal=True, horizontal_alignment="right"):
        if st.button("Start over", key="setup_over", icon=":material/restart_alt:"):
            start_over()
            st.rerun()
    for number, step in enumerate(states, start=1):
        with st.container(border=True):
            heading, action = st.container(horizontal=True, vertical_alignment="center"), None
            with heading:
                summary = f" · :gray[{cards.text(step.summary)}]" if step.summary else ""
                st.markdown(f"{MARKS[step.state]} **{number} {step.title}**{summary}", width="stretch")
                changeable = draft.way == "server" and not draft.made_database and step.name in ("server", "login")
                if step.state == "done" and changeable:
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


def done(draft: Draft, status: Status, settings: Settings) -> None:
    """The end: what works, where things are, and what one may want to do next."""
    with st.container(border=True):
        st.markdown(f"#### :green[:material/verified:] {cards.text(status.label)} works")
        st.markdown(
            f"PostgreSQL {cards.text(status.server_version)}, schema up to date. Your bots read `DATABASE_URL` from:"
        )
        st.code(str(settings.project / ".env.local"), language=None)
        st.caption(
            "One login serves bots, dashboard and migrations; nothing keeps them apart."
            if settings.owner is None and settings.viewer is None
            else "Owner and viewer stand in .env.tradekeep beside it, so that the bots never get the owner's password."
        )
    task = state.tasks().latest(draft.task(LOCAL))
    if task is not None and task.state == "done":
        with st.container(border=True):
            work.show_steps(task.steps)
    with st.container(border=True), shown():
        steps.verification(draft)
    with st.container(border=True):
        coverage.show()
    demo.show()
    if st.button("Set up another server", key="setup_another", icon=":material/add:"):
        start_over().way = "choose"
        st.rerun()


def away(draft: Draft, status: Status, settings: Settings, config: DatabaseConfig) -> None:
    """A configured database that does not answer: why, and the ways back."""
    error = status.error
    if error is not None:
        cards.error_card(error)
    starting = draft.task(START)
    work.ended(starting)
    if work.running(starting):
        return
    server = bundled.behind(config, settings.home)
    stopped = server is not None and server.state == "stopped"
    mends = server is not None and server.state == "running" and bundled.made_by_us(config)
    mends = mends and error is not None and error.error_type in MENDED_TYPES
    with st.container(horizontal=True):
        if stopped and st.button("Start the local PostgreSQL", type="primary", key="setup_restart"):
            _begin_start(draft, settings)
            st.rerun()
        if mends and st.button("Repair the local setup", type="primary", key="setup_repair"):
            begin_local(draft, config.database)
            st.rerun()
        if st.button("Try again now", type="secondary" if stopped or mends else "primary", key="setup_retry"):
            state.refresh(3.0)
            st.rerun()
        if st.button("Change the connection", key="setup_reconnect"):
            fresh = start_over()
            # Where a piece of the password stands in the host, the form would show it.
            fresh.server = None if config.misplaced else config.replace(password=None)
            fresh.way, fresh.at = "server", "server"
            st.rerun()
        if st.button("Set up another server", key="setup_elsewhere"):
            start_over().way = "choose"
            st.rerun()


def _begin_start(draft: Draft, settings: Settings) -> None:
    """Start the bundled server, and nothing else: no file and no role is touched."""

    def run(progress: Progress) -> None:
        progress(0, 1, "Starting the server")
        embedded.start(home=settings.home)
        state.refresh(3.0)

    state.tasks().forget(draft.task(START))
    work.begin(draft.task(START), "Starting the local PostgreSQL", run)


def issues(settings: Settings) -> None:
    """What is doubtful about the configuration, worst first, each with what to do."""
    found = cache.issues(settings)
    if not found:
        return
    with st.expander(f"Configuration: {len(found)} to look at", expanded=any(i.severity == "error" for i in found)):
        for issue in found:
            st.markdown(f"{SEVERITIES[issue.severity]} **{cards.text(issue.component)}** · {cards.text(issue.message)}")
            st.caption(cards.text(issue.suggested_fix))
