"""What the invented platform noticed, decided and reported: signals, agents, events, alerts and figures."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from statistics import fmean
from typing import Any

from core.demo.books import SOURCE, Row, Value, entry_order, exit_order
from core.demo.bots import BOTS, Bot, Trip
from core.demo.market import COINS, Prices

SIGNAL_DAYS, EVENT_DAYS = 45, 7
TRACE_EVERY = timedelta(minutes=5)
DRAWDOWN_STEPS = ((0.05, "WARNING"), (0.075, "CRITICAL"), (0.095, "EMERGENCY"))
ROUTINE = (
    # alert type, severity, message, how it was resolved
    ("order_rejected", "WARNING", "The exchange refused an order for {symbol}: not enough margin.", "Sent again."),
    ("latency", "INFO", "Answers of the exchange took {ms} ms on average in the last five minutes.", "Normal again."),
    ("data_gap", "WARNING", "No 15m candle for {symbol} for 20 minutes.", "The candles were loaded afterwards."),
    ("heartbeat", "CRITICAL", "Range trader was silent for six minutes.", "It was started again."),
    ("funding", "INFO", "The funding rate of {symbol} is above 0.05 % for eight hours.", "Back to normal."),
    ("slippage", "WARNING", "A stop of {symbol} was filled 0.4 % below its price.", "Read, nothing to do."),
)


def signals(trips: list[Trip], market: dict[str, Prices], now: datetime, rng: random.Random) -> list[Row]:
    """Rows of `signals`: one before each recent entry, and some that advised to hold."""
    rows = []
    for trip in trips:
        if trip.entry_time < now - timedelta(days=SIGNAL_DAYS):
            continue
        moment = trip.entry_time - timedelta(seconds=rng.randrange(2, 20))
        advice = "BUY" if trip.sign > 0 else "SELL"
        rows.append(_signal(trip.bot, trip.coin.symbol, advice, moment, trip.entry_price, rng) | {"trip": trip})
        if trip.id % 2:
            moment -= timedelta(minutes=rng.randrange(20, 200))
            price = market[trip.coin.symbol].at(moment)
            rows.append(_signal(trip.bot, trip.coin.symbol, "HOLD", moment, price, rng) | {"trip": None})
    rows.sort(key=lambda row: row["generated_at"])
    return [{"id": number, **row} for number, row in enumerate(rows, start=1)]


def _signal(bot: Bot, symbol: str, advice: str, moment: datetime, price: Decimal, rng: random.Random) -> Row:
    strength = rng.uniform(0.05, 0.35) if advice == "HOLD" else rng.uniform(0.5, 0.98)
    return {
        "symbol": symbol,
        "timeframe": bot.interval,
        "direction": advice,
        "strength": Decimal(f"{strength:.5f}"),
        "price": price,
        "strategy": bot.strategy,
        "reason": "No clear direction" if advice == "HOLD" else f"{bot.strategy} agrees on two timeframes",
        "metadata": {"bot_id": bot.id},
        "generated_at": moment,
        "expires_at": moment + timedelta(hours=1),
        "created_at": moment,
    }


def decisions(signals: list[Row], rng: random.Random) -> Iterator[Row]:
    """Rows of `agent_decisions`: one for each signal, with its number."""
    for row in signals:
        trip: Trip | None = row["trip"]
        moment = row["generated_at"] + timedelta(seconds=1)
        yield {
            "id": row["id"],
            "agent": "risk_officer",
            "symbol": row["symbol"],
            "decision": "ENTER" if trip else "WAIT",
            "confidence": Decimal(f"{rng.uniform(0.55, 0.95):.5f}"),
            "reasoning": "Within the limits for size and loss" if trip else "The signal is too weak",
            "inputs": {"strength": float(row["strength"]), "open_positions": rng.randrange(1, 5)},
            "signal_id": row["id"],
            "decided_at": moment,
            "created_at": moment,
        }


def actions(signals: list[Row]) -> Iterator[Row]:
    """Rows of `agent_actions`: the order that followed from each decision to enter."""
    for number, row in enumerate((row for row in signals if row["trip"]), start=1):
        trip: Trip = row["trip"]
        failed = not trip.live and trip.id % 25 == 0
        yield {
            "id": number,
            "decision_id": row["id"],
            "agent": "executor",
            "action": "OPEN_POSITION",
            "status": "FAILED" if failed else "DONE",
            "order_id": entry_order(trip) if trip.live else None,
            "result": {} if failed else {"price": float(trip.entry_price), "size": float(trip.size)},
            "error": "The exchange's test system did not answer" if failed else None,
            "acted_at": trip.entry_time,
            "created_at": trip.entry_time,
        }


def events(trips: list[Trip], now: datetime, rng: random.Random) -> Iterator[Row]:
    """Rows of `system_events`: a decision trace a coin in five minutes of the last day, orders, reconciliations."""
    rows: list[tuple[datetime, str, str | None, str, str, dict[str, Any]]] = []
    for coin in COINS:
        for number in range(24 * 12):
            moment = now - number * TRACE_EVERY - timedelta(seconds=rng.randrange(1, 20))
            found = rng.random() < 0.06
            kind = "DECISION_TRACE" if found else "NO_SIGNAL"
            text = "A signal, passed on to the risk officer" if found else "Looked, no signal"
            rows.append((moment, kind, coin.symbol, "DEBUG", text, {"score": round(rng.uniform(-1, 1), 3)}))
    since = now - timedelta(days=EVENT_DAYS)
    for trip in trips:
        for filled, order in ((trip.entry_time, entry_order(trip)), (trip.exit_time, exit_order(trip))):
            if trip.live and filled and filled >= since:
                rows.append((filled, "ORDER", trip.coin.symbol, "INFO", f"Order {order} filled", {"order_id": order}))
    for hours in range(EVENT_DAYS * 24):
        moment = now - timedelta(hours=hours, minutes=rng.randrange(1, 9))
        rows.append((moment, "RECONCILE", None, "INFO", "Positions agree with the exchange", {"differences": 0}))
        if hours % 31 == 7:
            text = "The price feed was connected again after 3 s"
            rows.append((moment + timedelta(seconds=5), "ERROR", None, "WARNING", text, {"attempts": 1}))
    rows.sort(key=lambda row: row[0])
    for number, (moment, kind, symbol, severity, text, payload) in enumerate(rows, start=1):
        yield {
            "id": number,
            "event_type": kind,
            "symbol": symbol,
            "severity": severity,
            "message": text,
            "payload": payload,
            "occurred_at": moment,
        }


def alerts(accounts: dict[str, list[Value]], now: datetime, rng: random.Random) -> Iterator[Row]:
    """Rows of `alerts`: every drawdown that the accounts really had, routine ones, and two that are still open."""
    rows = [row for currency, found in accounts.items() for row in _drawdowns(currency, found)]
    for number in range(70):
        kind, severity, text, resolution = ROUTINE[rng.randrange(len(ROUTINE))]
        moment = now - timedelta(days=rng.uniform(0.6, 360))
        message = text.format(symbol=rng.choice(COINS).symbol, ms=rng.randrange(400, 1900))
        row = _alert(kind, severity, message, moment, f"{kind}:{number % 9}")
        rows.append(row | _resolved(moment + timedelta(minutes=rng.randrange(4, 300)), resolution))
    outage = now - timedelta(days=97, hours=3)
    text = "The exchange did not answer for four minutes; no new orders were sent."
    row = _alert("exchange_down", "EMERGENCY", text, outage, "exchange_down")
    rows.append(row | _resolved(outage + timedelta(minutes=26), "The exchange is back; positions were compared."))
    for kind, severity, text, minutes in (
        ("exposure", "WARNING", "42 % of the USDT account is in one direction (limit 40 %).", 38),
        ("data_gap", "INFO", "Candles of ADA/USDT came 90 s late three times in the last hour.", 12),
    ):
        rows.append(_alert(kind, severity, text, now - timedelta(minutes=minutes), kind))
    rows.sort(key=lambda row: row["timestamp"])
    for number, row in enumerate(rows, start=1):
        yield {"id": number, **row}


def _drawdowns(currency: str, found: list[Value]) -> Iterator[Row]:
    """One alert for each step that a fall from the highest equity passed; resolved when half of it was made good."""
    peak, reached = Decimal(0), 0
    for number, value in enumerate(found):
        if value.equity >= peak:
            peak, reached = value.equity, 0
        fall = float(1 - value.equity / peak)
        while reached < len(DRAWDOWN_STEPS) and fall >= DRAWDOWN_STEPS[reached][0]:
            step, severity = DRAWDOWN_STEPS[reached]
            reached += 1
            better = (later.at for later in found[number:] if later.equity > peak * Decimal(1 - step / 2))
            end = next(better, value.at + timedelta(days=3))
            text = f"The {currency} account is {fall:.1%} below its highest value."
            row = _alert("drawdown", severity, text, value.at, f"drawdown:{currency}")
            yield row | _resolved(min(end, found[-1].at), "Read; the limits stayed as they were.")


def _alert(kind: str, severity: str, message: str, moment: datetime, fingerprint: str) -> Row:
    return {
        "alert_type": kind,
        "severity": severity,
        "message": message,
        "source": SOURCE,
        "resolved": False,
        "resolution": None,
        "resolved_at": None,
        "resolved_by": None,
        "fingerprint": fingerprint,
        "timestamp": moment,
        "created_at": moment,
        "updated_at": moment,
    }


def _resolved(moment: datetime, resolution: str) -> Row:
    return {
        "resolved": True,
        "resolution": resolution,
        "resolved_at": moment,
        "resolved_by": "trader@example.com",
        "updated_at": moment,
    }


def figures(trips: list[Trip]) -> Row | None:
    """Number, win rate and profit factor of closed round trips; None if there are none."""
    nets = [trip.net for trip in trips if trip.net is not None]
    if not nets:
        return None
    won, lost = sum(net for net in nets if net > 0), -sum(net for net in nets if net < 0)
    return {
        "round_trips": len(nets),
        "win_rate_pct": round(fmean(net > 0 for net in nets) * 100, 2),
        "net_pnl": float(sum(nets)),
        "profit_factor": round(float(won / lost), 3) if lost else None,
    }


def metrics(trips: list[Trip], now: datetime) -> Iterator[Row]:
    """Rows of `performance_metrics`: the live strategies, month by month."""
    number = 0
    for bot in BOTS:
        for month in range(12):
            end = now - timedelta(days=30 * month)
            begin = end - timedelta(days=30)
            own = [t for t in trips if t.live and t.bot is bot and t.exit_time and begin < t.exit_time <= end]
            for name, value in (figures(own) or {}).items():
                if value is None:
                    continue
                number += 1
                yield {
                    "id": number,
                    "name": name,
                    "value": Decimal(str(value)),
                    "unit": {"win_rate_pct": "%", "net_pnl": bot.currency}.get(name),
                    "symbol": None,
                    "strategy": bot.strategy,
                    "period_start": begin,
                    "period_end": end,
                    "metadata": {"bot_id": bot.id},
                    "recorded_at": end,
                    "created_at": end,
                }


def bot_metrics(trips: list[Trip], now: datetime) -> Iterator[Row]:
    """Rows of `trading_performance_metrics`: each bot as a whole and by coin."""
    number = 0
    for bot in BOTS:
        for symbol in (None, *(coin.symbol for coin in bot.coins)):
            own = [trip for trip in trips if trip.bot is bot and symbol in (None, trip.coin.symbol)]
            found = figures(own)
            if found is None:
                continue
            number += 1
            yield {
                "id": number,
                "bot_id": bot.id,
                "trade_type": bot.type,
                "symbol": symbol,
                "interval": bot.interval,
                "entry_logic_name": f"{bot.strategy}_entry",
                "exit_logic_name": None,
                "metrics": found,
                "calculated_at": now - timedelta(hours=1),
                "created_at": now - timedelta(hours=1),
            }
