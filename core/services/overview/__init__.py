"""The Overview: its questions, and what their answers mean in words."""

from core.services.overview.questions import (
    AlertRow,
    Bots,
    Equity,
    Figures,
    Profit,
    TradeRow,
    figures,
    latest_alerts,
    latest_trades,
)
from core.services.overview.words import (
    SCHEMA,
    SETUP,
    Card,
    NextStep,
    cards,
    execution,
    next_step,
    others,
    readable,
    result,
    sentence,
)

__all__ = [
    "SCHEMA",
    "SETUP",
    "AlertRow",
    "Bots",
    "Card",
    "Equity",
    "Figures",
    "NextStep",
    "Profit",
    "TradeRow",
    "cards",
    "execution",
    "figures",
    "latest_alerts",
    "latest_trades",
    "next_step",
    "others",
    "readable",
    "result",
    "sentence",
]
