"""Proof that the database works: connection, tables, models, a row written and rolled back, and every coin followed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Literal

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict

from core.database import Database, Databases, session
from core.errors import TradekeepError
from core.models import AREAS, Base
from core.progress import Report, silent
from core.schema import grants, migrate, present
from core.settings import load_settings
from core.setup import coverage
from core.setup.samples import SAMPLES, write_and_read


class Verification(BaseModel):
    """One thing looked at: ok is None when there was nothing to look at, which is not a pass; ms its time.

    area: the database itself, or the coins that are written to it.
    """

    model_config = ConfigDict(frozen=True)
    area: Literal["database", "coins"] = "database"
    name: str
    ok: bool | None
    message: str
    fix: str = ""
    ms: float = 0.0


Verdict = tuple[bool | None, str, str]


def _any(condition: str) -> str:
    """An expression that is true if the condition holds for any table c of schema public."""
    return (
        "EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')"
        f" AND {condition})"
    )


_UPGRADE = 'Create the tables: python -m core migrate, or "Create the tables" on the Setup page.'


def verify(
    databases: Databases, *, tracked: Sequence[str] | Literal["settings"] | None = "settings", progress: Report = silent
) -> list[Verification]:
    """Look at everything the platform needs; a line each, in order. Leaves nothing behind, raises nothing.

    tracked: coins that are expected to be written, beside those that the tables name, by default TRACKED_SYMBOLS; a
    line each, none where no coin is followed. None: coins are not looked at, as in a setup, before any bot has written.
    """
    tables = [name for names in AREAS.values() for name in names]
    total = len(tables) + 8
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
    for name, database, too_much in _kept_apart(databases):
        look(name, partial(_least_privilege, database, too_much, databases.owner.config.user))
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
    if tracked is not None:
        progress(len(lines), total, "Coins")
        named = load_settings().tracked_symbols if tracked == "settings" else tracked
        lines.extend(_coins(databases.writer, named))
    progress(total, total, "Verified")
    return lines


def passed(lines: Iterable[Verification]) -> bool:
    """Whether every line was looked at and found right; an empty list is not a pass."""
    lines = list(lines)
    return bool(lines) and all(line.ok for line in lines)


def database_passed(lines: Iterable[Verification]) -> bool:
    """Whether the database itself is right, whatever is written to it: what a setup can bring about."""
    return passed(line for line in lines if line.area == "database")


def _not_looked(tables: list[str], why: str) -> list[Verification]:
    return [Verification(name=f"Table {name}", ok=None, message=why) for name in tables]


def _coins(database: Database, tracked: Sequence[str]) -> list[Verification]:
    """A line for every coin that is followed: whether its candles and decision traces are recent."""
    begin = time.perf_counter()
    try:
        found = database.ask(coverage.coverage, tracked)
    except TradekeepError as error:
        return [_coin("Coins", None, error.message, error.suggested_fix, 0.0)]
    ms = (time.perf_counter() - begin) * 1000 / max(1, len(found.coins))
    lines = []
    for coin in found.coins:
        lines.append(_coin(f"Coin {coin.symbol}", coin.ok, *coverage.told(coin, found.at), ms))
    return lines


def _coin(name: str, ok: bool | None, message: str, fix: str, ms: float) -> Verification:
    return Verification(area="coins", name=name, ok=ok, message=message, fix=fix, ms=ms)


def _roles(databases: Databases) -> list[tuple[str, Database]]:
    """The distinct roles, each once."""
    roles: dict[int, tuple[str, Database]] = {}
    for name, database in (("runtime", databases.writer), ("owner", databases.owner), ("viewer", databases.reader)):
        roles.setdefault(id(database), (name, database))
    return list(roles.values())


def _kept_apart(databases: Databases) -> list[tuple[str, Database, dict[str, str]]]:
    """The roles that should be less than the owner; none where one role serves for everything."""
    pairs = [("runtime", databases.writer, _RUNTIME), ("viewer", databases.reader, _VIEWER)]
    return [
        (f"Least privilege of {name}", database, too_much)
        for name, database, too_much in pairs
        if database is not databases.owner and database.backend == "postgresql"
    ]


def _connection(database: Database) -> Verdict:
    ms = database.ping()
    if database.backend == "postgresql":  # a connection that is open already says nothing about the password
        with session(database.config):
            pass
    return True, f"{database.name} answers in {ms:.1f} ms", ""


# What a role of a bot, and the role that only reads, may have too much: words, and how to ask for it.
_TOO_MUCH = {
    "superuser": "current_setting('is_superuser') = 'on'",
    "the owner's role": "pg_has_role({owner}, 'MEMBER')",
    "creating in schema public": "has_schema_privilege('public', 'CREATE')",
    "creating schemas": "has_database_privilege(current_database(), 'CREATE')",
    "emptying tables": _any("has_table_privilege(c.oid, 'TRUNCATE')"),
}
_RUNTIME = _TOO_MUCH | {
    "changing audit rows": _any("c.relname = ANY({audit}) AND has_table_privilege(c.oid, 'UPDATE, DELETE')"),
}
_VIEWER = _TOO_MUCH | {
    "writing rows": _any("has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE')"),
    "reading secrets": _any(
        "EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = ANY({secret})"
        " AND c.relname = ANY({secret_tables}) AND has_column_privilege(c.oid, a.attnum, 'SELECT'))"
    ),
}


def _least_privilege(database: Database, too_much: dict[str, str], owner: str) -> Verdict:
    """What a role may that it should not, asked as that role."""
    secret = grants.secret_columns()
    values = {
        "owner": owner,
        "audit": grants.append_only_tables(),
        "secret_tables": list(secret),
        "secret": sorted({column for columns in secret.values() for column in columns}),
    }
    columns = ", ".join(expression.format(**{name: f":{name}" for name in values}) for expression in too_much.values())
    with database.connect() as connection:
        row = connection.execute(sa.text(f"SELECT {columns}"), values).one()  # our own expressions
    found = [word for word, may in zip(too_much, row, strict=True) if may]
    user = database.config.user
    if found:
        return False, f"{user} has too much: {', '.join(found)}", "Run the setup again: it takes these rights away."
    return True, f"{user} has what its work needs, and nothing else", ""


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
    if found.missing or found.incomplete:
        return True, f"at {found.current_version}; the tables that are not whole are named below", ""
    if found.migration_needed:
        return False, f"at {found.current_version or 'nothing yet'}, expected {found.expected_version}", _UPGRADE
    return True, f"at {found.current_version}", ""


def _table(database: Database, name: str, states: dict[str, present.TableState]) -> Verdict:
    state = states.get(name)
    if state is None or state.state == "missing":
        return False, "missing", _UPGRADE
    if state.missing_columns:
        lacking = ", ".join(state.missing_columns)
        return (
            False,
            f"the table lacks {'a column' if len(state.missing_columns) == 1 else 'columns'}: {lacking}",
            _UPGRADE,
        )
    with database.connect() as connection:
        changed = write_and_read(connection, Base.metadata.tables[name], dict(Base.metadata.tables))
        connection.rollback()
    if changed:
        return False, f"read back differently: {', '.join(changed)}", "Compare the column types on the Schema page."
    return True, "a row written, read back and rolled back", ""
