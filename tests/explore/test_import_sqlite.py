"""A SQLite file of somebody else's: whoever writes to it is not kept waiting, and what is wrong with it is said."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from core.database import Database
from core.errors import TradekeepError
from core.explore import import_rows
from core.explore.imports import bot_of, import_bot, sqlitefile
from core.explore.imports.files import opened
from core.explore.imports.preview import look
from core.explore.imports.reader import reading
from core.explore.imports.store import store
from tests.explore.test_import import rows
from tests.explore.test_import_bots import ORDERS, TRADES, freqtrade, with_

COLUMNS = "symbol, action, quantity, price, currency, executed_at, order_id TEXT"
TRADE = "'BTC', 'BUY', 1, 1, 'USD', '2024-01-01T00:00:00Z'"


def made(path: Path, *statements: str) -> Path:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)
    return path


def written(path: Path, statement: str) -> None:
    """What a bot does that does not wait at all."""
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
        connection.execute(statement)


@pytest.mark.parametrize(
    ("table", "lets_go"),
    [("CREATE TABLE t (a, rowid)", True), ("CREATE TABLE t (a INTEGER PRIMARY KEY, rowid)", True),
     ("CREATE TABLE t (a, rowid, _rowid_, oid)", False), ("CREATE TABLE t (a PRIMARY KEY, rowid) WITHOUT ROWID", False),
     ("CREATE VIEW t AS SELECT a, rowid FROM u", False)],
)  # fmt: skip
def test_rows_are_read_a_batch_at_a_time_and_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str, lets_go: bool
) -> None:
    monkeypatch.setattr(sqlitefile, "BATCH_ROWS", 2)
    into = "u" if "VIEW" in table else "t"
    path = made(
        tmp_path / "a.sqlite", "CREATE TABLE u (a)", table,
        *(f"INSERT INTO {into} (a) VALUES ({number})" for number in (5, 6, 7, 8, 9)),
    )  # fmt: skip
    with opened(path) as file, reading(file, "t") as reader:
        batches = reader.batches([0, 1], lambda seen: None)
        found = [next(batches)]
        if lets_go:
            written(path, "INSERT INTO t (a) VALUES (10)")
        found += batches
    assert [value for one in found for value in one.columns[0].to_pylist()] == [
        str(number).encode() for number in range(5, 11 if lets_go else 10)
    ]
    assert [number for one in found for number in one.numbers.to_pylist()] == list(range(1, 7 if lets_go else 6))


def test_a_bot_may_write_while_its_database_is_read(tmp_path: Path) -> None:
    path = freqtrade(tmp_path / "tradesv3.sqlite", TRADES, ORDERS)
    before = sorted(Path(tmp_path).iterdir())
    with store(path, apart=True) as found:
        trades = found.rows("trades", "id")
        next(trades)
        written(path, "DELETE FROM trades WHERE id > 1")
        assert len(list(trades)) == len(TRADES) - 1
    assert sorted(Path(tmp_path).iterdir()) == before


def locked(path: Path) -> sqlite3.Connection:
    made(path, f"CREATE TABLE t ({COLUMNS})")
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    return connection


def cut(path: Path) -> None:
    """As a bot leaves it that was killed in the middle of a write."""
    connection = sqlite3.connect(made(path.with_name("live.sqlite"), "CREATE TABLE t (a)"), isolation_level=None)
    connection.execute("PRAGMA cache_size = 1")
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO t VALUES (?)", [("x" * 500,)] * 300)
    shutil.copy(path.with_name("live.sqlite"), path)
    shutil.copy(path.with_name("live.sqlite-journal"), f"{path}-journal")
    connection.close()


def damaged(path: Path) -> None:
    made(path, "CREATE TABLE t (a)", "INSERT INTO t VALUES (1)")
    content = bytearray(path.read_bytes())
    content[4096:4200] = b"\xff" * 104
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (locked, "is locked by a program that is writing to it"),
        (cut, "was left in the middle of a write"),
        (damaged, "is damaged"),
        (
            lambda path: path.write_bytes(b"SQLite format 3\0" + b"\x07" * 8176),
            "no SQLite database, or it is encrypted",
        ),
        (
            lambda path: made(path, "CREATE TABLE t (a)", "INSERT INTO t VALUES (zeroblob(70000000))"),
            "a value that is too large",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], Any], reason: str
) -> None:
    monkeypatch.setattr(sqlitefile, "LOCKED_S", 0.05)
    keeps = make(tmp_path / "a.sqlite")
    with pytest.raises(TradekeepError, match=reason) as caught:
        look(tmp_path / "a.sqlite")
    assert caught.value.kind == "data.file"
    assert "perhaps it was cut" not in str(caught.value) or make is damaged
    if isinstance(keeps, sqlite3.Connection):
        keeps.close()


def test_a_cell_that_is_no_utf_8_is_a_row_at_fault(db: Database, tmp_path: Path) -> None:
    path = made(
        tmp_path / "a.sqlite", f"CREATE TABLE t ({COLUMNS})",
        f"INSERT INTO t VALUES ({TRADE}, CAST(x'ff41' AS TEXT)), ({TRADE}, 'ok')",
    )  # fmt: skip
    assert "\ufffdA" in str(look(path).rows)
    done = import_rows(db, "trades", path)
    assert [(error.row, error.column) for error in done.errors] == [(1, "order_id")]
    assert rows(db, "SELECT order_id FROM trades") == [("ok",)]


def test_a_bots_text_that_is_no_utf_8_is_said(db: Database, tmp_path: Path) -> None:
    path = freqtrade(tmp_path / "tradesv3.sqlite", [TRADES[0], with_(TRADES[1])], [])
    made(path, "UPDATE trades SET enter_tag = CAST(x'ff41' AS TEXT) WHERE id = 1")
    assert bot_of(path) == "freqtrade"
    assert "1 of its texts are not UTF-8" in " ".join(import_bot(db, path).notes)
    assert rows(db, "SELECT entry_logic_name FROM trading_trades ORDER BY entry_time")[0][0] == "\ufffdA"
