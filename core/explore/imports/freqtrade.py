"""A database of freqtrade: its trades as round trips of one bot, its filled orders as executions.

Its numbers are floats, taken by their shortest text; its times mean UTC. A profit is close_profit_abs, in the stake
currency and after fees; the fee of an order is what freqtrade itself reckons with: cost times the trade's fee ratio.
Source: freqtrade/persistence/trade_model.py, of 2019 (other names) to 2026.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from core.explore.imports.foreign import Carried, Unfit, fitting, given, kept, moment, number, plain, text
from core.explore.imports.store import Store
from core.format import count
from core.models import Trade, TradingTrade

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


class _Order(NamedTuple):
    """An order that was filled, at least in part."""

    order_id: str
    pair: str | None
    side: str
    amount: Decimal
    price: Decimal
    at: datetime | None
    closed: bool


class _Of(NamedTuple):
    """What the orders of a trade need of it. fees: the ratio of entering and of leaving."""

    trade_id: str
    pair: str
    stake: str
    short: bool
    exchange: str | None
    strategy: str | None
    fees: tuple[Decimal, Decimal]


def is_it(store: Store) -> bool:
    """Whether these are freqtrade's tables."""
    trades = store.columns.get("trades", {})
    return {"id", "pair", "is_open", "open_rate", "open_date", "stake_amount", "amount"} <= set(trades)


def carried(store: Store, name: str | None = None, type: str | None = None) -> Carried:
    """What this database comes to."""
    found = Carried(KIND, name or f"freqtrade {store.name.rpartition('.')[0] or store.name}", {}, once=True)
    orders, dry = _orders(store, found)
    executions: list[dict[str, Any]] = []
    seen = _Seen()
    for trade in store.rows("trades", "id"):
        with found.taking(f"Trade {trade['id']} ({trade['pair']})"):
            of = _of(trade)
            seen.add(of, trade)
            own = orders.pop(trade["id"], [])
            executions += _executions(of, own, found)
            found.round_trips.append(_round_trip(of, trade, own, found))
    strays = sum(map(len, orders.values()))
    if strays:
        found.leave(f"{count(strays, 'filled order')} of trades that are not there or left out.")
    if "orders" not in store.columns and store.count("trades"):
        found.leave("The executions: this freqtrade is older than its table of orders.")
    for table, what in ELSEWHERE.items():
        if n := store.count(table):
            found.leave(f"{count(n, what)} ({table}): there is no table for them here.")
    for stake, (n, realized) in sorted(seen.realized.items()):
        found.notes.append(
            f"{count(n, 'open trade')} realized {realized:f} {stake} by partial exits so far (realized_profit): that is"
            " in no sum here until the trade is closed; it is kept in the round trip's extra_metadata."
        )
    found.executions = executions
    found.bot = {"type": type or ("paper" if dry or "dryrun" in store.name else "live")} | _bot(seen, found)
    return found


class _Seen:
    """What the bot itself is told from: currencies, strategies, its beginning; what open trades have realized."""

    def __init__(self) -> None:
        self.stakes: Counter[str] = Counter()
        self.strategies: set[str] = set()
        self.begin: datetime | None = None
        self.realized: dict[str, tuple[int, Decimal]] = {}

    def add(self, of: _Of, trade: dict[str, Any]) -> None:
        """Look at a trade. Raises Unfit."""
        opened = moment(trade, "open_date")
        self.stakes[of.stake] += 1
        self.strategies |= {of.strategy} if of.strategy else set()
        self.begin = min((at for at in (self.begin, opened) if at), default=None)
        realized = number(trade, "realized_profit")
        if trade["is_open"] and realized:
            n, before = self.realized.get(of.stake, (0, Decimal(0)))
            self.realized[of.stake] = (n + 1, before + realized)


def _bot(seen: _Seen, found: Carried) -> dict[str, Any]:
    currency = max(seen.stakes, key=seen.stakes.__getitem__, default="USDT")
    others = sorted(set(seen.stakes) - {currency})
    if others:
        found.notes.append(f"The bot's profit is given in {currency}; some trades are in {', '.join(others)}.")
    strategies = ", ".join(sorted(seen.strategies))
    return {
        "currency": currency,
        "total_pnl": kept(found.sums.get(f"profit of closed trades, {currency}", Decimal(0))),
        "started_at": seen.begin,
        "description": f"Imported from freqtrade; strategy {strategies[:200] or 'unknown'}.",
    }


# --- trades


def _of(trade: dict[str, Any]) -> _Of:
    pair = given(text(trade, "pair"), "pair")
    fee = number(trade, "fee")
    fees = [number(trade, column) or fee or Decimal(0) for column in ("fee_open", "fee_close")]
    return _Of(
        str(trade["id"]), pair,
        text(trade, "stake_currency") or pair.partition("/")[2].partition(":")[0] or "USDT",
        bool(trade.get("is_short")), text(trade, "exchange"), text(trade, "strategy"), (fees[0], fees[1]),
    )  # fmt: skip


def _round_trip(of: _Of, trade: dict[str, Any], orders: list[_Order], found: Carried) -> dict[str, Any]:
    closed = not trade["is_open"]
    profit = number(trade, "close_profit_abs") if closed else None
    ratio = number(trade, "close_profit") if closed else None
    size, exit_price = number(trade, "amount"), number(trade, "close_rate") if closed else None
    exit_time = moment(trade, "close_date") if closed else None
    if not size or kept(size) <= 0:
        raise Unfit("nothing was bought")
    if closed and (exit_time is None or exit_price is None):
        raise Unfit("it is closed without time or price")
    fees = sum((_fee(of, order) for order in orders), Decimal(0))
    timeframe = text(trade, "timeframe") or text(trade, "ticker_interval")
    made = {
        "source_id": of.trade_id,
        "strategy_name": of.strategy,
        "entry_logic_name": text(trade, "enter_tag") or text(trade, "buy_tag"),
        "symbol": of.pair,
        "interval": _interval(timeframe),
        "entry_time": given(moment(trade, "open_date"), "open_date"),
        "exit_time": exit_time,
        "entry_price": kept(given(number(trade, "open_rate"), "open_rate")),
        "exit_price": None if exit_price is None else kept(exit_price),
        "size": kept(size),
        "direction": "SHORT" if of.short else "LONG",
        "commission": kept(fees),
        "currency": of.stake,
        "gross_pnl": None if profit is None else kept(profit + fees),
        "net_pnl": None if profit is None else kept(profit),
        "pnl_percentage": None if ratio is None else kept(ratio * 100),
        "exit_reason": text(trade, "exit_reason") or text(trade, "sell_reason"),
        "status": "CLOSED" if closed else "OPEN",
        "more": {"exchange": of.exchange} | {key: plain(trade[key]) for key in MORE if trade.get(key) is not None},
    }
    fitting(TradingTrade, made)
    found.add("closed trades" if closed else "open trades", Decimal(1))
    if profit is not None:
        found.add(f"profit of closed trades, {of.stake}", profit)
    return made


def _interval(timeframe: str | None) -> str:
    if timeframe is None:
        return "?"
    if not timeframe.isdigit():
        return timeframe[:8]
    return MINUTES.get(int(timeframe), f"{timeframe}m")


# --- orders


def _orders(store: Store, found: Carried) -> tuple[dict[Any, list[_Order]], bool]:
    """The filled orders of each trade, and whether any order is a dry run's."""
    orders: defaultdict[Any, list[_Order]] = defaultdict(list)
    dry, unfilled = False, 0
    for order in store.rows("orders", "id"):
        dry = dry or str(order.get("order_id", "")).startswith("dry_run")
        with found.taking(f"Order {order.get('order_id')} of trade {order.get('ft_trade_id')}"):
            made = _order(order)
            unfilled += made is None
            if made is not None:
                orders[order.get("ft_trade_id")].append(made)
    if unfilled:
        found.leave(f"{count(unfilled, 'order')} without a fill: they moved nothing.")
    return orders, dry


def _order(order: dict[str, Any]) -> _Order | None:
    closed = order.get("status") == "closed"
    amount = number(order, "filled")
    if amount is None and closed:
        amount = number(order, "amount")
    price = number(order, "average") or number(order, "price") or number(order, "ft_price")
    if amount is None or amount <= 0 or price is None:
        return None
    if kept(amount) <= 0 or kept(price) < 0:
        raise Unfit("its amount is less than we keep digits for, or its price is below 0")
    at = moment(order, "order_filled_date") or moment(order, "order_update_date") or moment(order, "order_date")
    side = str(order.get("side") or order.get("ft_order_side")).lower()
    return _Order(given(text(order, "order_id"), "order_id"), text(order, "ft_pair"), side, amount, price, at, closed)


def _side(of: _Of, order: _Order) -> str:
    if order.side in ("buy", "sell"):
        return order.side
    return "buy" if of.short else "sell"  # a stop loss, which always closes


def _fee(of: _Of, order: _Order) -> Decimal:
    entry = _side(of, order) == ("sell" if of.short else "buy")
    return order.amount * order.price * of.fees[0 if entry else 1]


def _executions(of: _Of, orders: list[_Order], found: Carried) -> list[dict[str, Any]]:
    made = []
    for order in orders:
        with found.taking(f"Order {order.order_id} of trade {of.trade_id}"):
            made.append(_execution(of, order))
            found.add("filled orders", Decimal(1))
            found.add(f"bought and sold, {made[-1]['symbol']}", made[-1]["quantity"])
    return made


def _execution(of: _Of, order: _Order) -> dict[str, Any]:
    return fitting(
        Trade,
        {
            "symbol": order.pair or of.pair,
            "action": _side(of, order).upper(),
            "quantity": kept(order.amount),
            "price": kept(order.price),
            "fee": kept(_fee(of, order)),
            "fee_currency": of.stake,
            "currency": of.stake,
            "executed_at": given(order.at, "its time"),
            "order_id": order.order_id,
            "status": "FILLED" if order.closed else "PARTIALLY_FILLED",
            "exchange": of.exchange,
            "strategy": of.strategy,
            "source": KIND,
        },
    )
