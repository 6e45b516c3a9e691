"""Pages where values are equal to the server and differ as text, where no key holds, and where values are long."""

from __future__ import annotations

import base64
import io
import json
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from core.database import Database, session
from core.errors import TradekeepError
from core.explore import Filter, Sort, export_rows, page_of_rows
from core.explore.filters import interval_s
from core.settings import DatabaseConfig
from tests.servers import Cluster, new_database, system_binaries

MOST_PAGES = 40


@pytest.fixture
def fresh(pg_database: DatabaseConfig) -> Iterator[Database]:
    """An empty database on PostgreSQL."""
    with Database(pg_database) as database:
        yield database


def file_with(folder: Path, script: str) -> Database:
    """A SQLite file that a script made."""
    path = folder / "made.sqlite"
    connection = sqlite3.connect(path)
    connection.executescript(script)
    connection.close()
    return Database(DatabaseConfig(backend="sqlite", database=str(path)))


def run(db: Database, *statements: str) -> None:
    with session(db.config) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def walked(db: Database, table: str, sort: Sequence[Sort], limit: int, **more: Any) -> list[tuple[Any, ...]]:
    """All rows by pages: forwards, which must be the same as backwards."""
    pages = [page_of_rows(db, table, sort=sort, limit=limit, **more)]
    while pages[-1].has_next:
        assert len(pages) < MOST_PAGES
        pages.append(page_of_rows(db, table, sort=sort, limit=limit, after=pages[-1].last, **more))
    back = [pages[-1]]
    while back[0].has_previous:
        assert len(back) < MOST_PAGES
        back.insert(0, page_of_rows(db, table, sort=sort, limit=limit, before=back[0].first, **more))
    found = [row for page in pages for row in page.rows]
    assert repr([row for page in back for row in page.rows]) == repr(found)  # NaN is not NaN
    return found


def in_pages(db: Database, table: str, sort: Sequence[Sort], **more: Any) -> None:
    """Assert that pages of any size have every row once."""
    whole = Counter(map(repr, page_of_rows(db, table, sort=sort, **more).rows))
    for limit in (1, 2, 3):
        assert Counter(map(repr, walked(db, table, sort, limit, **more))) == whole


@pytest.mark.parametrize(
    "values",
    [
        "'10.5'::numeric), ('10.50'), ('10.500'), ('10.5'), (NULL), ('NaN'), ('2'",
        "'0'::float8), ('-0'), ('0'), ('-0'), (NULL), ('NaN'), ('5'",
        "'a'::char(3)::bpchar), ('a  '::bpchar), ('b'::bpchar), (NULL), ('a '::bpchar",
        "'1 month'::interval), ('30 days'), ('720 hours'), ('1 hour'",
        """'{"a": 1.0}'::jsonb), ('{"a": 1}'), ('{"a": 1.00}'), (NULL), ('[]'""",
        "'{1.0,2}'::numeric[]), ('{1,2}'), ('{1.00,2}'), ('{}'",
        "'A'::citext), ('a'), ('b'), ('B'), ('a'",
        "'(1,2)'::point), ('(2,1)'), ('(1,2)'), (NULL",
    ],
    ids=lambda values: values.split(")")[0].split("::")[-1],
)
@pytest.mark.parametrize("sort", ["x", "g"])
def test_rows_of_a_view_that_are_equal_but_not_the_same_come_once(fresh: Database, values: str, sort: str) -> None:
    run(
        fresh,
        "CREATE EXTENSION IF NOT EXISTS citext",
        f"CREATE TABLE held AS SELECT * FROM (VALUES ({values})) v(x)",
        "CREATE VIEW seen AS SELECT x, 1 AS g FROM held",
    )
    for descending in (False, True):
        in_pages(fresh, "seen", [Sort(sort, descending)])


def test_rows_of_a_view_on_sqlite_come_once(tmp_path: Path) -> None:
    script = """
        CREATE TABLE held (n text COLLATE nocase, m, x int);
        INSERT INTO held VALUES ('a', 1, 1), ('A', 1.0, 1), ('aA', '1', 1), ('AA', x'31', 1), (NULL, NULL, 1);
        CREATE VIEW seen AS SELECT n, m, x FROM held;
    """
    with file_with(tmp_path, script) as db:
        for column in ("n", "m", "x"):
            in_pages(db, "seen", [Sort(column)])


def test_a_parent_shows_the_rows_of_the_tables_that_inherit(fresh: Database) -> None:
    run(
        fresh,
        "CREATE TABLE parent (id int PRIMARY KEY, v text)",
        "CREATE TABLE child () INHERITS (parent)",
        "INSERT INTO parent SELECT g, 'p' FROM generate_series(1, 6) g",
        "INSERT INTO child SELECT g, 'c' FROM generate_series(1, 6) g",
        "CREATE TABLE bare (v int)",
        "CREATE TABLE barer () INHERITS (bare)",
        "INSERT INTO bare SELECT g FROM generate_series(1, 4) g",
        "INSERT INTO barer SELECT g FROM generate_series(1, 4) g",
    )
    for sort in ((), (Sort("id"),), (Sort("v", True),)):
        assert len(walked(fresh, "parent", sort, 5)) == 12
    assert len(walked(fresh, "bare", (), 3)) == 8
    assert "no key" in page_of_rows(fresh, "parent").warning


def test_a_key_that_tells_more_apart_than_the_column_is_none(fresh: Database) -> None:
    run(
        fresh,
        "CREATE EXTENSION citext",
        "CREATE TABLE held (n citext NOT NULL)",
        "CREATE UNIQUE INDEX ON held (n text_ops)",
        "INSERT INTO held VALUES ('a'), ('A'), ('b'), ('B'), ('c')",
    )
    in_pages(fresh, "held", [Sort("n")])


@pytest.mark.skipif(15 not in system_binaries(), reason="needs a PostgreSQL with ICU")
def test_a_collation_that_ignores_case_loses_no_row() -> None:
    with (
        Cluster(binaries=system_binaries()[15]) as server,
        new_database(server) as name,
        Database(server.config(name)) as db,
    ):
        run(
            db,
            "CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
            "CREATE TABLE held (n text COLLATE ci NOT NULL)",
            'CREATE UNIQUE INDEX ON held (n COLLATE "C")',
            "INSERT INTO held VALUES ('a'), ('A'), ('b'), ('B'), ('c')",
            "CREATE VIEW seen AS SELECT n FROM held",
        )
        in_pages(db, "held", [Sort("n")])
        in_pages(db, "seen", [Sort("n")])


@pytest.mark.parametrize(
    ("script", "rows"),
    [
        (
            "CREATE TABLE held (n text COLLATE nocase NOT NULL, PRIMARY KEY (n COLLATE binary)){};",
            "('a'), ('A'), ('b')",
        ),
        ("CREATE TABLE held (n integer PRIMARY KEY DESC){};", "(NULL), (NULL), (5), (NULL)"),
        ("CREATE TABLE held (n text COLLATE nocase NOT NULL PRIMARY KEY){};", "('a'), ('B'), ('c')"),
        ("CREATE TABLE held (n integer PRIMARY KEY){};", "(1), (2), (5)"),
    ],
)
def test_a_key_on_sqlite_holds_or_is_none(tmp_path: Path, script: str, rows: str) -> None:
    for number, end in enumerate(("", " WITHOUT ROWID")):
        if end and "NULL)," in rows:
            continue
        folder = tmp_path / str(number)
        folder.mkdir()
        with file_with(folder, f"{script.format(end)} INSERT INTO held VALUES {rows}") as db:
            in_pages(db, "held", ())
            in_pages(db, "held", [Sort("n")])


LONG = """
CREATE TABLE long (id int PRIMARY KEY, t text, j jsonb, b bytea);
INSERT INTO long SELECT g, CASE g % 3 WHEN 0 THEN repeat(md5(g::text), 3000) || g WHEN 1 THEN repeat('x', 100000) || g
    ELSE 'short ' || g END, to_jsonb(repeat('y', 30000) || g), convert_to(repeat('z', 100000) || g, 'UTF8')
    FROM generate_series(1, 9) g;
CREATE VIEW seen AS SELECT id % 2 AS g, t, b FROM long;
CREATE TABLE parted (id int, t text) PARTITION BY RANGE (id);
CREATE TABLE part PARTITION OF parted FOR VALUES FROM (1) TO (100);
INSERT INTO parted SELECT id, t FROM long
"""


def test_long_values_are_cut_and_pages_turn_by_their_beginnings(fresh: Database) -> None:
    run(fresh, *LONG.split(";"))
    for table, column in (("long", "t"), ("long", "b"), ("seen", "t"), ("seen", "g"), ("seen", "b"), ("parted", "t")):
        rows = page_of_rows(fresh, table, cut_at=400).rows
        assert max(len(value) for row in rows for value in row if isinstance(value, str | bytes)) == 400
        for descending in (False, True):
            sort = [Sort(column, descending)]
            page = page_of_rows(fresh, table, sort=sort, limit=2, cut_at=400)
            assert len(page.last or "") < 5000
            whole = page_of_rows(fresh, table, sort=sort, cut_at=400, limit=100)
            assert Counter(map(repr, walked(fresh, table, sort, 2, cut_at=400))) == Counter(map(repr, whole.rows))
    assert [row[0] for row in walked(fresh, "long", [Sort("t")], 2, columns=["id"], cut_at=400)][-3:] == [1, 4, 7]


def test_an_order_by_values_too_long_for_a_link_says_so(fresh: Database) -> None:
    run(fresh, *LONG.split(";"))
    page = page_of_rows(fresh, "long", sort=[Sort("j")], limit=2)
    with pytest.raises(TradekeepError, match="too long") as caught:
        page_of_rows(fresh, "long", sort=[Sort("j")], limit=2, after=page.last)
    assert caught.value.kind == "data.token"


def test_one_value_that_python_cannot_hold_changes_no_other(fresh: Database) -> None:
    run(
        fresh,
        "CREATE TABLE hard (id int PRIMARY KEY, at timestamptz, day date, n numeric(20, 10), o timetz)",
        "INSERT INTO hard VALUES (1, 'infinity', '4713-01-01 BC', 2, '24:00Z')",
        "INSERT INTO hard VALUES (2, '2026-01-01', '2026-01-01', 3, '1:00Z')",
    )
    rows = page_of_rows(fresh, "hard").rows
    assert rows[0][1:4] == ("infinity", "4713-01-01 BC", Decimal(2))
    assert [type(value).__name__ for value in rows[1]] == ["int", "datetime", "date", "Decimal", "time"]


@pytest.mark.parametrize(
    ("type", "values"),
    [
        ("regclass", ("pg_class", "pg_type", "pg_proc")),
        ("regtype", ("int", "text", "date")),
        ("jsonpath", ("$.a", "$.b", "$.c")),
        ("refcursor", ("a", "b", "c")),
        ("pg_snapshot", ("1:1:", "2:2:", "3:3:")),
        ("pair", ("(1,{})", "(2,{})", "(3,{})")),
        ("twice", ("{}", "[]", "1")),
        ("point[]", ('{"(1,2)"}', '{"(2,1)"}', "{}")),
    ],
)
def test_types_without_an_order_are_sorted_as_text(fresh: Database, type: str, values: tuple[str, ...]) -> None:
    run(
        fresh,
        "CREATE TYPE pair AS (a int, j json)",
        "CREATE DOMAIN once AS json",
        "CREATE DOMAIN twice AS once",
        f"CREATE TABLE held (id int PRIMARY KEY, x {type})",
        *(f"INSERT INTO held VALUES ({number}, '{value}')" for number, value in enumerate(values)),
        "CREATE VIEW seen AS SELECT * FROM held",
    )
    in_pages(fresh, "held", [Sort("x")])
    in_pages(fresh, "seen", [Sort("x", True)])
    assert len(page_of_rows(fresh, "held", filters=[Filter("x", "contains", values[0][:1])]).rows) >= 1


def test_a_key_that_was_dropped_a_moment_ago_hides_no_row(fresh: Database) -> None:
    run(fresh, "CREATE TABLE held (id int PRIMARY KEY, v text)", "INSERT INTO held VALUES (1, 'a')")
    page_of_rows(fresh, "held")
    run(
        fresh,
        "ALTER TABLE held DROP CONSTRAINT held_pkey",
        "INSERT INTO held SELECT 1, 'b' || g FROM generate_series(1, 9) g",
    )
    assert len(walked(fresh, "held", (), 2)) == 10


FORGED: list[Any] = [
    '{"o": "%s", "k": ["1"], "f": "%s", "s": 1e400}',
    '{"o": "%s", "k": ["1"], "f": "%s", "s": NaN}',
    '{"o": "%s", "k": [' + "[" * 5000 + "]" * 5000 + '], "f": "%s"}',
    '{"o": "%s", "k": ["\\u0000"], "f": "%s"}',
    '{"o": "%s", "k": [1' + "0" * 30 + '], "f": "%s"}',
    '{"o": "%s", "k": [{"b": 5}], "f": "%s"}',
    '{"o": "%s", "k": [], "f": "%s"}',
    '{"no": "Anything that somebody wants to have read here."}',
    "[" * 5000,
]


@pytest.mark.parametrize("forged", FORGED, ids=lambda forged: forged[:40])
def test_a_forged_token_is_refused(db: Database, forged: str) -> None:
    with db.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE held (id int PRIMARY KEY)")
        connection.exec_driver_sql("INSERT INTO held VALUES (1), (2)")
    token = page_of_rows(db, "held", limit=1).last or ""
    body = json.loads(base64.urlsafe_b64decode(token + "=="))
    text = forged.replace("%s", body["o"], 1).replace("%s", body["f"], 1)
    with pytest.raises(TradekeepError) as caught:
        page_of_rows(db, "held", after=base64.urlsafe_b64encode(text.encode()).decode().rstrip("="))
    assert (caught.value.kind, "somebody" in caught.value.message) == ("data.token", False)


@pytest.mark.parametrize(
    "text",
    [
        '{"price": 0.1234567890123456789012345, "e": 1e400}', '{"q": 1, "q": 2}', f'{{"n": {"9" * 5000}}}',
        "[" * 5000 + "]" * 5000, "null", '"text"',
    ],
    ids=lambda text: text[:20],
)  # fmt: skip
def test_json_is_shown_as_it_is(fresh: Database, text: str) -> None:
    run(fresh, "CREATE TABLE held (id int PRIMARY KEY, j json)", f"INSERT INTO held VALUES (1, '{text}')")
    assert page_of_rows(fresh, "held", cut_at=20_000).rows == [(1, text)]


def test_texts_of_sqlite_that_are_none_are_shown_and_exported(tmp_path: Path) -> None:
    script = """
        CREATE TABLE held (id integer PRIMARY KEY, t text);
        INSERT INTO held VALUES (1, cast(x'ff41' AS text)), (2, 'ok'), (3, 'a' || char(0) || hex(zeroblob(1000)));
    """
    with file_with(tmp_path, script) as db:
        page = page_of_rows(db, "held", cut_at=400)
        assert page.rows[:2] == [(1, "\\xffA"), (2, "ok")]
        assert page.rows[2][1] == b"a\0" + b"0" * 398
        assert "no UTF-8" in page.warning
        out = io.BytesIO()
        assert export_rows(db, "held", format="csv", out=out) == 3
        assert out.getvalue().startswith(b"id,t\n1,\\xffA\n2,ok\n")
        page = page_of_rows(db, "held", sort=[Sort("t", True)], limit=1)
        with pytest.raises(TradekeepError, match="no valid text"):
            page_of_rows(db, "held", sort=[Sort("t", True)], limit=1, after=page.last)


def test_a_length_of_time_is_read_at_once_or_refused() -> None:
    begin = time.perf_counter()
    with pytest.raises(TradekeepError):
        interval_s(" " * 10_000)
    assert time.perf_counter() - begin < 0.2


def test_what_has_no_order_is_called_what_it_is(fresh: Database) -> None:
    run(
        fresh,
        "CREATE TABLE parted (id int) PARTITION BY RANGE (id)",
        "CREATE TABLE part PARTITION OF parted FOR VALUES FROM (1) TO (100)",
        "INSERT INTO parted VALUES (1), (2)",
    )
    assert page_of_rows(fresh, "parted").warning.startswith("This partitioned table has no order of its own")
    assert "this partitioned table" in page_of_rows(fresh, "parted", sort=[Sort("id")]).warning
