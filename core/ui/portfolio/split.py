"""Where it came from: symbols, strategies with their exit reasons, bots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from core.database import Database
from core.explore.cells import one_line, shortened
from core.format import count, duration, money
from core.portfolio.choices import Choices
from core.portfolio.scope import Scope
from core.portfolio.sums import Sums
from core.portfolio.totals import Rollups
from core.ui.cards import empty, text
from core.ui.portfolio import asked
from core.ui.portfolio.bar import strategy

SHOWN = 12
LONGEST = 40


def show(db: Database, scope: Scope, choices: Choices, standing: Rollups) -> None:
    """A table for each way to split the round trips, the highest profit first."""
    if standing.slow:
        empty("This follows when the rollups are built: it would have to read every round trip several times.")
        return
    st.subheader("By symbol", anchor=False)
    _table([(one_line(key[0]), own) for key, own in asked.split_of(db, scope, ("symbol",)).items()], scope, "Symbol")
    st.subheader("By strategy and exit reason", anchor=False)
    found = asked.split_of(db, scope, ("strategy", "exit_reason"))
    named = [
        (f"{strategy(name)} · {one_line(reason) or 'no reason named'}", own) for (name, reason), own in found.items()
    ]
    _table(named, scope, "Strategy · exit reason")
    if len(choices.bots(scope.trade_type, scope.currency)) > 1:
        st.subheader("By bot", anchor=False)
        bots = asked.split_of(db, scope, ("bot_id",))
        _table([(one_line(choices.name(key[0])), own) for key, own in bots.items()], scope, "Bot")


def _table(found: Sequence[tuple[str, Sums]], scope: Scope, what: str) -> None:
    """A row each; two that are written alike are two rows."""
    if not found:
        empty("Nothing was closed in these days.")
        return
    rows = sorted(found, key=lambda item: (-item[1].net_pnl, item[0]))
    half = SHOWN // 2
    shown = rows if len(rows) <= SHOWN else [*rows[:half], *rows[-half:]]
    st.table(_columns(shown, scope.currency or "", what), border="horizontal", alt=f"{what}, the highest profit first")
    if len(rows) > SHOWN:
        left = count(len(rows) - SHOWN, "row")
        with st.expander(f"The {left} between"):
            between = _columns(rows[half : len(rows) - half][:200], scope.currency or "", what)
            st.table(between, border="horizontal", alt=f"{what}, the others")


def _columns(rows: Sequence[tuple[str, Sums]], currency: str, what: str) -> dict[str, list[Any]]:
    return {
        what: [text(shortened(name, LONGEST)) for name, _ in rows],
        "Net P&L": [toned(own.net_pnl, currency) for _, own in rows],
        "Round trips": [f"{own.trips:,}" for _, own in rows],
        "Win rate": [_share(own) for _, own in rows],
        "Average": [toned(own.net_pnl / own.valued, currency) if own.valued else "" for _, own in rows],
        "Fees": [text(money(own.commission, currency)) for _, own in rows],
        "Held": [text(duration(float(own.hold_s / own.trips))) if own.trips else "" for _, own in rows],
    }


def _share(own: Sums) -> str:
    return f"{own.wins / own.valued * 100:.0f}\u00a0%" if own.valued else ""


def toned(amount: Any, currency: str) -> str:
    """An amount with its sign, green or red."""
    words = text(money(amount, currency, sign=True)).replace(" ", "\u00a0")
    return f":{'green' if amount > 0 else 'red' if amount < 0 else 'gray'}[{words}]"
