"""Bring a database to a revision of the schema: alone, in one transaction, or not at all."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection, MetaData, event, inspect
from sqlalchemy.schema import CreateTable

from core.database import Database
from core.errors import TradekeepError
from core.models import AREAS, Base
from core.progress import Report, silent
from core.schema import alone, grants, mending, present
from core.schema.present import VERSION_TABLE

MIGRATIONS = Path(__file__).parents[2] / "migrations"
RENDER_WAIT_S = 5.0
MATCHING = "matching"  # the revision that the tables match
_CREATE_TABLE = re.compile(r'^\s*CREATE TABLE "?(\w+)"?', re.IGNORECASE | re.MULTILINE)


class Revision(BaseModel):
    """One step of the schema's history; down is the revision before it, None for the first."""

    model_config = ConfigDict(frozen=True)
    id: str
    title: str
    down: str | None


class SchemaVersion(BaseModel):
    """Where a database stands. compatible: this installation knows its revision (or it has none yet).

    pending: what upgrade would run, oldest first. unmanaged: our tables in a database without a revision; matching:
    the revision that they match, None where they match none (`stamp` records it).
    missing: tables that should be there at the newest revision, which is recorded, and are not; incomplete: table ->
    columns that are not. An upgrade makes both again, as far as the rows that are there allow it.
    """

    model_config = ConfigDict(frozen=True)
    current_version: str | None
    expected_version: str
    compatible: bool
    migration_needed: bool
    pending: list[Revision] = []
    unmanaged: list[str] = []
    matching: str | None = None
    missing: list[str] = []
    incomplete: dict[str, list[str]] = {}


class InitializationResult(BaseModel):
    """What an upgrade did; a failed one raises instead and leaves nothing.

    success: everything of the revision is there; errors names what could not be made again, and why.
    """

    model_config = ConfigDict(frozen=True)
    success: bool
    tables_created: list[str]
    tables_skipped: list[str]
    errors: list[str]
    duration_ms: float


def revisions() -> list[Revision]:
    """The schema's history, oldest first."""
    return list(_history())


@cache
def _history() -> tuple[Revision, ...]:
    found = ScriptDirectory(str(MIGRATIONS)).walk_revisions()
    steps = [Revision(id=step.revision, title=step.doc.rstrip("."), down=step.down_revision) for step in found]
    return tuple(reversed(steps))


def status(db: Database) -> SchemaVersion:
    """The database's revision against the newest one. Reads only."""
    return db.ask(_status)


def _status(connection: Connection) -> SchemaVersion:
    current, ours = _found(connection)
    order = _order()
    known = current is None or current in order
    pending = _after(current) if known else []
    newest = current == order[-1]
    missing = [table for table in expected_tables() if table not in ours] if newest else []
    incomplete = present.lacking(connection) if newest else {}
    return SchemaVersion(
        current_version=current,
        expected_version=order[-1],
        compatible=known,
        migration_needed=bool(pending or missing or incomplete),
        pending=pending,
        unmanaged=ours if current is None else [],
        matching=_matching(connection, ours) if current is None and ours else None,
        missing=missing,
        incomplete=incomplete,
    )


def upgrade(
    db: Database, to: str = "head", *, progress: Report | None = None, lock_wait_s: float | None = None
) -> InitializationResult:
    """Run the pending revisions up to `to`, make what is missing at the newest one, and give the roles their rights.

    progress(done, total, message) is called for each table; what it raises cancels everything. A second run creates
    nothing and says so. lock_wait_s: longest wait for another migration, default LOCK_WAIT_S.
    Raises schema.busy, schema.newer, schema.unmanaged, schema.revision, schema.no_models, transient.lock.
    """
    begin = time.perf_counter()
    report = progress or silent
    created, skipped, errors = alone.run(db, lambda connection: _upgraded(db, connection, to, report), lock_wait_s)
    return InitializationResult(
        success=not errors,
        tables_created=created,
        tables_skipped=skipped,
        errors=errors,
        duration_ms=(time.perf_counter() - begin) * 1000,
    )


def _upgraded(db: Database, connection: Connection, to: str, report: Report) -> tuple[list[str], list[str], list[str]]:
    """The tables that were created and those that were there, and what an upgrade cannot mend."""
    current, before = _found(connection)
    _accept(db, current, before)
    target = _resolved(to, current)
    steps = revisions()[_position(current) : _position(target)]
    total = len(_tables_of(_preview(db.backend, steps[0].down, steps[-1].id))) if steps else 0
    newest = _order()[-1] in (current, target)
    absent = [] if steps or not newest else [table for table in expected_tables() if table not in before]
    title = steps[0].title if steps else "Creating what is missing" if absent else "The schema is up to date"
    total = total + len(absent) or len(before)
    report(0 if steps or absent else total, total, title)
    with _reported(connection, total, report) as created:
        if steps:
            _alembic(command.upgrade, steps[-1].id, connection)
        left = _complete(connection, report, total) if newest else []
    if connection.dialect.name == "postgresql":
        grants.apply_derived(connection)
    return created, before, left


def _complete(connection: Connection, report: Report, total: int) -> list[str]:
    """Make again what the newest revision has and somebody dropped; what could not be made, in words."""
    _current, there = _found(connection)
    missing = [table for name, table in Base.metadata.tables.items() if name not in there]
    Base.metadata.create_all(connection, tables=missing, checkfirst=False)
    return mending.mend(connection, lambda repair: report(total, total, f"Mending {repair.table}: {repair.title}"))


def damage(db: Database) -> list[tuple[str, str]]:
    """What an upgrade would make again at the newest revision: (in words, its SQL); nothing is changed."""

    def question(connection: Connection) -> list[tuple[str, str]]:
        current, there = _found(connection)
        if current != _order()[-1]:
            return []
        missing = [table for table in Base.metadata.sorted_tables if table.name not in there]
        made = [
            (f"table {table.name}", f"{str(CreateTable(table).compile(connection)).strip()};\n") for table in missing
        ]
        return made + [(f"{one.table}: {one.title}", one.sql(connection)) for one in mending.repairs(connection)]

    return db.ask(question)


def downgrade(db: Database, to: str, *, lock_wait_s: float | None = None) -> SchemaVersion:
    """Undo the revisions after `to` ("base" undoes all); their tables and rows are gone. Gives the new status.

    Raises schema.busy, schema.newer, schema.unmanaged, schema.revision, transient.lock.
    """

    def act(connection: Connection) -> SchemaVersion:
        current, ours = _found(connection)
        _accept(db, current, ours)
        target = _resolved(to, current)
        if _position(target) > _position(current):
            raise TradekeepError("schema.revision", f"Revision {target} is newer than {current or 'an empty schema'}.")
        if target != current:
            _alembic(command.downgrade, target or "base", connection)
        return _status(connection)

    return alone.run(db, act, lock_wait_s)


def stamp(db: Database, to: str, *, lock_wait_s: float | None = None) -> SchemaVersion:
    """Record that the tables match revision `to`, without running anything. Gives the new status.

    to: "matching" is the one that they match, by comparison. Raises schema.busy, schema.revision, transient.lock,
    schema.unmanaged where they match none.
    """

    def act(connection: Connection) -> SchemaVersion:
        current, ours = _found(connection)
        found = _matching(connection, ours) if to == MATCHING else to
        if found is None:
            lacking = ", ".join([table for table in expected_tables() if table not in ours][:5])
            message = f"The tables match no revision; not there: {lacking or 'some of their columns'}."
            raise TradekeepError("schema.unmanaged", message, database=db.config.database)
        target = _resolved(found, current if current in _order() else None)
        _alembic(command.stamp, target or "base", connection, purge=True)
        if connection.dialect.name == "postgresql":  # the table of the revision may be a new one
            grants.apply_derived(connection)
        return _status(connection)

    return alone.run(db, act, lock_wait_s)


def sql(db: Database, to: str = "head") -> str:
    """The SQL that upgrade(to) would run; for a revision that was run already, the SQL of that one.

    "" when nothing is pending. Raises schema.newer, schema.revision.
    """
    found = status(db)
    if not found.compatible:
        raise TradekeepError("schema.newer", revision=found.current_version)
    target = _resolved(to, found.current_version)
    if target is None:
        return ""
    if _position(target) > _position(found.current_version):
        return _preview(db.backend, found.current_version, target)
    return "" if to == "head" else _preview(db.backend, revisions()[_position(target) - 1].down, target)


def expected_tables(metadata: MetaData = Base.metadata) -> list[str]:
    """The tables that the models describe, in the order of their areas. Raises schema.no_models for none."""
    if not metadata.tables:
        raise TradekeepError("schema.no_models")
    return [table for tables in AREAS.values() for table in tables]


def _order() -> list[str]:
    return [step.id for step in _history()]


def _position(revision: str | None) -> int:
    """How many revisions have run when the database is at this one."""
    return 0 if revision is None else _order().index(revision) + 1


def _after(revision: str | None) -> list[Revision]:
    return revisions()[_position(revision) :]


def _resolved(to: str, current: str | None) -> str | None:
    """The revision that is meant by head, base, +1, -1, an identifier or its unique beginning; None for base."""
    order = _order()
    if to == "base":
        return None
    if to == "head":
        return order[-1]
    if re.fullmatch(r"[+-]\d+", to):
        position = _position(current) + int(to)
        if 0 <= position <= len(order):
            return order[position - 1] if position else None
    elif len(found := [revision for revision in order if revision == to or (to and revision.startswith(to))]) == 1:
        return found[0]
    raise TradekeepError("schema.revision", f"There is no schema revision {to!r}; known are {', '.join(order)}.")


def _found(connection: Connection) -> tuple[str | None, list[str]]:
    """The recorded revision, and which of our tables are there."""
    present = set(inspect(connection).get_table_names())
    ours = [table for table in expected_tables() if table in present]
    if VERSION_TABLE not in present:
        return None, ours
    recorded = connection.exec_driver_sql(f"SELECT version_num FROM {VERSION_TABLE}").scalars().all()  # noqa: S608  # a constant
    return ", ".join(sorted(recorded)) or None, ours


def _matching(connection: Connection, ours: list[str]) -> str | None:
    """The revision of which every table is there and none of a later one; where all tables are, every column, too.

    The oldest such: a revision that makes no table leaves no trace here, so it is run again, which it has to bear.
    """
    for revision in _order():
        made = set(_tables_of(_preview(connection.dialect.name, None, revision))) & set(expected_tables())
        if made == set(ours):
            return None if made == set(expected_tables()) and present.lacking(connection) else revision
    return None


def _accept(db: Database, current: str | None, ours: list[str]) -> None:
    if current is not None and current not in _order():
        raise TradekeepError(
            "schema.newer",
            f"The database has revision {current}; this installation knows {', '.join(_order())}.",
            revision=current,
        )
    if current is None and ours:
        shown = ", ".join(ours[:3]) + (f" and {len(ours) - 3} more" if len(ours) > 3 else "")
        raise TradekeepError(
            "schema.unmanaged",
            f"The database already has {shown}, but no record of a revision.",
            database=db.config.database,
        )


@contextmanager
def _reported(connection: Connection, total: int, report: Report) -> Iterator[list[str]]:
    """Collect, and report, each table that is created on the connection."""
    created: list[str] = []

    def executed(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        for table in _tables_of(statement):
            created.append(table)
            report(len(created), total, f"Created table {table}")

    event.listen(connection, "after_cursor_execute", executed)
    try:
        yield created
    finally:
        event.remove(connection, "after_cursor_execute", executed)


def _tables_of(statements: str) -> list[str]:
    """The tables that SQL creates, Alembic's own left out."""
    return [table for table in _CREATE_TABLE.findall(statements) if table != VERSION_TABLE]


@cache
def _preview(backend: str, start: str | None, stop: str) -> str:
    """The SQL of the revisions after start up to stop, made without a database."""
    config = _config()
    config.output_buffer = io.StringIO()
    config.attributes["dialect"] = backend
    with alone.in_one_thread(RENDER_WAIT_S):
        _alembic(command.upgrade, f"{start}:{stop}" if start else stop, None, config, sql=True)
    return config.output_buffer.getvalue()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


def _alembic(run: Any, to: str, connection: Connection | None, config: Config | None = None, **options: Any) -> None:
    """Run one of Alembic's commands on the connection. Raises schema.revision for what it refuses."""
    config = config or _config()
    if connection is not None:
        config.attributes["connection"] = connection
    try:
        run(config, to, **options)
    except CommandError as exc:
        raise TradekeepError("schema.revision", str(exc)) from None
