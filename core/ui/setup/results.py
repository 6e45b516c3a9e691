"""What tests and verifications found, as cards and lists."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import streamlit as st

from core import state
from core.errors import KINDS, TradekeepError
from core.format import age, count, duration
from core.setup.diagnose import ConnectionResult
from core.setup.diagnostics import diagnostics
from core.setup.rights import Privilege
from core.setup.server import ServerInfo
from core.setup.verify import Verification
from core.ui import cards

VERDICTS = {
    True: ":green[:material/check_circle:]",
    False: ":red[:material/error:]",
    None: ":gray[:material/radio_button_unchecked:]",
}
WORDS = {
    "database": {True: "passed", False: "failed", None: "not looked at"},
    "coins": {True: "covered", False: "late", None: "no data"},
}
STEP_WORDS = {
    "resolve": "Name", "port": "Port", "tls": "Encryption", "login": "Sign-in", "database": "Database",
    "privileges": "Privileges", "version": "Version",
}  # fmt: skip


def connection_card(result: ConnectionResult) -> None:
    """The connection test: each step with its verdict and time, then the server's facts or the error."""
    with st.container(border=True):
        with st.container(gap="xsmall"):
            for step in result.steps:
                time_text = f" · :gray[{duration(step.ms / 1000)}]" if step.ms else ""
                word = STEP_WORDS.get(step.name, step.name)
                st.markdown(f"{VERDICTS[step.ok]} **{word}** · {cards.text(step.message)}{time_text}")
        if len(result.addresses) > 1:
            with st.expander(f"Addresses that were tried ({len(result.addresses)})"), st.container(gap="xsmall"):
                for one in result.addresses:
                    name = f" ({cards.text(one.host)})" if one.host not in ("", one.address) else ""
                    st.markdown(f"{VERDICTS[one.ok]} **{cards.text(one.text)}**{name} · {cards.text(one.message)}")
        if result.server is not None and result.connection_time_ms is not None:
            _server_facts(result, result.server)
            _matrix(result.privileges)
    if result.error:
        cards.error_card(_error(result))


def _server_facts(result: ConnectionResult, server: ServerInfo) -> None:
    place = "standby, read-only" if server.in_recovery else "primary"
    facts = [
        ("Connected in", duration((result.connection_time_ms or 0) / 1000)),
        ("Server", f"PostgreSQL {server.version}, {place}"),
        ("Role", f"{server.role}{', superuser' if server.superuser else ''}"),
        ("Encryption", " ".join(filter(None, (server.tls, server.cipher))) or "none"),
        ("Time zone", server.time_zone),
        ("Clock difference", duration(abs(server.clock_skew_s))),
        ("Connections allowed", _connections(server)),
        ("Pooler", _pooler(server)),
    ]
    st.markdown(" · ".join(f":gray[{name}] {cards.text(value)}" for name, value in facts))
    lines = [line for line in (_latency(result), _certificate(server), _extensions(server)) if line]
    if server.pooler:
        lines.append(f"Between us and the server stands {server.pooler}: {server.pooler_why}.")
    with st.expander("More about the connection"):
        for line in lines:
            st.markdown(cards.text(line))


def _connections(server: ServerInfo) -> str:
    left = "" if server.connections_left is None else f", {server.connections_left} left for this role"
    return f"{server.max_connections}{left}"


def _pooler(server: ServerInfo) -> str:
    return f"{server.pooler}{f', {server.pooler_mode} mode' if server.pooler_mode else ''}" if server.pooler else "none"


def _latency(result: ConnectionResult) -> str:
    took = result.latency
    if took is None:
        return ""
    parts = [("name", took.resolve_ms), ("TCP", took.tcp_ms), ("TLS", took.tls_ms), ("sign-in", took.login_ms)]
    parts.append(("first query", took.first_query_ms))
    return "Time: " + ", ".join(f"{name} {duration(ms / 1000)}" for name, ms in parts if ms is not None)


def _certificate(server: ServerInfo) -> str:
    shown = server.certificate
    if shown is None:
        return ""
    until = f", valid until {shown.not_after:%Y-%m-%d %H:%M} UTC" if shown.not_after else ""
    names = f", for {', '.join(shown.names[:6])}" if shown.names else ""
    trusted = "trusted and for this host" if shown.trusted else "not proven: no known authority, or another host's"
    return f"Certificate: {shown.subject}, issued by {shown.issuer}{until}{names}; {trusted}"


def _extensions(server: ServerInfo) -> str:
    parts = [f"{one.name} {one.state}{f' ({one.version})' if one.version else ''}" for one in server.extensions]
    return f"Extensions: {', '.join(parts)}" if parts else ""


def _matrix(privileges: list[Privilege]) -> None:
    """Every right that a feature needs, the missing ones first with the statement that grants each."""
    lacking = [privilege for privilege in privileges if not privilege.granted]
    if lacking:
        with st.expander(f"Rights that this role does not have ({len(lacking)})"):
            for privilege in lacking:
                st.markdown(
                    f"{cards.text(privilege.name)} · :gray[for {cards.text(privilege.role)}: "
                    f"{cards.text(privilege.feature)}]"
                )
                st.code(privilege.grant, language="sql", wrap_lines=True)
    with st.expander(f"Every right that Tradekeep uses ({len(privileges)})"):
        st.dataframe(
            [
                {
                    "Meant for": privilege.role,
                    "Feature": privilege.feature,
                    "Right": privilege.name,
                    "This role": "has it" if privilege.granted else "has it not",
                }
                for privilege in privileges
            ],
            hide_index=True,
            width="stretch",
        )


def _error(result: ConnectionResult) -> TradekeepError:
    info = result.error or {}
    kind = info.get("kind", "unexpected")
    facts = info.get("facts", {})
    return TradekeepError(
        kind if kind in KINDS else "unexpected", info.get("message"), details=info.get("details", ""), **facts
    )


def verifications(lines: list[Verification], at: float | None = None) -> None:
    """A sentence, then what failed, then everything behind a fold. at: when, in unix seconds.

    Coins have a list of their own on the page, so only their number is told here.
    """
    coins = [line for line in lines if line.area == "coins"]
    lines = [line for line in lines if line.area != "coins"]
    bad, unknown = ([line for line in lines if line.ok is verdict] for verdict in (False, None))
    took = f"took {duration(sum(line.ms for line in lines) / 1000)}"
    when = f"verified {age(datetime.fromtimestamp(at, UTC))}, " if at is not None else ""
    if bad or unknown:
        rest = f", {len(unknown)} could not be looked at" if unknown else ""
        sentence = f":red[:material/error:] **{len(bad)} of {len(lines)} verifications did not pass{rest}**"
    else:
        sentence = f":green[:material/verified:] **All {len(lines)} verifications passed**"
    if coins:
        covered = sum(line.ok is True for line in coins)
        verdict = False if any(line.ok is False for line in coins) else covered == len(coins) or None
        sentence += f" · {VERDICTS[verdict]} {covered} of {count(len(coins), 'coin')} covered"
    st.markdown(f"{sentence} · :gray[{when}{took}]")
    for line in bad or unknown[:1]:
        st.markdown(f"{VERDICTS[line.ok]} **{cards.text(line.name)}** · {cards.text(line.message)}")
        if line.fix:
            st.caption(cards.text(line.fix))
    with st.expander("Every verification"):
        st.dataframe(
            [
                {
                    "Verification": line.name,
                    "Verdict": WORDS[line.area][line.ok],
                    "What was found": line.message,
                    "Time": duration(line.ms / 1000),
                }
                for line in [*lines, *coins]
            ],
            hide_index=True,
            width="stretch",
        )


def diagnostics_button(lines: list[Verification]) -> None:
    """Download a file that helps somebody else to find a fault; it is made when it is asked for."""
    st.download_button(
        "Download diagnostics",
        data=lambda: diagnostics(state.settings(), lines),
        file_name="tradekeep-diagnostics.json",
        mime="application/json",
        icon=":material/download:",
        on_click="ignore",
        help="Versions, settings, connection test, schema and the last log lines; every secret is masked.",
    )


def difference(path: Path, text: str) -> None:
    """What a file would change, masked."""
    st.markdown(f"**{cards.text(path.name)}** · :gray[{cards.text(path.parent)}]")
    if text:
        st.code(text, language="diff", wrap_lines=True)
    else:
        st.caption("Nothing changes.")
