"""Whether every coin that the platform follows is being written: recent candles in each timeframe, decision traces."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict

from core.database.clamped import clamped
from core.format import age, count, duration
from core.models import Candle, Signal, Timeframe
from core.models.base import UtcTime
from core.models.market import LENGTHS
from core.repositories.base import each_of
from core.repositories.market import TRACE_EVERY_S, TRACES

MULTIPLE = 3.0  # recent: at most so many lengths of a candle old; one is growing, one may just be waited for
SKEW = timedelta(minutes=5)  # what two clocks may differ
RETIRED_DAYS = 90
TRACE_DAYS = 7
USUAL = ("15m", "1h", "4h", "1d")
TRACE = "decision trace"
LATE = "See whether the coin's bot runs, and in its log why nothing more is written."
NEVER = (
    "Start what writes it. If it is not meant to be followed, take it out of TRACKED_SYMBOLS, or close its position."
)


class Seen(BaseModel):
    """The newest row of one kind: ok is None where there is none, which is not a pass.

    what: a timeframe, or "decision trace". longest_s: how old the newest may be.
    """

    model_config = ConfigDict(frozen=True)
    what: str
    at: datetime | None
    ok: bool | None
    longest_s: float


class Coin(BaseModel):
    """One coin, where it is known from, and what was last written about it.

    future: timeframes that are not in use, in which its newest candle lies in the future.
    """

    model_config = ConfigDict(frozen=True)
    symbol: str
    known_from: list[str]
    seen: list[Seen]
    future: list[Seen] = []

    @property
    def ok(self) -> bool | None:
        """False if something is too old; else None if something was never written; else everything is recent."""
        verdicts = [one.ok for one in [*self.seen, *self.future]]
        return False if False in verdicts else None if None in verdicts else True


class Coverage(BaseModel):
    """Every coin that is followed at a moment, and those that no longer are."""

    model_config = ConfigDict(frozen=True)
    at: datetime
    timeframes: list[str]
    coins: list[Coin]
    retired: list[str]

    @property
    def ok(self) -> bool | None:
        """Whether every coin is covered; None where no coin is followed or something was never written."""
        verdicts = [coin.ok for coin in self.coins]
        return False if False in verdicts else None if None in verdicts or not verdicts else True


_ENDLESS: sa.ColumnElement[datetime] = sa.literal_column("'infinity'")
_POSITIONS = """
SELECT symbol, count(CASE WHEN status <> 'CLOSED' THEN 1 END) AS held,
  max(CASE WHEN closed_at < 'infinity' THEN closed_at END) AS newest
FROM positions GROUP BY symbol
"""
_TRACES = """
SELECT symbol, (SELECT max(occurred_at) FROM system_events e WHERE e.symbol = given.symbol
  AND e.event_type IN :traces AND e.occurred_at > :since AND e.occurred_at < 'infinity') AS newest
FROM (SELECT value AS symbol FROM {list} AS each_one(value)) AS given
"""
_LIST = {"postgresql": "jsonb_array_elements_text(CAST(:symbols AS jsonb))", "sqlite": "json_each(:symbols)"}


def coverage(
    connection: sa.Connection, tracked: Iterable[str] = (), *, now: datetime | None = None, multiple: float = MULTIPLE
) -> Coverage:
    """What was last written about every coin: in each timeframe that is in use, and by decision traces.

    tracked: coins that are expected whatever the tables say (TRACKED_SYMBOLS). Coins: those, and the symbols of
    candles, signals and positions; one of which nothing is younger than RETIRED_DAYS is retired. Timeframes: those
    that any coin was written in lately; without a candle the usual four. Times of the future are not recent, and say
    of no timeframe that it is in use, but of their own coin that they are there.
    """
    now = now or datetime.now(UTC)
    candles = _candles(connection)
    signals = {symbol: at for symbol, at in _read(connection, newest_of(Signal.symbol, Signal.generated_at))}
    positions = {row.symbol: row for row in _rows(connection, _POSITIONS)}
    named = dict.fromkeys(tracked)
    sources = {"TRACKED_SYMBOLS": named, "positions": positions, "signals": signals, "candles": candles}
    known = {symbol: [name for name, found in sources.items() if symbol in found] for symbol in
             sorted({symbol for found in sources.values() for symbol in found})}  # fmt: skip

    def retired(symbol: str) -> bool:
        if symbol in named or (symbol in positions and positions[symbol].held):
            return False
        newest = [*candles.get(symbol, {}).values(), signals.get(symbol)]
        newest += [positions[symbol].newest] if symbol in positions else []
        return all(at is None or at < now - timedelta(days=RETIRED_DAYS) for at in newest)

    gone = [symbol for symbol in known if retired(symbol)]
    followed = [symbol for symbol in known if symbol not in set(gone)]
    timeframes = _in_use([candles[symbol] for symbol in followed if symbol in candles], now)
    traces = _traces(connection, followed, now)
    coins = []
    for symbol in followed:
        newest = candles.get(symbol, {})
        own = {name: _seen(name, newest.get(name), LENGTHS[name] * multiple, now) for name in map(str, Timeframe)}
        seen = [own[name] for name in timeframes]
        seen.append(_seen(TRACE, traces.get(symbol), timedelta(seconds=TRACE_EVERY_S) * multiple, now))
        future = [one for name, one in own.items() if name not in timeframes and _of_future(one.at, now)]
        coins.append(Coin(symbol=symbol, known_from=known[symbol], seen=seen, future=future))
    return Coverage(at=now, timeframes=timeframes, coins=coins, retired=gone)


def _rows(connection: sa.Connection, sql: str, values: dict[str, Any] | None = None) -> list[Any]:
    statement = sa.text(sql).columns(newest=UtcTime())
    if ":traces" in sql:
        statement = sa.text(sql).bindparams(sa.bindparam("traces", expanding=True)).columns(newest=UtcTime())
    return _read(connection, statement, values)


def _read(connection: sa.Connection, statement: Any, values: dict[str, Any] | None = None) -> list[Any]:
    """The rows; one with a time that Python cannot hold must not hide the others."""
    with clamped(connection):
        return list(connection.execute(statement, values or {}))


def newest_of(symbol: Any, moment: Any, *each: sa.ColumnElement[bool]) -> sa.Select[Any]:
    """Each symbol of a table with the newest moment, once for each condition, or at all; None where there is none."""
    symbols = each_of(symbol).subquery("symbols")
    own = sa.select(sa.func.max(moment)).where(symbol == symbols.c.symbol, moment < _ENDLESS)
    return sa.select(symbols.c.symbol, *(own.where(one).scalar_subquery() for one in each or (sa.true(),)))


def newest_candles() -> sa.Select[Any]:
    """Each symbol with the open time of its newest candle in every timeframe, in rising order of these."""
    return newest_of(Candle.symbol, Candle.open_time, *(Candle.timeframe == one for one in Timeframe))


def _candles(connection: sa.Connection) -> dict[str, dict[str, datetime]]:
    """Symbol -> timeframe -> the open time of its newest candle."""
    return {
        symbol: {str(one): at for one, at in zip(Timeframe, moments, strict=True) if at is not None}
        for symbol, *moments in _read(connection, newest_candles())
    }


def _traces(connection: sa.Connection, symbols: Sequence[str], now: datetime) -> dict[str, datetime | None]:
    """Symbol -> its newest decision trace of the last TRACE_DAYS days."""
    sql = _TRACES.format(list=_LIST[connection.dialect.name])
    if connection.dialect.name == "sqlite":
        sql = sql.replace(" AS each_one(value)", "")
    since = UtcTime().bind_processor(connection.dialect)
    moment = now - timedelta(days=TRACE_DAYS)
    values = {"symbols": json.dumps(list(symbols)), "traces": TRACES, "since": since(moment) if since else moment}
    return {row.symbol: row.newest for row in _rows(connection, sql, values)}


def _in_use(candles: Iterable[dict[str, datetime]], now: datetime) -> list[str]:
    """The timeframes that were written lately, measured by the newest candle that has begun; in rising order."""
    newest: dict[str, datetime] = {}
    for own in candles:
        for name, at in own.items():
            if not _of_future(at, now):
                newest[name] = max(at, newest.get(name, at))
    if not newest:
        return list(USUAL)
    last = max(newest.values())
    return [
        name
        for name in map(str, Timeframe)
        if name in newest and last - newest[name] < timedelta(days=RETIRED_DAYS) + LENGTHS[name]
    ]


def _of_future(at: datetime | None, now: datetime) -> bool:
    return at is not None and at > now + SKEW


def _seen(what: str, at: datetime | None, longest: timedelta, now: datetime) -> Seen:
    ok = None if at is None else not _of_future(at, now) and now - at <= longest
    return Seen(what=what, at=at, ok=ok, longest_s=longest.total_seconds())


def told(coin: Coin, now: datetime) -> tuple[str, str]:
    """What was found about a coin, and what to do about it; the second is empty where nothing is to be done."""
    late = [one for one in [*coin.seen, *coin.future] if one.ok is False]
    never = [one for one in coin.seen if one.ok is None]
    fine = [one for one in coin.seen if one.ok]
    parts = [f"late: {', '.join(_late(one, now) for one in late)}"] if late else []
    if len(never) == len(coin.seen) and not late:
        parts.append("no data: nothing was ever written about it")
    elif never:
        parts.append(f"no data: {', '.join(one.what for one in never)}")
    if fine:
        parts.append(f"recent: {', '.join(f'{one.what} {age(one.at, now)}' for one in fine)}")
    return "; ".join(parts), LATE if late else NEVER if never else ""


def _late(one: Seen, now: datetime) -> str:
    if one.at is not None and one.at > now:
        return f"{one.what} lies {duration((one.at - now).total_seconds())} in the future"
    return f"{one.what} {age(one.at, now)} (at most {duration(one.longest_s)})"


def sentence(found: Coverage) -> str:
    """How the coins are, in one sentence."""
    if not found.coins:
        return "No coin is followed yet: TRACKED_SYMBOLS names none, and candles, signals and positions are empty."
    fine = sum(coin.ok is True for coin in found.coins)
    late, never = (sum(coin.ok is verdict for coin in found.coins) for verdict in (False, None))
    parts = [f"{fine} of {count(len(found.coins), 'coin')} {'is' if len(found.coins) == 1 else 'are'} covered"]
    parts += [f"{late} late"] if late else []
    parts += [f"{never} without all data"] if never else []
    future = sum(any(_of_future(one.at, found.at) for one in [*coin.seen, *coin.future]) for coin in found.coins)
    parts += [f"{future} with rows of the future"] if future else []
    return ", ".join(parts) + "."
