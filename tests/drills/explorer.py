"""The explorer under hostile questions, and beside a query that never ends."""

from __future__ import annotations

import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import quantiles
from typing import Any

import psycopg

from core.database import Database, Limits
from core.errors import TradekeepError
from core.explore import OPS, Filter, Sort, count_rows, facets, page_of_rows, position_token, tables
from tests.drills import drill
from tests.servers import Cluster

AT_ONCE = 250  # questions whose fingerprints are compared together
MOST_ROWS, MIDDLE = 10_000, 100
STATEMENTS = ("shared_preload_libraries = 'pg_stat_statements'", "pg_stat_statements.max = 10000", "autovacuum = off")
# Tables as somebody else made them: names that need quotes, types of all kinds, no key, a view.
FOREIGN = (
    """CREATE TABLE "Odd ""name"" %s; DROP TABLE x --" (
         "a b" int, "select" text, "100%%" numeric, "'; DELETE FROM victim; --" timestamptz, "ü€" jsonb,
         tags text[], address inet, span int4range, raw bytea, yes boolean, id uuid PRIMARY KEY)""",
    """INSERT INTO "Odd ""name"" %s; DROP TABLE x --"
       SELECT n, 'text ' || n, n / 7.0, now() - n * interval '1 hour', jsonb_build_object('n', n), ARRAY['a', n::text],
              '10.0.0.1'::inet + n, int4range(n, n + 5), decode(md5(n::text), 'hex'), n % 2 = 0, gen_random_uuid()
       FROM generate_series(1, 300) n""",
    "CREATE TABLE keyless (a int, b text, c double precision)",
    "INSERT INTO keyless SELECT n % 10, 'b' || n % 7, n / 3.0 FROM generate_series(1, 500) n",
    "CREATE VIEW seen AS SELECT a, b, count(*) AS n FROM keyless GROUP BY a, b",
    "CREATE TABLE victim (id serial PRIMARY KEY, note text, at timestamptz DEFAULT now(), amount numeric(28, 10))",
    "INSERT INTO victim (note, amount) SELECT 'note ' || n, n * 1.5 FROM generate_series(1, 1000) n",
)
HOSTILE = (
    "'; DROP TABLE victim; --", "' OR '1'='1", "1; DELETE FROM victim", "x' UNION SELECT passwd FROM pg_shadow --",
    "$$; COPY victim TO PROGRAM 'id'; $$", "%s %(a)s %%", "{}", "\\'; SELECT pg_sleep(9); --", "\0", "a\0b", "\ud800",
    "☃" * 50, "\u202e" + "evil", "=1+1", "NaN", "Infinity", "-infinity", "1e400", "9" * 400, "0x41", "null", "NULL",
    "true", "[]", '{"a": 1}', "{a,b}", "(,)", "empty", "2024-02-30", "10:99", "::ffff:1", "", " ", "%", "_", "!", "\\",
    "\n\r\t", "/*", "*/", "--", "E'\\x41'", "U&'\\0041'", "pg_sleep(10)", "(SELECT 1)", "$1", ":a", "?", "x" * 20_000,
)  # fmt: skip
NAMES = ("id", "no such column", 'a"b', "a'; DROP TABLE victim; --", "ctid", "*", "", "\0", "%s", "ü€", "count(*)", "1")


@dataclass(frozen=True)
class _Question:
    """A question's shape with sets of values: plain ones (some match nothing, some all), and hostile ones."""

    table: str
    columns: tuple[str, ...] | None
    plain: tuple[tuple[Filter, ...], ...]
    hostile: tuple[Filter, ...]
    search: str | None
    sort: tuple[Sort, ...]
    limit: int
    kind: str


@drill
def fuzz_explorer(n: int = 20_000) -> dict[str, Any]:
    """n questions with hostile values, names and searches: none adds a statement, writes, or fails unexplained."""
    limits = Limits(statement_timeout_s=5)
    with _counting() as cluster, cluster.connect() as admin, Database(cluster.admin, limits=limits) as database:
        return _fuzzed(n, database, admin)


@contextmanager
def _counting() -> Iterator[Cluster]:
    """A server that counts statements, with odd tables."""
    with Cluster(conf=STATEMENTS) as cluster:
        cluster.sql("CREATE EXTENSION pg_stat_statements", *FOREIGN, "ANALYZE")
        yield cluster


def _fuzzed(n: int, database: Database, admin: psycopg.Connection[Any]) -> dict[str, Any]:
    chance = random.Random(n)  # nothing secret
    shapes = [
        (one.name, _columns(admin, one.name)) for one in tables(database) if one.name != "pg_stat_statements_info"
    ]
    before, problems, benign = _written(admin), list[str](), dict[int, str]()
    ended, plain = Counter[str](), Counter[str]()
    for begin in range(0, n, AT_ONCE):
        questions = [_question(chance, shapes) for _ in range(min(AT_ONCE, n - begin))]
        benign |= _fingerprints(database, admin, questions, hostile=False, ended=plain, problems=problems)
        hostile = _fingerprints(database, admin, questions, hostile=True, ended=ended, problems=problems)
        new = [hostile[key] for key in hostile.keys() - benign.keys()]
        problems += [f"a new statement: {text[:300]}" for text in new if not _estimates(text, benign.values())]
        if _written(admin) != before:
            problems.append(f"something was written within questions {begin} to {begin + AT_ONCE}")
            before = _written(admin)
    return {"ok": not problems, "asked": n, "ended": dict(ended), "plain": dict(plain), "problems": problems[:10]}


def _columns(admin: psycopg.Connection[Any], table: str) -> list[tuple[str, str]]:
    rows = admin.execute(
        "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute WHERE attrelid ="
        " (SELECT oid FROM pg_class WHERE relname = %s AND relkind IN ('r', 'v')) AND attnum > 0 AND NOT attisdropped",
        (table,),
    ).fetchall()
    return [(str(name), str(kind)) for name, kind in rows]


def _question(chance: random.Random, shapes: Sequence[tuple[str, list[tuple[str, str]]]]) -> _Question:
    table, columns = chance.choice(shapes)
    names = [name for name, _ in columns]
    kinds = dict(columns)
    hostile: list[Filter] = []
    plain: tuple[list[Filter], ...] = ([], [], [])
    for _ in range(chance.randrange(4)):
        name, op = _name(chance, names), chance.choice(OPS)
        count = {"between": 2, "in": chance.randrange(1, 5)}.get(op, 1)
        several = op in ("between", "in")
        bad = _bad(chance, count)
        hostile.append(Filter(name, op, bad if several else bad[0]))
        for filters, good in zip(plain, _plain(kinds.get(name, "text"), op), strict=True):
            # A NULL among values asks another question, for plain values as for hostile ones.
            filters.append(Filter(name, op, [None if one is None else good for one in bad] if several else good))
    search = chance.choice([text for text in HOSTILE if text.strip()]) if chance.random() < 0.3 else None
    sort = tuple(Sort(_name(chance, names), chance.random() < 0.5) for _ in range(chance.randrange(3)))
    shown = None if chance.random() < 0.7 else tuple(_name(chance, names) for _ in range(chance.randrange(1, 4)))
    kind = chance.choices(("page", "count", "facets"), (8, 1, 1))[0]
    return _Question(
        table, shown, tuple(map(tuple, plain)), tuple(hostile), search, sort, chance.choice((1, 10, 500)), kind
    )


def _name(chance: random.Random, names: Sequence[str]) -> str:
    return chance.choice(NAMES) if chance.random() < 0.05 else chance.choice(names)


def _bad(chance: random.Random, count: int) -> list[Any]:
    others: list[Any] = [None, [], {}, float("nan"), b"\xff\0", datetime(1, 1, 1, tzinfo=UTC), 10**400, object(), True]
    return [chance.choice(HOSTILE) if chance.random() < 0.85 else chance.choice(others) for _ in range(count)]


def _plain(kind: str, op: str) -> tuple[Any, Any, Any]:
    """A low, a usual and a high value of a type."""
    if op == "last":
        return "1 second", "7 days", "900 years"
    if op in ("contains", "starts with"):
        return "zzz", "n", "b"
    return {
        "integer": (-1, 3, 9999), "bigint": (-1, 3, 9999), "numeric": ("-1", "1.5", "99999"), "oid": (0, 3, 9999),
        "double precision": (-1.0, 1.0, 9999.0), "boolean": (False, True, True),
        "jsonb": ("null", '{"n": 3}', '{"z": 3, "zz": 4}'), "inet": ("0.0.0.0", "10.0.0.7", "255.255.255.255"),
        "timestamp with time zone": ("1900-01-01", "2026-05-01 10:00+00", "2900-01-01"),
        "int4range": ("empty", "[3,8)", "[9999,)"), "bytea": ("\\x", "\\x77", "\\xffff"),
        "text[]": ("{}", "{a,3}", "{z}"), "uuid": ("0" * 32, "7" * 32, "f" * 32),
    }.get(kind, ("", "note 3", "zzz"))  # fmt: skip


def _fingerprints(
    database: Database,
    admin: psycopg.Connection[Any],
    questions: Sequence[_Question],
    *,
    hostile: bool,
    ended: Counter[str],
    problems: list[str],
) -> dict[int, str]:
    """The statements that the server saw while these questions were asked, by their fingerprints."""
    admin.execute("SELECT pg_stat_statements_reset()")
    for question in questions:
        for filters, search in _values(question, hostile=hostile):
            try:
                _ask(database, question, filters, search, hostile=hostile)
                ended["answered"] += 1
            except TradekeepError as error:
                ended[error.kind] += 1
                if error.error_type == "unexpected":
                    problems.append(f"{question}: {error.details}"[:600])
            except Exception as error:
                problems.append(f"{question}: {type(error).__name__}: {error}"[:600])
    return dict(
        admin.execute(
            "SELECT queryid, query FROM pg_stat_statements WHERE query NOT LIKE '%pg_stat_statements%'"
        ).fetchall()
    )


def _values(asked: _Question, *, hostile: bool) -> list[tuple[tuple[Filter, ...], str | None]]:
    if hostile:
        return [(asked.hostile, asked.search)]
    searches = ("zzzz", "1", "o") if asked.search else (None,) * 3
    return list(zip(asked.plain, searches, strict=True))


def _estimates(text: str, benign: Iterable[str]) -> bool:
    """Whether this only asks the planner about rows that a benign statement reads: it does where a page is not all."""
    if not text.startswith("EXPLAIN (FORMAT JSON) SELECT $"):
        return False
    condition = re.sub(r"\$\d+", "$", text).partition(" FROM ")[2]
    return any(condition in re.sub(r"\$\d+", "$", other) for other in benign)


def _ask(
    database: Database, asked: _Question, filters: tuple[Filter, ...], search: str | None, *, hostile: bool
) -> None:
    if asked.kind == "count":
        count_rows(database, asked.table, filters, timeout_s=2, search=search)
    elif asked.kind == "facets":
        column = asked.sort[0].column if asked.sort else "id"
        facets(database, asked.table, column, filters, timeout_s=2, search=search)
    else:
        # Plain ones as many rows as can be: then every stretch of the order is read that hostile ones could read.
        options: dict[str, Any] = {"columns": asked.columns, "filters": filters, "search": search, "sort": asked.sort}
        place = _place(database, asked)
        for limit in (asked.limit,) if hostile else (asked.limit, 1, MOST_ROWS):
            page_of_rows(database, asked.table, limit=limit, **options)
            if place:
                page_of_rows(database, asked.table, limit=limit, after=place, **options)


def _place(database: Database, asked: _Question) -> str | None:
    """A place in the middle of the question's order, the same for both sets of values."""
    page = page_of_rows(database, asked.table, sort=asked.sort, limit=MIDDLE)
    if not asked.sort or not page.rows:
        return None
    return position_token(database, asked.table, asked.sort, [page.rows[-1][page.columns.index(asked.sort[0].column)]])


def _written(admin: psycopg.Connection[Any]) -> tuple[Any, ...]:
    """What changes with any write: the next transaction's number (autovacuum is off), and what is in the victim."""
    row = admin.execute(
        "SELECT pg_snapshot_xmax(pg_current_snapshot())::text, (SELECT count(*) FROM victim),"
        " (SELECT md5(string_agg(note, ',' ORDER BY id)) FROM victim),"
        " (SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace)"
    ).fetchone()
    assert row is not None
    return tuple(row)


@drill
def runaway_view(n: int = 10) -> dict[str, Any]:
    """n looks into a view that is a cross join: each ends at the statement timeout; others are hardly held up."""
    with Cluster() as cluster:
        cluster.sql(
            "CREATE TABLE victim (id serial PRIMARY KEY, note text)",
            "INSERT INTO victim (note) SELECT 'note ' || n FROM generate_series(1, 20000) n",
            "CREATE VIEW endless AS SELECT count(*) AS n FROM victim a, victim b, victim c",
            "ANALYZE",
        )
        with Database(cluster.admin, limits=Limits(statement_timeout_s=1.0)) as database:
            return _beside(n, database, cluster)


def _beside(n: int, database: Database, cluster: Cluster) -> dict[str, Any]:
    alone = _p95(cluster, lambda: time.sleep(min(3.0, 0.3 * n)))
    ended: Counter[str] = Counter()
    seconds: list[float] = []

    def look() -> None:
        for _ in range(n):
            begin = time.monotonic()
            try:
                page_of_rows(database, "endless")
                ended["answered"] += 1
            except TradekeepError as error:
                ended[error.kind] += 1
            seconds.append(time.monotonic() - begin)

    beside = _p95(cluster, look)
    left = cluster.sql(
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%endless%' AND state = 'active'"
        " AND pid <> pg_backend_pid()"
    )
    only = set(ended) == {"transient.statement_timeout"}
    ok = only and left[0][0] == 0 and max(seconds) < 3 and beside < 2 * max(alone, 1.0)
    return {
        "ok": ok, "ended": dict(ended), "longest_s": round(max(seconds), 2), "p95_alone_ms": round(alone, 2),
        "p95_beside_ms": round(beside, 2), "left": left[0][0],
    }  # fmt: skip


def _p95(cluster: Cluster, meanwhile: Callable[[], None]) -> float:
    """The 95th percentile, in ms, of a bot's lookup by key while something else goes on."""
    times: list[float] = []
    over = threading.Event()

    def bot() -> None:
        with cluster.connect() as connection:
            while not over.is_set():
                begin = time.perf_counter()
                connection.execute("SELECT note FROM victim WHERE id = %s", (random.randrange(1, 20000),)).fetchall()
                times.append((time.perf_counter() - begin) * 1000)
                time.sleep(0.002)

    thread = threading.Thread(target=bot)
    thread.start()
    try:
        meanwhile()
    finally:
        over.set()
        thread.join()
    return quantiles(times, n=20)[-1]
