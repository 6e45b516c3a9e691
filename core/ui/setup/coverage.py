"""Coverage on the Setup page: each coin with its newest candle in each timeframe and its newest decision trace."""

from __future__ import annotations

import streamlit as st

from core import state
from core.database import Database
from core.format import age
from core.setup import coverage
from core.setup.coverage import Coverage, Seen
from core.ui import cards
from core.ui.cache import asked
from core.ui.page import shown

coverage_of = asked(ttl=10)(coverage.coverage)
ICONS = {
    True: ":green[:material/check_circle:]",
    False: ":orange[:material/warning:]",
    None: ":gray[:material/radio_button_unchecked:]",
}
VERDICTS = {True: "✓ covered", False: "△ late", None: "○ no data"}  # a cell of a table shows no icons
WORST_FIRST = (False, None, True)
BASIS = (
    "A coin is covered if in every timeframe that is in use its newest candle began at most {multiple:g} lengths of a "
    "candle ago, and its newest decision trace (DECISION_TRACE or NO_SIGNAL in system_events) is at most "
    "{minutes:g} minutes old. Without data nothing is said, and that is no pass."
)


def show() -> None:
    """Every coin that is followed: what is missing, and since when."""
    st.markdown("##### Coins")
    with shown():
        _table(coverage_of(_reader(), tuple(state.settings().tracked_symbols)))


def _reader() -> Database:
    return state.databases().reader


def _table(found: Coverage) -> None:
    st.markdown(f"{ICONS[found.ok]} {cards.text(coverage.sentence(found))}", help=_basis())
    if found.coins:
        rows = [
            {"Coin": coin.symbol, "State": VERDICTS[coin.ok]} | {_head(one): _cell(one, found) for one in coin.seen}
            for coin in sorted(found.coins, key=lambda coin: WORST_FIRST.index(coin.ok))
        ]
        st.dataframe(rows, hide_index=True, width="stretch", key="setup_coverage")
    verdicts = {coin.ok for coin in found.coins}
    if False in verdicts:
        st.caption(f"{VERDICTS[False]}: {coverage.LATE}")
    if None in verdicts:
        st.caption(f"{VERDICTS[None]}: {coverage.NEVER}")
    if state.status().demo_data:
        st.caption("Demo data gets no new candles, so its coins are late after a while.")
    if found.retired:
        names = ", ".join(found.retired[:8]) + (" ..." if len(found.retired) > 8 else "")
        st.caption(
            f"Not followed any more, because nothing was written for {coverage.RETIRED_DAYS} days: {cards.text(names)}"
        )


def _head(one: Seen) -> str:
    return one.what.capitalize() if one.what == coverage.TRACE else f"Candle {one.what}"


def _cell(one: Seen, found: Coverage) -> str:
    if one.at is None:
        return "no data"
    return age(one.at, found.at) + ("" if one.ok else " △")


def _basis() -> str:
    minutes = coverage.MULTIPLE * coverage.TRACE_EVERY_S / 60
    return BASIS.format(multiple=coverage.MULTIPLE, minutes=minutes)
