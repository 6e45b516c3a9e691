"""What the page is about: the days, and which round trips."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import streamlit as st

from core.explore.cells import one_line
from core.portfolio.address import LABELS, RANGES, View
from core.portfolio.choices import Choices
from core.portfolio.scope import Scope
from core.ui.portfolio.place import changed
from core.ui.viewer import follow

KINDS = {"live": "Live", "paper": "Paper", "backtest": "Backtest", "optimization": "Optimization"}
TEN_YEARS = timedelta(days=3653)
ALL: Any = ()  # not None: that would be a choice that was cleared


def show(view: View, scope: Scope, choices: Choices, today: date) -> None:
    """Range and currency in one line, the filters in the next."""
    with st.container(horizontal=True, vertical_alignment="center", key="portfolio_range_bar"):
        _range(view, today)
        st.space("stretch")
        _currency(scope, choices)
    with st.grid(4, min_column_width=150, gap="small", key="portfolio_filters"):
        _kind(scope, choices)
        symbols = choices.symbols.get((scope.trade_type or "", scope.currency or ""), ())
        _choice("Symbol", "symbol", "All symbols", symbols, scope.symbol)
        bots = choices.bots(scope.trade_type, scope.currency)
        _choice("Bot", "bot", "All bots", bots, scope.bot_id, choices.name)
        strategies = choices.strategies(scope.trade_type, scope.currency)
        _choice("Strategy", "strategy", "All strategies", strategies, scope.strategy, strategy)


def strategy(name: str) -> str:
    """A strategy's name as it is shown."""
    return one_line(name) or "No strategy named"


def _range(view: View, today: date) -> None:
    st.segmented_control(
        "Range",
        list(RANGES),
        format_func=LABELS.__getitem__,
        key=follow("portfolio_range", None if view.dated else view.range),
        label_visibility="collapsed",
        on_change=lambda: changed(
            lambda now: now.first(range=st.session_state["portfolio_range"] or "90d", since=None, until=None)
        ),
    )
    label = f"{view.since or 'begin'} to {view.until or 'today'}" if view.dated else "Dates"
    with st.popover(label, icon=":material/date_range:", key="portfolio_dates_open"):
        given = tuple(day for day in (view.since, view.until) if day)
        chosen = st.session_state.get("portfolio_dates", ())
        half = len(chosen) == 1  # somebody is choosing now
        st.date_input(
            "First and last day (UTC)",
            key="portfolio_dates" if half else follow("portfolio_dates", given),
            min_value=min([today - TEN_YEARS, *given, *chosen]),
            max_value=max([today, *given, *chosen]),
            on_change=_dated,
        )


def _dated() -> None:
    days = st.session_state["portfolio_dates"]
    if len(days) == 2:
        changed(lambda now: now.first(since=days[0], until=days[1]))


def _currency(scope: Scope, choices: Choices) -> None:
    found = choices.currencies(scope.trade_type)
    if len(found) < 2:
        return
    st.segmented_control(
        "Currency",
        found,
        format_func=one_line,
        key=follow("portfolio_currency", scope.currency),
        required=True,
        label_visibility="collapsed",
        on_change=lambda: changed(
            lambda now: now.first(currency=st.session_state["portfolio_currency"], symbol=None, coin=None, trip=None)
        ),
        help="Amounts of different currencies are never added.",
    )


def _kind(scope: Scope, choices: Choices) -> None:
    st.selectbox(
        "Kind",
        choices.kinds,
        format_func=lambda kind: KINDS.get(kind, kind),
        key=follow("portfolio_kind", scope.trade_type),
        label_visibility="collapsed",
        filter_mode=None,
        on_change=lambda: changed(
            lambda now: View(now.range, now.since, now.until, kind=st.session_state["portfolio_kind"], part=now.part)
        ),
    )


def _choice(label: str, name: str, every: str, found: Sequence[Any], value: Any, text: Any = one_line) -> None:
    """A filter; what the address says stays in the list, even if nothing was closed so."""
    options = [ALL, *found] if value is None or value in found else [ALL, value, *found]
    key = f"portfolio_{name}"
    st.selectbox(
        label,
        options,
        format_func=lambda one: every if one == ALL else text(one),
        key=follow(key, ALL if value is None else value),
        label_visibility="collapsed",
        disabled=len(options) == 1,
        filter_mode="contains" if len(options) > 8 else None,
        on_change=lambda: changed(
            lambda now: now.first(trip=None, **{name: None if st.session_state[key] == ALL else st.session_state[key]})
        ),
    )
