"""The list of tables: sizes of all of them, without waiting for a lock."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from core.database import Database, session
from core.explore import page_of_rows, tables
from core.explore.listing import wanted
from core.settings import DatabaseConfig
from tests.servers import Cluster

MANY = 500


@contextmanager
def held(cluster: Cluster, config: DatabaseConfig, names: str) -> Iterator[None]:
    """These tables are locked by somebody else, as by a migration."""
    with cluster.connect(config.database) as holder:
        holder.execute("BEGIN")
        holder.execute(f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE")
        yield
        holder.execute("ROLLBACK")


def test_the_list_waits_for_no_lock(cluster: Cluster, pg_database: DatabaseConfig) -> None:
    with session(pg_database) as connection:
        connection.execute("CREATE TABLE free (id int PRIMARY KEY, t text)")
        connection.execute("INSERT INTO free SELECT g, repeat(md5(g::text), 200) FROM generate_series(1, 1000) g")
        connection.execute("CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id)")
        connection.execute("CREATE TABLE part PARTITION OF parts FOR VALUES FROM (0) TO (9)")
        connection.execute("CREATE TABLE new (id int)")
    with session(pg_database) as connection:
        connection.execute("VACUUM ANALYZE free")
        connection.execute("INSERT INTO parts VALUES (1), (2)")
        connection.execute("VACUUM ANALYZE parts, part")
        row = connection.execute("SELECT pg_total_relation_size('free'), pg_total_relation_size('part')").fetchone()
    with held(cluster, pg_database, "free, part"), Database(pg_database) as db:
        begin = time.monotonic()
        found = {one.name: one for one in tables(db)}
        assert time.monotonic() - begin < 2
    assert row
    assert (found["free"].bytes, found["parts"].bytes) == pytest.approx(tuple(row), rel=0.1, abs=32_768)
    assert (found["free"].rows_estimate, found["parts"].rows_estimate) == (1000, 2)
    assert (found["new"].bytes, "part" in found) == (0, False)


def test_a_table_that_was_never_analysed_has_a_size_unless_it_is_locked(
    cluster: Cluster, pg_database: DatabaseConfig
) -> None:
    with session(pg_database) as connection:
        for name in ("new", "held"):
            connection.execute(f"CREATE TABLE {name} (id int PRIMARY KEY, t text)")
            connection.execute(f"INSERT INTO {name} SELECT g, repeat('x', 500) FROM generate_series(1, 1000) g")
        connection.execute("CREATE TABLE parts (id int) PARTITION BY RANGE (id)")
        connection.execute("CREATE TABLE part PARTITION OF parts FOR VALUES FROM (0) TO (9999)")
        connection.execute("INSERT INTO parts SELECT generate_series(1, 5000)")
        row = connection.execute("SELECT pg_total_relation_size('new'), pg_total_relation_size('part')").fetchone()
    with held(cluster, pg_database, "held"), Database(pg_database) as db:
        found = {one.name: one.bytes for one in tables(db)}
    assert row
    assert found == {"new": row[0], "parts": row[1], "held": None}


def test_500_new_tables_are_listed_with_their_sizes_in_two_questions(pg_database: DatabaseConfig) -> None:
    with session(pg_database) as connection:
        connection.execute(
            f"DO $$ BEGIN FOR n IN 1..{MANY} LOOP"
            " EXECUTE format('CREATE TABLE new_%s (id int PRIMARY KEY, t text)', n);"
            " END LOOP; END $$"
        )
    asked: list[str] = []
    with Database(pg_database) as db:
        tables(db)
        sa.event.listen(sa.Engine, "before_cursor_execute", listener := lambda *given: asked.append(given[2]))
        try:
            found = tables(db)
        finally:
            sa.event.remove(sa.Engine, "before_cursor_execute", listener)
        assert page_of_rows(db, f"new_{MANY}").rows == []
    assert len([one for one in found if one.bytes]) == MANY
    assert len([sql for sql in asked if "pg_class" in sql]) == 2


@pytest.mark.parametrize(
    ("table", "column", "ours"),
    [("trades", None, True), ("trades", "symbol", True), ("trades", "nosuch", False), ("pg_authid", None, False)],
)
def test_what_the_schema_should_have_is_known(table: str, column: str | None, ours: bool) -> None:
    assert wanted(table, column) is ours
    assert wanted(f"public.{table}", column) is ours
