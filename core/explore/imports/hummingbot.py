"""A database of hummingbot's client: its fills as executions of one bot.

Its decimals are whole numbers, times a million, where the column says so (BIGINT), else floats; its times are unix
milliseconds. Source: hummingbot/model/trade_fill.py and decimal_type_decorator.py (SqliteDecimal(6)).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from core.explore.imports.foreign import Carried, exact, kept, of_ms
from core.explore.imports.store import Store
from core.format import count

KIND = "hummingbot"
FILLS = "TradeFill"
SCALE = Decimal(1_000_000)
ELSEWHERE = {
    "OrderStatus": "status of an order", "Controllers": "controller", "Position": "position",
    "FundingPayment": "funding payment", "InventoryCost": "inventory cost", "MarketData": "market snapshot",
    "MarketState": "market state", "RangePositionUpdate": "update of a range position",
}  # fmt: skip


def is_it(store: Store) -> bool:
    """Whether these are hummingbot's tables."""
    fills = store.columns.get(FILLS, {})
    return {"market", "symbol", "trade_type", "exchange_trade_id", "timestamp"} <= set(fills)


def carried(store: Store, name: str | None = None, type: str | None = None) -> Carried:
    """What this database comes to."""
    found = Carried(KIND, name or f"hummingbot {store.name.rpartition('.')[0] or store.name}", {})
    fills = sorted(store.rows(FILLS), key=lambda row: (row["timestamp"], row["order_id"], row["exchange_trade_id"]))
    paper = bool(fills) and all("paper" in str(row["market"]) for row in fills)
    quotes = [str(row["quote_asset"]) for row in fills]
    strategies = ", ".join(sorted({str(row["strategy"]) for row in fills}))
    found.bot = {
        "type": type or ("paper" if paper else "live"),
        "currency": max(set(quotes), key=quotes.count) if quotes else "USDT",
        "total_pnl": None,
        "started_at": of_ms(fills[0]["timestamp"]) if fills else None,
        "description": f"Imported from hummingbot; strategy {strategies[:200]}.",
    }
    found.executions = list(_executions(store, fills, found))
    with_fills = {row["order_id"] for row in fills}
    idle = sum(row["id"] not in with_fills for row in store.rows("Order"))
    if idle:
        found.left.append(f"{count(idle, 'order')} without a fill: they moved nothing.")
    runs = list(store.rows("Executors"))
    if runs:
        profit = sum((exact(row.get("net_pnl_quote")) or Decimal(0) for row in runs), Decimal(0))
        found.left.append(
            f"{count(len(runs), 'executor')} (Executors) with a profit of {profit:f} in all: they say no price of"
            " entry and exit, so they are no round trips; their fills are carried over."
        )
    for table, what in ELSEWHERE.items():
        if number := store.count(table):
            found.left.append(f"{count(number, what)} ({table}): there is no table for them here.")
    return found


def _scaled(store: Store, row: dict[str, Any], column: str) -> Decimal | None:
    """A decimal by what its column says: whole numbers are millionths."""
    value = exact(row.get(column))
    whole = "int" in store.columns[FILLS].get(column, "")
    return value / SCALE if value is not None and whole else value


def _executions(store: Store, fills: list[dict[str, Any]], found: Carried) -> Iterator[dict[str, Any]]:
    seen: set[tuple[Any, ...]] = set()
    shared = 0
    for row in fills:
        amount, price = _scaled(store, row, "amount"), _scaled(store, row, "price")
        if not amount or amount < 0 or price is None:
            found.left.append(f"Fill {row['exchange_trade_id']} of order {row['order_id']}: nothing was traded.")
            continue
        order_id = str(row["order_id"])
        if (key := (row["symbol"], row["timestamp"], order_id)) in seen:
            # Our key is symbol, time and order: another fill of the same moment is told apart by its own number.
            order_id, shared = f"{order_id}#{row['exchange_trade_id']}", shared + 1
        seen.add(key)
        found.add("fills", Decimal(1))
        found.add(f"bought and sold, {row['symbol']}", kept(amount) or Decimal(0))
        fee = _fee(store, row, amount * price)
        found.add(f"fees, {row['quote_asset']}", kept(fee) or Decimal(0))
        yield {
            "symbol": str(row["symbol"]),
            "action": str(row["trade_type"]).upper(),
            "quantity": kept(amount),
            "price": kept(price),
            "fee": kept(fee),
            "fee_currency": str(row["quote_asset"]),
            "currency": str(row["quote_asset"]),
            "executed_at": of_ms(row["timestamp"]),
            "order_id": order_id,
            "status": "FILLED",
            "exchange": str(row["market"]),
            "strategy": row.get("strategy"),
            "source": KIND,
        }
    if shared:
        found.notes.append(
            f"{count(shared, 'fill')} of an order that has another one in the same millisecond: after its order_id"
            " stands # and the fill's own number."
        )


def _fee(store: Store, row: dict[str, Any], value: Decimal) -> Decimal:
    """The fee in the quote currency: as hummingbot reckoned it, else by what it noted."""
    if (known := _scaled(store, row, "trade_fee_in_quote")) is not None:
        return known
    try:
        noted = json.loads(row.get("trade_fee") or "{}")
    except (TypeError, ValueError):
        return Decimal(0)
    fee = value * (exact(noted.get("percent")) or Decimal(0))
    flat = [one for one in noted.get("flat_fees") or [] if one.get("token") == row["quote_asset"]]
    return fee + sum((exact(one.get("amount")) or Decimal(0) for one in flat), Decimal(0))
