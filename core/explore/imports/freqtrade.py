"""A database of freqtrade: its trades as round trips of one bot, its filled orders as executions.

Its numbers are floats, taken by their shortest text; its times mean UTC. A profit is close_profit_abs, in the stake
currency and after fees; the fee of an order is what freqtrade itself reckons with: cost times the trade's fee ratio.
Source: freqtrade/persistence/trade_model.py, of 2019 (other names) to 2026.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from core.explore.imports.foreign import Carried, exact, kept, moment, plain
from core.explore.imports.store import Store
from core.format import count

KIND = "freqtrade"
MINUTES = {60: "1h", 120: "2h", 240: "4h", 360: "6h", 480: "8h", 720: "12h", 1440: "1d", 10080: "1w"}
# Kept beside the round trip, because they have no column of their own.
MORE = (
    "base_currency", "fee_open", "fee_open_cost", "fee_open_currency", "fee_close", "fee_close_cost",
    "fee_close_currency", "open_rate_requested", "close_rate_requested", "open_trade_value", "realized_profit",
    "stake_amount", "max_stake_amount", "amount_requested", "stop_loss", "stop_loss_pct", "initial_stop_loss",
    "initial_stop_loss_pct", "is_stop_loss_trailing", "max_rate", "min_rate", "exit_order_status", "trading_mode",
    "contract_size", "leverage", "liquidation_price", "interest_rate", "funding_fees",
)  # fmt: skip
ELSEWHERE = {
    "pairlocks": "pair lock", "trade_custom_data": "custom value of a trade", "wallet_history": "wallet value",
    "KeyValueStore": "value of the bot's own memory",
}  # fmt: skip


def is_it(store: Store) -> bool:
    """Whether these are freqtrade's tables."""
    trades = store.columns.get("trades", {})
    return {"pair", "is_open", "open_rate", "open_date", "stake_amount"} <= set(trades)


def carried(store: Store, name: str | None = None, type: str | None = None) -> Carried:
    """What this database comes to."""
    trades = list(store.rows("trades", "id"))
    orders: dict[Any, list[dict[str, Any]]] = {}
    for order in store.rows("orders", "id"):
        orders.setdefault(order.get("ft_trade_id"), []).append(order)
    dry = any(str(order.get("order_id", "")).startswith("dry_run") for own in orders.values() for order in own)
    found = Carried(
        KIND,
        name or f"freqtrade {store.name.rpartition('.')[0] or store.name}",
        {"type": type or ("paper" if dry or "dryrun" in store.name else "live")},
    )
    for trade in trades:
        _round_trip(trade, orders.get(trade["id"], []), found)
    _bot(trades, found)
    unfilled = sum(not _filled(order) for own in orders.values() for order in own)
    if unfilled:
        found.left.append(f"{count(unfilled, 'order')} without a fill: they moved nothing.")
    strays = [order for trade_id, own in orders.items() for order in own if trade_id not in {t["id"] for t in trades}]
    if strays:
        found.left.append(f"{count(len(strays), 'order')} of trades that are no longer there.")
    if "orders" not in store.columns and trades:
        found.left.append("The executions: this freqtrade is older than its table of orders.")
    for table, what in ELSEWHERE.items():
        if number := store.count(table):
            found.left.append(f"{count(number, what)} ({table}): there is no table for them here.")
    found.executions = list(_executions(trades, orders, found))
    return found


def _bot(trades: list[dict[str, Any]], found: Carried) -> None:
    stakes = [str(trade.get("stake_currency") or _quote(trade)) for trade in trades]
    currency = max(set(stakes), key=stakes.count) if stakes else "USDT"
    others = sorted(set(stakes) - {currency})
    if others:
        found.notes.append(f"The bot's profit is given in {currency}; some trades are in {', '.join(others)}.")
    strategies = sorted({str(trade["strategy"]) for trade in trades if trade.get("strategy")})
    opened = [at for trade in trades if (at := moment(trade.get("open_date")))]
    found.bot |= {
        "currency": currency,
        "total_pnl": kept(found.sums.get(f"profit of closed trades, {currency}", Decimal(0))),
        "started_at": min(opened, default=None),
        "description": f"Imported from freqtrade; strategy {', '.join(strategies)[:200] or 'unknown'}.",
    }


def _quote(trade: dict[str, Any]) -> str:
    return str(trade["pair"]).partition("/")[2].partition(":")[0] or "USDT"


def _round_trip(trade: dict[str, Any], orders: list[dict[str, Any]], found: Carried) -> None:
    stake = str(trade.get("stake_currency") or _quote(trade))
    closed = not trade["is_open"]
    profit = exact(trade.get("close_profit_abs"))
    ratio = exact(trade.get("close_profit"))
    size, exit_price = exact(trade.get("amount")), exact(trade.get("close_rate"))
    exit_time, entry_time = moment(trade.get("close_date")), moment(trade.get("open_date"))
    found.add("closed trades" if closed else "open trades", Decimal(1))
    if closed and profit is not None:
        found.add(f"profit of closed trades, {stake}", profit)
    why = "" if size and size > 0 else "nothing was bought"
    why = why or ("" if not closed or (exit_time and exit_price is not None) else "it is closed without time or price")
    if why or entry_time is None:
        found.left.append(f"Trade {trade['id']} ({trade['pair']}): {why or 'it has no time of opening'}.")
        found.add("closed trades" if closed else "open trades", Decimal(-1))
        if closed and profit is not None:
            found.add(f"profit of closed trades, {stake}", -profit)
        return
    fees = sum((_fee(trade, order) for order in orders if _filled(order)), Decimal(0))
    timeframe = trade.get("timeframe") or trade.get("ticker_interval")
    found.round_trips.append(
        {
            "source_id": str(trade["id"]),
            "strategy_name": trade.get("strategy"),
            "entry_logic_name": trade.get("enter_tag") or trade.get("buy_tag"),
            "symbol": str(trade["pair"]),
            "interval": _interval(timeframe),
            "entry_time": entry_time,
            "exit_time": exit_time if closed else None,
            "entry_price": kept(exact(trade["open_rate"])),
            "exit_price": kept(exit_price) if closed else None,
            "size": kept(size),
            "direction": "SHORT" if trade.get("is_short") else "LONG",
            "commission": kept(fees),
            "currency": stake,
            "gross_pnl": kept(profit + fees) if closed and profit is not None else None,
            "net_pnl": kept(profit) if closed else None,
            "pnl_percentage": kept(ratio * 100) if closed and ratio is not None else None,
            "exit_reason": trade.get("exit_reason") or trade.get("sell_reason"),
            "status": "CLOSED" if closed else "OPEN",
            "more": {"exchange": trade.get("exchange")}
            | {key: plain(trade[key]) for key in MORE if trade.get(key) is not None},
        }
    )


def _interval(timeframe: Any) -> str:
    if timeframe is None:
        return "?"
    text = str(timeframe)
    if not text.isdigit():
        return text[:8]
    return MINUTES.get(int(text), f"{text}m")


def _filled(order: dict[str, Any]) -> bool:
    return (_amount(order) or 0) > 0 and _price(order) is not None


def _amount(order: dict[str, Any]) -> Decimal | None:
    filled = exact(order.get("filled"))
    return exact(order.get("amount")) if filled is None and order.get("status") == "closed" else filled


def _price(order: dict[str, Any]) -> Decimal | None:
    return exact(order.get("average")) or exact(order.get("price")) or exact(order.get("ft_price"))


def _side(order: dict[str, Any], trade: dict[str, Any]) -> str:
    side = str(order.get("side") or order.get("ft_order_side")).lower()
    if side in ("buy", "sell"):
        return side
    return "buy" if trade.get("is_short") else "sell"  # a stop loss, which always closes


def _fee(trade: dict[str, Any], order: dict[str, Any]) -> Decimal:
    entry = _side(order, trade) == ("sell" if trade.get("is_short") else "buy")
    rate = exact(trade.get("fee_open" if entry else "fee_close")) or exact(trade.get("fee")) or Decimal(0)
    return (_amount(order) or Decimal(0)) * (_price(order) or Decimal(0)) * rate


def _executions(
    trades: list[dict[str, Any]], orders: dict[Any, list[dict[str, Any]]], found: Carried
) -> Iterator[dict[str, Any]]:
    for trade in trades:
        for order in orders.get(trade["id"], []):
            at = moment(order.get("order_filled_date") or order.get("order_update_date") or order.get("order_date"))
            amount, price = _amount(order), _price(order)
            if not _filled(order) or at is None or amount is None or price is None:
                continue
            found.add("filled orders", Decimal(1))
            found.add(f"bought and sold, {trade['pair']}", kept(amount) or Decimal(0))
            yield {
                "symbol": str(order.get("ft_pair") or trade["pair"]),
                "action": _side(order, trade).upper(),
                "quantity": kept(amount),
                "price": kept(price),
                "fee": kept(_fee(trade, order)),
                "fee_currency": trade.get("stake_currency") or _quote(trade),
                "currency": trade.get("stake_currency") or _quote(trade),
                "executed_at": at,
                "order_id": str(order["order_id"]),
                "status": "FILLED" if order.get("status") == "closed" else "PARTIALLY_FILLED",
                "exchange": trade.get("exchange"),
                "strategy": trade.get("strategy"),
                "source": KIND,
            }
