"""What is held now, and what share of it each position is."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import accumulate

import pyarrow as pa
import streamlit as st

from core.database import Database
from core.explore.cells import one_line
from core.explore.made import readable
from core.format import age, count, duration, money
from core.portfolio.choices import LIVE
from core.portfolio.holdings import Holding, Holdings
from core.portfolio.scope import Scope
from core.ui.cards import empty, text
from core.ui.portfolio import asked, charts
from core.ui.portfolio.split import toned

SLICES = 8
CHARACTER_PX, EDGE_PX = 7.5, 10  # what a letter of a slice's name needs, and the slice's two ends


def show(db: Database, scope: Scope) -> None:
    """Open positions of the live account in the chosen currency."""
    if scope.trade_type not in (None, LIVE):
        empty("Positions are those of the live account. Choose the kind Live to see them.")
        return
    found = asked.holdings_of(db, scope.currency, scope.symbol)
    currency = scope.currency or ""
    if not found.rows:
        empty(f"No open position in {currency}. What bots hold stands here, with its share of the whole.")
        return
    st.markdown(
        f"**{text(money(found.value, currency))}** in {count(found.number, 'open position')},"
        f" unrealised {toned(found.unrealized_pnl, currency)}"
    )
    _allocation(found, currency)
    st.table(
        {
            "Symbol": [text(one_line(row.symbol)) for row in found.rows],
            "Side": [_side(row) for row in found.rows],
            "Value": [text(money(row.value, currency)) for row in found.rows],
            "Share": [f"{row.share * 100:.1f}\u00a0%" for row in found.rows],
            "Unrealised P&L": [toned(row.unrealized_pnl, currency) for row in found.rows],
            "Quantity": [text(readable(row.quantity)) for row in found.rows],
            "Entry": [text(readable(row.entry_price)) for row in found.rows],
            "Now": [text(readable(row.current_price)) for row in found.rows],
            "Held": [text(_held(row.opened_at)).replace(" ", "\u00a0") for row in found.rows],
        },
        border="horizontal",
        alt="Open positions, the largest first",
    )
    if found.number > len(found.rows):
        st.caption(f"The {len(found.rows)} largest of {found.number:,}.")


def _side(row: Holding) -> str:
    words = "▲\u00a0Long" if row.side == "LONG" else "▼\u00a0Short"
    return text(f"{words}, closing" if row.closing else words)


def _held(opened_at: datetime) -> str:
    """How long a position is held by now: `1 d 7 h`."""
    seconds = (datetime.now(UTC) - opened_at).total_seconds()
    return duration(seconds) if seconds >= 1 else age(opened_at)


def _allocation(found: Holdings, currency: str) -> None:
    """One bar, a slice a position; the small ones together."""
    slices = [(one_line(row.symbol), row.value, row.share) for row in found.rows[:SLICES]]
    rest = found.value - sum(value for _, value, _ in slices)
    if found.number > SLICES and found.value:
        slices.append((f"{found.number - SLICES} others", rest, float(rest / found.value)))
    ends = list(accumulate(share for _, _, share in slices))
    starts = [0.0, *ends[:-1]]
    table = pa.table({
        "name": [name for name, _, _ in slices],
        "start": pa.array(starts, pa.float64()),
        "middle": pa.array([(start + end) / 2 for start, end in zip(starts, ends, strict=True)], pa.float64()),
        "end": pa.array(ends, pa.float64()),
        "value": [money(value, currency) for _, value, _ in slices],
        "share_text": [f"{share * 100:.1f} %" for _, _, share in slices],
    })  # fmt: skip
    whole = max(1.0, ends[-1])
    axis = {"type": "quantitative", "axis": None, "scale": {"domain": [0, whole]}}
    names = [name for name, _, _ in slices]
    bar = {
        "mark": {"type": "rect", "stroke": charts.colour("background"), "strokeWidth": 2},
        "encoding": {
            "x": {"field": "start", **axis},
            "x2": {"field": "end"},
            "color": {"field": "name", "type": "nominal", "legend": None, "sort": names},
            "tooltip": charts.tips(name="Position", value="Value", share_text="Share"),
        },
    }
    fits = f"(datum.end - datum.start) / {whole} * width >= length(datum.name) * {CHARACTER_PX} + {EDGE_PX}"
    words = {
        "mark": {"type": "text", "color": charts.colour("background"), "fontWeight": 600},
        "encoding": {
            "x": {"field": "middle", **axis},
            "text": {"field": "name", "type": "nominal"},
            "opacity": {"condition": {"test": fits, "value": 1}, "value": 0},
        },
    }
    charts.draw(table, {"height": 62, "layer": [bar, words]}, key="portfolio_allocation_chart",
                alt="What share of the whole each open position is")  # fmt: skip
