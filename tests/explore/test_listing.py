"""The list of tables: sizes of what was never analysed, without waiting for a lock."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from core.database import Database, session
from core.explore import page_of_rows, tables
from core.explore.listing import wanted
from core.settings import DatabaseConfig
from tests.servers import Cluster

MANY = 500


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
    with cluster.connect(pg_database.database) as holder, Database(pg_database) as db:
        holder.execute("BEGIN")
        holder.execute("LOCK TABLE held IN ACCESS EXCLUSIVE MODE")
        found = {one.name: one.bytes for one in tables(db)}
        holder.execute("ROLLBACK")
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
