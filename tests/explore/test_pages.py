"""Pages of rows against the whole table in one piece: every sort, NULLs, both directions, with a key and without."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.database import Database, session
from core.errors import TradekeepError
from core.explore import Filter, Page, Sort, count_rows, facets, page_of_rows, position_token, tables
from core.settings import DatabaseConfig
from tests.servers import Cluster

SHAPES = {
    "keyed": "CREATE TABLE keyed (a int NOT NULL, b text, c numeric, d timestamp, id int PRIMARY KEY)",
    "composite": "CREATE TABLE composite (a int NOT NULL, b text, c numeric, d timestamp, id int, PRIMARY KEY (a, id))",
    "bare": "CREATE TABLE bare (a int NOT NULL, b text, c numeric, d timestamp, id int)",
    "seen": "CREATE VIEW seen AS SELECT a, b, c, d, id FROM keyed",
}
SORTS: list[tuple[Sort, ...]] = [
    (),
    (Sort("a"),),
    (Sort("b", descending=True),),
    (Sort("b"),),
    (Sort("c"), Sort("b", descending=True)),
    (Sort("b"), Sort("c")),
    (Sort("d", descending=True), Sort("a", descending=True), Sort("c", descending=True)),
    (Sort("id", descending=True),),
    (Sort("a"), Sort("a", descending=True), Sort("c", descending=True)),
]


def rows(number: int) -> list[tuple[Any, ...]]:
    """Many ties and NULLs in everything but the key."""
    chance = random.Random(7)
    return [
        (
            chance.randrange(4),
            chance.choice([None, "", "a", "B", "ä", "%", "x'y"]),
            chance.choice([None, 0, 1.5, -2]),
            chance.choice([None, "2026-01-01 00:00:00", "2026-02-03 04:05:06"]),
            number_,
        )
        for number_ in range(number)
    ]


@pytest.fixture
def filled(db: Database) -> Database:
    mark = "?" if db.backend == "sqlite" else "%s"
    with db.connect() as connection:
        for statement in SHAPES.values():
            connection.exec_driver_sql(statement)
        for table in ("keyed", "composite", "bare"):
            values = ", ".join([mark] * 5)
            connection.exec_driver_sql(f"INSERT INTO {table} VALUES ({values})", rows(83))
        connection.exec_driver_sql("CREATE INDEX keyed_b_id ON keyed (b, id)")
    return db


def forwards(db: Database, table: str, sort: Sequence[Sort], limit: int, **more: Any) -> list[Page]:
    pages = [page_of_rows(db, table, sort=sort, limit=limit, **more)]
    while pages[-1].has_next:
        pages.append(page_of_rows(db, table, sort=sort, limit=limit, after=pages[-1].last, **more))
        assert len(pages) < 200
    return pages


def in_order(found: list[tuple[Any, ...]], sort: Sequence[Sort], *, nulls_high: bool) -> bool:
    """Whether rows (a, b, c, d, id) stand in this order, as far as it says; texts only by whether they are equal."""
    seen: dict[str, Sort] = {}
    for one in sort:
        seen.setdefault(one.column, one)
    for before, row in itertools.pairwise(found):
        for one in seen.values():
            left, right = (line["abcd".find(one.column) if one.column != "id" else 4] for line in (before, row))
            if left == right:
                continue
            if left is None or right is None:
                if (left is None) == (nulls_high != one.descending):
                    return False
            elif one.column != "b" and (left > right) != one.descending:
                return False
            break
    return True


@pytest.mark.parametrize("table", SHAPES)
@pytest.mark.parametrize(
    "sort", SORTS, ids=lambda sort: "-".join(f"{s.column}{'v' if s.descending else ''}" for s in sort)
)
def test_pages_are_the_table_in_order_and_back_again(filled: Database, table: str, sort: tuple[Sort, ...]) -> None:
    whole = page_of_rows(filled, table, sort=sort)
    assert (whole.has_next, whole.has_previous) == (False, False)
    assert whole.estimate == len(whole.rows) == 83
    assert in_order(whole.rows, sort, nulls_high=filled.backend == "postgresql")
    for limit in (1, 7, 83):
        pages = forwards(filled, table, sort, limit)
        assert [row for page in pages for row in page.rows] == whole.rows
        assert [page.has_previous for page in pages] == [False] + [True] * (len(pages) - 1)
        page, back = pages[-1], [pages[-1]]
        while page.has_previous and limit != 1:
            page = page_of_rows(filled, table, sort=sort, limit=limit, before=page.first)
            assert page.has_next
            back.insert(0, page)
        if limit != 1:
            assert [row for page in back for row in page.rows] == whole.rows


def test_a_row_that_goes_or_comes_shifts_no_page(filled: Database) -> None:
    sort = [Sort("c", descending=True)]
    first = page_of_rows(filled, "keyed", sort=sort, limit=10)
    expected = page_of_rows(filled, "keyed", sort=sort, limit=10, after=first.last)
    with filled.connect() as connection:
        connection.exec_driver_sql(f"DELETE FROM keyed WHERE id = {first.rows[-1][4]}")  # the token's own row
        connection.exec_driver_sql("INSERT INTO keyed VALUES (1, 'new', 99, NULL, 1000)")
    assert page_of_rows(filled, "keyed", sort=sort, limit=10, after=first.last).rows == expected.rows


FILTERS = [
    (Filter("a", "=", 2), lambda row: row[0] == 2),
    (Filter("a", "=", "2"), lambda row: row[0] == 2),
    (Filter("a", "!=", 2), lambda row: row[0] != 2),
    (Filter("a", "<", 2), lambda row: row[0] < 2),
    (Filter("a", "<=", 2), lambda row: row[0] <= 2),
    (Filter("a", ">", 2), lambda row: row[0] > 2),
    (Filter("a", ">=", 2), lambda row: row[0] >= 2),
    (Filter("a", "between", (1, 2)), lambda row: 1 <= row[0] <= 2),
    (Filter("a", "in", [0, 3]), lambda row: row[0] in (0, 3)),
    (Filter("a", "in", []), lambda row: False),
    (Filter("b", "in", [None, "x"]), lambda row: row[1] in (None, "x")),
    (Filter("b", "in", [None]), lambda row: row[1] is None),
    (Filter("b", "contains", "'"), lambda row: row[1] == "x'y"),
    (Filter("b", "contains", "%"), lambda row: row[1] == "%"),
    (Filter("b", "contains", "b"), lambda row: row[1] == "B"),
    (Filter("b", "starts with", "x'"), lambda row: row[1] == "x'y"),
    (Filter("b", "starts with", "_"), lambda row: False),
    (Filter("b", "=", ""), lambda row: row[1] == ""),
    (Filter("b", "is null"), lambda row: row[1] is None),
    (Filter("b", "is not null"), lambda row: row[1] is not None),
    (Filter("d", ">", datetime(2026, 1, 15)), lambda row: row[3] is not None and str(row[3]) > "2026-01-15"),
    (Filter("c", "=", "1.50"), lambda row: row[2] is not None and float(row[2]) == 1.5),
]


@pytest.mark.parametrize(
    ("asked", "holds"), FILTERS, ids=lambda one: f"{one.op} {one.value}" if isinstance(one, Filter) else ""
)
def test_a_filter_finds_what_it_says(filled: Database, asked: Filter, holds: Any) -> None:
    whole = page_of_rows(filled, "keyed").rows
    wanted = [row for row in whole if holds(row)]
    if filled.backend == "sqlite" and asked.value == "1.50":
        wanted = [row for row in whole if row[2] == 1.5]
    pages = forwards(filled, "keyed", (), 7, filters=[asked])
    assert [row for page in pages for row in page.rows] == wanted
    assert count_rows(filled, "keyed", [asked]) == len(wanted)


def test_a_search_looks_into_every_text(filled: Database) -> None:
    found = page_of_rows(filled, "keyed", search=" X'Y ").rows
    assert {row[1] for row in found} == {"x'y"}
    assert page_of_rows(filled, "keyed", search="'; DROP TABLE keyed; --").rows == []
    assert page_of_rows(filled, "keyed", search="   ").estimate == 83


def test_last_finds_what_happened_since_and_not_what_will(db: Database) -> None:
    now = datetime.now(UTC)
    mark = "?" if db.backend == "sqlite" else "%s"
    times = [now - timedelta(days=8), now - timedelta(days=6), now + timedelta(days=1)]
    with db.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE seen_at (id int PRIMARY KEY, at timestamptz)")
        written = [
            (number, at.replace(tzinfo=None).isoformat(" ", "microseconds") if db.backend == "sqlite" else at)
            for number, at in enumerate(times)
        ]
        connection.exec_driver_sql(f"INSERT INTO seen_at VALUES ({mark}, {mark})", written)
    found = page_of_rows(db, "seen_at", columns=["id"], filters=[Filter("at", "last", "7 days")])
    assert found.rows == [(1,)]
    assert page_of_rows(db, "seen_at", filters=[Filter("at", "last", "1 week 24 hours 5 min")]).rows[0][0] == 0


@pytest.mark.parametrize(
    "asked",
    [
        Filter("a", "=", None), Filter("a", "like", "x"), Filter("a", "between", [1]), Filter("a", "between", "12"),
        Filter("a", "in", "12"), Filter("a", "in", list(range(1001))), Filter("b", "=", "nul\0"),
        Filter("b", "=", "\ud800"), Filter("b", "contains", "x" * 10_001),
        Filter("d", "last", "soon"), Filter("d", "last", ""), Filter("d", "last", 7),
        Filter("d", "last", "7 days; DROP TABLE keyed"), Filter("a", "=", 10**5000),
    ],
    ids=lambda asked: f"{asked.op} {str(asked.value)[:20]!r}" if not isinstance(asked.value, int) else asked.op,
)  # fmt: skip
def test_a_filter_that_makes_no_sense_is_refused(filled: Database, asked: Filter) -> None:
    with pytest.raises(TradekeepError) as caught:
        page_of_rows(filled, "keyed", filters=[asked])
    assert caught.value.kind == "data.filter"


def test_a_token_fits_its_own_table_sort_and_filters_only(filled: Database) -> None:
    token = page_of_rows(filled, "keyed", sort=[Sort("a")], limit=5).last
    assert token is not None
    foreign: list[dict[str, Any]] = [
        {"table": "composite", "sort": [Sort("a")]},
        {"table": "keyed", "sort": [Sort("a", descending=True)]},
        {"table": "keyed"},
        {"table": "keyed", "sort": [Sort("a")], "filters": [Filter("a", ">", 1)]},
        {"table": "keyed", "sort": [Sort("a")], "search": "x"},
    ]
    for asked in foreign:
        with pytest.raises(TradekeepError) as caught:
            page_of_rows(filled, **asked, after=token)
        assert (caught.value.kind, caught.value.error_type) == ("data.token", "data")
    for broken in ("", "x", token[:-3], token + "AA", "é", "\0", token * 50, "bnVsbA", "e30"):
        with pytest.raises(TradekeepError) as caught:
            page_of_rows(filled, "keyed", sort=[Sort("a")], after=broken)
        assert caught.value.kind == "data.token"


def test_a_position_leads_to_the_rows_beyond_it(filled: Database) -> None:
    sort = [Sort("a"), Sort("id")]
    whole = page_of_rows(filled, "composite", sort=sort).rows
    token = position_token(filled, "composite", sort, [1, 40])
    page = page_of_rows(filled, "composite", sort=sort, after=token)
    assert page.rows == [row for row in whole if (row[0], row[4]) > (1, 40)]
    assert page.has_previous
    page = page_of_rows(filled, "composite", sort=sort, before=token)
    assert page.rows == [row for row in whole if (row[0], row[4]) < (1, 40)]
    assert page.has_next
    # A place works with any filter, and before the first row there is nothing.
    page = page_of_rows(filled, "composite", sort=sort, after=token, filters=[Filter("a", "=", 1)])
    assert page.rows == [row for row in whole if row[0] == 1 and row[4] > 40]
    start = position_token(filled, "composite", None, [-1])
    page = page_of_rows(filled, "composite", after=start)
    assert (len(page.rows), page.has_previous) == (83, False)
    with pytest.raises(TradekeepError):
        position_token(filled, "composite", sort, [1, 2, 3, 4, 5])


def test_what_does_not_exist_is_said(filled: Database) -> None:
    for table in ("nowhere", "", 'keyed"; DROP TABLE keyed; --', "a\0b", "public.", "x" * 300):
        with pytest.raises(TradekeepError) as caught:
            page_of_rows(filled, table)
        assert caught.value.kind == "schema.missing_table"
    for asked in ({"columns": ["zz"]}, {"sort": [Sort("zz")]}, {"filters": [Filter("zz", "=", 1)]}):
        with pytest.raises(TradekeepError) as caught:
            page_of_rows(filled, "keyed", **asked)
        assert caught.value.kind == "schema.missing_column"


def test_a_table_that_changes_under_the_pages_is_read_as_it_is(filled: Database) -> None:
    page_of_rows(filled, "keyed")
    with filled.connect() as connection:
        connection.exec_driver_sql("DROP VIEW seen")
        connection.exec_driver_sql("ALTER TABLE keyed DROP COLUMN c")
    assert page_of_rows(filled, "keyed").columns == ["a", "b", "d", "id"]


def test_facets_count_the_most_frequent_values(filled: Database) -> None:
    whole = [row[1] for row in page_of_rows(filled, "keyed").rows]
    found = dict(facets(filled, "keyed", "b", timeout_s=5))
    assert found == {value: whole.count(value) for value in set(whole)}
    counts = [number for _, number in facets(filled, "keyed", "a", [Filter("b", "is null")], timeout_s=5)]
    assert (counts, sum(counts)) == (sorted(counts, reverse=True), whole.count(None))


def test_the_list_names_tables_views_and_areas(filled: Database) -> None:
    found = {one.name: one for one in tables(filled)}
    assert (found["seen"].kind, found["keyed"].kind) == ("view", "table")
    assert found["trades"].area == "trading"
    assert found["keyed"].area == ""
    assert next(iter(found)) == "usr_users"


def test_names_and_values_of_every_kind_are_shown(pg_database: DatabaseConfig) -> None:
    with session(pg_database) as connection:
        connection.execute('CREATE SCHEMA "odd.schema"')
        connection.execute(
            'CREATE TABLE "odd.schema"."a ""table"" %s" ("%s" int PRIMARY KEY, "sel""ect" jsonb, tags text[], net inet,'
            " raw bytea, at timestamptz, day date, span tstzrange, wait interval, plain json, place point,"
            " amount numeric, ratio float8, big text)"
        )
        connection.execute(
            """INSERT INTO "odd.schema"."a ""table"" %s" VALUES
            (1, '{"a": [1]}', '{x,NULL}', '10.0.0.1', '\\x00ff', 'infinity', '-infinity', '[2026-01-01,infinity)',
             '1 year 2 mons', '{"b": 1}', '(1,2)', 'NaN', 'Infinity', repeat('x', 1000000)),
            (2, NULL, NULL, NULL, NULL, '0044-03-15 BC', '2026-01-01', 'empty', '1 day', NULL, NULL, 1e-30, 'NaN',
             NULL)"""
        )
    db = Database(pg_database)
    name = 'odd.schema.a "table" %s'
    for column in (
        "%s",
        'sel"ect',
        "tags",
        "net",
        "raw",
        "at",
        "day",
        "span",
        "wait",
        "plain",
        "place",
        "amount",
        "ratio",
    ):
        first = page_of_rows(db, name, sort=[Sort(column)], limit=1)
        second = page_of_rows(db, name, sort=[Sort(column)], limit=1, after=first.last)
        assert {first.rows[0][0], second.rows[0][0]} == {1, 2}, column
        assert not second.has_next
    row = page_of_rows(db, name, cut_at=100).rows[0]
    assert (row[5], row[8], row[13]) == ("infinity", "1 year 2 mons", "x" * 100)
    assert page_of_rows(db, name, filters=[Filter('sel"ect', "contains", '"a"')]).rows[0][0] == 1
    assert page_of_rows(db, name, filters=[Filter("tags", "=", ["x", None])]).rows[0][0] == 1
    db.dispose()


def test_1600_columns_are_shown(pg_database: DatabaseConfig) -> None:
    names = ", ".join(f"c{number} int" for number in range(1600))
    with session(pg_database) as connection:
        connection.execute(f"CREATE TABLE broad ({names})")
        connection.execute("INSERT INTO broad (c0, c1599) VALUES (1, 2), (2, 3)")
    db = Database(pg_database)
    page = page_of_rows(db, "broad", sort=[Sort("c1599", descending=True)])
    assert [(row[0], row[1599]) for row in page.rows] == [(2, 3), (1, 2)]
    assert "no key" in page.warning
    db.dispose()


def test_partitions_are_one_table_and_leave_out_what_lies_before(pg_database: DatabaseConfig) -> None:
    with session(pg_database) as connection:
        connection.execute("CREATE TABLE parted (at date, id int, PRIMARY KEY (at, id)) PARTITION BY RANGE (at)")
        for month in range(1, 5):
            limits = f"FROM ('2026-0{month}-01') TO ('2026-0{month + 1}-01')"
            connection.execute(f"CREATE TABLE parted_{month} PARTITION OF parted FOR VALUES {limits}")
        connection.execute("INSERT INTO parted SELECT '2026-01-01'::date + g, g FROM generate_series(0, 99) g")
    db = Database(pg_database)
    found = {one.name: one for one in tables(db)}
    assert [one.kind for name, one in found.items() if name.startswith("parted")] == ["partitioned table"]
    pages = forwards(db, "parted", [Sort("at", descending=True)], 30)
    assert [row[1] for page in pages for row in page.rows] == list(range(99, -1, -1))
    with session(pg_database) as connection:
        plan = "\n".join(row[0] for row in connection.execute("EXPLAIN " + pages[-1].sql.encode().decode()))
    assert not {"parted_4", "parted_3"} & set(plan.split())
    db.dispose()


def test_what_a_role_may_not_read_is_left_out(cluster: Cluster, pg_database: DatabaseConfig) -> None:
    with session(pg_database) as connection:
        connection.execute("CREATE TABLE half (id int PRIMARY KEY, secret text, open text)")
        connection.execute("INSERT INTO half VALUES (1, 'geheim', 'x')")
        connection.execute("CREATE TABLE closed (id int)")
        connection.execute("CREATE ROLE half_reader LOGIN PASSWORD 'pw-half'")
        connection.execute("GRANT SELECT (id, open) ON half TO half_reader")
    try:
        db = Database(cluster.config(pg_database.database, user="half_reader", password="pw-half"))
        assert page_of_rows(db, "half").columns == ["id", "open"]
        assert [one.name for one in tables(db)] == ["half"]
        for asked in (
            {"columns": ["secret"]},
            {"filters": [Filter("secret", "contains", "g")]},
            {"sort": [Sort("secret")]},
        ):
            with pytest.raises(TradekeepError) as caught:
                page_of_rows(db, "half", **asked)
            assert caught.value.error_type == "permission"
        assert page_of_rows(db, "half", search="geheim").rows == []
        db.dispose()
    finally:
        with session(pg_database) as connection:
            connection.execute("DROP OWNED BY half_reader")
            connection.execute("DROP ROLE half_reader")


@pytest.mark.parametrize("db", ["postgresql"], indirect=True)  # SQLite has no functions that write
def test_nothing_is_written_even_through_a_function(filled: Database) -> None:
    with filled.connect() as connection:
        connection.exec_driver_sql(
            "CREATE FUNCTION sly() RETURNS int LANGUAGE plpgsql AS $$ BEGIN DELETE FROM keyed; RETURN 1; END $$"
        )
        connection.exec_driver_sql("CREATE VIEW trap AS SELECT sly() AS x")
    with pytest.raises(TradekeepError):
        page_of_rows(filled, "trap")
    assert len(page_of_rows(filled, "keyed").rows) == 83


def test_a_count_that_takes_too_long_is_none(pg_database: DatabaseConfig) -> None:
    with session(pg_database) as connection:
        connection.execute(
            "CREATE VIEW endless AS SELECT g, pg_sleep(0.01)::text AS wait FROM generate_series(1, 100000) g"
        )
    db = Database(pg_database)
    assert count_rows(db, "endless", timeout_s=0.2) is None
    assert facets(db, "endless", "wait", timeout_s=0.2) == []
    db.dispose()
