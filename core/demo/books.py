"""The books of the invented bots: fills, positions and account values that all follow from the same round trips."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from core.demo.bots import BOTS, CENT, FEE, Bot, Trip
from core.demo.market import Prices

SOURCE = "demo"
HOURLY_DAYS, ACCOUNT_DAYS, POSITION_DAYS = 30, 7, 90
LEVERAGE = Decimal(2)
ACCOUNTS = {"USDT": "main", "EUR": "euro"}
Row = dict[str, Any]


@dataclass(frozen=True)
class Value:
    """What an account is worth at one moment."""

    at: datetime
    balance: Decimal
    unrealized: Decimal
    margin: Decimal

    @property
    def equity(self) -> Decimal:
        return self.balance + self.unrealized


def entry_order(trip: Trip) -> str:
    """The identifier of the order that opened the trip."""
    return f"D{trip.id:06d}-E"


def exit_order(trip: Trip) -> str:
    """The identifier of the order that closed the trip."""
    return f"D{trip.id:06d}-X"


def bots(trips: list[Trip], now: datetime) -> Iterator[Row]:
    """Rows of `trading_bots`, owned by the second user."""
    for bot in BOTS:
        profit = sum((trip.net for trip in trips if trip.bot is bot and trip.net is not None), Decimal(0))
        begin = now.replace(hour=6, minute=0, second=0, microsecond=0) - timedelta(days=365 - bot.begins)
        running = bot.status == "running"
        beat = now - timedelta(seconds=4 + bot.id) if running else begin + timedelta(days=(bot.ends or 0) - bot.begins)
        yield {
            "id": bot.id,
            "user_id": 2,
            "type": bot.type,
            "name": bot.name,
            "status": bot.status,
            "started_at": begin,
            "last_heartbeat": beat,
            "error_count": 0 if running else 3,
            "current_balance": bot.balance + profit,
            "total_pnl": profit,
            "currency": bot.currency,
            "extra_metadata": {"exchange": "demo"},
            "config": _config(bot),
            "description": bot.description,
            "created_at": begin,
            "updated_at": beat,
        }


def _config(bot: Bot) -> Row:
    return {
        "strategy": bot.strategy,
        "interval": bot.interval,
        "symbols": [coin.symbol for coin in bot.coins],
        "take_profit_pct": round(bot.gain * 100, 2),
        "stop_loss_pct": round(bot.loss * 100, 2),
        "stake_pct": round(bot.stake * 100, 1),
    }


def bot_positions(trips: list[Trip]) -> Iterator[Row]:
    """Rows of `trading_positions`: one for each round trip, with its number."""
    for trip in trips:
        held = trip.exit_time is None
        yield {
            "id": trip.id,
            "bot_id": trip.bot.id,
            "trade_type": trip.bot.type,
            "symbol": trip.coin.symbol,
            "direction": trip.direction,
            "opened_at": trip.entry_time,
            "closed_at": trip.exit_time,
            "qty_open": trip.size if held else Decimal(0),
            "avg_price": trip.entry_price,
            "realized_pnl": trip.net or Decimal(0),
            "status": "OPEN" if held else "CLOSED",
            "extra_metadata": {},
        }


def round_trips(trips: list[Trip]) -> Iterator[Row]:
    """Rows of `trading_trades`."""
    for trip in trips:
        orders = {"entry_order_id": entry_order(trip)}
        if trip.exit_time:
            orders["exit_order_id"] = exit_order(trip)
        net, cost = trip.net, trip.entry_price * trip.size
        yield {
            "id": trip.id,
            "bot_id": trip.bot.id,
            "position_id": trip.id,
            "trade_type": trip.bot.type,
            "strategy_name": trip.bot.strategy,
            "entry_logic_name": f"{trip.bot.strategy}_entry",
            "exit_logic_name": trip.reason and trip.reason.replace(" ", "_"),
            "symbol": trip.coin.symbol,
            "interval": trip.bot.interval,
            "entry_time": trip.entry_time,
            "exit_time": trip.exit_time,
            "entry_price": trip.entry_price,
            "exit_price": trip.exit_price,
            "size": trip.size,
            "direction": trip.direction,
            "commission": trip.commission,
            "currency": trip.coin.currency,
            "gross_pnl": trip.gross,
            "net_pnl": net,
            "pnl_percentage": None if net is None else (net / cost * 100).quantize(Decimal("0.0001")),
            "exit_reason": trip.reason,
            "status": "CLOSED" if trip.exit_time else "OPEN",
            "extra_metadata": orders if trip.live else {},
            "created_at": trip.entry_time,
            "updated_at": trip.exit_time or trip.entry_time,
        }


def fills(trips: list[Trip], rng: random.Random) -> Iterator[Row]:
    """Rows of `trades`: the fills of each live round trip, some orders in two parts, and a few that were not filled."""
    rows: list[Row] = []
    for trip in trips:
        if not trip.live:
            continue
        rows += _order(trip, entry_order(trip), trip.sign, trip.entry_time, trip.entry_price, rng)
        if trip.exit_time and trip.exit_price is not None:
            rows += _order(trip, exit_order(trip), -trip.sign, trip.exit_time, trip.exit_price, rng)
            if trip.id % 40 == 0:
                rows.append(_refused(trip, trip.exit_time, rng))
    rows.sort(key=lambda row: (row["executed_at"], row["order_id"]))
    for number, row in enumerate(rows, start=1):
        yield {"id": number, **row}


def _order(trip: Trip, order: str, sign: int, moment: datetime, price: Decimal, rng: random.Random) -> Iterator[Row]:
    """One fill, or two at the same price within seconds; the last one has the trip's own time."""
    fee = (price * trip.size * FEE).quantize(CENT)
    if order.endswith("X"):
        fee = trip.commission - (trip.entry_price * trip.size * FEE).quantize(CENT)  # so that both fees add up
    step = Decimal(1).scaleb(-trip.coin.size_places)
    part = (trip.size * Decimal(f"{rng.uniform(0.3, 0.7):.2f}")).quantize(step)
    if rng.random() > 0.12 or not 0 < part < trip.size:
        yield _fill(trip, order, sign, moment, price, trip.size, fee)
        return
    first = (fee * part / trip.size).quantize(CENT)
    yield _fill(trip, order, sign, moment - timedelta(seconds=rng.randrange(1, 9)), price, part, first)
    yield _fill(trip, order, sign, moment, price, trip.size - part, fee - first)


def _fill(trip: Trip, order: str, sign: int, moment: datetime, price: Decimal, size: Decimal, fee: Decimal) -> Row:
    return {
        "symbol": trip.coin.symbol,
        "action": "BUY" if sign > 0 else "SELL",
        "quantity": size,
        "price": price,
        "fee": fee,
        "fee_currency": trip.coin.currency,
        "currency": trip.coin.currency,
        "executed_at": moment,
        "order_id": order,
        "status": "FILLED",
        "exchange": "demo",
        "strategy": trip.bot.strategy,
        "source": SOURCE,
        "created_at": moment,
        "updated_at": moment,
    }


def _refused(trip: Trip, moment: datetime, rng: random.Random) -> Row:
    row = _fill(trip, f"D{trip.id:06d}-R", 1, moment - timedelta(seconds=40), trip.entry_price, trip.size, Decimal(0))
    return row | {"status": rng.choice(("REJECTED", "CANCELLED")), "fee_currency": None}


def positions(trips: list[Trip], market: dict[str, Prices], now: datetime) -> Iterator[Row]:
    """Rows of `positions`: what the live bots hold now, and what they held in the last months."""
    for trip in trips:
        if not trip.live or (trip.exit_time and trip.exit_time < now - timedelta(days=POSITION_DAYS)):
            continue
        held = trip.exit_time is None
        price = market[trip.coin.symbol].at(now) if trip.exit_price is None else trip.exit_price
        size = trip.size if held else Decimal(0)
        yield {
            "id": trip.id,
            "symbol": trip.coin.symbol,
            "side": trip.direction,
            "quantity": size,
            "entry_price": trip.entry_price,
            "current_price": price,
            "market_value": price * size,
            "unrealized_pnl": trip.profit(price) if held else Decimal(0),
            "realized_pnl": trip.net or Decimal(0),
            "take_profit": trip.take_profit,
            "stop_loss": trip.stop_loss,
            "leverage": LEVERAGE,
            "currency": trip.coin.currency,
            "status": "OPEN" if held else "CLOSED",
            "opened_at": trip.entry_time,
            "closed_at": trip.exit_time,
            "metadata": {"bot_id": trip.bot.id, "trade_id": trip.id},
            "created_at": trip.entry_time,
            "updated_at": trip.exit_time or now,
        }


def values(trips: list[Trip], market: dict[str, Prices], now: datetime, currency: str) -> list[Value]:
    """The account of one currency: daily for a year, hourly for the last month, and now.

    Balance is what the bots began with plus the net profit of what is closed; equity adds what is open.
    """
    own = [trip for trip in trips if trip.live and trip.bot.currency == currency]
    moments = _moments(market, now)
    closed = sorted((trip.exit_time, trip.net or Decimal(0)) for trip in own if trip.exit_time)
    balance = sum((bot.balance for bot in BOTS if bot.type == "live" and bot.currency == currency), Decimal(0))
    found, done = [], 0
    waiting = sorted(own, key=lambda trip: trip.entry_time, reverse=True)
    held: list[Trip] = []
    for moment in moments:
        while done < len(closed) and closed[done][0] <= moment:
            balance += closed[done][1]
            done += 1
        while waiting and waiting[-1].entry_time <= moment:
            held.append(waiting.pop())
        held = [trip for trip in held if trip.exit_time is None or trip.exit_time > moment]
        unrealized = margin = Decimal(0)
        for trip in held:
            price = market[trip.coin.symbol].at(moment)
            unrealized += trip.profit(price)
            margin += price * trip.size / LEVERAGE
        found.append(Value(moment, balance, unrealized, margin))
    return found


def _moments(market: dict[str, Prices], now: datetime) -> list[datetime]:
    start = next(iter(market.values())).start
    hour = now.replace(minute=0, second=0, microsecond=0)
    hourly = [hour - timedelta(hours=number) for number in range(HOURLY_DAYS * 24)]
    daily = [start + timedelta(days=number) for number in range(366)]
    return [moment for moment in daily if moment < hourly[-1]] + sorted({*hourly, now})


def portfolios(accounts: dict[str, list[Value]]) -> Iterator[Row]:
    """Rows of `portfolios`, oldest first."""
    points = sorted(((value.at, currency, value) for currency, found in accounts.items() for value in found),
                    key=lambda point: point[:2])  # fmt: skip
    for number, (moment, currency, value) in enumerate(points, start=1):
        yield {
            "id": number,
            "timestamp": moment,
            "total_value": value.equity,
            "cash_balance": value.balance,
            "currency": currency,
            "source": SOURCE,
            "created_at": moment,
            "updated_at": moment,
        }


def account_states(accounts: dict[str, list[Value]], now: datetime) -> Iterator[Row]:
    """Rows of `account_state`: the last week of both accounts."""
    number = 0
    for currency, found in accounts.items():
        for value in found:
            if value.at < now - timedelta(days=ACCOUNT_DAYS):
                continue
            number += 1
            yield {
                "id": number,
                "account": ACCOUNTS[currency],
                "currency": currency,
                "equity": value.equity,
                "balance": value.balance,
                "available": value.equity - value.margin,
                "margin_used": value.margin,
                "unrealized_pnl": value.unrealized,
                "recorded_at": value.at,
                "created_at": value.at,
            }
