"""What the Overview says: one sentence, six figures and the next step, from what was asked."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from core.format import age, count, duration, money
from core.services.overview.questions import (
    ALIVE_S,
    DAY_S,
    EQUITY_DAYS,
    PNL_DAYS,
    SEVERITIES,
    Equity,
    Figures,
    TradeRow,
)

if TYPE_CHECKING:
    from core.settings import ConfigIssue
    from core.state import Status

SETUP, SCHEMA = "pages/setup.py", "pages/schema.py"
NO_DATA = "no data"


@dataclass(frozen=True)
class NextStep:
    """The one thing to do now. page: where its button leads; None where there is nothing to click.

    done: everything that was looked at is fine.
    """

    title: str
    why: str
    label: str | None = None
    page: str | None = None
    done: bool = False


@dataclass(frozen=True)
class Card:
    """One figure: its value, a change with its sign, a remark in words, and how all of it is made.

    chart: what to draw of the points (earlier values, oldest first); None for a figure that has no history.
    """

    label: str
    value: str
    remark: str | None
    basis: str
    change: str | None = None
    chart: Literal["area", "bar"] | None = None
    points: tuple[float, ...] = ()


def sentence(status: Status, figures: Figures | None, *, now_s: float | None = None) -> str:
    """How everything is, in one sentence; figures None: nothing was asked."""
    name = _name(status.label)
    if status.mode == "demo":
        return f"Demo data, {_counts(figures)}." if figures else "Demo data."
    if status.mode == "starting":
        return "Looking for the database."
    if status.mode == "misconfigured":
        return "The configuration cannot be read."
    if status.mode == "connecting":
        return f"Connecting to {name}, try {max(1, status.attempt)}."
    if status.mode == "down":
        away_s = (now_s or time.time()) - (status.reachable_at or status.since)
        why = f" {status.error.title}." if status.error else ""
        return f"No connection to {name} for {duration(max(1, round(away_s)))}.{why}"
    product = "SQLite" if status.label.startswith("SQLite ") else "PostgreSQL"
    parts = [f"Connected to {name} on {product} {status.server_version}", _schema(status), _counts(figures)]
    return ", ".join(part for part in parts if part) + "."


def _name(label: str) -> str:
    """The database's name alone."""
    return label.replace("\\", "/").rpartition("/")[2]


def _schema(status: Status) -> str:
    schema = status.schema
    if schema is None:
        return "schema not looked at yet"
    if not schema.compatible:
        return "schema newer than this Tradekeep"
    if schema.unmanaged:
        return "tables made by another program"
    if schema.current_version is None:
        return "no tables yet"
    if schema.missing:
        return f"{count(len(schema.missing), 'table')} missing"
    if schema.incomplete:
        return f"{count(len(schema.incomplete), 'table')} without all columns"
    return f"{count(len(schema.pending), 'schema update')} pending" if schema.migration_needed else "schema up to date"


def _counts(figures: Figures | None) -> str:
    """Bots and alerts in words; empty where nothing was asked."""
    if figures is None:
        return ""
    bots, alerts = figures.bots, figures.alerts
    if bots is None:
        first = "no bots yet"
    elif bots.alive < bots.running:
        first = f"{bots.alive} of {count(bots.running, 'running bot')} alive"
    else:
        first = f"{count(bots.alive, 'bot')} alive"
    return f"{first}, {'no alerts yet' if alerts is None else count(alerts, 'alert') + ' open'}"


def cards(status: Status, figures: Figures) -> list[Card]:
    """The six figures; what is not known says "no data" and why."""
    return [
        _equity(figures),
        _profit(figures),
        _positions(figures),
        _alerts(figures),
        _last_trade(figures),
        _answer(status),
    ]


def _nothing(label: str, because: str, basis: str, chart: Literal["area", "bar"] | None = None) -> Card:
    return Card(label, NO_DATA, because, f"No data, because {because}. {basis}", chart=chart)


def _equity(figures: Figures) -> Card:
    basis = f"The newest total_value in portfolios; the line shows the last {EQUITY_DAYS} days."
    main = _main_equity(figures)
    if main is None:
        return _nothing("Equity", "portfolios is empty", basis, "area")
    points, change, remark = tuple(float(point) for point in main.points), None, f"as of {age(main.at)}"
    if len(points) > 1 and points[0]:
        percent = float(main.value) / points[0] * 100 - 100
        change = f"{'+' if percent >= 0 else '-'}{abs(percent):.1f} %"
        span_s = (main.at - main.since).total_seconds()
        remark = f"in {duration(span_s) if span_s < 2 * DAY_S else count(round(span_s / DAY_S), 'day')}, {remark}"
        basis += " Change: newest value / oldest value in the line - 1, deposits and withdrawals included."
    return Card("Equity", money(main.value, main.currency), remark, basis, change, "area", points)


def _main_equity(figures: Figures) -> Equity | None:
    return next((one for one in figures.equity if one.currency == figures.currency), next(iter(figures.equity), None))


def _profit(figures: Figures) -> Card:
    label = "P&L today"
    basis = (
        "Sum of net_pnl of the live round trips (trading_trades) closed since midnight UTC, after commission; paper "
        f"trades and backtests do not count. The bars show the last {PNL_DAYS} days."
    )
    if not figures.profit:
        return _nothing(label, f"nothing was closed in {PNL_DAYS} days", basis, "bar")
    main = figures.profit[0]
    days = tuple(float("nan") if day is None else float(day) for day in main.days)
    if main.today is None:
        basis = f"No data, because nothing was closed today. {basis}"
        return Card(label, NO_DATA, "nothing closed today", basis, None, "bar", days)
    word = "profit" if main.today > 0 else "loss" if main.today < 0 else "neither profit nor loss"
    remark = f"{word} from {count(main.trips, 'round trip')}"
    return Card(label, money(main.today, main.currency, sign=True), remark, basis, None, "bar", days)


def _positions(figures: Figures) -> Card:
    basis = "Rows of positions with status OPEN."
    if figures.open_positions is None:
        return _nothing("Open positions", "positions is empty", basis)
    return Card("Open positions", f"{figures.open_positions:,}", None, basis)


def _alerts(figures: Figures) -> Card:
    basis = "Rows of alerts that are not resolved."
    if figures.open_alerts is None:
        return _nothing("Open alerts", "alerts is empty", basis)
    words = ", ".join(f"{number:,} {severity.lower()}" for severity, number in figures.open_alerts.items())
    return Card("Open alerts", f"{figures.alerts:,}", words or None, basis)


def _last_trade(figures: Figures) -> Card:
    basis = "Age of the newest executed_at in trades."
    if figures.last_trade_at is None:
        return _nothing("Last trade", "trades is empty", basis)
    return Card("Last trade", age(figures.last_trade_at), None, basis)


def _answer(status: Status) -> Card:
    basis = "How long SELECT 1 took, a connection from the pool included; measured every few seconds."
    if status.latency_ms is None:
        because = "demo has no server" if status.mode == "demo" else "it does not answer"
        return _nothing("Database answer", because, basis)
    return Card("Database answer", duration(status.latency_ms / 1000), None, basis)


def others(figures: Figures) -> str:
    """Equity and today's profit in the currencies that the cards do not show; empty if there are none."""
    main = _main_equity(figures)
    parts = [money(one.value, one.currency) + " equity" for one in figures.equity if one is not main]
    for one in figures.profit[1:]:
        if one.today is not None:
            parts.append(money(one.today, one.currency, sign=True) + " today")
    return f"Also {', '.join(parts)}." if parts else ""


def next_step(status: Status, figures: Figures | None, issues: Sequence[ConfigIssue] = ()) -> NextStep:
    """The one thing to do now, the most urgent first; figures None: nothing was asked."""
    step = _connection_step(status)
    if step:
        return step
    for issue in issues:
        if issue.severity == "error":
            return NextStep(issue.message.rstrip("."), issue.suggested_fix, "Look at the setup", SETUP)
    if status.demo_data:
        why = "Look around first. Your bots would take its open positions for their own."
        return NextStep("Remove the demo data", why, "Remove it in the setup", SETUP)
    return _trading_step(figures or Figures())


def _connection_step(status: Status) -> NextStep | None:
    if status.mode == "misconfigured" and status.error:
        return NextStep("Correct the configuration", status.error.suggested_fix, "Look at the setup", SETUP)
    if status.mode == "demo":
        why = "A PostgreSQL of your own, with tables and a .env.local for your bots, takes a few minutes."
        return NextStep("Set up a database", why, "Set up a database", SETUP)
    if status.mode == "down":
        why = status.error.suggested_fix if status.error else "The Setup page looks at the connection step by step."
        return NextStep("Bring the database back", why, "Look at the setup", SETUP)
    if status.mode != "connected" or status.schema is None:
        return NextStep("Wait a moment", "The connection is being made. This page goes on by itself.")
    if not status.schema.compatible:
        why = "The tables were made by a newer version, whose changes this one does not know."
        return NextStep("Update Tradekeep", why, "Look at the schema", SCHEMA)
    if status.schema.unmanaged:
        why = "Some of the tables exist, but not from here, so nothing was changed."
        return NextStep("Compare the tables", why, "Look at the schema", SCHEMA)
    if status.schema.current_version is None:
        return NextStep("Create the tables", "The database answers, and has no tables yet.", "Create the tables", SETUP)
    if status.schema.missing:
        why = f"Not there: {', '.join(status.schema.missing[:5])}. They can be created again, empty."
        return NextStep("Create what is missing", why, "Look at the schema", SCHEMA)
    if status.schema.incomplete:
        lacking = [f"{table}.{column}" for table, columns in status.schema.incomplete.items() for column in columns]
        why = f"Not there: {', '.join(lacking[:5])}. They can be created again; what stood in them is gone."
        return NextStep("Create what is missing", why, "Look at the schema", SCHEMA)
    if status.schema.migration_needed:
        return NextStep("Update the schema", "This version expects newer tables.", "Look at the schema", SCHEMA)
    return None


def _trading_step(figures: Figures) -> NextStep:
    urgent = {name: (figures.open_alerts or {}).get(name, 0) for name in SEVERITIES[:2]}
    if any(urgent.values()):
        words = " and ".join(count(number, f"{name.lower()} alert") for name, number in urgent.items() if number)
        return NextStep(f"Look into {words}", "Urgent alerts stay open until somebody resolves them; see below.")
    if figures.bots and figures.bots.alive < figures.bots.running:
        silent = count(figures.bots.running - figures.bots.alive, "running bot")
        why = f"No heartbeat for more than {duration(ALIVE_S)}: the bot has stopped, or cannot write."
        return NextStep(f"See why {silent} {'is' if silent.startswith('1 ') else 'are'} silent", why)
    if figures.empty:
        why = "The tables are ready and empty. Your bots connect with DATABASE_URL from .env.local."
        return NextStep("Let your bots write", why, "Show the connection", SETUP)
    why = "Connection and schema are fine, no urgent alert is open, no running bot is silent."
    return NextStep("Nothing to do", why, done=True)


def readable(status: Status) -> bool:
    """Whether there are rows to show: fresh ones, the demo's, or the last good ones of a database that is away."""
    if status.mode == "connected":
        return status.ready
    return status.mode == "demo" or status.reachable_at is not None


def execution(row: TradeRow) -> str:
    """What was traded, in words: `Bought 0.5 BTC/USDT at 58,400.10 USDT`."""
    side = {"BUY": "Bought", "SELL": "Sold"}.get(row.action, row.action)
    if row.status not in ("FILLED", "PARTIALLY_FILLED"):
        side = f"{row.action.capitalize()} order {row.status.lower()}:"
    places = max(2, -int(row.price.normalize().as_tuple().exponent))
    return f"{side} {row.quantity.normalize():f} {row.symbol} at {money(row.price, row.currency, places=places)}"


def result(row: TradeRow) -> str:
    """What the execution closed with, in words; empty if it closed nothing."""
    if row.pnl is None:
        return ""
    word = "profit" if row.pnl > 0 else "loss" if row.pnl < 0 else "even"
    return f"{money(row.pnl, row.currency, sign=True)} {word}"
