"""Proof that the database works: connection, every table, every model, and a row written, read and rolled back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial

from pydantic import BaseModel, ConfigDict

from core.database import Database, Databases
from core.errors import TradekeepError
from core.models import AREAS, Base
from core.progress import Report, silent
from core.schema import migrate, present
from core.setup.samples import SAMPLES, write_and_read


class Verification(BaseModel):
    """One thing looked at: ok is None when there was nothing to look at, which is not a pass; ms its time."""

    model_config = ConfigDict(frozen=True)
    name: str
    ok: bool | None
    message: str
    fix: str = ""
    ms: float = 0.0


Verdict = tuple[bool | None, str, str]
_UPGRADE = 'Create the tables: python -m core migrate, or "Create tables" on the Setup page.'


def verify(databases: Databases, *, progress: Report = silent) -> list[Verification]:
    """Look at everything the platform needs; a line each, in order. Leaves nothing behind, raises nothing."""
    tables = [name for names in AREAS.values() for name in names]
    total = len(tables) + 5
    lines: list[Verification] = []

    def look(name: str, question: Callable[[], Verdict]) -> bool:
        progress(len(lines), total, name)
        begin = time.perf_counter()
        try:
            ok, message, fix = question()
        except TradekeepError as error:
            ok, message, fix = False, error.message, error.suggested_fix
        ms = (time.perf_counter() - begin) * 1000
        lines.append(Verification(name=name, ok=ok, message=message, fix=fix, ms=ms))
        return ok is True

    reachable = [look(f"Connection as {role}", partial(_connection, database)) for role, database in _roles(databases)]
    look("Least privilege", lambda: _least_privilege(databases))
    look("Every model registered", _models)
    if not all(reachable):
        lines.extend(_not_looked(tables, "not reached, because a connection failed"))
        return lines
    look("Schema revision", lambda: _revision(databases.writer))
    try:
        states = {state.name: state for state in present.tables(databases.owner)}
    except TradekeepError as error:
        lines.extend(_not_looked(tables, error.message))
        return lines
    for name in tables:
        look(f"Table {name}", partial(_table, databases.writer, name, states))
    progress(total, total, "Verified")
    return lines


def passed(lines: Iterable[Verification]) -> bool:
    """Whether every line was looked at and found right; an empty list is not a pass."""
    lines = list(lines)
    return bool(lines) and all(line.ok for line in lines)


def _not_looked(tables: list[str], why: str) -> list[Verification]:
    return [Verification(name=f"Table {name}", ok=None, message=why) for name in tables]


def _roles(databases: Databases) -> list[tuple[str, Database]]:
    """The distinct roles, each once."""
    roles: dict[int, tuple[str, Database]] = {}
    for name, database in (("runtime", databases.writer), ("owner", databases.owner), ("viewer", databases.reader)):
        roles.setdefault(id(database), (name, database))
    return list(roles.values())


def _connection(database: Database) -> Verdict:
    ms = database.ping()
    return True, f"{database.name} answers in {ms:.1f} ms", ""


def _least_privilege(databases: Databases) -> Verdict:
    if databases.writer is databases.owner or databases.writer.backend != "postgresql":
        return True, "one role for everything: there is nothing to keep apart", ""
    with databases.writer.connect() as connection:
        may = connection.exec_driver_sql(
            "SELECT has_schema_privilege('public', 'CREATE'), current_setting('is_superuser') = 'on',"
            " has_database_privilege(current_database(), 'CREATE')"
        ).one()
    if any(may):
        return (
            False,
            f"{databases.writer.config.user} may change the schema",
            "Run the setup again: it takes these rights away. The bots only need to read and write rows.",
        )
    return True, f"{databases.writer.config.user} may read and write rows, and nothing else", ""


def _models() -> Verdict:
    registered = set(Base.metadata.tables)
    expected = {name for names in AREAS.values() for name in names}
    missing = sorted(expected - registered) + sorted(expected - set(SAMPLES))
    if missing or not registered:
        return (
            False,
            f"not registered: {', '.join(missing) or 'all of them'}",
            "Import the model in core/models/__init__.py.",
        )
    return True, f"{len(registered)} models", ""


def _revision(database: Database) -> Verdict:
    found = migrate.status(database)
    if not found.compatible:
        return False, f"revision {found.current_version} is unknown to this version", "Update Tradekeep."
    if found.migration_needed:
        return False, f"at {found.current_version or 'nothing yet'}, expected {found.expected_version}", _UPGRADE
    return True, f"at {found.current_version}", ""


def _table(database: Database, name: str, states: dict[str, present.TableState]) -> Verdict:
    state = states.get(name)
    if state is None or state.state == "missing":
        return False, "missing", _UPGRADE
    if state.missing_columns:
        return False, f"columns missing: {', '.join(state.missing_columns)}", "Compare it on the Schema page."
    with database.connect() as connection:
        changed = write_and_read(connection, Base.metadata.tables[name], dict(Base.metadata.tables))
        connection.rollback()
    if changed:
        return False, f"read back differently: {', '.join(changed)}", "Compare the column types on the Schema page."
    return True, "a row written, read back and rolled back", ""
