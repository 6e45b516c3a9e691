"""The names of tables: each listed one leads to its own table, for reading and for writing."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from core.database import Database, session
from core.database.naming import table_label, tables_meant
from core.errors import TradekeepError
from core.explore import page_of_rows, tables
from core.explore.related import table_name
from core.repositories import bulk
from core.settings import DatabaseConfig

NAMES = [
    ("public", "plain"), ("public", "x.y"), ("public", '"q"'), ("public", 'we"ird'), ("public", "'"), ("ss", "t"),
    ("aa", "ss.t"), ("a.b", "c"), ("a", "b.c"), ("ss", '"t"'), ("ss", 'a".b'), ('"s', "t"), ("a.b", 'c" %s'),
    ("ss", "T"), ("ss", "."), ("public", "ss.t"), ("public", "ss.u"),
]  # fmt: skip


def test_every_name_is_unique_and_leads_back() -> None:
    labels = [table_label(schema, name) for schema, name in NAMES]
    assert len(set(labels)) == len(NAMES)
    assert [tables_meant(label, "public")[0] for label in labels] == NAMES
    assert (table_label("public", "trades"), table_label("ss", "t")) == ("trades", "ss.t")


def test_the_listed_tables_are_read_and_written_by_their_names(pg_database: DatabaseConfig) -> None:
    with session(pg_database) as connection, Database(pg_database) as db:
        for number, (schema, name) in enumerate(NAMES):
            quoted = [part.replace('"', '""') for part in (schema, name)]
            connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{quoted[0]}"'.encode())
            connection.execute(f'CREATE TABLE "{quoted[0]}"."{quoted[1]}" (x int)'.encode())
            bulk.append(db, table_label(schema, name), [{"x": number}])
        listed = {(one.schema, one.name): table_name(one.schema, one.name) for one in tables(db)}
        assert set(listed) == set(NAMES)
        assert [page_of_rows(db, listed[one]).rows for one in NAMES] == [[(number,)] for number in range(len(NAMES))]
        # Without quotes: the schema before the dot first, then a table of that very name, then any other parting.
        found = {label: NAMES[page_of_rows(db, label).rows[0][0]] for label in ("ss.t", "ss.u", "x.y", "aa.ss.t", "T")}
        assert found == {
            "ss.t": ("ss", "t"), "ss.u": ("public", "ss.u"), "x.y": ("public", "x.y"), "aa.ss.t": ("aa", "ss.t"),
            "T": ("ss", "T"),
        }  # fmt: skip
        for label in ("", ".", "ss.", '"', "ss.t.", '"ss.t'):
            with pytest.raises(TradekeepError, match="no table"):
                page_of_rows(db, label)


def test_names_of_a_sqlite_file_lead_back(tmp_path: Path) -> None:
    path = tmp_path / "names.sqlite"
    connection = sqlite3.connect(path)
    for number, name in enumerate(("a.b", "main.a", "a")):
        connection.execute(f'CREATE TABLE "{name}" (x int)')
        connection.execute(f'INSERT INTO "{name}" VALUES ({number})')
    connection.commit()
    connection.close()
    with Database(DatabaseConfig(backend="sqlite", database=str(path))) as db:
        labels = [table_name("main", name) for name in ("a.b", "main.a", "a")]
        assert [page_of_rows(db, label).rows for label in labels] == [[(0,)], [(1,)], [(2,)]]
        bulk.append(db, labels[0], [{"x": 7}])
        assert page_of_rows(db, "a.b").rows == [(0,), (7,)]


def test_a_name_with_a_slip_leads_to_the_one_that_was_meant(pg_database: DatabaseConfig, tmp_path: Path) -> None:
    file = DatabaseConfig(backend="sqlite", database=str(tmp_path / "trading.sqlite"))
    for config in (pg_database, file):
        with Database(config) as db:
            with db.connect() as connection:
                connection.exec_driver_sql("CREATE TABLE trades (id integer PRIMARY KEY)")
            for label, close in (("trade", " Did you mean trades?"), ("xyz", "")):
                with pytest.raises(TradekeepError) as caught:
                    page_of_rows(db, label)
                assert caught.value.message == f"There is no table {label!r} here that this role may read.{close}"
