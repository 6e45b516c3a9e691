"""A real database of freqtrade, made by freqtrade itself: round trips with profit and loss, shorts, partial exits.

It runs in an environment that has the package (nothing of it is part of this project):
    python -m venv /tmp/freqtrade && /tmp/freqtrade/bin/pip install freqtrade
    /tmp/freqtrade/bin/python scripts/freqtrade_database.py sqlite:////tmp/tradesv3.sqlite 200
Prints what freqtrade itself says of it: one JSON object.
"""

from __future__ import annotations

import json
import random
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

PAIRS = {"BTC/USDT": 42_000.0, "ETH/USDT": 2_300.0, "SHIB/USDT": 0.00002345, "SOL/USDT:USDT": 98.7}


def order(side: str, pair: str, number: int, at: datetime, price: float, amount: float, filled: float) -> Any:
    """An order as the exchange reports it."""
    from freqtrade.persistence import Order

    return Order(
        ft_order_side=side, ft_pair=pair, ft_is_open=False, ft_amount=amount, ft_price=price,
        order_id=f"dry_run_{side}_{pair}_{number}", status="closed" if filled else "canceled", symbol=pair,
        order_type="limit", side=side, price=price, average=price if filled else None, amount=amount, filled=filled,
        remaining=amount - filled, cost=price * filled, order_date=at, order_filled_date=at if filled else None,
        order_update_date=at,
    )  # fmt: skip


def make(url: str, number: int) -> dict[str, Any]:
    """Fill the database; gives counts and sums in freqtrade's own figures."""
    from freqtrade.enums import TradingMode
    from freqtrade.persistence import PairLocks, Trade, init_db

    init_db(url)
    chance = random.Random(7)  # the same trades each time
    begin = datetime(2024, 1, 1, tzinfo=UTC)
    for n in range(number):
        pair = chance.choice(list(PAIRS))
        short = pair.endswith(":USDT") and chance.random() < 0.5
        entry, leave = ("sell", "buy") if short else ("buy", "sell")
        price = PAIRS[pair] * chance.uniform(0.8, 1.2)
        amount = chance.uniform(10, 500) / price
        at = begin + timedelta(minutes=37 * n, microseconds=chance.randrange(10**6))
        trade = Trade(
            pair=pair, stake_currency="USDT", base_currency=pair.partition("/")[0], stake_amount=price * amount,
            amount=amount, amount_requested=amount, open_rate=price, open_date=at, fee_open=0.001, fee_close=0.001,
            exchange="binance", is_open=True, strategy=chance.choice(["Momentum", "Breakout"]), timeframe=5,
            enter_tag=chance.choice([None, "rsi"]), is_short=short, leverage=3.0 if ":" in pair else 1.0,
            trading_mode=TradingMode.FUTURES if ":" in pair else TradingMode.SPOT,
            funding_fees=chance.uniform(-1, 1) if ":" in pair else None,
        )  # fmt: skip
        trade.orders.append(order(entry, pair, n, at, price, amount, amount))
        if n % 9 == 0:
            trade.orders.append(order(leave, pair, 10_000 + n, at + timedelta(seconds=5), price, amount, 0.0))
        Trade.session.add(trade)
        trade.recalc_trade_from_orders()
        trade.set_funding_fees(trade.funding_fees or 0.0)
        if n % 20:
            rate, done = price * chance.uniform(0.95, 1.06), at + timedelta(minutes=20)
            trade.orders.append(order(leave, pair, 20_000 + n, done, rate, trade.amount, trade.amount))
            trade.exit_reason = chance.choice(["roi", "stop_loss", "exit_signal"])
            trade.close(rate)
            trade.close_date = done
    PairLocks.timeframe = "5m"
    PairLocks.lock_pair("BTC/USDT", begin + timedelta(days=4000), "drawdown")
    Trade.commit()
    closed = Trade.get_trades([Trade.is_open.is_(False)]).all()
    return {
        "closed": len(closed),
        "open": len(Trade.get_trades([Trade.is_open.is_(True)]).all()),
        "profit": str(sum((Decimal(repr(trade.close_profit_abs)) for trade in closed), Decimal(0))),
        "filled": sum(len([o for o in trade.orders if o.filled]) for trade in Trade.get_trades().all()),
        "total_profit": Trade.get_total_closed_profit(),
    }


if __name__ == "__main__":
    print(json.dumps(make(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 200)))
