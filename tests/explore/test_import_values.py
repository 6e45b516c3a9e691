"""Single values: what each becomes, and which are refused, with a reason that helps and nothing guessed."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from core.database import Database
from core.explore import export_rows, import_rows
from core.settings import DatabaseConfig
from tests.explore.test_import import HEAD, imported, outcome, rows
from tests.explore.test_import_files import parquet_of

KEPT = """
CREATE TABLE kept (id bigserial PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(), until timestamptz, on_day date,
    raw bytea, payload jsonb, plain json, frame text CHECK (frame IN ('1m', '1M', '1h')), amount numeric(20, 8))
"""
DEEP = "[" * 60_000


@pytest.fixture
def kept(migrated: DatabaseConfig) -> Iterator[Database]:
    db = Database(migrated)
    with db.connect() as connection:
        connection.exec_driver_sql(KEPT)
    yield db
    db.dispose()


@pytest.mark.parametrize(
    ("column", "text", "found"),
    [
        ("frame", "1M", "1M"), ("frame", "1m", "1m"), ("frame", "1H", "1h"),
        ("raw", r"\x4142", b"AB"), ("raw", "AB", b"AB"), ("raw", r"\x414", rb"\x414"),
        ("on_day", "2024-01-01", "2024-01-01"), ("on_day", "2024-01-01 00:30", "2024-01-01"),
        ("on_day", "2024-01-01T23:30:00-02:00", "2024-01-02"),
        ("until", "infinity", "infinity"), ("until", "2024-10-27 04:30", "2024-10-27 03:30:00+00"),
        ("until", "2024-10-27 02:30:00+02:00", "2024-10-27 00:30:00+00"),
        ("until", "2024-10-27", "2024-10-26 22:00:00+00"),
        ("until", "2024-01-01 12:30 PM", "2024-01-01 11:30:00+00"),
        ("payload", r'{"x": "\\u0000"}', {"x": r"\u0000"}),
        ("payload", json.dumps("[" * 2000), "[" * 2000),
        ("id", str(2**62 - 1000), 2**62 - 1000),
    ],
)  # fmt: skip
def test_a_value_is_kept_as_it_was_meant(kept: Database, column: str, text: str, found: Any) -> None:
    if column == "id":
        column = "id,frame"
        text = f"{text},1h"
    else:
        text = '"' + text.replace('"', '""') + '"'
    done = imported(kept, f"{column}\n{text}\n", "kept", mapping={"id": "id"} if "id" in column else None,
                    zone="Europe/Berlin")  # fmt: skip
    assert (outcome(done), done.errors) == ((1, 0, 0, 0), [])
    shown = column.partition(",")[0]
    sql = f"SELECT {shown}{'::text' if shown in ('on_day', 'until') else ''} FROM kept"
    assert [one if not isinstance(one, memoryview) else bytes(one) for one in rows(kept, sql)[0]] == [found]


@pytest.mark.parametrize(
    ("column", "text", "reason"),
    [
        ("frame", "1 M", "one of"), ("payload", '{"x": NaN}', "NaN"), ("plain", "[-Infinity]", "Infinity"),
        ("payload", r'{"x": "a\u0000"}', "NUL"), ("payload", DEEP, "deep"), ("payload", DEEP + r'\"' * 200_000, "deep"),
        ("at", "infinity", "no moment"), ("until", "2024-10-27 02:30", "twice; write it with [+]02:00"),
        ("until", "2024-03-31 02:30", "no such time"), ("until", "13:00 PM", "not a time"),
        ("until", "2024-01-01 13:00 PM", "to 12"), ("until", "2024-01-01 12:00" + " " * 4000 + "x\ny", "not a time"),
        ("amount", "1,234", "1.234 or 1234"), ("amount", "1 234,56", "write 1234.56"),
        ("amount", "0,125", "write 0.125"),
        ("amount", "1.234,5", "write 1234.5"), ("id", str(2**62), "few numbers"),
    ],
)  # fmt: skip
def test_a_value_is_refused_with_its_reason(kept: Database, column: str, text: str, reason: str) -> None:
    begin = time.monotonic()
    text = '"' + text.replace('"', '""') + '"'
    lines = f"{column},frame2\n" + f"{text},\n" if column != "frame" else f"frame,frame2\n{text},\n"
    good = {"frame": "1m", "payload": "{}", "plain": "[]", "amount": "2", "id": "3"}.get(column, "2024-01-01T00:00:00Z")
    done = imported(kept, f"{lines}{good},\n", "kept", mapping={"id": "id"} if column == "id" else None,
                    zone="Europe/Berlin")  # fmt: skip
    assert (outcome(done), [(one.row, one.column) for one in done.errors]) == ((1, 0, 0, 1), [(1, column)])
    assert reason.replace("[+]", "+") in done.errors[0].reason
    assert time.monotonic() - begin < 5


def test_a_month_is_no_minute_where_there_is_no_month(db: Database) -> None:
    text = "symbol,timeframe,open_time,open,high,low,close,volume\nB,1M,2024-01-01T00:00:00Z,1,2,1,2,5\n"
    done = imported(db, text, "candles")
    assert (outcome(done), done.errors[0].column) == ((0, 0, 0, 1), "timeframe")


@pytest.mark.parametrize("stamp", [1704067200123.0, 1704067200.5, 1704067200123456.0])
def test_unix_times_may_be_doubles(db: Database, stamp: float) -> None:
    base = {"symbol": ["B"], "action": ["BUY"], "quantity": [1.0], "price": [1.0], "currency": ["USD"]}
    table = pa.table({**base, "executed_at": pa.array([stamp, None, float("nan")][:1])})
    done = import_rows(db, "trades", io.BytesIO(parquet_of(table)))
    assert (outcome(done), done.errors) == ((1, 0, 0, 0), [])
    assert str(rows(db, "SELECT executed_at FROM trades")[0][0]).startswith("2024-01-01 00:00:00")


def test_what_an_export_made_harmless_is_told(db: Database) -> None:
    done = imported(db, HEAD.strip() + ",strategy\n2024-01-01T00:00:00Z,B,BUY,1,1,USD,o,'=1+1\n")
    assert any("strategy: 1 value" in note for note in done.notes)
    out = io.BytesIO()
    export_rows(db, "trades", format="csv", out=out)
    assert b"'=1+1" in out.getvalue()


# Spellings of one value, far apart in a file of rows without a key.
SAME = [
    ("fee", "", "0"), ("quantity", "1.5", "1.5e0"), ("quantity", "1.5", "+01.50"), ("quantity", "15", "1.5E1"),
    ("quantity", "1.00000000001", "1.00000000002"), ("executed_at", "2024-01-01T00:00:00Z", "2024-01-01T00:00:00.000Z"),
    ("executed_at", "2024-01-01T00:00:00Z", "2024-01-01 01:00:00+01:00"), ("source", "", ""),
]  # fmt: skip
BASE = {"symbol": "B", "action": "BUY", "quantity": "1", "price": "1", "currency": "USD", "fee": "2", "source": "x",
        "executed_at": "2024-02-01T00:00:00Z"}  # fmt: skip


@pytest.mark.parametrize(("column", "one", "other"), SAME)
def test_a_row_without_key_is_known_in_any_spelling(
    db: Database, monkeypatch: pytest.MonkeyPatch, column: str, one: str, other: str
) -> None:
    monkeypatch.setattr("core.explore.imports.csvfile.BATCH_ROWS", 1)
    lines = [",".join((BASE | {column: value}).values()) for value in (one, other)]
    text = "\n".join([",".join(BASE), *lines, ""])
    assert outcome(imported(db, text)) == (2, 0, 0, 0)
    assert outcome(imported(db, text)) == (0, 0, 2, 0)


def test_texts_are_told_apart_whatever_is_in_them(db: Database) -> None:
    pairs = [("a\x1fb", "c"), ("a", "b\x1fc"), ("3:a", ""), ("", "3:a")]
    lines = [",".join([*BASE.values(), one, other]) for one, other in pairs]
    text = "\n".join([",".join([*BASE, "exchange", "strategy"]), *lines, ""])
    assert outcome(imported(db, text)) == (4, 0, 0, 0)
    assert outcome(imported(db, text)) == (0, 0, 4, 0)
