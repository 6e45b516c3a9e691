"""What programs give to be written in bulk: stored as what it is, or refused in words; never as its repr."""

from __future__ import annotations

import enum
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from core.database import Database
from core.errors import TradekeepError
from core.models import Side
from core.repositories import bulk
from core.repositories.bulk import Counts
from core.settings import DatabaseConfig
from tests.explore.test_import import rows
from tests.servers import Cluster

BEGIN = datetime(2024, 1, 1, tzinfo=UTC)


class Plain(enum.Enum):
    A = "a"


class Word(str, enum.Enum):  # noqa: UP042  # of which str() says Word.A
    A = "a"


# A column, what is given, and what the database says of it (PostgreSQL, SQLite).
TAKEN: list[tuple[str, Any, Any]] = [
    ("t", Plain.A, "a"), ("t", Word.A, "a"), ("t", Side.LONG, "LONG"), ("t", np.str_("x"), "x"), ("t", pd.NA, None),
    ("t", UUID(int=1), str(UUID(int=1))), ("b", b"\x00\xff", b"\x00\xff"), ("b", bytearray(b"ab"), b"ab"),
    ("b", memoryview(b"a-b-")[::2], b"ab"), ("b", np.bytes_(b"\x01"), b"\x01"),
    ("i", 2**63 - 1, 2**63 - 1), ("i", np.int64(-5), -5), ("n", np.float32(0.1), 0.1), ("n", np.float64(1.5), 1.5),
    ("n", Decimal("2.50"), 2.5), ("at", pd.Timestamp("2024-01-01T02:00+02:00"), BEGIN), ("at", pd.NaT, None),
    ("at", np.datetime64("NaT"), None), ("d", np.datetime64("2024-01-01"), date(2024, 1, 1)),
    ("j", {"a": Plain.A, "b": [np.int8(3), np.float32(0.1)], "c": pd.NA, "d": [Decimal("1.5"), BEGIN]},
     {"a": "a", "b": [3, 0.1], "c": None, "d": ["1.5", str(BEGIN)]}),
    ("j", np.array([1, 2]), [1, 2]), ("s", timedelta(days=-1, hours=3), timedelta(days=-1, hours=3)),
    ("a", [True, None], [True, None]), ("a", np.array([False]), [False]),
]  # fmt: skip
REFUSED: list[tuple[str, Any, str]] = [
    ("t", object(), "of type object"), ("t", pd.Period("2026-01"), "of type Period"), ("t", {1}, "of type set"),
    ("t", 1j, "of type complex"), ("t", b"ab", "bytes, where the"), ("n", Decimal("Infinity"), "finite"),
    ("n", np.float32("nan"), "finite"), ("at", pd.Timestamp("2024-01-01"), "no time zone"),
    ("at", np.datetime64("2024-01-01T00:00"), "no time zone"), ("at", np.datetime64("20000-01-01T00"), "no twin"),
    ("j", {"a": object()}, "not JSON"), ("j", {"a": float("nan")}, "JSON"), ("a", [1.5, float("nan")], "finite|JSON"),
    ("i", 2**63, "out of range|beyond what the column can hold"),
]  # fmt: skip
KEPT = "CREATE TABLE kept (id integer PRIMARY KEY, t text, i bigint, n numeric, b {}, at {}, d date, j {}, s {}, a {})"


@pytest.fixture
def kept(db: Database) -> Database:
    """A database with a table of one column for each kind of value; on SQLite without spans and arrays."""
    types = ("bytea", "timestamptz", "jsonb", "interval", "boolean[]")
    with db.connect() as connection:
        connection.exec_driver_sql(
            KEPT.format(*types if db.backend == "postgresql" else ("blob", "datetime", "json", "text", "json"))
        )
    return db


@pytest.mark.parametrize("write", [bulk.append, bulk.upsert])
def test_values_of_every_kind_are_stored_as_what_they_are(kept: Database, write: Any) -> None:
    for number, (column, value, said) in enumerate(TAKEN):
        if kept.backend == "sqlite" and column in ("s", "a"):
            continue
        write(kept, "kept", [{"id": number, column: value}])
        found = rows(kept, f"SELECT {column} FROM kept WHERE id = {number}")[0][0]
        if kept.backend == "sqlite" and column == "j":
            found = json.loads(found)
        elif kept.backend == "sqlite" and column in ("at", "d"):
            said = said and (str(said) if column == "d" else said.isoformat(" ", "microseconds")[:-6])
        assert (float(found) if column == "n" else found) == said, value


def test_what_is_no_value_is_refused_by_row_and_column(kept: Database) -> None:
    for column, value, why in REFUSED:
        with pytest.raises(TradekeepError, match=why) as caught:
            bulk.upsert(kept, "kept", [{"id": 1, column: None}, {"id": 2, column: value}])
        assert caught.value.kind == "data.value", value
        assert f"Row 2: {column}: " in caught.value.message or column == "i", caught.value.message
    if kept.backend == "sqlite":
        with pytest.raises(TradekeepError, match=r"Row 2: b: bytes in some rows, texts in others\."):
            bulk.upsert(kept, "kept", [{"id": 1, "b": b"a"}, {"id": 2, "b": "a"}])
    assert rows(kept, "SELECT * FROM kept") == []


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (pd.DataFrame({"id": [1, 2], "t": ["x", 5]}), ["x", "5"]),
        (pd.DataFrame({"id": [1, 2], "t": [Plain.A, None]}), ["a", None]),
        (pd.DataFrame({"id": [1, 2], "t": ["x", np.nan]}), ["x", None]),
        (pd.DataFrame({"id": [1, 2], "n": pd.arrays.SparseArray([1.5, np.nan])}), [1.5, None]),
        (pd.DataFrame({"id": [1, 2], "j": [{"a": 1}, {"b": 2}]}), [{"a": 1}, {"b": 2}]),
        (pd.DataFrame({"id": [1, 2], "t": pd.period_range("2026-01", periods=2, freq="M")}), "Row 1: t: Period"),
        (pd.DataFrame({"id": [1, 2], "n": [1.5, np.inf]}), "Row 2: n: inf is not a finite"),
        (pd.DataFrame({"id": [1, 2], "at": [pd.NaT, pd.Timestamp("2026-01-01")]}), "Row 2: at: a time without"),
        (pd.DataFrame([[1, "a", "b"]], columns=["id", "t", "t"]), "'t' comes twice"),
        (pa.table([pa.array([1]), pa.array(["a"]), pa.array(["b"])], names=["id", "t", "t"]), "'t' comes twice"),
        (pa.table({"id": [1, 2], "n": [1.5, float("nan")]}), "Row 2: n: nan is not a finite"),
        (pa.table({"id": [1, 2], "b": [b"\x01\xff", None]}), [b"\x01\xff", None]),
    ],
)
def test_frames_are_stored_or_refused_in_words(kept: Database, given: Any, stored: Any) -> None:
    if isinstance(stored, str):
        with pytest.raises(TradekeepError, match=stored) as caught:
            bulk.append(kept, "kept", given)
        assert caught.value.error_type == "data"
        return
    assert bulk.append(kept, "kept", given) == Counts(inserted=2)
    name = list(given.columns if hasattr(given, "iloc") else given.column_names)[1]
    found = [row[0] for row in rows(kept, f"SELECT {name} FROM kept ORDER BY id")]
    assert [json.loads(one) if name == "j" and isinstance(one, str) else one for one in found] == stored
    assert bulk.upsert(kept, "kept", given) == Counts(skipped=2)


@pytest.mark.parametrize("write", [bulk.append, bulk.upsert])
def test_rows_that_name_other_columns_erase_nothing(kept: Database, write: Any) -> None:
    bulk.append(kept, "kept", [{"id": 9, "i": 1, "t": "keep"}])
    with pytest.raises(TradekeepError, match=r"Row 2 also names t and lacks i, unlike row 1\.") as caught:
        write(kept, "kept", [{"id": 9, "i": 2}, {"id": 10, "t": "x"}])
    assert caught.value.kind == "data.mapping"
    assert bulk.upsert(kept, "kept", [{"id": 9, "i": 2}]) == Counts(updated=1)
    assert rows(kept, "SELECT id, i, t FROM kept") == [(9, 2, "keep")]


SKIPPING = {
    "postgresql": [
        "CREATE FUNCTION skipping() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RETURN CASE WHEN NEW.t = 'skip' THEN NULL ELSE NEW END; END $$",
        "CREATE TRIGGER skips BEFORE INSERT ON {} FOR EACH ROW EXECUTE FUNCTION skipping()",
    ],
    "sqlite": [
        "CREATE TRIGGER skips BEFORE INSERT ON {} WHEN NEW.t = 'skip' BEGIN SELECT RAISE(IGNORE); END",
    ],
}


@pytest.mark.parametrize("parted", ["", " PARTITION BY RANGE (id)"])
@pytest.mark.parametrize("key", [", PRIMARY KEY (id)", ""])
def test_rows_that_a_trigger_leaves_out_are_not_counted_as_new(db: Database, parted: str, key: str) -> None:
    if parted and db.backend == "sqlite":
        return
    with db.connect() as connection:
        connection.exec_driver_sql(f'CREATE TABLE few (id integer NOT NULL, t text, "__row" text{key}){parted}')
        if parted:
            connection.exec_driver_sql("CREATE TABLE few_1 PARTITION OF few DEFAULT")
        for statement in SKIPPING[db.backend]:
            connection.exec_driver_sql(statement.format("few"))
    given = [{"id": 1, "t": "skip", "__row": "a"}, {"id": 2, "t": "b", "__row": "b"}, {"id": 3, "t": "c", "__row": "c"}]
    assert bulk.upsert(db, "few", given[:2]) == Counts(inserted=1, skipped=1)
    assert bulk.append(db, "few", given[::2]) == Counts(inserted=1, skipped=1)
    assert rows(db, 'SELECT id, "__row" FROM few ORDER BY id') == [(2, "b"), (3, "c")]


def test_rows_go_into_a_table_with_row_level_security(cluster: Cluster, migrated: DatabaseConfig) -> None:
    statements = [
        "CREATE TABLE few (id integer PRIMARY KEY, t text)",
        "ALTER TABLE few ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY seen ON few USING (t <> 'hidden')",
        "CREATE ROLE fewer LOGIN PASSWORD 'fewer'",
        "GRANT ALL ON few TO fewer",
    ]
    cluster.sql(*statements, database=migrated.database)
    try:
        with Database(cluster.config(migrated.database, user="fewer", password="fewer")) as db:
            assert bulk.append(db, "few", [{"id": 3, "t": "mine"}]) == Counts(inserted=1)
            with pytest.raises(TradekeepError) as caught:
                bulk.append(db, "few", [{"id": 4, "t": "hidden"}])
            assert caught.value.kind == "permission.row_security"
    finally:
        cluster.sql("DROP OWNED BY fewer", "DROP ROLE fewer", database=migrated.database)
