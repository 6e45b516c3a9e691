"""A database of hummingbot's client: its fills as executions of one bot.

Its decimals are whole numbers, times a million, where the column says so (BIGINT), else floats; its times are unix
milliseconds. A fee is what hummingbot reckoned in the quote currency (trade_fee_in_quote), else what it noted as JSON
(trade_fee): a share of the price and flat amounts of any token. Source: hummingbot/model/trade_fill.py,
decimal_type_decorator.py (SqliteDecimal(6)) and core/data_type/trade_fee.py, of 2020 ("asset") to 2026 ("token").
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from decimal import Decimal
from typing import Any

from core.explore.imports.foreign import Carried, Unfit, fitting, given, kept, number, of_ms, text
from core.explore.imports.store import Store
from core.format import count
from core.models import Trade

KIND = "hummingbot"
FILLS = "TradeFill"
SCALE = Decimal(1_000_000)
FIRST = 3  # of many fills with the same fault so many are named
NO_FEE = "its fee (trade_fee) is empty or in no shape that is known; it stands as 0 here"
ELSEWHERE = {
    "OrderStatus": "status of an order", "Controllers": "controller", "Position": "position",
    "FundingPayment": "funding payment", "InventoryCost": "inventory cost", "MarketData": "market snapshot",
    "MarketState": "market state", "RangePositionUpdate": "update of a range position",
}  # fmt: skip


def is_it(store: Store) -> bool:
    """Whether these are hummingbot's tables."""
    fills = set(store.columns.get(FILLS, {}))
    needed = {"market", "symbol", "trade_type", "exchange_trade_id", "timestamp", "order_id", "price", "amount"}
    return needed <= fills


def carried(store: Store, name: str | None = None, type: str | None = None) -> Carried:
    """What this database comes to."""
    found = Carried(KIND, name or f"hummingbot {store.name.rpartition('.')[0] or store.name}", {})
    found.sums["fills"] = Decimal(store.count(FILLS))
    fills: list[tuple[str, dict[str, Any]]] = []
    with_fills: set[Any] = set()
    gaps: defaultdict[str, list[str]] = defaultdict(list)
    gap_counts: Counter[str] = Counter()
    for row in store.rows(FILLS):
        with_fills.add(row["order_id"])
        what = f"{row['exchange_trade_id']} of order {row['order_id']}"
        with found.taking(f"Fill {what}"):
            fill, fees, why = _fill(store, row)
            fills.append((str(row["exchange_trade_id"]), fill))
            found.add(f"bought and sold, {fill['symbol']}", fill["quantity"])
            for gap in [*_beside(fill, fees, found), *([why] if why else [])]:
                gap_counts[gap] += 1
                gaps[gap] += [what] if gap_counts[gap] <= FIRST else []
    for gap, first in gaps.items():
        more = ", ..." if gap_counts[gap] > FIRST else ""
        found.leave(f"{count(gap_counts[gap], 'fill')} ({', '.join(first)}{more}): {gap}.")
    fills.sort(key=lambda fill: (fill[1]["executed_at"], fill[1]["order_id"], fill[0]))
    found.lose("fills", found.sums["fills"] - len(fills))
    found.bot = _bot([fill for _, fill in fills], type)
    if fills:
        found.first = f"fill {fills[0][0]} of order {fills[0][1]['order_id']} at {fills[0][1]['exchange']}"
    _told_apart(fills, found)
    found.executions = [fill for _, fill in fills]
    idle = sum(row.get("id") not in with_fills for row in store.rows("Order"))
    if idle:
        found.leave(f"{count(idle, 'order')} without a fill: they moved nothing.")
    _elsewhere(store, found)
    return found


def _bot(fills: list[dict[str, Any]], type: str | None) -> dict[str, Any]:
    quotes = Counter(fill["currency"] for fill in fills)
    paper = bool(fills) and all("paper" in fill["exchange"] for fill in fills)
    strategies = ", ".join(sorted({fill["strategy"] for fill in fills if fill["strategy"]}))
    return {
        "type": type or ("paper" if paper else "live"),
        "currency": max(quotes, key=quotes.__getitem__, default="USDT"),
        "total_pnl": None,
        "started_at": fills[0]["executed_at"] if fills else None,
        "description": f"Imported from hummingbot; strategy {strategies[:200] or 'unknown'}.",
    }


def _elsewhere(store: Store, found: Carried) -> None:
    """Say what else there is."""
    profit, runs = Decimal(0), 0
    for row in store.rows("Executors"):
        runs += 1
        with found.taking(f"The profit of executor {row.get('id')}"):
            profit += number(row, "net_pnl_quote") or 0
    if runs:
        found.leave(
            f"{count(runs, 'executor')} (Executors) with a profit of {profit:f} in all: they say no price of"
            " entry and exit, so they are no round trips; their fills are carried over."
        )
    for table, what in ELSEWHERE.items():
        if n := store.count(table):
            found.leave(f"{count(n, what)} ({table}): there is no table for them here.")


def _scaled(store: Store, row: dict[str, Any], column: str) -> Decimal | None:
    """A decimal by what its column says: whole numbers are millionths."""
    value = number(row, column)
    whole = "int" in store.columns[FILLS].get(column, "")
    return value / SCALE if value is not None and whole else value


def _fill(store: Store, row: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Decimal], str]:
    """The execution, what hummingbot says that it cost, by token, and why it does not say so."""
    amount, price = _scaled(store, row, "amount"), _scaled(store, row, "price")
    if not amount or kept(amount) <= 0 or price is None or price < 0:
        raise Unfit("nothing was traded")
    symbol = given(text(row, "symbol"), "symbol")
    quote = text(row, "quote_asset") or given(symbol.partition("-")[2] or None, "quote_asset")
    base = text(row, "base_asset") or symbol.partition("-")[0]
    reckoned, why = _scaled(store, row, "trade_fee_in_quote"), ""
    if reckoned:
        fees = {quote: reckoned}
    else:  # 0 is also what it writes where it knows no rate
        fees, why = _noted(row.get("trade_fee"), amount, price, base, quote)
        why = "" if why == NO_FEE and reckoned is not None else why
    token = next(iter(fees)) if len(fees) == 1 else quote
    made = {
        "symbol": symbol,
        "action": (text(row, "trade_type") or "").upper(),
        "quantity": kept(amount),
        "price": kept(price),
        "fee": kept(fees.get(token, Decimal(0))),
        "fee_currency": token,
        "currency": quote,
        "executed_at": of_ms(row, "timestamp"),
        "order_id": given(text(row, "order_id"), "order_id"),
        "status": "FILLED",
        "exchange": given(text(row, "market"), "market"),
        "strategy": text(row, "strategy"),
        "source": KIND,
    }
    return fitting(Trade, made), fees, why


def _beside(fill: dict[str, Any], fees: dict[str, Decimal], found: Carried) -> list[str]:
    """Count what a fill cost; a fill has one fee here: what else it cost."""
    gaps = []
    for token, fee in fees.items():
        found.add(f"fees, {token}", fee)
        if token != fill["fee_currency"]:
            found.lose(f"fees, {token}", fee)
            gaps.append(f"what was paid in {token} beside the fee in {fill['fee_currency']}; a fill has one fee here")
    return gaps


def _noted(note: Any, amount: Decimal, price: Decimal, base: str, quote: str) -> tuple[dict[str, Decimal], str]:
    """The fees that a fill's JSON tells, by token; and why it tells none, where it should."""
    try:
        fee = json.loads(note, parse_float=Decimal) if isinstance(note, str | bytes) else note
        if not isinstance(fee, dict):
            return {}, NO_FEE
        found: dict[str, Decimal] = {}
        percent, token = number(fee, "percent") or Decimal(0), str(fee.get("percent_token") or quote)
        if percent:
            if token not in (base, quote):
                return (
                    {},
                    f"its fee is a share of the price paid in {token}, whose rate is not known; it stands as 0 here",
                )
            found[token] = amount * percent * (price if token == quote else 1)
        for one in fee.get("flat_fees") or []:
            flat = one if isinstance(one, dict) else {"token": one[0], "amount": one[1]}
            of = str(flat.get("token") or flat["asset"])
            found[of] = found.get(of, Decimal(0)) + given(number(flat, "amount"), "amount")
    except (Unfit, ValueError, TypeError, LookupError, ArithmeticError, RecursionError):
        return {}, NO_FEE
    return {of: value for of, value in found.items() if value}, ""


def _told_apart(fills: list[tuple[str, dict[str, Any]]], found: Carried) -> None:
    """Our key is symbol, time and order: another fill of the same moment is told apart by its own number."""
    seen: set[tuple[Any, ...]] = set()
    shared = 0
    for number_of, fill in fills:
        if (key := (fill["symbol"], fill["executed_at"], fill["order_id"])) in seen:
            fill["order_id"], shared = f"{fill['order_id']}#{number_of}", shared + 1
        seen.add(key)
    if shared:
        found.notes.append(
            f"{count(shared, 'fill')} of an order that has another one in the same millisecond: after its order_id"
            " stands # and the fill's own number."
        )
