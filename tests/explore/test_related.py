"""Links of a table along foreign keys in both directions, and the rows behind them, on both backends."""

from __future__ import annotations

import time
from typing import Any

import pytest

from core.database import Database
from core.errors import TradekeepError
from core.explore import Filter, page_of_rows
from core.explore.frequent import frequent
from core.explore.related import COUNTED, Link, described, links, related, table_name
from core.explore.relation import forget

TABLES = (
    'CREATE TABLE "odd parent" (a integer NOT NULL, "b-o" varchar(9) NOT NULL, PRIMARY KEY (a, "b-o"))',
    "CREATE TABLE child (id integer PRIMARY KEY, pa integer, pb varchar(9), boss integer REFERENCES child (id),"
    ' FOREIGN KEY (pa, pb) REFERENCES "odd parent" (a, "b-o"))',
    """INSERT INTO "odd parent" VALUES (1, 'x''y'), (2, 'z')""",
    "INSERT INTO child VALUES (1, 1, 'x''y', NULL), (2, 1, 'x''y', 1), (3, NULL, 'z', 1), (4, 2, NULL, 2)",
)


@pytest.fixture
def family(db: Database) -> Database:
    with db.connect() as connection:
        for statement in TABLES:
            connection.exec_driver_sql(statement)
    return db


def row(db: Database, table: str, **key: Any) -> dict[str, Any]:
    page = page_of_rows(db, table, filters=[Filter(name, "=", value) for name, value in key.items()])
    return dict(zip(page.columns, page.rows[0], strict=True))


def counts(db: Database, table: str, **key: Any) -> dict[tuple[str, str], int | None]:
    found = related(db, links(db, table), row(db, table, **key))
    return {(one.link.kind, one.link.table): one.rows for one in found}


def test_links_of_both_directions_with_several_columns_and_to_itself(family: Database) -> None:
    assert links(family, "child") == [
        Link("refers", "child", (("boss", "id"),)),
        Link("refers", "odd parent", (("pa", "a"), ("pb", "b-o"))),
        Link("referred", "child", (("id", "boss"),)),
    ]
    assert links(family, "odd parent") == [Link("referred", "child", (("a", "pa"), ("b-o", "pb")))]


def test_rows_behind_links_are_counted_and_a_link_through_null_leads_nowhere(family: Database) -> None:
    assert counts(family, "child", id=2) == {
        ("refers", "child"): 1, ("refers", "odd parent"): 1, ("referred", "child"): 1,
    }  # fmt: skip
    assert counts(family, "child", id=4) == {("refers", "child"): 1, ("referred", "child"): 0}
    assert counts(family, "odd parent", a=1) == {("referred", "child"): 2}


def test_filters_of_a_link_find_its_rows(family: Database) -> None:
    (only,) = related(family, links(family, "odd parent"), row(family, "odd parent", a=1))
    assert [found[0] for found in page_of_rows(family, only.link.table, filters=only.filters).rows] == [1, 2]


def test_our_tables_are_linked_by_what_means_the_same(db: Database) -> None:
    found = {(link.kind, link.table) for link in links(db, "trades")}
    assert {("shared", "positions"), ("shared", "signals"), ("shared", "agent_actions")} <= found
    assert ("refers", "trading_bots") in {(link.kind, link.table) for link in links(db, "trading_trades")}
    bots = {(link.kind, link.table) for link in links(db, "trading_bots")}
    assert {("refers", "usr_users"), ("referred", "trading_trades")} <= bots


def test_counting_ends_at_a_limit(db: Database) -> None:
    with db.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE one (id integer PRIMARY KEY)")
        connection.exec_driver_sql("CREATE TABLE many (id integer PRIMARY KEY, one_id integer REFERENCES one (id))")
        connection.exec_driver_sql("INSERT INTO one VALUES (1)")
        numbers = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500)"
        connection.exec_driver_sql(f"{numbers} INSERT INTO many SELECT i, 1 FROM n")
    assert counts(db, "one", id=1) == {("referred", "many"): COUNTED}


@pytest.mark.parametrize("db", ["postgresql"], indirect=True)  # SQLite has no function that sleeps
def test_all_links_together_end_in_time_and_the_quick_ones_are_counted(db: Database) -> None:
    with db.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE quick (id integer)")
        connection.exec_driver_sql("INSERT INTO quick VALUES (1)")
        for number in range(6):
            connection.exec_driver_sql(f"CREATE VIEW slow{number} AS SELECT id, pg_sleep(9)::text FROM quick")
    names = ["slow0", "slow1", "slow2", "quick", "slow3", "slow4", "slow5"]
    begin = time.monotonic()
    found = related(db, [Link("referred", name, (("id", "id"),)) for name in names], {"id": 1}, timeout_s=0.7)
    assert time.monotonic() - begin < 2
    assert [one.rows for one in found] == [None, None, None, 1, None, None, None]


def test_names_that_the_driver_could_take_for_its_own_are_linked(db: Database) -> None:
    with db.connect() as connection:
        percent = "%" if db.backend == "sqlite" else "%%"
        connection.exec_driver_sql(f'CREATE TABLE "p{percent}s" (id integer PRIMARY KEY)')
        connection.exec_driver_sql(f'CREATE TABLE "c{percent}" (id int, p integer REFERENCES "p{percent}s" (id))')
    assert links(db, "p%s") == [Link("referred", "c%", (("id", "p"),))]
    assert links(db, "c%") == [Link("refers", "p%s", (("p", "id"),))]


def test_table_that_is_not_there_and_view_without_links(db: Database) -> None:
    with pytest.raises(TradekeepError) as raised:
        links(db, "nowhere")
    assert raised.value.kind == "schema.missing_table"
    with db.connect() as connection:
        connection.exec_driver_sql("CREATE VIEW seen AS SELECT 1 AS x")
    assert links(db, "seen") == []
    assert described(db, "seen").kind == "view"


@pytest.mark.parametrize(
    ("schema", "name", "known_as"),
    [
        ("public", "trades", "trades"),
        ("main", "trades", "trades"),
        ("other", "t", "other.t"),
        ("public", "a.b", 'public."a.b"'),
    ],
)
def test_names_are_short_where_they_are_clear(schema: str, name: str, known_as: str) -> None:
    assert table_name(schema, name) == known_as


def test_statistics_know_the_frequent_values_at_once(db: Database) -> None:
    assert frequent(db, "trades", "symbol") == []
    with db.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE coins (id integer PRIMARY KEY, coin text)")
        numbers = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900)"
        connection.exec_driver_sql(f"{numbers} INSERT INTO coins SELECT i, substr('AAB', 1 + i - i / 3 * 3, 1) FROM n")
        connection.exec_driver_sql("ANALYZE coins")
    forget(db)
    expected = [("A", 600), ("B", 300)] if db.backend == "postgresql" else []
    assert frequent(db, "coins", "coin") == expected
    assert frequent(db, "coins", "coin", limit=1) == expected[:1]
