"""The seven steps of "Use my server": each draws itself and moves the draft on."""

from __future__ import annotations

import streamlit as st

from core import state
from core.database import Databases
from core.errors import TradekeepError, classify
from core.probe import reach
from core.settings import DatabaseConfig, parse_connection
from core.setup import discover, flow, provision, verify, wizard
from core.setup.diagnose import diagnose
from core.setup.flow import Draft
from core.ui import cards, work
from core.ui.cache import clear
from core.ui.setup import results

TLS_MODES = ("prefer", "require", "verify-ca", "verify-full", "disable")
TLS_HELP = "Over a network choose verify-full: only it refuses both a forged certificate and a wrong server."


@st.cache_data(ttl=10, show_spinner="Looking for servers on this machine")
def _found() -> list[discover.Server]:
    return discover.servers()


def server(draft: Draft) -> None:
    """Where the server is: found ones to choose from, a connection string to paste, or host and port."""
    found = _found()
    for one in found:
        place = one.socket or f"{one.host}:{one.port}"
        version = f" · PostgreSQL {one.version}" if one.version else ""
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f":material/dns: **{cards.text(place)}** · {one.state.replace('_', ' ')}{cards.text(version)}")
            if one.state == "accepting" and st.button("Use", key=f"setup_use_{one.host}_{one.port}"):
                _choose(draft, DatabaseConfig(host=one.host, port=one.port))
        if one.start_command:
            st.code(one.start_command, language="bash")
    if not found:
        cards.empty("No PostgreSQL was found on this machine. Type where yours is, or start a local one.")
    with st.expander("Paste a connection string"), st.form("setup_paste", border=False):
        pasted = st.text_input(
            "Connection string",
            type="password",
            placeholder="postgresql://user:password@host:5432/database",
            help="A URL, key=value pairs, a JDBC URL or a psql command. It fills the fields below.",
        )
        if st.form_submit_button("Fill in"):
            _paste(draft, pasted)
    given = draft.server or DatabaseConfig()
    with st.form("setup_server"):
        left, right = st.columns([3, 1])
        host = left.text_input(
            "Host", value=given.host or "localhost", help="A name, an address, or a socket's folder."
        )
        port = right.text_input("Port", value=given.port_text or "5432")
        mode = st.selectbox(
            "Encryption", TLS_MODES, index=TLS_MODES.index(given.options.get("sslmode", "prefer")), help=TLS_HELP
        )
        root = st.text_input(
            "Certificate authority file (optional)",
            value=given.options.get("sslrootcert", ""),
            help="The file that signed the server's certificate; needed for verify-ca and verify-full.",
        )
        if st.form_submit_button("Continue", type="primary"):
            options = dict(given.options)
            options |= {"sslmode": mode} if mode != "prefer" else {}
            options |= {"sslrootcert": root.strip()} if root.strip() else {}
            _choose(draft, _config(given, host.strip(), port.strip(), options))


def _config(given: DatabaseConfig, host: str, port: str, options: dict[str, str]) -> DatabaseConfig:
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise TradekeepError("config.connection_string", "The port is a number from 1 to 65535.", part="port")
    return given.replace(host=host, port=int(port), options=options)


def _paste(draft: Draft, text: str) -> None:
    if not text.strip():
        raise TradekeepError("config.connection_string", "There is nothing to fill in: the field is empty.")
    config = parse_connection(text.strip())
    draft.server = config.replace(password=None)
    draft.login = config if config.user else None
    draft.tested, draft.at = None, "server"
    st.rerun()


def _choose(draft: Draft, config: DatabaseConfig) -> None:
    """Take this server if something answers there; else show why not, and stay."""
    draft.server = config
    if config.backend == "postgresql" and "," not in config.host:
        answer = reach(config.host or "localhost", config.port or 5432, 1.0)
        if not answer.ok:
            refused = (
                ConnectionRefusedError(answer.message) if answer.state == "refused" else TimeoutError(answer.message)
            )
            raise classify(refused, config)
    if draft.login is not None:
        draft.login = draft.login.replace(host=config.host, port=config.port, options=config.options)
    draft.tested, draft.at = None, ""
    st.rerun()


def login(draft: Draft) -> None:
    """Who signs in: an administrator's login, kept in memory until the roles exist."""
    given = draft.login or draft.server or DatabaseConfig()
    st.caption("Best a login that may create roles and databases, such as postgres. It is used now and stored nowhere.")
    with st.form("setup_login"):
        left, right = st.columns(2)
        user = left.text_input("User", value=given.user or "postgres", autocomplete="username")
        password = right.text_input("Password", type="password", autocomplete="current-password")
        database = st.text_input("Database to sign in to", value=given.database or "postgres")
        if st.form_submit_button("Test the connection", type="primary"):
            base = draft.server or DatabaseConfig()
            kept = password if password else given.password
            draft.login = base.replace(user=user, password=kept, database=database)
            draft.tested, draft.at = None, ""
            _begin_test(draft)
            st.rerun()


def _begin_test(draft: Draft) -> None:
    config = draft.login or draft.server or DatabaseConfig()
    state.tasks().forget("setup_test")
    work.begin("setup_test", "Testing the connection", lambda progress: diagnose(config))


def test(draft: Draft) -> None:
    """The connection test, step by step; a failure stays here with what to do about it."""
    task = work.ended("setup_test")
    if task is not None and task.result is not None and draft.tested is None:
        draft.tested = task.result
        st.rerun()
    if draft.tested is not None:
        results.connection_card(draft.tested)
    elif work.running("setup_test"):
        return
    with st.container(horizontal=True):
        if st.button("Test again" if draft.tested else "Test the connection", type="primary", key="setup_test_again"):
            draft.tested = None
            _begin_test(draft)
            st.rerun()
        if st.button("Change the sign-in", key="setup_sign_in_again"):
            draft.at = "login"
            st.rerun()


def roles(draft: Draft) -> None:
    """What will be created, then creating it; or one login for everything where no roles may be made."""
    admin = draft.login
    if admin is None:
        draft.at = "login"
        st.rerun()
        return
    task = work.ended("setup_roles")
    if task is not None and task.state == "done":
        draft.made = task.result
        state.tasks().forget("setup_roles")
        st.rerun()
    if work.running("setup_roles"):
        return
    draft.database = st.text_input("Name of the database", value=draft.database, key="setup_database")
    known = wizard.known_logins(state.settings())
    try:
        with st.spinner("Looking at what is there"):
            actions = provision.plan(admin, database=draft.database, known=known)
    except TradekeepError as error:
        cards.error_card(error)
        actions = []
    for action in actions:
        st.markdown(f":material/arrow_forward: {cards.text(action.title)}")
        if action.harm:
            st.caption(f":material/warning: {cards.text(action.harm)}")
    name = draft.database
    with st.container(horizontal=True):
        if actions and st.button("Create roles and database", type="primary", key="setup_provision"):
            work.begin(
                "setup_roles",
                "Creating roles and database",
                lambda progress: provision.provision(admin, database=name, progress=progress, known=known),
            )
            st.rerun()
        if st.button("Use this login as it is", key="setup_adopt", help="For hosted databases that give one login."):
            work.begin("setup_roles", "Signing in", lambda progress: provision.adopt(admin))
            st.rerun()


def config(draft: Draft) -> None:
    """The masked difference of each file, then writing them."""
    if draft.made is None:
        draft.at = "roles"
        st.rerun()
        return
    settings = state.settings()
    files = wizard.configuration(settings, draft.made)
    for warning in draft.made.warnings:
        st.caption(f":material/warning: {cards.text(warning)}")
    for path, text in wizard.preview(files).items():
        results.difference(path, text)
    if st.button("Write the configuration", type="primary", key="setup_write"):
        wizard.write(files, settings)
        draft.written, draft.at = True, ""
        draft.forget_secrets()
        clear()
        state.refresh(3.0)
        st.rerun()


def schema(draft: Draft) -> None:
    """Create the tables with live progress."""
    task = work.ended("setup_schema")
    if task is not None and task.state == "done":
        state.refresh(3.0)
        state.tasks().forget("setup_schema")
        begin_verification()
        st.rerun()
    if work.running("setup_schema"):
        return
    found = state.status().schema
    if found is not None and found.current_version:
        st.markdown(f"The schema is at {cards.text(found.current_version)}; the newest is {found.expected_version}.")
    if st.button("Create the tables", type="primary", key="setup_create"):
        databases = state.databases()
        work.begin("setup_schema", "Creating the tables", lambda progress: wizard.create_tables(databases, progress))
        st.rerun()


def begin_verification() -> None:
    """Verify in the background with the process's own databases."""
    databases: Databases = state.databases()
    state.tasks().forget("setup_verify")
    work.begin("setup_verify", "Verifying", lambda progress: verify.verify(databases, progress=progress))


def verification(draft: Draft) -> None:
    """Verify, and show every line."""
    task = work.ended("setup_verify")
    if task is not None and task.state == "done" and task.result != draft.verifications:
        draft.verifications = task.result
        st.rerun()
    if work.running("setup_verify"):
        return
    if draft.verifications:
        results.verifications(draft.verifications)
    with st.container(horizontal=True):
        if st.button("Verify again" if draft.verifications else "Verify", type="primary", key="setup_verify_again"):
            begin_verification()
            st.rerun()
        results.diagnostics_button(draft.verifications)


BODIES = {
    "server": server, "login": login, "test": test, "roles": roles, "config": config, "schema": schema,
    "verify": verification,
}  # fmt: skip
assert tuple(BODIES) == flow.NAMES
