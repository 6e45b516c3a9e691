"""Invented bots and their round trips, entered and left at the prices of the invented market."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np

from core.demo.market import ADA, BAR, BTC, BTC_EUR, ETH, ETH_EUR, SOL, XRP, Coin, Prices

FEE = Decimal("0.0005")  # of each fill's value
CENT = Decimal("0.000001")
YOUNG_DAY = timedelta(hours=3)


@dataclass(frozen=True)
class Bot:
    """A bot and how it trades. Times are in days since the year's begin, distances in shares of the price.

    skill: how often it guesses the direction. stake: the value of a position as a share of its balance.
    """

    id: int
    name: str
    type: str
    status: str
    strategy: str
    interval: str
    coins: tuple[Coin, ...]
    balance: Decimal
    begins: float
    ends: float | None
    gap_h: float
    longest_h: float
    gain: float
    loss: float
    skill: float
    stake: float
    description: str

    @property
    def currency(self) -> str:
        return self.coins[0].currency


BOTS = (
    Bot(1, "Trend follower", "live", "running", "trend_follow", "1h", (BTC, ETH), Decimal(12_000), 2, None,
        26, 60, 0.045, 0.022, 0.57, 0.42, "Follows moves of a day or two in the large coins."),
    Bot(2, "Range trader", "live", "running", "mean_reversion", "15m", (SOL, XRP, ADA), Decimal(9_000), 9, None,
        22, 14, 0.020, 0.017, 0.56, 0.30, "Buys dips and sells peaks of quiet markets."),
    Bot(3, "Breakout study", "paper", "running", "breakout", "4h", (BTC, SOL), Decimal(10_000), 120, None,
        40, 90, 0.060, 0.030, 0.55, 0.30, "Tries a new idea without real money."),
    Bot(4, "Momentum 2", "live", "stopped", "momentum", "1h", (SOL, ADA), Decimal(4_000), 30, 322,
        36, 30, 0.035, 0.030, 0.47, 0.45, "Stopped after a long series of losses."),
    Bot(5, "Euro saver", "live", "running", "trend_follow", "4h", (BTC_EUR, ETH_EUR), Decimal(10_000), 60, None,
        34, 80, 0.040, 0.021, 0.54, 0.40, "The same idea as the trend follower, in euros."),
    Bot(6, "Breakout backtest", "backtest", "stopped", "breakout", "4h", (BTC, ETH, SOL), Decimal(10_000), 1, 118,
        40, 90, 0.060, 0.030, 0.74, 0.30, "What made the breakout study look promising."),
)  # fmt: skip

# How each live market ends: hours before now at which the open position was entered (None: nothing is held), its
# sign, and the sign of the round trip that was closed today (0: none).
ENDINGS: dict[str, tuple[float | None, int, int]] = {
    "BTC/USDT": (7.4, 1, 1),
    "ETH/USDT": (31.0, 1, 0),
    "SOL/USDT": (2.1, -1, 1),
    "XRP/USDT": (None, 0, -1),
    "ADA/USDT": (4.6, 1, 1),
    "BTC/EUR": (12.3, 1, 1),
    "ETH/EUR": (None, 0, -1),
}


@dataclass(frozen=True)
class Trip:
    """One round trip; exit fields are None while it is open."""

    bot: Bot
    coin: Coin
    direction: str
    size: Decimal
    entry_time: datetime
    entry_price: Decimal
    take_profit: Decimal
    stop_loss: Decimal
    exit_time: datetime | None = None
    exit_price: Decimal | None = None
    reason: str | None = None
    id: int = 0

    @property
    def sign(self) -> int:
        return 1 if self.direction == "LONG" else -1

    @property
    def live(self) -> bool:
        return self.bot.type == "live"

    @property
    def commission(self) -> Decimal:
        """What the fills so far have cost."""
        value = self.entry_price + (self.exit_price or 0)
        return (value * self.size * FEE).quantize(CENT)

    def profit(self, price: Decimal) -> Decimal:
        """The gain if it is left at this price, before commission."""
        return self.sign * (price - self.entry_price) * self.size

    @property
    def gross(self) -> Decimal | None:
        return None if self.exit_price is None else self.profit(self.exit_price)

    @property
    def net(self) -> Decimal | None:
        return None if self.gross is None else self.gross - self.commission


def trips(market: dict[str, Prices], now: datetime, seed: int) -> list[Trip]:
    """All round trips, oldest entry first, numbered from 1; no bot holds two of one coin at a time."""
    found: list[Trip] = []
    for bot in BOTS:
        for coin in bot.coins:
            rng = random.Random(f"{seed} {bot.id} {coin.symbol}")
            prices = market[coin.symbol]
            own = list(_year(bot, prices, rng))
            if bot.type == "live" and bot.ends is None:
                own = _ending(own, bot, prices, now, rng)
            found += own
    found.sort(key=lambda trip: (trip.entry_time, trip.bot.id, trip.coin.symbol))
    return [replace(trip, id=number) for number, trip in enumerate(found, start=1)]


def _year(bot: Bot, prices: Prices, rng: random.Random) -> Iterator[Trip]:
    """Round trips one after the other, all closed before now."""
    moment = prices.start + timedelta(days=bot.begins)
    end = prices.start + timedelta(days=bot.ends) if bot.ends else prices.now
    while True:
        moment += timedelta(hours=0.3 + rng.expovariate(1 / bot.gap_h))
        if moment >= end - BAR:
            return
        trip = _left(_entered(bot, prices, moment, _guess(bot, prices, moment, rng), rng), prices, rng)
        if trip.exit_time is None or trip.exit_time > end:
            return
        yield trip
        moment = trip.exit_time


def _guess(bot: Bot, prices: Prices, moment: datetime, rng: random.Random) -> int:
    """1 for long, -1 for short: right as often as the bot is skilled."""
    number = prices.bar(moment)
    later = min(number + round(bot.longest_h * 4), len(prices.close) - 1)
    right = 1 if prices.close[later] >= prices.close[number] else -1
    return right if rng.random() < bot.skill else -right


def _entered(bot: Bot, prices: Prices, moment: datetime, sign: int, rng: random.Random) -> Trip:
    moment = moment.replace(microsecond=0)
    price = prices.at(moment)
    value = bot.balance * Decimal(f"{bot.stake * rng.uniform(0.75, 1.1):.4f}")
    wide = rng.uniform(0.8, 1.25)
    return Trip(
        bot=bot,
        coin=prices.coin,
        direction="LONG" if sign > 0 else "SHORT",
        size=round(value / price, prices.coin.size_places),
        entry_time=moment,
        entry_price=price,
        take_profit=prices.exact(float(price) * (1 + sign * bot.gain * wide)),
        stop_loss=prices.exact(float(price) * (1 - sign * bot.loss * wide)),
    )


def _left(trip: Trip, prices: Prices, rng: random.Random) -> Trip:
    """The trip closed where its take-profit or stop-loss was reached, or after its longest time; open if neither."""
    first = prices.bar(trip.entry_time) + 1
    last = min(first + round(trip.bot.longest_h * 4 * rng.uniform(0.6, 1.0)), len(prices.close) - 1)
    highs, lows = prices.high[first:last], prices.low[first:last]
    target, stop = float(trip.take_profit), float(trip.stop_loss)
    won, lost = (highs >= target, lows <= stop) if trip.sign > 0 else (lows <= target, highs >= stop)
    hits = np.flatnonzero(won | lost)
    if not len(hits):
        if last == len(prices.close) - 1:
            return trip
        moment = prices.start + last * BAR + timedelta(seconds=rng.randrange(1, 800))
        return replace(trip, exit_time=moment, exit_price=prices.at(moment), reason="time limit")
    number = first + int(hits[0])
    moment = prices.start + number * BAR + timedelta(seconds=rng.randrange(1, 890))
    if lost[hits[0]]:  # a stop is filled a little worse than asked for
        worse = stop * (1 - trip.sign * rng.uniform(0, 0.0008))
        price, reason = min(max(worse, prices.low[number]), prices.high[number]), "stop loss"
    else:
        price, reason = target, "take profit"
    return replace(trip, exit_time=moment, exit_price=prices.exact(price), reason=reason)


def _ending(own: list[Trip], bot: Bot, prices: Prices, now: datetime, rng: random.Random) -> list[Trip]:
    """The trips with those of today put in their place, as ENDINGS has them."""
    open_h, sign, today = ENDINGS[prices.coin.symbol]
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if now - midnight < YOUNG_DAY:  # not everything can have happened in it
        today, open_h = (today, None) if prices.coin in (BTC, BTC_EUR) else (0, open_h)
    held_since = now if open_h is None else now - timedelta(hours=open_h)
    last: list[Trip] = []
    if today and now - midnight > timedelta(seconds=10):
        moment = midnight + (now - midnight) * rng.uniform(0.25, 0.8)
        if open_h is not None:
            held_since = max(held_since, moment + (now - moment) * 0.3)
        entry = moment - timedelta(hours=rng.uniform(3, 9))
        last.append(_closed(bot, prices, entry, moment.replace(microsecond=0), today, rng))
    if open_h is not None:
        last.append(_held(bot, prices, held_since, now, sign, rng))
    begin = last[0].entry_time if last else now
    return [trip for trip in own if trip.exit_time and trip.exit_time < begin] + last


def _towards(prices: Prices, begin: datetime, end: datetime, wanted: int) -> int:
    """The direction that made a gain (wanted 1) or a loss (-1) between two moments."""
    return wanted if prices.at(end) >= prices.at(begin) else -wanted


def _closed(bot: Bot, prices: Prices, entry: datetime, moment: datetime, wanted: int, rng: random.Random) -> Trip:
    trip = _entered(bot, prices, entry, _towards(prices, entry, moment, wanted), rng)
    return replace(trip, exit_time=moment, exit_price=prices.at(moment), reason="signal reversed")


def _held(bot: Bot, prices: Prices, entry: datetime, now: datetime, wanted: int, rng: random.Random) -> Trip:
    """A position that neither its take-profit nor its stop-loss has ended yet."""
    trip = _entered(bot, prices, entry, _towards(prices, entry, now, wanted), rng)
    since = slice(prices.bar(trip.entry_time), None)
    up, down = prices.high[since].max() * 1.01, prices.low[since].min() * 0.99
    target, stop = float(trip.take_profit), float(trip.stop_loss)
    if trip.sign > 0:
        target, stop = max(target, up), min(stop, down)
    else:
        target, stop = min(target, down), max(stop, up)
    return replace(trip, take_profit=prices.exact(target), stop_loss=prices.exact(stop))
