"""Servers with all tables, connections of the bare driver to them, and loads of many rows made here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
import pyarrow as pa
from psycopg.sql import SQL, Composed, Identifier
from pyarrow import csv

from core.database import Database
from core.schema import migrate
from core.settings import DatabaseConfig
from tests.servers import Cluster

AT_A_TIME = 250_000
# Primary keys and unique constraints that no other table refers to, then this table's own references.
DROPPED = """
    SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint AS own
    WHERE conrelid = to_regclass(%s) AND (contype = 'f' OR contype IN ('p', 'u') AND NOT EXISTS (
        SELECT FROM pg_constraint AS other WHERE other.contype = 'f' AND other.conindid = own.conindid))
    ORDER BY contype = 'f', conname
"""
INDEXES = """
    SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
    WHERE indrelid = to_regclass(%s) AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)
    ORDER BY 1
"""


def make_tables(config: DatabaseConfig) -> None:
    """Make all tables in an empty database."""
    with Database(config) as database:
        migrate.upgrade(database)


@contextmanager
def server_with_tables(conf: Sequence[str] = ()) -> Iterator[Cluster]:
    """A server whose database `postgres` has all tables; conf: lines added to postgresql.conf."""
    with Cluster(conf=conf) as cluster:
        make_tables(cluster.admin)
        yield cluster


def connected(
    config: DatabaseConfig, kind: type[psycopg.Connection[Any]] = psycopg.Connection, *, autocommit: bool = True
) -> psycopg.Connection[Any]:
    """A connection of the bare driver with what the configuration gives, and nothing else; the caller closes it.

    `Cluster.connect` is the one for work on a server; this is the floor of what connects with a configuration.
    """
    parameters: dict[str, Any] = {**config.libpq_params()}
    return kind.connect(**parameters, autocommit=autocommit)


def stretches(count: int) -> Iterator[tuple[int, int]]:
    """(begin, how many) of the parts, in order, in which that many rows are made."""
    for begin in range(0, count, AT_A_TIME):
        yield begin, min(AT_A_TIME, count - begin)


def words(values: Any, names: Sequence[str]) -> pa.Array:
    """The name of each value, which is its place in names."""
    return pa.DictionaryArray.from_arrays(pa.array(values), list(names)).cast(pa.string())


def csv_of(columns: Mapping[str, Any]) -> memoryview:
    """Columns (arrays of numpy or Arrow) as CSV without a line of names."""
    out = pa.BufferOutputStream()
    table = pa.table({name: pa.array(values) for name, values in columns.items()})
    csv.write_csv(table, out, csv.WriteOptions(include_header=False))
    return memoryview(out.getvalue())


def load(connection: psycopg.Connection[Any], table: str, columns: Sequence[str], parts: Iterable[memoryview]) -> None:
    """Load parts, which are CSV, into a table.

    Constraints and indexes are dropped before and made again after, as one does for a load of that size; a key that
    another table refers to stays.
    """
    name = Identifier(table)
    made_again: list[SQL | Composed] = []
    for constraint, definition in connection.execute(DROPPED, [table]).fetchall():
        connection.execute(SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(name, Identifier(constraint)))
        add = SQL("ALTER TABLE {} ADD CONSTRAINT {} ").format(name, Identifier(constraint))
        made_again.append(add + SQL(definition))
    for index, definition in connection.execute(INDEXES, [table]).fetchall():
        connection.execute(SQL("DROP INDEX " + index))
        made_again.append(SQL(definition))
    listed = SQL(", ").join(map(Identifier, columns))
    with connection.cursor().copy(SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(name, listed)) as copy:
        for part in parts:
            copy.write(part)
    for statement in made_again:
        connection.execute(statement)
    connection.execute(SQL("VACUUM (ANALYZE) {}").format(name))
