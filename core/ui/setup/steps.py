"""The seven steps of "Use my server": each draws itself and moves the draft on."""

from __future__ import annotations

from pathlib import Path

import streamlit as st
from pydantic import SecretStr

from core import state
from core.database import Databases
from core.errors import TradekeepError, classify
from core.probe import reach
from core.settings import DatabaseConfig, parse_connection
from core.setup import discover, flow, provision, verify, wizard
from core.setup.diagnose import diagnose
from core.setup.flow import Draft
from core.tasks import Progress
from core.ui import cards, work
from core.ui.cache import clear
from core.ui.page import shown
from core.ui.setup import results

TLS_MODES = ("prefer", "require", "verify-ca", "verify-full", "allow", "disable")
TLS_HELP = "Over a network choose verify-full: only it refuses both a forged certificate and a wrong server."
# Failures that another login mends, not another try.
SIGN_IN_TYPES = ("auth", "permission", "schema")
# Refusals of a plan after which one login for everything is the way on.
ONE_LOGIN = ("permission.provision", "schema.foreign_database", "config.own_login")


@st.cache_data(ttl=10, show_spinner="Looking for servers on this machine")
def _found(home: str) -> list[discover.Server]:
    return discover.servers(home=Path(home))


def server(draft: Draft) -> None:
    """Where the server is: found ones to choose from, a connection string to paste, or host and port."""
    chosen = _found_servers()
    with st.expander("Paste a connection string"), st.form("setup_paste", border=False, clear_on_submit=True):
        pasted = st.text_input(
            "Connection string",
            type="password",
            placeholder="postgresql://user:password@host:5432/database",
            help="A URL, key=value pairs, a JDBC URL or a psql command. It fills the fields below.",
        )
        fill = st.form_submit_button("Fill in")
    if fill:
        with shown():
            _paste(draft, pasted)
    given = draft.server or DatabaseConfig()
    with st.form("setup_server"):
        left, right = st.columns([3, 1])
        host = left.text_input(
            "Host", value=given.host or "localhost", help="A name, an address, or a socket's folder."
        )
        port = right.text_input("Port", value=given.port_text or "5432")
        present = given.options.get("sslmode", "prefer")
        mode = st.selectbox(
            "Encryption", TLS_MODES, index=TLS_MODES.index(present) if present in TLS_MODES else 0, help=TLS_HELP
        )
        root = st.text_input(
            "Certificate authority file (optional)",
            value=given.options.get("sslrootcert", ""),
            help="The file that signed the server's certificate; needed for verify-ca and verify-full.",
        )
        go_on = st.form_submit_button("Continue", type="primary")
    with shown():
        if go_on:
            chosen = _config(given, host.strip(), port.strip(), mode, root.strip())
        if chosen is not None:
            _choose(draft, chosen)


def _found_servers() -> DatabaseConfig | None:
    """The servers on this machine, each with its state; the one that somebody wants to use."""
    found, chosen = _found(str(state.settings().home)), None
    for one in found:
        own = discover.BUNDLED in one.found_by
        place = one.socket or f"{one.host}:{one.port}"
        facts = [one.state.replace("_", " ")]
        facts += [f"PostgreSQL {one.version}"] if one.version else []
        facts += ['Tradekeep\'s own, for "Start a local PostgreSQL"'] if own else []
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f":material/dns: **{cards.text(place)}** · {cards.text(' · '.join(facts))}")
            if one.state == "accepting" and st.button("Use", key=f"setup_use_{one.host}_{one.port}"):
                chosen = DatabaseConfig(host=one.host, port=one.port)
        if one.start_command:
            st.code(one.start_command, language="bash")
    if not found:
        cards.empty("No PostgreSQL was found on this machine. Type where yours is, or start a local one.")
    return chosen


def _config(given: DatabaseConfig, host: str, port: str, mode: str, root: str) -> DatabaseConfig:
    """What the form says, on top of what was pasted. Raises config.port_number."""
    ports = port.split(",")  # one for each host of a list
    for each in ports:
        if not (each.isascii() and each.isdigit() and len(each) <= 5 and 0 < int(each) < 65536):
            raise TradekeepError(
                "config.port_number", f"{each[:40] or 'An empty field'} is not a port.", port=each[:40]
            )
    options = {key: value for key, value in given.options.items() if key not in ("sslmode", "sslrootcert")}
    if mode != "prefer" or "sslmode" in given.options:
        options["sslmode"] = mode
    if root:
        options["sslrootcert"] = root
    place = {"port": int(port)} if len(ports) == 1 else {"port_text": port}
    return given.replace(host=host, options=options, **place)


def _paste(draft: Draft, text: str) -> None:
    if not text.strip():
        raise TradekeepError("config.connection_string", "There is nothing to fill in: the field is empty.")
    config = parse_connection(text.strip())
    if config.backend != "postgresql":
        raise TradekeepError("config.connection_string", "This is not a PostgreSQL server.")
    draft.choose(config.replace(password=None))
    if config.user:
        draft.sign_in(config)
    draft.at = "server"
    st.rerun()


def _choose(draft: Draft, config: DatabaseConfig) -> None:
    """Take this server if something answers there; else say why not, and stay."""
    if "," not in config.host:
        answer = reach(config.host or "localhost", config.port or 5432, 1.0)
        if not answer.ok:
            refused = (
                ConnectionRefusedError(answer.message) if answer.state == "refused" else TimeoutError(answer.message)
            )
            raise classify(refused, config)
    draft.choose(config)
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
        if not st.form_submit_button("Test the connection", type="primary"):
            return
    if not user or not database:
        raise TradekeepError("config.login", f"The field {'User' if not user else 'Database to sign in to'} is empty.")
    base = draft.server or DatabaseConfig()
    before = draft.login
    same = before is not None and before.user == user and flow.same_server(before, base)
    kept = before.password if before is not None and same else None
    config = base.replace(user=user, password=SecretStr(password) if password else kept, database=database)
    draft.sign_in(config)
    _begin_test(draft)
    st.rerun()


def _begin_test(draft: Draft) -> None:
    state.tasks().forget(draft.task("setup_test"))
    config, draft.tests = draft.login or draft.server or DatabaseConfig(), draft.tests + 1
    number = draft.tests
    work.begin(
        draft.task("setup_test"),
        "Testing the connection",
        lambda progress: draft.take_tested(number, diagnose(config)),
    )


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
    sign_in = found is not None and not found.success and found.error_type in SIGN_IN_TYPES
    with st.container(horizontal=True):
        if sign_in:
            _change_sign_in(draft, primary=True)
        label = "Test again" if found else "Test the connection"
        if st.button(label, type="secondary" if sign_in else "primary", key="setup_test_again"):
            draft.tested = None
            _begin_test(draft)
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
    for action in actions:
        st.markdown(f":material/arrow_forward: {cards.text(action.title)}")
        if action.harm:
            st.caption(f":material/warning: {cards.text(action.harm)}")

    def make(progress: Progress) -> None:
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
        wizard.write(files, settings)
        draft.settle()
        clear()
        state.refresh(3.0)
        st.rerun()


def schema(draft: Draft) -> None:
    """Create the tables with live progress, then verify."""
    work.ended(draft.task("setup_schema"))
    if making_tables(draft):
        return
    found = state.status().schema
    if found is not None and found.current_version:
        newest = cards.text(found.expected_version)
        st.markdown(f"The schema is at {cards.text(found.current_version)}; the newest is {newest}.")
    if st.button("Create the tables", type="primary", key="setup_create"):
        databases = state.databases()

        def make(progress: Progress) -> None:
            wizard.create_tables(databases, progress)
            begin_verification(draft)
            clear()
            state.refresh(3.0)

        state.tasks().forget(draft.task("setup_schema"))
        work.begin(draft.task("setup_schema"), "Creating the tables", make)
        st.rerun()


def making_tables(draft: Draft) -> bool:
    """Whether the tables are being made now: the journey is not over before that is."""
    return work.running(draft.task("setup_schema"))


def begin_verification(draft: Draft) -> None:
    """Verify in the background with the process's own databases."""
    databases: Databases = state.databases()
    name = draft.task("setup_verify")
    state.tasks().forget(name)
    work.begin(name, "Verifying", lambda progress: draft.take_verified(verify.verify(databases, progress=progress)))


def verification(draft: Draft) -> None:
    """Verify, and show every line."""
    if making_tables(draft):  # the watcher saw the tables before their task was over
        work.ended(draft.task("setup_schema"))
        return
    work.ended(draft.task("setup_verify"))
    if work.running(draft.task("setup_verify")):
        return
    if draft.verifications:
        results.verifications(draft.verifications, draft.verified_at)
    with st.container(horizontal=True):
        label = "Verify again" if draft.verifications else "Verify"
        passed = verify.passed(draft.verifications)
        if st.button(label, type="secondary" if passed else "primary", key="setup_verify_again"):
            begin_verification(draft)
            st.rerun()
        results.diagnostics_button(draft.verifications)


BODIES = {
    "server": server, "login": login, "test": test, "roles": roles, "config": config, "schema": schema,
    "verify": verification,
}  # fmt: skip
assert tuple(BODIES) == flow.NAMES
