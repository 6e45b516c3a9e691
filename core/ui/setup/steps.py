"""The seven steps of "Use my server": each draws itself and moves the draft on."""

from __future__ import annotations

import streamlit as st

from core import state
from core.database import Databases
from core.errors import TradekeepError
from core.settings import DatabaseConfig
from core.setup import flow, provision, verify, wizard
from core.setup.flow import Draft
from core.tasks import Progress
from core.ui import cards, work
from core.ui import schema as show_schema
from core.ui.cache import clear
from core.ui.setup import files as backups
from core.ui.setup import results
from core.ui.setup.login import begin_test, login, show_guide
from core.ui.setup.servers import server

# Failures that another login mends, not another try.
SIGN_IN_TYPES = ("auth", "permission", "schema")
# Failures that another host, port or encryption mends.
SERVER_TYPES = ("network", "service", "tls")
# Refusals of a plan after which one login for everything is the way on.
ONE_LOGIN = ("permission.provision", "schema.foreign_database", "config.own_login", "config.pooler")


def test(draft: Draft) -> None:
    """The connection test, step by step; a failure stays here with what to do about it."""
    work.ended(draft.task("setup_test"))
    if work.running(draft.task("setup_test")):
        return
    found = draft.tested
    if found is not None:
        results.connection_card(found)
        if found.success:  # it was still running when the page was drawn as "test"
            st.rerun()
        show_guide(draft)
    failed = found.error_type if found is not None and not found.success else None
    sign_in = failed in SIGN_IN_TYPES
    with st.container(horizontal=True):
        if sign_in:
            _change_sign_in(draft, primary=True)
        label = "Test again" if found else "Test the connection"
        if st.button(label, type="secondary" if sign_in else "primary", key="setup_test_again"):
            draft.tested = None
            begin_test(draft)
            st.rerun()
        if failed in SERVER_TYPES and st.button("Change the server", key="setup_server_again"):
            draft.at, draft.tested = "server", None
            st.rerun()
        if not sign_in:
            _change_sign_in(draft, primary=False)


def _change_sign_in(draft: Draft, *, primary: bool) -> None:
    if st.button("Change the sign-in", type="primary" if primary else "secondary", key="setup_sign_in_again"):
        draft.at = "login"
        st.rerun()


def roles(draft: Draft) -> None:
    """What will be created, then creating it; or one login for everything where no roles may be made."""
    admin, name = draft.login, draft.task("setup_roles")
    if admin is None:
        draft.at = "login"
        st.rerun()
        return
    if draft.made is not None:
        state.tasks().forget(name)
        draft.at = ""
        st.rerun()
    work.ended(name)
    if work.running(name):
        return
    database = st.text_input("Name of the database", value=draft.database, key="setup_database").strip()
    if database != draft.database:
        draft.database = database
        state.tasks().forget(name)  # what failed, failed under another name
        st.rerun()
    settings = state.settings()
    known = wizard.known_logins(settings, database)
    refused = None
    actions: list[provision.Action] = []
    try:
        with st.spinner("Looking at what is there"):
            actions = provision.plan(admin, database=database, known=known)
    except TradekeepError as error:
        refused = error
        cards.error_card(error)
        if st.button("Try again", key="setup_plan_again"):
            state.tasks().forget(name)
            st.rerun()
    for action in actions:
        st.markdown(f":material/arrow_forward: {cards.text(action.title)}")
        if action.harm:
            st.caption(f":material/warning: {cards.text(action.harm)}")

    def make(progress: Progress) -> None:
        with draft.noted("roles"):
            made = provision.provision(
                admin,
                database=database,
                progress=progress,
                known=known,
                prepare=lambda planned: wizard.rehearse(settings, planned),
            )
        draft.take_made(made)

    if actions and st.button("Create roles and database", type="primary", key="setup_provision"):
        work.begin(name, "Creating roles and database", make)
        st.rerun()
    _one_login(draft, admin, wanted=refused is not None and refused.kind in ONE_LOGIN)


def _one_login(draft: Draft, admin: DatabaseConfig, *, wanted: bool) -> None:
    """For hosted databases that give one login only: use it for everything, if that can be meant."""
    with st.expander("My provider gives one login only", expanded=wanted):
        database = admin.database or admin.user
        superuser = draft.tested is not None and draft.tested.server is not None and draft.tested.server.superuser
        if database in provision.SYSTEM_DATABASES and superuser:
            st.markdown(
                f"{cards.text(database)} is one of PostgreSQL's own databases, and no place for your tables. "
                "Sign in to the database that your provider gave you."
            )
            return
        st.markdown(
            f"Bots, dashboard and migrations then all sign in as {cards.text(admin.user)} "
            f"to {cards.text(database)}; nothing keeps them apart."
        )
        sure = not superuser or st.checkbox(
            f"{cards.text(admin.user)} is a superuser: my bots may then do everything on this server.",
            key="setup_adopt_superuser",
        )
        if st.button("Use this login as it is", key="setup_adopt", disabled=not sure):
            work.begin(
                draft.task("setup_roles"), "Signing in", lambda progress: draft.take_made(provision.adopt(admin))
            )
            st.rerun()


def config(draft: Draft) -> None:
    """The masked difference of each file, then writing them."""
    if draft.made is None:
        draft.at = draft.made_database = ""
        st.rerun()
        return
    settings = state.settings()
    files = wizard.configuration(settings, draft.made)
    for warning in draft.made.warnings:
        st.caption(f":material/warning: {cards.text(warning)}")
    for path, text in wizard.preview(files).items():
        results.difference(path, text)
    if st.button("Write the configuration", type="primary", key="setup_write"):
        with draft.noted("config"):
            wizard.write(files, settings)
        draft.settle()
        clear()
        state.refresh(3.0)
        st.rerun()
    backups.show(draft, settings, rotation=False)


def schema(draft: Draft) -> None:
    """Create the tables with live progress, then verify."""
    work.ended(draft.task("setup_schema"))
    if making_tables(draft):
        return
    found = state.status().schema
    if found is not None and found.current_version:
        newest = cards.text(found.expected_version)
        st.markdown(f"The schema is at {cards.text(found.current_version)}; the newest is {newest}.")
    if found is not None and found.matching:
        show_schema.record(found, draft.task("setup_schema"))
        return
    damaged = found is not None and bool(found.missing or found.incomplete)
    if damaged:
        show_schema.damage(state.databases().owner)
    if st.button("Create what is missing" if damaged else "Create the tables", type="primary", key="setup_create"):
        databases = state.databases()

        def make(progress: Progress) -> None:
            with draft.noted("schema"):
                wizard.create_tables(databases, progress, lock_wait_s=state.settings().init_timeout_s)
            begin_verification(draft)
            clear()
            state.refresh(3.0)

        state.tasks().forget(draft.task("setup_schema"))
        work.begin(draft.task("setup_schema"), "Creating the tables", make)
        st.rerun()


def making_tables(draft: Draft) -> bool:
    """Whether the tables are being made now: the journey is not over before that is."""
    return work.running(draft.task("setup_schema"))


def begin_verification(draft: Draft, *, coins: bool = False) -> None:
    """Verify in the background with the process's own databases; coins: also whether each one is being saved."""
    databases: Databases = state.databases()
    tracked = state.settings().tracked_symbols if coins else None
    name = draft.task("setup_verify")

    def run(progress: Progress) -> None:
        lines = verify.verify(databases, tracked=tracked, progress=progress)
        draft.take_verified(lines, databases.writer.name)

    state.tasks().forget(name)
    work.begin(name, "Verifying", run)


def verification(draft: Draft) -> None:
    """Verify, and show every line."""
    if making_tables(draft):  # the watcher saw the tables before their task was over
        work.ended(draft.task("setup_schema"))
        return
    work.ended(draft.task("setup_verify"))
    if work.running(draft.task("setup_verify")):
        return
    lines = draft.verifications_of(state.settings().database)
    if lines:
        results.verifications(lines, draft.verified_at)
    with st.container(horizontal=True):
        label = "Verify again" if lines else "Verify"
        passed = verify.database_passed(lines)
        if st.button(label, type="secondary" if passed else "primary", key="setup_verify_again"):
            begin_verification(draft, coins=True)
            st.rerun()
        results.diagnostics_button(lines)


BODIES = {
    "server": server, "login": login, "test": test, "roles": roles, "config": config, "schema": schema,
    "verify": verification,
}  # fmt: skip
assert tuple(BODIES) == flow.NAMES
