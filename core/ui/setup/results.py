"""What tests and verifications found, as cards and lists."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import streamlit as st

from core import state
from core.errors import KINDS, TradekeepError
from core.format import age, duration
from core.setup.diagnose import ConnectionResult
from core.setup.diagnostics import diagnostics
from core.setup.verify import Verification
from core.ui import cards

VERDICTS = {
    True: ":green[:material/check_circle:]",
    False: ":red[:material/error:]",
    None: ":gray[:material/radio_button_unchecked:]",
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
        if result.server is not None and result.connection_time_ms is not None:
            _server_facts(result)
    if result.error:
        cards.error_card(_error(result))


def _server_facts(result: ConnectionResult) -> None:
    server = result.server
    if server is None:
        return
    facts = [
        ("Connected in", duration((result.connection_time_ms or 0) / 1000)),
        ("Server", f"PostgreSQL {server.version}{', standby' if server.in_recovery else ''}"),
        ("Role", f"{server.role}{', superuser' if server.superuser else ''}"),
        ("Encryption", server.tls or "none"),
        ("Time zone", server.time_zone),
        ("Clock difference", duration(abs(server.clock_skew_s))),
        ("Connections allowed", str(server.max_connections)),
    ]
    st.markdown(" · ".join(f":gray[{name}] {cards.text(value)}" for name, value in facts))
    lacking = [privilege for privilege in result.privileges if not privilege.granted]
    if lacking:
        with st.expander(f"Rights that this role does not have ({len(lacking)})"):
            for privilege in lacking:
                st.markdown(cards.text(privilege.name))
                st.code(privilege.grant, language="sql")


def _error(result: ConnectionResult) -> TradekeepError:
    info = result.error or {}
    kind = info.get("kind", "unexpected")
    facts = info.get("facts", {})
    return TradekeepError(
        kind if kind in KINDS else "unexpected", info.get("message"), details=info.get("details", ""), **facts
    )


def verifications(lines: list[Verification], at: float | None = None) -> None:
    """A sentence, then what failed, then everything behind a fold. at: when, in unix seconds."""
    bad = [line for line in lines if not line.ok]
    took = f"took {duration(sum(line.ms for line in lines) / 1000)}"
    when = f"verified {age(datetime.fromtimestamp(at, UTC))}, " if at is not None else ""
    if bad:
        sentence = f":red[:material/error:] **{len(bad)} of {len(lines)} verifications did not pass**"
    else:
        sentence = f":green[:material/verified:] **All {len(lines)} verifications passed**"
    st.markdown(f"{sentence} · :gray[{when}{took}]")
    for line in bad:
        st.markdown(f"{VERDICTS[line.ok]} **{cards.text(line.name)}** · {cards.text(line.message)}")
        if line.fix:
            st.caption(cards.text(line.fix))
    with st.expander("Every verification"):
        st.dataframe(
            [
                {
                    "Verification": line.name,
                    "Verdict": {True: "passed", False: "failed", None: "not looked at"}[line.ok],
                    "What was found": line.message,
                    "Time": duration(line.ms / 1000),
                }
                for line in lines
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
