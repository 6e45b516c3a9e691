"""Exports read back: every row, every value, harmless in a spreadsheet, and nothing half-done called done."""

from __future__ import annotations

import csv
import io
import json
import threading
import time
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pyarrow.parquet as files
import pytest

from core.database import Database, session
from core.errors import TradekeepError
from core.explore import Filter, Sort, export_rows
from core.settings import DatabaseConfig
from core.tasks import Tasks
from tests.servers import Cluster

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
    "﹦1+1",
    "﹫x",
    "x;=1+1",
    "x\t=1+1",
]
FORMULAS = {"=1+1", "+1", "-1", "@x", "\ttab", "'=1", "﹦1+1", "﹫x"}  # '=1, so that an import gives it back


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
    for delimiter in ";\t":  # a program may take these for the end of a cell as well
        assert f'"x{delimiter}=1+1"' in text.decode()


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


def taken(db: Database, table: str, format: Any, **more: Any) -> tuple[int, bytes]:
    out = io.BytesIO()
    return export_rows(db, table, format=format, out=out, **more), out.getvalue()


def strict(line: str) -> Any:
    """What a line of JSON says; NaN and Infinity are none."""
    return json.loads(line, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ("CREATE TABLE one (r int, t text); INSERT INTO one VALUES (1, 'x')", {"r": 1, "t": "x"}),
        (
            'CREATE TABLE one (j json, a json[]); INSERT INTO one VALUES (E\'{"a":\\r\\n 1.10, "a": "b\\\\n"}\','
            " ARRAY[E'[1,\\n2]'::json])",
            {"j": {"a": "b\n"}, "a": [[1, 2]]},
        ),
        (
            "CREATE TABLE one (n numeric, f float8, g real); INSERT INTO one VALUES ('NaN', 'Infinity', '-Infinity')",
            {"n": "NaN", "f": "Infinity", "g": "-Infinity"},
        ),
        ("CREATE TABLE one (); INSERT INTO one DEFAULT VALUES", {}),
    ],
)
def test_every_row_is_one_line_of_valid_json(pg_database: DatabaseConfig, made: str, said: Any) -> None:
    with session(pg_database) as connection:
        connection.execute(made)
    with Database(pg_database) as db:
        number, text = taken(db, "one", "jsonl")
    lines = text.decode().split("\n")
    assert (number, [strict(line) for line in lines[:-1]], lines[-1]) == (1, [said], "")


def test_a_number_without_end_in_sqlite_is_told_as_by_postgresql(tmp_path: Path) -> None:
    with Database(DatabaseConfig(backend="sqlite", database=str(tmp_path / "a.db"))) as db:
        with db.connect() as connection:
            connection.exec_driver_sql("CREATE TABLE one AS SELECT 9e999 AS f, -9e999 AS g")
        assert strict(taken(db, "one", "jsonl")[1].decode()) == {"f": "Infinity", "g": "-Infinity"}
        assert taken(db, "one", "csv")[1] == b"f,g\nInfinity,-Infinity\n"


def test_parquet_keeps_empty_rows_long_cells_and_odd_numbers(db: Database) -> None:
    many = {"sqlite": "hex(zeroblob(3000000))", "postgresql": "repeat('a', 6000000)"}[db.backend]
    with db.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE one (x text)")
        connection.exec_driver_sql("INSERT INTO one VALUES ('a'), (NULL), (''), (NULL)")
        connection.exec_driver_sql("CREATE TABLE long (id integer PRIMARY KEY, t text)")
        connection.exec_driver_sql(f"INSERT INTO long VALUES (1, 'a'), (2, {many}), (3, {many}), (4, NULL)")
        connection.exec_driver_sql("CREATE TABLE odd (a numeric(3,-2), b numeric(3,5))")
        connection.exec_driver_sql("INSERT INTO odd VALUES (12300, 0.00123)")
    number, content = taken(db, "one", "parquet")
    assert (number, files.read_table(io.BytesIO(content))["x"].to_pylist()) == (4, ["a", None, "", None])
    number, content = taken(db, "long", "parquet")
    texts = files.read_table(io.BytesIO(content))["t"].to_pylist()
    assert (number, [text and len(text) for text in texts]) == (4, [1, 6_000_000, 6_000_000, None])
    number, content = taken(db, "odd", "parquet")
    assert [float(one) for one in files.read_table(io.BytesIO(content)).to_pylist()[0].values()] == [12300, 0.00123]


def test_a_table_without_columns_is_a_file_without_rows(pg_database: DatabaseConfig) -> None:
    with session(pg_database) as connection:
        connection.execute("CREATE TABLE bare (); INSERT INTO bare DEFAULT VALUES")
    with Database(pg_database) as db:
        number, content = taken(db, "bare", "parquet")
    found = files.read_table(io.BytesIO(content))
    assert (number, found.num_rows, found.column_names) == (0, 0, [])


def test_names_and_labels_are_harmless_as_well(pg_database: DatabaseConfig) -> None:
    with session(pg_database) as connection:
        connection.execute(
            "CREATE TYPE label AS ENUM ('=1+1', 'b'); CREATE DOMAIN named AS label;"
            ' CREATE TABLE one ("=cmd|\' /C calc\'!A0" label, "a;b%" named, tags label[], m money, i interval);'
            " INSERT INTO one VALUES ('=1+1', '=1+1', '{=1+1}', -1, '-1 days')"
        )
    with Database(pg_database) as db:
        number, text = taken(db, "one", "csv")
        assert taken(db, "one", "csv", filters=[Filter("m", "=", -1)])[1] == text  # with a parameter
    rows = list(csv.reader(io.StringIO(text.decode(), newline="")))
    assert (number, rows[0]) == (1, ["'=cmd|' /C calc'!A0", "a;b%", "tags", "m", "i"])
    assert b'"a;b%"' in text
    assert rows[1] == ["'=1+1", "'=1+1", "{=1+1}", "-$1.00", "-1 days"]


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_an_export_ends_when_it_is_cancelled_whatever_the_server_does(db: Database, format: Any) -> None:
    slow = "SELECT pg_sleep(20)::text AS a"
    if db.backend == "sqlite":
        slow = "WITH RECURSIVE n(g) AS (SELECT 1 UNION ALL SELECT g + 1 FROM n) SELECT g AS a FROM n WHERE g < 0"
    with db.connect() as connection:
        connection.exec_driver_sql(f"CREATE VIEW slow AS {slow}")
    begun = time.monotonic()
    task = Tasks().start("x", "x", lambda progress: taken(db, "slow", format, progress=progress))
    time.sleep(0.3)
    task.cancel()
    assert task.wait(10)
    assert (task.state, time.monotonic() - begun < 5) == ("cancelled", True)
    with db.connect() as connection:  # nothing of it stays
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1


def test_a_progress_that_raises_too_late_ends_the_export_all_the_same(filled: Database) -> None:
    class Slow(io.BytesIO):
        def write(self, piece: Any) -> int:
            assert called.wait(5)
            return super().write(piece)

    class Stopped(Exception):
        pass

    called = threading.Event()

    def progress(done: int, total: int, message: str) -> None:
        called.set()
        raise Stopped

    with pytest.raises(Stopped):
        export_rows(filled, "texts", format="csv", out=Slow(), progress=progress)


def test_what_was_half_written_is_not_written_again(pg_database: DatabaseConfig) -> None:
    with session(pg_database) as connection:
        connection.execute(
            "CREATE FUNCTION once(n int) RETURNS text LANGUAGE plpgsql AS $$ BEGIN"
            " IF n = 9000 AND pg_try_advisory_lock(4242) THEN RAISE 'not yet' USING errcode = '42P01'; END IF;"
            " RETURN repeat('x', 100); END $$;"
            " CREATE VIEW late AS SELECT once(g) AS a FROM generate_series(1, 10000) g"
        )
    out = io.BytesIO()
    with Database(pg_database) as db, pytest.raises(TradekeepError) as caught:
        export_rows(db, "late", format="csv", out=out)
    assert caught.value.kind == "schema.missing_table"
    assert out.getvalue().count(b"a\n") == 1


def test_an_export_has_the_columns_that_the_role_may_read(cluster: Cluster, pg_database: DatabaseConfig) -> None:
    with session(pg_database) as connection:
        connection.execute("CREATE TABLE half (id int, secret text, shown text); INSERT INTO half VALUES (1, 's', 'a')")
        connection.execute("DROP ROLE IF EXISTS half_reader; CREATE ROLE half_reader LOGIN PASSWORD 'x'")
        connection.execute("GRANT SELECT (id, shown) ON half TO half_reader")
    try:
        with Database(cluster.config(pg_database.database, user="half_reader", password="x")) as db:
            assert taken(db, "half", "csv") == (1, b'id,shown\n1,"a"\n')
            assert taken(db, "half", "jsonl") == (1, b'{"id":1,"shown":"a"}\n')
            assert files.read_table(io.BytesIO(taken(db, "half", "parquet")[1])).column_names == ["id", "shown"]
            with pytest.raises(TradekeepError) as caught:
                taken(db, "half", "csv", columns=["secret"])
            assert caught.value.kind == "permission.table"
    finally:
        with session(pg_database) as connection:
            connection.execute("DROP OWNED BY half_reader; DROP ROLE half_reader")
