"""Creating the tables and verifying them, against the same statements through the bare driver."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import psycopg
import sqlalchemy as sa

from benchmarks import benchmark
from benchmarks.figures import Figure, in_turns
from benchmarks.servers import connected
from core.database import Database, Databases
from core.models import Base
from core.schema import migrate as migrations
from core.settings import DatabaseConfig
from core.setup import provision
from core.setup import verify as verification
from tests.servers import Cluster, new_database

MIGRATE_FLOOR = "the same SQL as one text in one transaction of psycopg, connecting included"
VERIFY_FLOOR = "the same statements with psycopg, a connection and a transaction for each role"
TABLES = len(Base.metadata.tables)
RESTART = "SELECT setval(format('%I.%I', schemaname, sequencename)::regclass, start_value, false) FROM pg_sequences"


@benchmark(n=10)
def migrate(n: int) -> list[Figure]:
    """Creating the tables of an empty database, `core.schema.migrate.upgrade`; a server without fsync."""
    with Cluster() as cluster:
        with new_database(cluster) as name, Database(cluster.config(name)) as database:
            text = migrations.sql(database)

        def upgrade() -> float:
            with new_database(cluster) as name:
                begin = time.perf_counter()
                with Database(cluster.config(name)) as database:
                    made = migrations.upgrade(database)
                assert made.tables_created
                return (time.perf_counter() - begin) * 1000

        def bare() -> float:
            with new_database(cluster) as name:
                begin = time.perf_counter()
                with connected(cluster.config(name), autocommit=False) as connection:
                    connection.execute(text)
                return (time.perf_counter() - begin) * 1000

        own, floor = in_turns(n, upgrade, bare)
        return [Figure(f"create {TABLES} tables", MIGRATE_FLOOR, own, floor)]


@benchmark(n=10)
def verify(n: int) -> list[Figure]:
    """Verifying a migrated database, `core.setup.verify`: a row written, read and rolled back in every table."""
    with Cluster() as cluster:
        made = provision.provision(cluster.admin, database="trading")
        with Database(made.owner) as owner:
            migrations.upgrade(owner)

        def ours() -> float:
            begin = time.perf_counter()
            with _databases(made) as databases:
                lines = verification.verify(databases)
            assert verification.passed(lines), [line.message for line in lines if not line.ok]
            return (time.perf_counter() - begin) * 1000

        def restart_numbers() -> None:
            """The recorded statements name the numbers that a fresh database gives."""
            cluster.sql(RESTART, database="trading")

        restart_numbers()
        steps = _listened(made)

        def bare() -> float:
            restart_numbers()
            begin = time.perf_counter()
            _replay(steps)
            return (time.perf_counter() - begin) * 1000

        own, floor = in_turns(n, ours, bare)
        return [Figure(f"verify {TABLES} tables", f"{VERIFY_FLOOR} ({len(steps)} steps)", own, floor)]


def _databases(made: provision.Provisioned) -> Databases:
    return Databases(
        reader=Database(made.viewer, read_only=True), writer=Database(made.runtime), owner=Database(made.owner)
    )


@dataclass(frozen=True)
class _Step:
    """What one role did: a statement with its values, or the end of a transaction where there is no statement."""

    config: DatabaseConfig
    statement: str
    values: Any = None


def _listened(made: provision.Provisioned) -> list[_Step]:
    """What a verification does on the server, in order."""
    steps: list[_Step] = []
    with _databases(made) as databases:
        for database in (databases.reader, databases.writer, databases.owner):
            _listen(database, steps)
        verification.verify(databases)
    return steps


def _listen(database: Database, steps: list[_Step]) -> None:
    config = database.config

    def statement(_connection: Any, _cursor: Any, sql: str, values: Any, _context: Any, many: bool) -> None:
        for row in values if many else [values]:
            steps.append(_Step(config, sql, row))

    sa.event.listen(database.engine, "before_cursor_execute", statement)
    for end in ("commit", "rollback"):
        sa.event.listen(database.engine, end, lambda _connection: steps.append(_Step(config, "")))


def _replay(steps: list[_Step]) -> None:
    connections: dict[str | None, psycopg.Connection[Any]] = {}
    try:
        for step in steps:
            key = step.config.user
            if key not in connections:
                connections[key] = connected(step.config, autocommit=False)
            if not step.statement:
                connections[key].rollback()
                continue
            cursor = connections[key].execute(step.statement, step.values or None)
            if cursor.description:
                cursor.fetchall()
    finally:
        for connection in connections.values():
            connection.close()
