"""What the Overview page is made of: figures, the next step, and the two lists."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from core.format import age
from core.services import overview
from core.services.overview import AlertRow, Card, NextStep, TradeRow
from core.ui.cards import empty, text
from core.ui.page import EXPLORER

SEVERITIES = {
    "EMERGENCY": ":red-badge[:material/emergency_home: Emergency]",
    "CRITICAL": ":red-badge[:material/error: Critical]",
    "WARNING": ":orange-badge[:material/warning: Warning]",
    "INFO": ":blue-badge[:material/info: Info]",
}
TONES = {"profit": "green", "loss": "red", "even": "gray"}
LONGEST = 160
# As core.explore.address writes them; to load the explorer for a link would hold up the first page.
OPEN_ALERTS, ALL_TRADES = {"table": "alerts", "where": '["resolved","=",false]'}, {"table": "trades"}


def figures(cards: Sequence[Card], others: str) -> None:
    """The figures with a history in one row, the others below; narrow screens wrap."""
    drawn = [card for card in cards if card.chart]
    plain = [card for card in cards if not card.chart]
    for row, width in ((drawn, 280), (plain, 150)):
        with st.grid(len(row), min_column_width=width):
            for card in row:
                _figure(card)
    if others:
        st.caption(text(others))


def _figure(card: Card) -> None:
    st.metric(
        card.label,
        text(card.value),
        card.change,  # not escaped: its sign decides arrow and colour, and it is made of a number
        delta_description=card.remark,
        help=text(card.basis),
        border=True,
        height="stretch",
        chart_data=card.points or None,
        chart_type=card.chart or "line",
    )


def step(found: NextStep) -> None:
    """The next step as one card; its button leads to where it is taken."""
    with st.container(border=True, key="overview_step"):
        left, right = st.columns([4, 1], vertical_alignment="center")
        mark = ":green[:material/check_circle:] **" if found.done else ":material/arrow_forward: **Next: "
        left.markdown(f"{mark}{text(found.title)}**  \n{text(found.why)}")
        if found.label and found.page and right.button(found.label, key="overview_step_go", width="stretch"):
            st.switch_page(found.page)


def alerts(rows: Sequence[AlertRow]) -> None:
    """What is not resolved, newest first."""
    st.subheader("Open alerts", anchor=False)
    if not rows:
        empty("No alert is open. What bots and checks raise stands here until somebody resolves it.")
        return
    st.table(
        {
            "Severity": [SEVERITIES.get(row.severity, text(row.severity)) for row in rows],
            "Alert": [text(_shortened(row.message)) for row in rows],
            "When": [_unbroken(age(row.at)) for row in rows],
        },
        border="horizontal",
        alt="Open alerts, newest first",
    )
    _all("All open alerts", OPEN_ALERTS)


def trades(rows: Sequence[TradeRow]) -> None:
    """The newest executions, with the profit or loss of what they closed."""
    st.subheader("Latest trades", anchor=False)
    if not rows:
        empty("No trades yet. The executions that bots write to the table trades stand here.")
        return
    st.table(
        {
            "Trade": [text(overview.execution(row)) for row in rows],
            "Result": [_toned(overview.result(row)) for row in rows],
            "When": [_unbroken(age(row.at)) for row in rows],
        },
        border="horizontal",
        alt="Executions, newest first",
    )
    _all("All trades", ALL_TRADES)


def _all(label: str, params: dict[str, str]) -> None:
    """A link to where the rows of a list are with all others; alerts are resolved there."""
    st.page_link(EXPLORER, label=label, icon=":material/table_view:", query_params=params)


def _toned(words: str) -> str:
    return f":{TONES[words.split()[-1]]}[{_unbroken(text(words))}]" if words else ""


def _shortened(message: str) -> str:
    line = " ".join(message.split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"


def _unbroken(words: str) -> str:
    return words.replace(" ", "\u00a0")
