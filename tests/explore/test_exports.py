"""Exports read back: every row, every value, harmless in a spreadsheet, and nothing half-done called done."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pyarrow.parquet as files
import pytest

from core.database import Database, session
from core.errors import TradekeepError
from core.explore import Filter, Sort, export_rows
from core.settings import DatabaseConfig

TEXTS = [
    "plain",
    "",
    None,
    'quote " and, comma',
    "two\nlines",
    "ä€𝄞",
    "=1+1",
    "+1",
    "-1",
    "@x",
    "\ttab",
    "'=1",
    "%s ? %%",
]
FORMULAS = {"=1+1", "+1", "-1", "@x", "\ttab", "'=1"}  # the last one, so that an import gives it back


@pytest.fixture
def filled(db: Database) -> Database:
    mark = "?" if db.backend == "sqlite" else "%s"
    with db.connect() as connection:
        connection.exec_driver_sql(
            'CREATE TABLE texts (id int PRIMARY KEY, text text, amount numeric(20,4), "a%%b" int)'.replace(
                "%%", "%" if db.backend == "sqlite" else "%%"
            )
        )
        rows = [(number, text, number - 2, None if number % 2 else number) for number, text in enumerate(TEXTS)]
        connection.exec_driver_sql(f"INSERT INTO texts VALUES ({', '.join([mark] * 4)})", rows)
    return db


def exported(db: Database, format: Any, **more: Any) -> tuple[int, bytes]:
    out = io.BytesIO()
    return export_rows(db, "texts", sort=Sort("id"), format=format, out=out, **more), out.getvalue()


def test_csv_holds_every_row_and_no_formula(filled: Database) -> None:
    number, text = exported(filled, "csv")
    rows = list(csv.reader(io.StringIO(text.decode(), newline="")))
    assert number == len(TEXTS)
    assert rows[0] == ["id", "text", "amount", "a%b"]
    assert [row[1] for row in rows[1:]] == [f"'{one}" if one in FORMULAS else one or "" for one in TEXTS]
    assert [Decimal(row[2]) for row in rows[1:]] == [number - 2 for number in range(len(TEXTS))]


def test_json_lines_hold_every_row(filled: Database) -> None:
    number, text = exported(filled, "jsonl")
    rows = [json.loads(line) for line in text.decode().split("\n") if line]
    assert (number, [row["text"] for row in rows]) == (len(TEXTS), TEXTS)
    assert [row["a%b"] for row in rows[:4]] == [0, None, 2, None]


def test_parquet_holds_every_row(filled: Database, tmp_path: Path) -> None:
    number, content = exported(filled, "parquet")
    table = files.read_table(io.BytesIO(content))
    assert (number, table.num_rows) == (len(TEXTS), len(TEXTS))
    assert table["text"].to_pylist() == TEXTS
    assert [Decimal(one) for one in table["amount"].to_pylist()] == [number - 2 for number in range(len(TEXTS))]


@pytest.mark.parametrize("format", ["csv", "jsonl", "parquet"])
def test_filters_columns_and_order_are_kept(filled: Database, format: Any) -> None:
    out = io.BytesIO()
    asked = [Filter("text", "contains", "%")]
    assert export_rows(filled, "texts", asked, Sort("id"), format=format, out=out, columns=["id"]) == 1
    none = io.BytesIO()
    assert export_rows(filled, "texts", [Filter("id", "<", 0)], format=format, out=none, columns=["id"]) == 0
    if format == "parquet":
        assert files.read_table(io.BytesIO(out.getvalue()))["id"].to_pylist() in ([12], ["12"])
        assert files.read_table(io.BytesIO(none.getvalue())).column_names == ["id"]
    else:
        assert out.getvalue().decode().split("\n")[-2] in ("12", '{"id":12}', '{"id": 12}')
        assert none.getvalue() == (b"id\n" if format == "csv" else b"")


def test_values_that_a_file_cannot_hold_exactly(pg_database: DatabaseConfig) -> None:
    with session(pg_database) as connection:
        connection.execute(
            "CREATE TABLE hard (id int PRIMARY KEY, at timestamptz, day date, fixed numeric(28,10), free numeric,"
            " tags text[], raw bytea, ok bool, ratio float8, doc jsonb)"
        )
        connection.execute(
            "INSERT INTO hard VALUES (1, '2026-01-02 03:04:05.678901+00', '2026-01-02', 123456789012345678.0123456789,"
            " 1e-40, '{a,NULL}', '\\x00ff', true, 0.1, '{\"a\": \"\\u0001\"}'),"
            " (2, 'infinity', '0044-03-15 BC', 'NaN', 'Infinity', NULL, NULL, false, 'NaN', NULL)"
        )
    db = Database(pg_database)
    out = io.BytesIO()
    assert export_rows(db, "hard", sort=Sort("id"), format="parquet", out=out) == 2
    first, second = files.read_table(io.BytesIO(out.getvalue())).to_pylist()
    assert first["at"].isoformat() == "2026-01-02T03:04:05.678901+00:00"
    assert first["fixed"] == Decimal("123456789012345678.0123456789")
    assert (Decimal(first["free"]), first["tags"], first["raw"], first["ok"]) == (
        Decimal("1e-40"),
        "{a,NULL}",
        "\\x00ff",
        True,
    )
    assert (second["at"], second["day"], second["fixed"], second["free"], second["ok"]) == (
        None,
        None,
        None,
        "Infinity",
        False,
    )
    out = io.BytesIO()
    assert export_rows(db, "hard", sort=Sort("id"), format="jsonl", out=out) == 2
    assert json.loads(out.getvalue().decode().split("\n")[0])["doc"] == {"a": "\x01"}
    db.dispose()


class Full(io.RawIOBase):
    """A disk that is full after so many bytes."""

    def write(self, piece: Any) -> int:
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("format", ["csv", "jsonl", "parquet"])
def test_a_full_disk_and_a_cancelled_export_are_said(filled: Database, format: Any) -> None:
    with pytest.raises(TradekeepError) as caught:
        export_rows(filled, "texts", format=format, out=cast(Any, Full()))
    assert caught.value.error_type == "resource"

    class Stopped(Exception):
        pass

    def progress(done: int, total: int, message: str) -> None:
        raise Stopped

    many = "SELECT g, repeat('x', 1000) FROM generate_series(100, 9000) g"
    if filled.backend == "sqlite":
        numbers = "WITH RECURSIVE n(g) AS (SELECT 100 UNION ALL SELECT g + 1 FROM n WHERE g < 9000)"
        many = f"{numbers} SELECT g, hex(zeroblob(500)) FROM n"
    with filled.connect() as connection:
        connection.exec_driver_sql(f"INSERT INTO texts (id, text) {many}")
    if format != "parquet":  # which is too well compressed to report
        with pytest.raises(Stopped):
            export_rows(filled, "texts", format=format, out=io.BytesIO(), progress=progress)
    assert export_rows(filled, "texts", format=format, out=io.BytesIO()) == len(TEXTS) + 8901


def test_a_format_that_does_not_exist_is_refused(filled: Database) -> None:
    with pytest.raises(TradekeepError) as caught:
        export_rows(filled, "texts", format=cast(Any, "xlsx"), out=io.BytesIO())
    assert caught.value.error_type == "data"
