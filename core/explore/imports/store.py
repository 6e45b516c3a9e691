"""Another program's database, to read only: its tables, columns and rows, from a SQLite file or PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from core.database import Database
from core.errors import TradekeepError
from core.explore.imports import sqlitefile
from core.explore.imports.files import opened
from core.format import identifier
from core.settings import DatabaseConfig, parse_connection

FETCHED = 5000


@dataclass(frozen=True)
class Store:
    """A database that is read. columns: table -> column -> declared type, in lower case; notes(): what was noticed
    on the way, for people."""

    name: str
    columns: dict[str, dict[str, str]]
    ask: Callable[[str], Iterator[tuple[Any, ...]]]
    notes: Callable[[], list[str]] = list

    def rows(self, table: str, order: str = "") -> Iterator[dict[str, Any]]:
        """Every row of a table as a dict; nothing where there is no such table."""
        names = list(self.columns.get(table, ()))
        if not names:
            return
        chosen = ", ".join(identifier(name) for name in names)
        by = f" ORDER BY {identifier(order)}" if order in names else ""
        for values in self.ask(f"SELECT {chosen} FROM {identifier(table)}{by}"):  # noqa: S608  # quoted names
            yield dict(zip(names, values, strict=True))

    def count(self, table: str) -> int:
        """How many rows a table has; 0 where there is no such table."""
        if table not in self.columns:
            return 0
        sql = f"SELECT count(*) FROM {identifier(table)}"  # noqa: S608  # quoted name
        return int(next(self.ask(sql))[0])


@contextmanager
def store(source: Path | str | BinaryIO | DatabaseConfig, *, apart: bool = False) -> Iterator[Store]:
    """The database that a file, an upload or a connection string leads to.

    apart: read a copy of a file, so that the bot that writes to it need not wait; for reading all of it. Raises
    data.file, connection errors.
    """
    if isinstance(source, str) and "://" in source and not source.startswith("sqlite"):
        source = parse_connection(source)
    if isinstance(source, DatabaseConfig) and source.backend == "sqlite":
        source = Path(source.database)
    if isinstance(source, DatabaseConfig):
        with _postgresql(source) as found:
            yield found
        return
    if isinstance(source, str):
        source = Path(source.removeprefix("sqlite:///"))
    with opened(source) as file:
        if file.kind != "sqlite":
            raise TradekeepError("data.file", f"{file.name} is no database of a bot.")
        with sqlitefile.readable(file, apart=apart) as connection:
            texts = connection.text_factory = sqlitefile.Texts()
            connection.execute("BEGIN")  # all tables as they are at one moment
            columns = {
                table: {
                    row[0]: str(row[1]).lower()
                    for row in connection.execute("SELECT name, type FROM pragma_table_info(?)", (table,))
                }
                for table in sqlitefile.tables(connection, views=False)  # a view may have no end
            }
            yield Store(file.name, columns, lambda sql: iter(connection.execute(sql)), texts.notes)


@contextmanager
def _postgresql(config: DatabaseConfig) -> Iterator[Store]:
    with Database(config, read_only=True) as database, database.connect(statement_timeout_s=None) as connection:
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")  # all tables at one moment
        columns: dict[str, dict[str, str]] = {}
        for table, column, type in connection.exec_driver_sql(
            "SELECT table_name, column_name, data_type FROM information_schema.columns"
            " WHERE table_schema = 'public' ORDER BY table_name, ordinal_position"
        ):
            columns.setdefault(table, {})[column] = type

        def ask(sql: str) -> Iterator[tuple[Any, ...]]:
            result = connection.exec_driver_sql(sql.replace("%", "%%"))
            while rows := result.fetchmany(FETCHED):
                yield from (tuple(row) for row in rows)

        yield Store(config.database, columns, ask)
