"""Invented prices: a year of bars for each coin, from which candles, fills and account values are all taken."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

DAYS = 365
BAR = timedelta(minutes=15)
BARS_A_DAY = 96
REGIMES = (
    # days, drift a day, volatility a day; the last one goes on for as long as it takes
    (62, 0.0042, 0.021),  # bull
    (48, 0.0001, 0.014),  # chop
    (24, -0.0105, 0.034),  # crash
    (50, -0.0020, 0.022),  # bear
    (66, 0.0002, 0.015),  # chop
    (70, 0.0046, 0.021),  # bull
    (46, 0.0012, 0.018),  # late bull
)
TIMEFRAMES = (("15m", 1, 3), ("1h", 4, 30), ("4h", 16, DAYS), ("1d", 96, DAYS))  # name, bars in it, days kept
EUR_PER_USDT = 0.92


@dataclass(frozen=True)
class Coin:
    """One market. beta: how much it follows the whole market; turnover: its volume a bar in currency.

    follows: the market of the same coin in another currency, which has the same moves.
    """

    symbol: str
    start: float
    price_places: int
    size_places: int
    beta: float
    turnover: float
    currency: str = "USDT"
    follows: str = ""


BTC = Coin("BTC/USDT", 58_400.0, 1, 4, 1.0, 9_000_000)
ETH = Coin("ETH/USDT", 2_950.0, 2, 3, 1.15, 4_800_000)
SOL = Coin("SOL/USDT", 128.0, 2, 2, 1.4, 1_900_000)
XRP = Coin("XRP/USDT", 0.58, 4, 1, 0.9, 1_100_000)
ADA = Coin("ADA/USDT", 0.44, 4, 1, 1.1, 600_000)
BTC_EUR = Coin("BTC/EUR", 58_400.0 * EUR_PER_USDT, 1, 4, 1.0, 700_000, "EUR", "BTC/USDT")
ETH_EUR = Coin("ETH/EUR", 2_950.0 * EUR_PER_USDT, 2, 3, 1.15, 400_000, "EUR", "ETH/USDT")
COINS = (BTC, ETH, SOL, XRP, ADA, BTC_EUR, ETH_EUR)


@dataclass(frozen=True)
class Prices:
    """One coin's bars since `start`, the last one still growing at `now`; highs and lows include open and close."""

    coin: Coin
    start: datetime
    now: datetime
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: NDArray[np.float64]

    def bar(self, moment: datetime) -> int:
        """The number of the bar in which the moment lies."""
        return min((moment - self.start) // BAR, len(self.close) - 1)

    def at(self, moment: datetime) -> Decimal:
        """The price at the moment: on the way from its bar's open to its close."""
        number = self.bar(moment)
        begin = self.start + number * BAR
        length = self.now - begin if number == len(self.close) - 1 else BAR
        share = (moment - begin) / length if length else 1.0
        return self.exact(self.open[number] + (self.close[number] - self.open[number]) * share)

    def exact(self, price: float) -> Decimal:
        """The price with the coin's number of places."""
        return Decimal(f"{price:.{self.coin.price_places}f}")

    def candles(self) -> Iterator[dict[str, Any]]:
        """Rows of `candles`: each timeframe for as long back as TIMEFRAMES says, from the same bars."""
        for timeframe, bars, days in TIMEFRAMES:
            first = max(0, (len(self.close) - 1) // BARS_A_DAY - days) * BARS_A_DAY
            begins = np.arange(first, len(self.close), bars)
            ends = np.append(begins[1:], len(self.close)) - 1
            highs, lows = np.maximum.reduceat(self.high, begins), np.minimum.reduceat(self.low, begins)
            volumes = np.add.reduceat(self.volume, begins)
            for number, (begin, end) in enumerate(zip(begins.tolist(), ends.tolist(), strict=True)):
                moment = self.start + begin * BAR
                written = min(self.start + (end + 1) * BAR, self.now)
                yield {
                    "symbol": self.coin.symbol,
                    "timeframe": timeframe,
                    "open_time": moment,
                    "open": self.exact(self.open[begin]),
                    "high": self.exact(highs[number]),
                    "low": self.exact(lows[number]),
                    "close": self.exact(self.close[end]),
                    "volume": Decimal(f"{volumes[number]:.3f}"),
                    "exchange": "demo",
                    "created_at": written,
                    "updated_at": written,
                }


def market(now: datetime, seed: int) -> dict[str, Prices]:
    """Symbol -> prices from midnight UTC a year ago until now; the same seed gives the same year, day by day."""
    start = now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=DAYS)
    count = (now - start) // BAR + 1
    rng = np.random.default_rng(seed)
    drift, volatility = _regimes()
    common = drift + volatility * rng.standard_normal(len(drift))
    found: dict[str, Prices] = {}
    for coin in COINS:
        own = volatility * 0.55 * rng.standard_normal(len(drift))
        wicks = np.abs(rng.standard_normal((2, len(drift)))) * volatility * 0.5
        traded = rng.lognormal(0, 0.5, len(drift))
        if coin.follows:
            own = 0.0004 * rng.standard_normal(len(drift))
            other = found[coin.follows]
            closes = other.close / other.coin.start * coin.start * np.exp(np.cumsum(own[:count]) * 0.3)
        else:
            closes = coin.start * np.exp(np.cumsum((coin.beta * common + own)[:count]))
        found[coin.symbol] = _bars(coin, start, now, closes, wicks[:, :count], traded[:count])
    return found


def _regimes() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Drift and volatility of each bar, for a day more than a year."""
    lengths = [days * BARS_A_DAY for days, _, _ in REGIMES]
    lengths[-1] = (DAYS + 1) * BARS_A_DAY - sum(lengths[:-1])
    drift = np.repeat([drift / BARS_A_DAY for _, drift, _ in REGIMES], lengths)
    volatility = np.repeat([volatility / BARS_A_DAY**0.5 for _, _, volatility in REGIMES], lengths)
    hours = np.arange(len(drift)) % BARS_A_DAY / 4
    return drift, volatility * (1 + 0.3 * np.sin((hours - 9) / 24 * 2 * np.pi))  # busier when Europe and America meet


def _bars(
    coin: Coin,
    start: datetime,
    now: datetime,
    closes: NDArray[np.float64],
    wicks: NDArray[np.float64],
    traded: NDArray[np.float64],
) -> Prices:
    closes = np.round(closes, coin.price_places)
    opens = np.append(np.round(coin.start, coin.price_places), closes[:-1])
    highs = np.round(np.maximum(opens, closes) * (1 + wicks[0]), coin.price_places)
    lows = np.round(np.minimum(opens, closes) * (1 - wicks[1]), coin.price_places)
    return Prices(coin, start, now, opens, highs, lows, closes, coin.turnover / closes * traded)
