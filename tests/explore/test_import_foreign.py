"""Values that no bot should write, and some do: the row is left out and said, and all others are carried over."""

from __future__ import annotations

import re
import sqlite3
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from core.database import Database
from core.errors import TradekeepError
from core.explore.imports import BotImport, bot_of, import_bot
from tests.explore.test_import import rows
from tests.explore.test_import_bots import FILL, ORDERS, TRADES, counts, figures, filled, freqtrade, with_

FAULTS: dict[str, dict[str, Any]] = {
    "open_date is 1704067200, which is no date": {"open_date": 1704067200},
    "open_date is soon, which is no date": {"open_date": "soon"},
    "open_date is empty": {"open_date": None},
    "has more than 18 digits": {"amount": 1e19},
    "open_rate is empty": {"open_rate": None},
    "close_profit_abs is inf, which is no number": {"close_profit_abs": float("inf")},
    "pair is empty": {"pair": None},
    "exit_reason holds a NUL": {"exit_reason": "a\0b"},
    "amount is a few, which is no number": {"amount": "a few"},
    "strategy is no text": {"strategy": b"\xff"},
    "strategy holds a NUL": {"strategy": "a\0b"},
    "is not as freqtrade writes it (ValueError": {"timeframe": "\u00b2"},  # a digit, and no number
}


def test_a_row_of_freqtrade_at_fault_is_left_out(db: Database, tmp_path: Path) -> None:
    wrong = [with_(TRADES[0], id=100 + n, **columns) for n, columns in enumerate(FAULTS.values())]
    fine = [with_(TRADES[0], id=200, open_date="2024-01-01 00:00:00 UTC"),
            with_(TRADES[0], id=201, stake_amount=float("inf"))]  # fmt: skip
    orders = [
        with_(ORDERS[0], id=10, order_id="x1", average=float("inf")),
        with_(ORDERS[0], id=11, order_id="x2", filled=1e19),
        with_(ORDERS[0], id=12, order_id=None),
        with_(ORDERS[0], id=13, order_id="x4", order_filled_date="never"),
        with_(ORDERS[0], id=14, order_id="x" * 101),
        with_(ORDERS[0], id=15, ft_trade_id=None, order_id="x5"),
    ]
    done = import_bot(db, freqtrade(tmp_path / "a.sqlite", [*TRADES, *wrong, *fine], [*ORDERS, *orders]))
    assert counts(done) == [(5, 0, 0), (5, 0, 0)]
    assert figures(done)["closed trades"] == (4, 4)
    left = [line for line in done.left if line.startswith("Trade 1")]
    assert len(left) == len(wrong)
    for reason in FAULTS:
        assert any(reason in line for line in left), (reason, left)
    orders_left = [line for line in done.left if re.match(r"Order (x|None)", line)]
    assert len(orders_left) == 5
    assert "1 filled order of trades" in " ".join(done.left)


FILLED = ("c.yml", "pmm", "binance", "BTC-USDT", "BTC", "USDT", 1704067200123, "o", "BUY", "LIMIT", 42000.0, 0.5, 1)


def hummingbot(path: Path, fills: list[tuple[Any, ...]], without: str = "") -> Path:
    connection = sqlite3.connect(path)
    filled(connection, "?", {"TradeFill": FILL.format(number="FLOAT")}, {"TradeFill": fills})
    if without:
        connection.execute(f"ALTER TABLE TradeFill DROP COLUMN {without}")
    connection.commit()
    connection.close()
    return path


def fill(number: int, fee: Any = "{}", **columns: Any) -> tuple[Any, ...]:
    names = [column.split()[0] for column in FILL.format(number="FLOAT").split(",")]
    values = dict(zip(names, (*FILLED, fee, None, f"t{number}", "NIL"), strict=True)) | {"order_id": f"o{number}"}
    return tuple((values | columns)[name] for name in names)


NO_RATE, NO_FEE = "whose rate is not known", "in no shape that is known"
FEES: dict[str | None, tuple[str, str, str]] = {
    '{"percent": "0", "flat_fees": [{"token": "BNB", "amount": "0.01"}]}': ("0.01", "BNB", ""),
    '{"percent": 0.0, "flat_fees": [{"asset": "USDT", "amount": 4.2}]}': ("4.2", "USDT", ""),
    '{"percent": 0, "flat_fees": [["USDT", 4.2], ["USDT", "0.1"]]}': ("4.3", "USDT", ""),
    '{"percent": "0.001", "percent_token": "USDT", "flat_fees": []}': ("21", "USDT", ""),
    '{"percent": "0.001", "percent_token": null}': ("21", "USDT", ""),
    '{"percent": "0.001", "percent_token": "BTC"}': ("0.0005", "BTC", ""),
    '{"percent": "0.001", "percent_token": "BNB"}': ("0", "USDT", NO_RATE),
    '{"percent": "0.001", "flat_fees": [{"token": "BNB", "amount": "0.5"}]}': ("21", "USDT", "paid in BNB beside"),
    "{}": ("0", "USDT", ""),
    '{"percent": "much"}': ("0", "USDT", NO_FEE),
    '{"flat_fees": [{"token": "BNB"}]}': ("0", "USDT", NO_FEE),
    "null": ("0", "USDT", NO_FEE),
    "[]": ("0", "USDT", NO_FEE),
    "0.1": ("0", "USDT", NO_FEE),
    "junk": ("0", "USDT", NO_FEE),
    None: ("0", "USDT", NO_FEE),
}


def test_every_fee_of_hummingbot_is_booked_or_said(db: Database, tmp_path: Path) -> None:
    no_rate = [fill(98, trade_fee_in_quote=0.0), fill(99, next(iter(FEES)), trade_fee_in_quote=0.0)]
    path = hummingbot(tmp_path / "h.sqlite", [*no_rate, *(fill(100 + n, fee) for n, fee in enumerate(FEES))])
    done = import_bot(db, path)
    found = {order: (fee, of) for order, fee, of in rows(db, "SELECT order_id, fee, fee_currency FROM trades")}
    for n, (fee, of, said) in enumerate(FEES.values()):
        assert (float(found[f"o{100 + n}"][0]), found[f"o{100 + n}"][1]) == (float(fee), of)
        lines = " ".join(line for line in done.left if said and said in line)
        assert bool(lines) == bool(said), (said, done.left)
    both = figures(done)
    assert both["fees, USDT"][0] == sum(Decimal(fee) for fee, of, _ in FEES.values() if of == "USDT")
    assert both["fees, BNB"] == (Decimal("0.52"), Decimal("0.02"))
    assert "0.5 is not carried over" in next(one.why for one in done.reconciled if one.name == "fees, BNB")


def test_a_fee_that_went_astray_is_no_agreement(db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = hummingbot(tmp_path / "h.sqlite", [fill(1, next(iter(FEES)))])
    monkeypatch.setattr("core.explore.imports.hummingbot.fitting", lambda model, row: row | {"fee": Decimal(0)})
    assert not next(one for one in import_bot(db, path).reconciled if one.name == "fees, BNB").ok


def test_a_fill_of_hummingbot_at_fault_is_left_out(db: Database, tmp_path: Path) -> None:
    wrong: dict[str, dict[str, Any]] = {
        "timestamp is None": {"timestamp": None},
        "timestamp is 2024-01-01": {"timestamp": "2024-01-01"},
        "timestamp is 1000000000000000000": {"timestamp": 10**18},
        "action is RANGE": {"trade_type": "RANGE"},
        "amount is inf": {"amount": float("inf")},
        "nothing was traded": {"amount": 0.0},
        "symbol is empty": {"symbol": None},
    }
    path = hummingbot(tmp_path / "h.sqlite", [fill(1), *(fill(2 + n, **one) for n, one in enumerate(wrong.values()))])
    done: BotImport = import_bot(db, path)
    assert counts(done)[1] == (1, 0, 0)
    assert figures(done)["fills"] == (len(wrong) + 1, 1)
    for number, reason in enumerate(wrong, 2):
        assert any(f"Fill t{number} of order o{number}: {reason}" in line for line in done.left), (reason, done.left)


@pytest.mark.parametrize(
    ("column", "known"),
    [("strategy", True), ("quote_asset", True), ("trade_fee", True), ("trade_fee_in_quote", True), ("leverage", True),
     ("config_file_path", True), ("order_id", False), ("price", False), ("timestamp", False)],
)  # fmt: skip
def test_a_hummingbot_without_a_column(migrated_sqlite: Any, tmp_path: Path, column: str, known: bool) -> None:
    path = hummingbot(tmp_path / "h.sqlite", [fill(1)], without=column)
    assert bot_of(path) == ("hummingbot" if known else None)
    if known:
        with Database(migrated_sqlite) as db:
            assert counts(import_bot(db, path))[1] == (1, 0, 0)


def test_another_hummingbot_under_the_same_name_is_refused(db: Database, tmp_path: Path) -> None:
    import_bot(db, hummingbot(tmp_path / "a.sqlite", [fill(1)]), name="mine")
    assert counts(import_bot(db, hummingbot(tmp_path / "b.sqlite", [fill(1), fill(2)]), name="mine"))[1] == (1, 0, 1)
    with pytest.raises(TradekeepError, match="its first one is fill t1 of order o1"):
        import_bot(db, hummingbot(tmp_path / "c.sqlite", [fill(2)]), name="mine")
    with pytest.raises(TradekeepError, match="it is of hummingbot"):
        import_bot(db, freqtrade(tmp_path / "f.sqlite", TRADES, ORDERS), name="mine")
