"""The step "Server": what was found on this machine, a connection string to paste, or host and port."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from core import state
from core.errors import TradekeepError, classify
from core.probe import reach
from core.settings import TLS_MODES, DatabaseConfig
from core.setup import discover
from core.setup.flow import Draft
from core.tasks import Progress
from core.ui import cards, work
from core.ui.page import shown
from core.ui.setup.login import PASTE_HELP, paste

TLS_HELP = "Over a network choose verify-full: only it refuses both a forged certificate and a wrong server."
STARTING = "setup_start"
SHOWN = 5
# Icon and word of each state, and what to do about it.
STATES = {
    "accepting": (":green[:material/check_circle:]", "Accepts connections", ""),
    "starting": (":orange[:material/hourglass_top:]", "Starting", "Wait a moment, then search again."),
    "recovering": (
        ":orange[:material/hourglass_top:]",
        "Recovering",
        "It reads its log after a crash, or is a standby that takes nobody in. Wait, then search again.",
    ),
    "shutting_down": (
        ":orange[:material/hourglass_bottom:]",
        "Shutting down",
        "It waits for its last sessions. Start it again once it has stopped.",
    ),
    "rejecting": (
        ":red[:material/block:]",
        "Rejects this machine",
        "Its pg_hba.conf has no line that lets you in this way. Choose it all the same to see which line is missing.",
    ),
    "too_many_connections": (
        ":orange[:material/groups:]",
        "All connections taken",
        "Close some sessions, or raise max_connections, then search again.",
    ),
    "stopped": (":gray[:material/stop_circle:]", "Stopped", ""),
    "silent": (
        ":red[:material/pause_circle:]",
        "Does not answer",
        "It takes connections and says nothing: it hangs, is paused, or a firewall is between.",
    ),
    "not_postgres": (
        ":gray[:material/help:]",
        "Not PostgreSQL",
        "Another program has this port. A server that should be here needs another port, or this program one.",
    ),
    "refused": (":gray[:material/link_off:]", "Nothing listens", "Start the server, or correct host and port."),
}


@st.cache_data(ttl=10, show_spinner="Looking for servers on this machine")
def _found(home: str) -> list[discover.Server]:
    return discover.servers(home=Path(home))


def server(draft: Draft) -> None:
    """Where the server is: found ones to choose from, a connection string to paste, or host and port."""
    chosen = _found_servers(draft)
    _paste_form(draft)
    given = draft.server or DatabaseConfig()
    with st.form("setup_server"):
        left, right = st.columns([3, 1])
        host = left.text_input(
            "Host", value=given.host or "localhost", help="A name, an address, or a socket's folder."
        )
        port = right.text_input("Port", value=given.port_text or "5432")
        present = given.options.get("sslmode", "prefer")
        mode = st.selectbox(
            "Encryption (sslmode)",
            TLS_MODES,
            index=TLS_MODES.index(present) if present in TLS_MODES else 0,
            help=TLS_HELP,
        )
        root = st.text_input(
            "Certificate authority file (sslrootcert, optional)",
            value=given.options.get("sslrootcert", ""),
            help="The certificate that signed the server's; needed for verify-ca and verify-full. The word system "
            "means the authorities that this machine trusts.",
        )
        go_on = st.form_submit_button("Continue", type="primary")
    with shown():
        if go_on:
            chosen = _config(given, host.strip(), port.strip(), mode, root.strip())
        if chosen is not None:
            _choose(draft, chosen)


def _paste_form(draft: Draft) -> None:
    """A connection string, whose parts fill the fields below it."""
    with st.expander("Paste a connection string"), st.form("setup_paste", border=False, clear_on_submit=True):
        pasted = st.text_input(
            "Connection string",
            type="password",
            placeholder="postgresql://user:password@host:5432/database",
            help=PASTE_HELP,
        )
        fill = st.form_submit_button("Fill in")
    if fill:
        with shown():
            paste(draft, pasted)


def _found_servers(draft: Draft) -> DatabaseConfig | None:
    """The servers on this machine, each with its state; the one that somebody wants to use."""
    work.ended(draft.task(STARTING))
    if work.running(draft.task(STARTING)):
        return None
    found = _found(str(state.settings().home))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("**Found on this machine**", width="stretch")
        if st.button("Search again", key="setup_search", icon=":material/refresh:"):
            _found.clear()
            st.rerun()
    chosen = None
    for one in found[:SHOWN]:
        chosen = _row(draft, one) or chosen
    if found[SHOWN:]:
        with st.expander(f"{len(found) - SHOWN} more"):
            for one in found[SHOWN:]:
                chosen = _row(draft, one) or chosen
    if not found:
        cards.empty("No PostgreSQL was found on this machine. Type where yours is, or start a local one.")
    return chosen


def _row(draft: Draft, one: discover.Server) -> DatabaseConfig | None:
    """One server: its state, place and version, how it was found, and what can be done with it."""
    icon, word, advice = STATES[one.state]
    place = one.socket if one.socket and one.host.startswith(("/", "@")) else f"{one.host}:{one.port}"
    version = f" · PostgreSQL {cards.text(one.version)}" if one.version else ""
    facts = [f"found by {', '.join(one.found_by)}", one.detail]
    if discover.BUNDLED in one.found_by:
        facts.insert(0, 'Tradekeep\'s own, for "Start a local PostgreSQL"')
    chosen = None
    with st.container(border=True, gap="xsmall"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"{icon} {word} · **{cards.text(place)}**{version}", width="stretch")
            if one.state in ("accepting", "rejecting") and st.button("Use", key=f"setup_use_{one.host}_{one.port}"):
                chosen = DatabaseConfig(host=one.host, port=one.port)
            if one.may_start and st.button("Start", key=f"setup_start_{one.host}_{one.port}_{one.data_dir}"):
                _begin_start(draft, one)
                st.rerun()
        st.caption(" · ".join(cards.text(fact) for fact in facts if fact))
        if advice:
            st.caption(advice)
        if one.start_command and not one.may_start:
            st.caption("Start it in a terminal, then search again:")
            st.code(one.start_command, language="bash", wrap_lines=True)
    return chosen


def _begin_start(draft: Draft, one: discover.Server) -> None:
    """Start a stopped server in the background; the list is made anew afterwards."""
    home = state.settings().home

    def run(progress: Progress) -> None:
        try:
            discover.start(one, home=home, progress=progress)
        finally:
            _found.clear()

    state.tasks().forget(draft.task(STARTING))
    work.begin(draft.task(STARTING), f"Starting the server on port {one.port}", run)


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
