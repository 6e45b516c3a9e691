"""Which table a file belongs to, and what its rows get that it does not say: fills are filled, exits close."""

from __future__ import annotations

import csv
import gzip
import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from core.database import Database
from core.errors import TradekeepError
from core.explore import export_rows, import_rows
from core.explore.imports import rights
from core.explore.imports.mapping import guessed
from core.explore.imports.preview import fitting, look, target_of
from core.settings import DatabaseConfig
from tests.explore.test_import import GOOD, HEAD, imported, outcome, rows
from tests.explore.test_import_command import as_json, core, project

__all__ = ["project"]
ROUND_TRIPS = (
    "Pair,Open date,Close date,Entry price,Exit price,Amount,Direction,Profit,Currency\n"
    "BTC/USDT,2024-01-01 10:00,2024-01-01 12:00,40000,41000,0.1,long,100,USDT\n"
    "ETH/USDT,2024-01-01 10:00,2024-01-02 12:00,2000,1900,1,short,100,USDT\n"
    "SOL/USDT,2024-01-03 10:00,,100,,1,short,,USDT\n"
)
TRIPS = "SELECT symbol, direction, status, trade_type, size, net_pnl, interval FROM trading_trades ORDER BY symbol"
BOTS = "SELECT name, type, currency, status FROM trading_bots ORDER BY id"


# --- where it belongs


@pytest.mark.parametrize(
    ("heads", "table", "taken"),
    [
        ("Pair,Open date,Close date,Entry price,Exit price,Amount,Direction,Profit,Currency", "trading_trades", 9),
        ("Contracts,Closing Direction,Qty,Entry Price,Exit Price,Closed P&L,Exit Type,Trade Time", "trading_trades", 5),
        ("t,pair,side,qty,px,ccy,oid", "trades", 7),
        ("Date(UTC),OrderNo,Pair,Type,Order Price,Order Amount,AvgTrading Price,Filled,Total,status", "trades", 7),
        ("Date(UTC),Pair,Type,Order Amount,AvgTrading Price,Fee,Fee Coin,Order No,remark", "trades", 8),
        ("txid,ordertxid,pair,time,type,ordertype,price,cost,fee,vol,margin,misc,ledgers", "trades", 7),
        ("portfolio,trade id,product,side,created at,size,size unit,price,fee,total,price/fee/total unit", "trades", 8),
        ("Spot Pairs,Direction,Filled Value,Filled Price,Filled,Fees,Timestamp (UTC),Order No.,Trade ID", "trades", 7),
        ("symbol,side,quantity,entry_price,opened_at,currency", "positions", 6),
        ("time,open,high,low,close,volume", "candles", 6),
        ("timestamp,equity,cash_balance,currency", "portfolios", 4),
        ("city,population", None, 0),
    ],
)
def test_a_file_belongs_where_most_of_it_is_taken(
    migrated_sqlite: DatabaseConfig, heads: str, table: str | None, taken: int
) -> None:
    with Database(migrated_sqlite) as db:
        names = heads.split(",")
        assert fitting(db, names, list(rights.tables(db))) == table
        if table:
            found = guessed(names, target_of(db, table))
            assert sum(to is not None for to in found.values()) == taken, found


def test_what_was_executed_comes_before_what_was_ordered_or_paid(migrated_sqlite: DatabaseConfig) -> None:
    with Database(migrated_sqlite) as db:
        of = target_of(db, "trades")
        assert guessed(["Amount", "Executed", "created_at", "time"], of) == {
            "Amount": None, "Executed": "quantity", "created_at": "created_at", "time": "executed_at",
        }  # fmt: skip
        assert guessed(["created at", "price"], of)["created at"] == "executed_at"


@pytest.mark.parametrize(
    ("heads", "table", "mapped"),
    [
        ("ts,symbol,side,qty,price", "trades", {"ts": "executed_at"}),
        ("timestamp_ms,symbol,side,qty,price", "trades", {"timestamp_ms": "executed_at"}),
        ("symbol,side,qty,price,created", "trades", {"created": "executed_at"}),
        ("created_at,ts,symbol,side,qty,price", "trades", {"ts": "executed_at", "created_at": "created_at"}),
        ("executed,price,symbol,side,amount", "trades", {"executed": "executed_at", "amount": "quantity"}),
        ("time_ms,ts_utc,symbol,side,qty,price", "trades", {"time_ms": None, "ts_utc": None}),
        ("ts,open,high,low,close,volume", "candles", {"ts": "open_time"}),
        ("open_ts,close_ts,ts,pair,entry_price", "trading_trades", {"open_ts": "entry_time", "close_ts": "exit_time"}),
        ("ts,pair,entry_price,exit_price,profit", "trading_trades", {"ts": None}),
        ("time,pair,entry_price,exit_price,profit", "positions", {"time": None}),
    ],
)
def test_the_one_column_that_can_only_be_the_time_is_it(
    migrated_sqlite: DatabaseConfig, heads: str, table: str, mapped: dict[str, str | None]
) -> None:
    with Database(migrated_sqlite) as db:
        found = guessed(heads.split(","), target_of(db, table))
    assert {name: found[name] for name in mapped} == mapped
    assert "ts" in mapped or found.get("ts") is None


# --- what its rows get


def test_fills_without_a_status_are_filled_and_it_is_said(db: Database) -> None:
    dry = imported(db, HEAD + GOOD, dry_run=True)
    done = imported(db, HEAD + GOOD)
    for one in (dry, done):
        assert "status is FILLED in every row: rows with a time and a price of execution are fills." in one.notes
    assert rows(db, "SELECT DISTINCT status FROM trades") == [("FILLED",)]
    assert outcome(imported(db, HEAD + GOOD, values={"status": "CANCELLED"})) == (2, 2, 0, 0)
    said = imported(db, HEAD.replace("\n", ",status\n") + "2024-01-01,X,BUY,1,1,USDT,s,pending\n")
    assert not [note for note in said.notes if "status" in note]
    assert rows(db, "SELECT status FROM trades WHERE order_id = 's'") == [("PENDING",)]


def test_what_has_an_exit_is_closed(db: Database) -> None:
    done = imported(db, ROUND_TRIPS, "positions")
    assert (outcome(done), [error.row for error in done.errors]) == ((3, 0, 0, 0), [])
    sides = rows(db, "SELECT symbol, side, status FROM positions ORDER BY symbol")
    assert sides == [("BTC/USDT", "LONG", "CLOSED"), ("ETH/USDT", "SHORT", "CLOSED"), ("SOL/USDT", "SHORT", "OPEN")]
    opened = [moment(row[0]) for row in rows(db, "SELECT opened_at FROM positions ORDER BY symbol")]
    assert opened == [datetime(2024, 1, 1, 10, tzinfo=UTC)] * 2 + [datetime(2024, 1, 3, 10, tzinfo=UTC)]


def moment(found: Any) -> datetime:
    found = datetime.fromisoformat(found) if isinstance(found, str) else found
    return found if found.tzinfo else found.replace(tzinfo=UTC)


# --- whose they are


@pytest.mark.parametrize("upsert", [True, False])
def test_a_bot_is_made_with_its_first_rows_and_known_again(db: Database, upsert: bool) -> None:
    with pytest.raises(TradekeepError, match="bot_id, which trading_trades needs"):
        imported(db, ROUND_TRIPS, "trading_trades")
    for of, fault in ((" ", "1 to 100"), ("x" * 101, "1 to 100")):
        with pytest.raises(TradekeepError, match=fault):
            imported(db, ROUND_TRIPS, "trading_trades", bot=of)
    with pytest.raises(TradekeepError, match="belong to no bot"):
        imported(db, HEAD + GOOD, bot="Ada")
    wrong = ROUND_TRIPS.splitlines()[0] + "\nX,never,,1,,1,long,,USDT\n"
    assert outcome(imported(db, wrong, "trading_trades", bot="Ada")) == (0, 0, 0, 1)
    dry = imported(db, ROUND_TRIPS, "trading_trades", bot="Ada", dry_run=True, upsert=upsert)
    assert (outcome(dry), rows(db, BOTS)) == ((3, 0, 0, 0), [])
    done = imported(db, ROUND_TRIPS, "trading_trades", bot="Ada", upsert=upsert)
    assert outcome(done) == (3, 0, 0, 0)
    assert any(note.startswith("The bot Ada was made.") for note in done.notes)
    assert rows(db, BOTS) == [("Ada", "live", "USDT", "stopped")]
    assert [(*row[:4], float(row[4]), row[6]) for row in rows(db, TRIPS)] == [
        ("BTC/USDT", "LONG", "CLOSED", "live", 0.1, "?"),
        ("ETH/USDT", "SHORT", "CLOSED", "live", 1.0, "?"),
        ("SOL/USDT", "SHORT", "OPEN", "live", 1.0, "?"),
    ]
    if upsert:
        again = imported(db, ROUND_TRIPS, "trading_trades", bot="Ada")
        assert (outcome(again), rows(db, BOTS)) == ((0, 0, 3, 0), [("Ada", "live", "USDT", "stopped")])
        assert not any("made" in note for note in again.notes)


def test_rows_are_of_the_kind_that_their_bot_is(db: Database) -> None:
    imported(db, ROUND_TRIPS, "trading_trades", bot="Paul", values={"trade_type": "paper"})
    assert rows(db, BOTS) == [("Paul", "paper", "USDT", "stopped")]
    more = ROUND_TRIPS.replace("40000", "40001")
    done = imported(db, more, "trading_trades", bot="Paul")
    assert outcome(done) == (1, 0, 2, 0)
    assert "trade_type is paper in every row: as its bot." in done.notes


def test_the_command_takes_what_the_page_takes(project: Path) -> None:
    file = project / "rt.csv"
    file.write_text(ROUND_TRIPS)
    found = as_json("import", str(file), "trading_trades", "--bot", "Ada")["import"]
    assert (found["inserted"], found["error_count"]) == (3, 0)
    head = HEAD.replace(",", ";")
    file.write_text(f"{head}01/02/2024;X;BUY;0,5;1.234,50;EUR;a\n01/02/2024;X;BUY;1.5;1;EUR;b\n")
    words = ("import", str(file), "trades", "--decimal-comma", "--day-first")
    found = as_json(*words, "--to-correct", str(project / "bad.csv"))["import"]
    assert (found["inserted"], found["error_count"]) == (1, 1)
    assert (project / "bad.csv").read_text().splitlines()[1].startswith("01/02/2024,X,BUY,1.5,1,EUR,b,")
    assert core(*words, "--month-first").exit_code == 2


# --- what was at fault


def test_rows_at_fault_can_be_corrected_and_imported(db: Database) -> None:
    head = HEAD.replace("\n", ",remark\n")
    bad = "2024-01-01,=X,HODL,1,1,USDT,o1,a\n2024-01-01,Y,BUY,0,-1,USDT,,b\n2024-01-01,Z\n"
    done = imported(db, head + bad + "2024-01-01,Y,BUY,1,1,USDT,o2,c\n")
    assert outcome(done) == (1, 0, 0, 3)
    assert done.faulty
    assert "faulty" not in done.as_dict()
    listed = list(csv.reader(io.StringIO(done.faulty.csv(done.errors).decode())))
    assert listed[0] == [*HEAD.strip().split(","), "why it is at fault"]
    assert [row[:-1] for row in listed[1:]] == [
        ["2024-01-01", "'=X", "HODL", "1", "1", "USDT", "o1"], ["2024-01-01", "Y", "BUY", "0", "'-1", "USDT", ""],
    ]  # fmt: skip
    assert all(row[-1] for row in listed[1:])
    corrected = done.faulty.csv(done.errors).decode().replace("HODL", "SELL").replace(",0,'-1", ",1,1")
    again = imported(db, corrected)
    assert (outcome(again), again.faulty and again.faulty.csv(again.errors)) == ((2, 0, 0, 0), b"")
    assert rows(db, "SELECT symbol FROM trades WHERE order_id = 'o1'") == [("=X",)]


# --- numbers and days that are written otherwise


def test_a_decimal_comma_is_read_where_somebody_says_so(migrated_sqlite: DatabaseConfig) -> None:
    head = HEAD.replace(",", ";")
    texts = ["0,5", "1.234,50", "1.234", "12", "+1 234,5", "1.5", "1,2,3", "x"]
    text = head + "".join(f"2024-03-01;X;BUY;{one};1;EUR;o{n}\n" for n, one in enumerate(texts))
    with Database(migrated_sqlite) as db:
        assert outcome(imported(db, text, comma=True)) == (5, 0, 0, 3)
        found = [float(row[0]) for row in rows(db, "SELECT quantity FROM trades ORDER BY order_id")]
        assert found == [0.5, 1234.5, 1234, 12, 1234.5]
        assert look(io.BytesIO(text.encode())).commas
        assert not look(io.BytesIO((HEAD + GOOD).encode())).commas


@pytest.mark.parametrize(("day_first", "month"), [(True, 2), (False, 1)])
def test_a_day_comes_before_its_month_or_after_as_somebody_says(
    migrated_sqlite: DatabaseConfig, day_first: bool, month: int
) -> None:
    text = HEAD + "01/02/2024 12:00,X,BUY,1,1,EUR,a\n2024-05-31,X,BUY,1,1,EUR,b\n"
    with Database(migrated_sqlite) as db:
        assert outcome(imported(db, text)) == (1, 0, 0, 1)
        assert outcome(imported(db, text, day_first=day_first)) == (1, 0, 1, 0)
        found = moment(rows(db, "SELECT executed_at FROM trades WHERE order_id = 'a'")[0][0])
        assert (found.day, found.month) == ((1, 2) if day_first else (2, 1))
        assert month == found.month
        seen = look(io.BytesIO(text.encode())), look(io.BytesIO((HEAD + GOOD).encode()))
        assert [one.unsure_days for one in seen] == [True, False]


# --- JSON lines


def test_json_lines_come_back_as_they_were_exported(db: Database) -> None:
    imported(db, HEAD + GOOD)
    imported(db, 'name,value,recorded_at,metadata\nx,0.1234567891,2024-01-01,"{""a"": [1, 0.5], ""b"": null}"\n',
             "performance_metrics")  # fmt: skip
    for table, number, sql in (
        ("trades", 4, "SELECT symbol, price, executed_at, status, created_at FROM trades ORDER BY id"),
        ("performance_metrics", 1, "SELECT name, value, metadata FROM performance_metrics"),
    ):
        out, before = io.BytesIO(), rows(db, sql)
        assert export_rows(db, table, format="jsonl", out=out) == number
        for content in (out.getvalue(), gzip.compress(out.getvalue())):
            done = import_rows(db, table, io.BytesIO(content))
            assert outcome(done) == (0, 0, number, 0), done.notes
        with db.connect() as connection:
            connection.exec_driver_sql(f"DELETE FROM {table}")
        assert outcome(import_rows(db, table, io.BytesIO(out.getvalue()))) == (number, 0, 0, 0)
        assert rows(db, sql) == before


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('{"time": "2024-01-01", "pair": "X", "side": "buy", "amount": 1, "price": 1', "no JSON object"),
        ("[1]", "no JSON object"),
        ('{"time": 1, "wholly new": 1}', "have no wholly new"),
        ("\xff", "no JSON object"),
        ("[" * 100_000, "no JSON object"),
        ('{"time": "2024-01-01", "pair": "\\u0000", "side": "buy", "amount": 1, "price": 1}', "NUL"),
        ('{"time": "2024-01-01", "pair": "X", "side": "buy", "amount": NaN, "price": 1}', "finite"),
    ],
)
def test_a_line_at_fault_is_told(
    migrated_sqlite: DatabaseConfig, monkeypatch: pytest.MonkeyPatch, line: str, why: str
) -> None:
    monkeypatch.setattr("core.explore.imports.jsonlines.BATCH_ROWS", 2)
    good = '\n{"time": "2024-01-01", "pair": "X", "side": "buy", "amount": 1.10, "price": 1e3}\n\n'
    text = good * 2 + line + good
    with Database(migrated_sqlite) as db:
        done = import_rows(db, "trades", io.BytesIO(text.encode("latin-1")), values={"currency": "USDT"})
        assert (outcome(done), done.errors[0].row) == ((3, 0, 0, 1), 3)
        assert why in done.errors[0].reason


def test_a_json_list_is_refused_with_a_way_out(migrated_sqlite: DatabaseConfig) -> None:
    with Database(migrated_sqlite) as db:
        for text in (b'[{"a": 1}]', b'[\n  {"a": 1}]'):
            with pytest.raises(TradekeepError, match="one object a line"):
                import_rows(db, "trades", io.BytesIO(text))
        assert look(io.BytesIO(b'{"pair": "X", "price": 1.50}\n')).rows == (("X", "1.50"),)
