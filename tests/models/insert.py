"""Rows for the tests: valid ones, with what they point to."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Table, insert, select
from sqlalchemy.engine import RowMapping

from core.models import Base
from tests.models.rules import ROWS, Row

TABLES = Base.metadata.tables


def new_row(connection: Connection, table: str, changes: Row | None = None) -> RowMapping:
    """Insert the table's valid row with these changes, and the rows that it points to; gives the whole row."""
    target = TABLES[table]
    values = {name: _resolved(connection, value) for name, value in (ROWS[table] | (changes or {})).items()}
    made = connection.execute(insert(target).values(values).returning(*target.primary_key.columns)).one()
    return row_of(connection, target, tuple(made))


def row_of(connection: Connection, table: Table, key: tuple[Any, ...]) -> RowMapping:
    """The row with this primary key."""
    where = [column == value for column, value in zip(table.primary_key.columns, key, strict=True)]
    return connection.execute(select(table).where(*where)).mappings().one()


def _resolved(connection: Connection, value: Any) -> Any:
    """The value, or the id of the row that "-> table" makes or finds."""
    if not (isinstance(value, str) and value.startswith("-> ")):
        return value
    table = TABLES[value.removeprefix("-> ")]
    there = connection.execute(select(table.c.id).limit(1)).scalar()
    return there if there is not None else new_row(connection, table.name)["id"]
