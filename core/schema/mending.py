"""What was taken from a schema at its newest revision, given back where the rows that are there allow it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import (
    CheckConstraint,
    Column,
    Connection,
    Constraint,
    ForeignKeyConstraint,
    Index,
    PrimaryKeyConstraint,
    Sequence,
    Table,
    UniqueConstraint,
    inspect,
    text,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import AddConstraint, CreateIndex, CreateSequence, ExecutableDDLElement

from core.errors import classify
from core.models import Base
from core.models.base import NextId


@dataclass(frozen=True)
class Repair:
    """One thing that is missing in a table, and the statements that make it again."""

    table: str
    title: str
    statements: tuple[ExecutableDDLElement | str, ...]

    def sql(self, connection: Connection) -> str:
        """The statements as text, for somebody to read."""
        texts = [
            statement.replace("%%", "%")
            if isinstance(statement, str)
            else str(statement.compile(dialect=connection.dialect)).strip()
            for statement in self.statements
        ]
        return "".join(f"{one};\n" for one in texts)


def repairs(connection: Connection) -> list[Repair]:
    """What is missing in the tables that are there: columns, then keys and rules, then indexes, then references.

    On SQLite columns only: it cannot add a rule to a table.
    """
    inspector = inspect(connection)
    columns = {name: {column["name"] for column in found} for (_, name), found in inspector.get_multi_columns().items()}
    tables = [table for table in Base.metadata.sorted_tables if table.name in columns]
    found = [
        _column(connection, table, column)
        for table in tables
        for column in table.columns
        if column.name not in columns[table.name]
    ]
    if connection.dialect.name != "postgresql":
        return found
    there = {(table, name): holds for table, name, holds in connection.execute(text(_NAMES))}
    for kinds in ((PrimaryKeyConstraint, UniqueConstraint, CheckConstraint), (Index,), (ForeignKeyConstraint,)):
        found += [repair for table in tables for repair in _rules(connection, table, kinds, there)]
    return found


# Of each table, not of the schema: a copy (LIKE ... INCLUDING ALL) has rules of the same names.
_NAMES = """
    SELECT t.relname, found.name, bool_and(found.holds) FROM (
        SELECT conrelid AS of, conname AS name, convalidated AS holds FROM pg_constraint
        UNION ALL
        SELECT i.indrelid, c.relname, i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    ) found JOIN pg_class t ON t.oid = found.of
    WHERE t.relnamespace = current_schema()::regnamespace GROUP BY 1, 2
"""


def mend(connection: Connection, told: Callable[[Repair], None]) -> list[str]:
    """Carry out every repair, each in a savepoint; what could not be made again, with the reason, in words."""
    left = []
    for repair in repairs(connection):
        told(repair)
        try:
            with connection.begin_nested():
                for statement in repair.statements:
                    if isinstance(statement, str):
                        connection.exec_driver_sql(statement)
                    else:
                        connection.execute(statement)
        except DBAPIError as exc:
            error = classify(exc)
            if error.error_type not in ("data", "schema", "permission"):  # a lock, a full disk: nothing about the rows
                raise
            left.append(f"{repair.table} lacks {repair.title}: {error.message.rstrip('.')}")
    return left


def _column(connection: Connection, table: Table, column: Column[object]) -> Repair:
    compiler = connection.dialect.ddl_compiler(connection.dialect, None)  # type: ignore[arg-type]  # as its base does
    quoted = connection.dialect.identifier_preparer.format_table(table)
    statements: list[ExecutableDDLElement | str] = []
    default = getattr(column.server_default, "arg", None)
    if isinstance(default, NextId) and connection.dialect.name == "postgresql":
        sequence: Sequence = default.sequence
        statements.append(CreateSequence(sequence, if_not_exists=True))
    added = f"ALTER TABLE {quoted} ADD COLUMN {compiler.get_column_specification(column)}"
    statements.append(added.replace("%", "%%") if connection.dialect.name == "postgresql" else added)
    if isinstance(default, NextId) and connection.dialect.name == "postgresql":
        statements.append(f"ALTER SEQUENCE {default.sequence.name} OWNED BY {table.name}.{column.name}")
    return Repair(table.name, column.name, tuple(statements))


def _rules(
    connection: Connection,
    table: Table,
    kinds: tuple[type[Constraint] | type[Index], ...],
    there: Mapping[tuple[str, str], bool],
) -> Iterator[Repair]:
    every: list[Constraint | Index] = [*table.constraints, *table.indexes]
    chosen = [rule for rule in every if isinstance(rule, kinds)]
    for rule in sorted(chosen, key=lambda rule: str(rule.name)):
        if not _meant(rule, connection):
            continue
        name = _name(connection, rule)
        holds = there.get((table.name, name))
        if holds:
            continue
        # Not isolated: else the rule would be left out of its table for the rest of the process.
        again = CreateIndex(rule) if isinstance(rule, Index) else AddConstraint(rule, isolate_from_table=False)
        # One that is there and does not hold (NOT VALID, or cut off in its making) gives way to a new one.
        gone = () if holds is None else (_dropped(connection, table, name, isinstance(rule, Index)),)
        yield Repair(table.name, name, (*gone, again))


def _dropped(connection: Connection, table: Table, name: str, index: bool) -> str:
    preparer = connection.dialect.identifier_preparer
    if index:
        return f"DROP INDEX {preparer.quote(name)}"
    return f"ALTER TABLE {preparer.format_table(table)} DROP CONSTRAINT {preparer.quote(name)}"


def _meant(rule: Constraint | Index, connection: Connection) -> bool:
    """Whether the rule is for this backend."""
    condition = getattr(rule, "_ddl_if", None)
    return condition is None or condition.dialect in (None, connection.dialect.name)


def _name(connection: Connection, rule: Constraint | Index) -> str:
    """The rule's name as the naming convention makes it."""
    preparer = connection.dialect.identifier_preparer
    formatted = preparer.format_index(rule) if isinstance(rule, Index) else preparer.format_constraint(rule)
    return (formatted or "").strip('"')
