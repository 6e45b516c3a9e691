"""Ways from a value to its rows: facets, links to a row, addresses; for values of every type, on both backends."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

import pytest

from core.database import Database, session
from core.errors import TradekeepError
from core.explore import Filter, facets, page_of_rows, tables
from core.explore.address import View, view_of
from core.explore.cells import indented
from core.explore.related import described
from core.explore.typed import ready
from core.settings import DatabaseConfig
from core.ui.explorer.filtering import filter_of
from core.ui.explorer.listing import compact
from tests.servers import Cluster, system_binaries

# Two values of each type, which are not equal.
VALUES = {
    "text": ("'a'", "''"), "char(3)": ("'a'", "'b'"), "bytea": (r"'\x00'", r"'\xff'"), "boolean": ("true", "false"),
    "numeric": ("1.50", "'NaN'"), "real": ("0.1", "'NaN'"), "double precision": ("0.1", "'-Infinity'"),
    "money": ("1", "2"), "bit(3)": ("'101'", "'111'"), "date": ("'infinity'", "'2020-01-01'"),
    "time": ("'24:00'", "'10:00'"), "timetz": ("'24:00+00'", "'10:00+02'"),
    "timestamptz": ("'-infinity'", "'2020-01-01 10:00+01'"), "timestamp": ("'4000-01-01 BC'", "'2020-01-01 10:00'"),
    "interval": ("'1 mon'", "'-1 year 2 mons -3 days 04:05:06.7'"), "uuid": ("gen_random_uuid()", "gen_random_uuid()"),
    "inet": ("'10.0.0.1'", "'10.0.0.0/8'"), "json": ("'1'", """'{"a": [1]}'"""),
    "jsonb": ("'[1]'", """'{"a": null}'"""), "point": ("'(1,2)'", "'(3,4)'"),
    "tsvector": ("'a b'", "'c'"), "int4range": ("'[1,)'", "'empty'"), "numrange": ("'[1,)'", "'[1.0,2)'"),
    "tstzrange": ("'[2020-01-01,)'", "'(,infinity)'"), "int4multirange": ("'{[1,2),[4,)}'", "'{}'"),
    "int[]": ("'{1,NULL}'", "'{{1,2},{3,4}}'"), "text[]": ("""'{a,"b c"}'""", "'{}'"),
    "timestamptz[]": ("'{2020-01-01}'", "'{infinity}'"), "jsonb[]": ("'{1}'", "'{2}'"), "json[]": ("'{1}'", "'{2}'"),
    "int4range[]": ("""'{"[1,)"}'""", "'{}'"), "xid": ("'1'", "'2'"),
}  # fmt: skip
UNIQUE = set(VALUES) - {"json", "point", "json[]", "xid"}  # the others can be no key


def after_its_address(view: View) -> View:
    return view_of(parse_qs(view.query(), keep_blank_values=True))


def found_by_facets(db: Database, table: str, column: str) -> list[tuple[int, int]]:
    """For each facet of a column: how many rows it says, and how many its filter finds from a link."""
    of, numbers = described(db, table), []
    for value, rows in facets(db, table, column, timeout_s=5):
        view = after_its_address(View(table, filters=(filter_of(of.column(column), "=", value),)))
        numbers.append((rows, len(page_of_rows(db, table, filters=ready(view.filters, of)).rows)))
    return numbers


def found_by_keys(db: Database, table: str) -> list[int]:
    """For each row of a page: how many rows the link to it finds."""
    of, numbers = described(db, table), []
    page = page_of_rows(db, table, cut_at=400)
    for row in page.rows:
        key = after_its_address(View(table, row=tuple(page.named(row)[name] for name in of.key))).row
        filters = [Filter(name, "=", value) for name, value in zip(of.key, key, strict=True)]
        numbers.append(len(page_of_rows(db, table, filters=ready(filters, of)).rows))
    return numbers


def test_a_facet_and_a_key_of_every_type_lead_to_their_rows(pg_database: DatabaseConfig) -> None:
    with session(pg_database) as connection:
        for number, (type, (one, two)) in enumerate(VALUES.items()):
            connection.execute(f"CREATE TABLE many{number} (id int PRIMARY KEY, v {type})")
            connection.execute(f"INSERT INTO many{number} VALUES (1, {two}), (2, {two}), (3, NULL), (4, {one})")
            if type == "uuid":
                connection.execute(
                    f"UPDATE many{number} SET v = (SELECT v FROM many{number} WHERE id = 1) WHERE id = 2"
                )
            if type in UNIQUE:
                connection.execute(f"CREATE TABLE keyed{number} (v {type} PRIMARY KEY)")
                connection.execute(f"INSERT INTO keyed{number} VALUES ({one}), ({two})")
    with Database(pg_database) as db:
        wrong = {}
        for number, type in enumerate(VALUES):
            try:
                by_facets = sorted(found_by_facets(db, f"many{number}", "v"))
                by_keys = found_by_keys(db, f"keyed{number}") if type in UNIQUE else [1, 1]
            except TradekeepError as error:
                wrong[type] = str(error.details)
                continue
            if (by_facets, by_keys) != ([(1, 1), (1, 1), (2, 2)], [1, 1]):
                wrong[type] = f"{by_facets} {by_keys}"
        assert wrong == {}


@pytest.mark.parametrize("kind", ["blob", "text"])
def test_long_keys_lead_to_their_rows_on_both_backends(db: Database, kind: str) -> None:
    sqlite = db.backend == "sqlite"
    with db.connect() as connection:
        type = "bytea" if kind == "blob" and not sqlite else kind
        connection.exec_driver_sql(f"CREATE TABLE long (k {type} NOT NULL PRIMARY KEY, t {type})")
        for number in range(2):
            key = ("x" * 600 + str(number)).encode() if kind == "blob" else "x" * 600 + str(number)
            connection.exec_driver_sql(f"INSERT INTO long VALUES ({'?, ?' if sqlite else '%s, %s'})", (key, key))
    assert found_by_keys(db, "long") == [1, 1]
    assert found_by_facets(db, "long", "t") == [(1, 1), (1, 1)]
    page = page_of_rows(db, "long", cut_at=400)
    assert [len(value) for value in page.rows[0]] == ([601, 400] if sqlite else [601, 601])


def test_search_in_very_many_columns(pg_database: DatabaseConfig, tmp_path: Any) -> None:
    names = ", ".join(f"c{number} text" for number in range(1500))
    lite = DatabaseConfig(backend="sqlite", database=str(tmp_path / "broad.sqlite"))
    for config in (pg_database, lite):
        with Database(config) as db:
            with db.connect() as connection:
                connection.exec_driver_sql(f"CREATE TABLE broad ({names})")
                connection.exec_driver_sql("INSERT INTO broad (c0, c1499) VALUES ('a', 'xyz'), ('b', 'c')")
            assert len(page_of_rows(db, "broad", search="XYZ").rows) == 1


def test_one_odd_table_takes_no_list_away(tmp_path: Any) -> None:
    with Database(DatabaseConfig(backend="sqlite", database=str(tmp_path / "odd.sqlite"))) as db:
        with db.connect() as connection:
            for sql in (
                "CREATE TABLE ok (id integer PRIMARY KEY)",
                "INSERT INTO ok VALUES (7)",
                "CREATE TABLE named (rowid text)",
                "INSERT INTO named VALUES ('abe')",
                "CREATE TABLE shadowed (_rowid_ text)",
                "INSERT INTO shadowed VALUES ('abe')",
                "PRAGMA writable_schema = 1",
                "INSERT INTO sqlite_master (type, name, tbl_name, rootpage, sql) VALUES"
                " ('table', 'geo', 'geo', 0, 'CREATE VIRTUAL TABLE geo USING VirtualSpatialIndex()')",
            ):
                connection.exec_driver_sql(sql)
        db.dispose()  # the schema is read again
        found = {one.name: one.rows_estimate for one in tables(db)}
    assert found == {"ok": 7, "named": 1, "shadowed": None, "geo": None}


@pytest.mark.parametrize(
    ("number", "text"),
    [(None, ""), (9999, "~9,999"), (10_000, "~10.0 k"), (999_949, "~999.9 k"), (999_999, "~1.0 M"),
     (10_200_000, "~10.2 M"), (999_999_999, "~1.0 G"), (5 * 10**12, "~5,000.0 G")],
)  # fmt: skip
def test_estimates_are_short(number: int | None, text: str) -> None:
    assert compact(number) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('{"q": 100.10, "q": 12345678901234567890}', '{\n  "q": 100.10,\n  "q": 12345678901234567890\n}'),
        ('[{}, [1], "a,{\\"b"]', '[\n  {},\n  [\n    1\n  ],\n  "a,{\\"b"\n]'),
        ('{"cut', '{"cut'), ("[" * 5000 + "]" * 5000, "[" * 5000 + "]" * 5000),
    ],
    ids=["exact", "nested", "cut", "deep"],
)  # fmt: skip
def test_json_is_indented_and_changed_in_nothing(text: str, shown: str) -> None:
    assert indented(text) == shown


@pytest.mark.skipif(15 not in system_binaries(), reason="needs a PostgreSQL with ICU")
def test_a_collation_that_takes_different_texts_for_equal_is_searched() -> None:
    server = Cluster(binaries=system_binaries()[15])
    with server, session(server.config("postgres")) as connection:
        connection.execute("CREATE COLLATION same (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
        connection.execute("CREATE TABLE loose (id int PRIMARY KEY, n text COLLATE same, t text)")
        connection.execute("INSERT INTO loose VALUES (1, 'Abc', ''), (2, 'aBC', ''), (3, 'x', 'abc'), (4, 'Ä', '')")
        connection.commit()
        db = Database(server.config("postgres"))
        asked: list[dict[str, Any]] = [
            {"search": "abc"}, {"filters": [Filter("n", "contains", "BC")]}, {"search": "ä"},
            {"filters": [Filter("n", "=", "ABC")]},
        ]  # fmt: skip
        found = [[row[0] for row in page_of_rows(db, "loose", **one).rows] for one in asked]
        assert found == [[1, 2, 3], [1, 2], [4], [1, 2]]
        assert [rows for _, rows in facets(db, "loose", "n", timeout_s=5)] == [2, 1, 1]
        db.dispose()
