"""Demo data in a real database: whether it is there, which rows it is, and taking exactly those away.

Loaded rows have negative ids, which no sequence and no bot gives, so each of them can be told from a real one, now and
after years. What has no id is known by its key: candles by coin, timeframe, times and the exchange "demo" (one that a
bot has written over is the bot's), settings by their keys, which begin with "demo.". A row of `webui_system_config` is
the label: who loaded what, and when.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, ValidationError

from core.database import Database
from core.errors import TradekeepError
from core.format import count
from core.models import AREAS, AuditLog, Base, Candle, Position, SystemConfig, TelegramSetting
from core.portfolio import refresh
from core.progress import Report, silent

logger = logging.getLogger(__name__)
KEY = "tradekeep.demo_data"
PREFIX = "demo."
EXCHANGE = "demo"
LOCK_WAIT = "3s"
# Tradekeep's own rows, and what it makes of others: they are in a database that nobody has used yet.
OWN = frozenset({"webui_audit_logs", "webui_system_config", "msg_system_health", *AREAS["rollups"]})
TABLES = Base.metadata.tables


class Mark(BaseModel):
    """What was loaded. rows: table -> number, ids from -number to -1; candles: timeframe -> first and last open time.

    positions: id -> digest of the row, by which one is told that a bot has written to since; columns: of the digest.
    settings: keys of telegram_settings; None in labels of before, which knew them by PREFIX alone.
    """

    model_config = ConfigDict(frozen=True)
    loaded_at: datetime
    by: str
    seed: int
    rows: dict[str, int]
    symbols: list[str] = []
    candles: dict[str, tuple[datetime, datetime]] = {}
    columns: list[str] = []
    positions: dict[int, str] = {}
    settings: list[str] | None = None

    @property
    def total(self) -> int:
        """How many rows were loaded."""
        return sum(self.rows.values())


class Standing(BaseModel):
    """Whether demo data is loaded (mark), and the tables that hold rows, which keep it from being loaded."""

    model_config = ConfigDict(frozen=True)
    mark: Mark | None
    occupied: list[str]

    @property
    def loadable(self) -> bool:
        """Whether the database is empty enough for demo data."""
        return self.mark is None and not self.occupied


class Removed(BaseModel):
    """Rows that were taken away, by table; kept: positions to which something was written since."""

    model_config = ConfigDict(frozen=True)
    rows: dict[str, int] = {}
    kept: list[str] = []

    @property
    def total(self) -> int:
        """How many rows were taken away."""
        return sum(self.rows.values())


def present(connection: sa.Connection) -> bool:
    """Whether demo data is loaded; False too where the tables are not there yet."""
    if not sa.inspect(connection).has_table(SystemConfig.__tablename__):
        return False
    return connection.execute(sa.select(SystemConfig.id).where(SystemConfig.key == KEY)).first() is not None


def standing(connection: sa.Connection) -> Standing:
    """Where the database stands. Raises schema.missing_table before the tables are made."""
    return Standing(mark=mark(connection), occupied=occupied(connection))


def mark(connection: sa.Connection) -> Mark | None:
    """What was loaded into this database; None if nothing was. Raises data.json for a label that was changed."""
    value = connection.execute(sa.select(SystemConfig.value).where(SystemConfig.key == KEY)).scalar()
    try:
        return None if value is None else Mark.model_validate(value)
    except ValidationError:
        text = f"The label of the demo data (webui_system_config, key {KEY}) was changed and cannot be read."
        raise TradekeepError("data.json", text) from None


def occupied(connection: sa.Connection) -> list[str]:
    """The tables that hold rows, Tradekeep's own rows aside."""
    asked = [
        sa.select(sa.literal(name).label("name")).where(sa.exists(sa.select(sa.literal(1)).select_from(table)))
        for name, table in TABLES.items()
        if name not in OWN
    ]
    return sorted(connection.scalars(sa.union_all(*asked)))


def refuse_unless_empty(connection: sa.Connection) -> None:
    """Raise data.not_empty where demo data would stand among other rows."""
    if (found := mark(connection)) is not None:
        raise TradekeepError(
            "data.not_empty", f"Demo data was loaded already, at {found.loaded_at:%Y-%m-%d %H:%M} UTC."
        )
    if tables := occupied(connection):
        named = ", ".join(tables[:5]) + (f" and {len(tables) - 5} more" if len(tables) > 5 else "")
        raise TradekeepError("data.not_empty", f"{count(len(tables), 'table')} already hold rows: {named}.")


def lock(connection: sa.Connection) -> None:
    """Keep everybody from writing until the transaction ends; raises transient.lock_timeout where somebody writes."""
    if connection.dialect.name != "postgresql":
        return
    quote = connection.dialect.identifier_preparer.quote
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_WAIT}'")
    names = ", ".join(quote(name) for name in TABLES if name not in AREAS["rollups"])
    connection.exec_driver_sql(f"LOCK TABLE {names} IN SHARE ROW EXCLUSIVE MODE")


def note(connection: sa.Connection, found: Mark) -> None:
    """Label the database, and write down in the audit log who did it."""
    value = found.model_dump(mode="json")
    text = "Demo data is loaded: rows with negative ids, candles of the exchange demo, settings named demo.*"
    connection.execute(sa.insert(SystemConfig).values(key=KEY, value=value, description=text))
    _audit(connection, "demo.load", found.by, found.total)


def digests(connection: sa.Connection, columns: Sequence[str]) -> dict[int, str]:
    """Id -> digest of each loaded position, of these columns."""
    table = Position.__table__
    there = [name for name in columns if name in table.c]
    rows = connection.execute(sa.select(table.c.id, *(table.c[name] for name in there)).where(table.c.id < 0))
    return {row[0]: hashlib.sha256(repr(tuple(map(str, row[1:]))).encode()).hexdigest()[:16] for row in rows}


def remove(db: Database, *, by: str, progress: Report = silent) -> Removed:
    """Take the loaded rows away, all or none; nothing where none are. db: of the role that owns the tables.

    A position to which something was written since it was loaded stays, and is named. Raises data.in_use where other
    rows refer to loaded ones: a deletion would take those with it, or fail.
    """
    with db.connect(statement_timeout_s=None) as connection:
        progress(0, 1, "Looking for rows that refer to demo data")
        lock(connection)
        found = mark(connection)
        if found is None:
            return Removed()
        if refer := list(_references(connection, found)):
            raise TradekeepError("data.in_use", f"Rows of your own refer to demo data: {'; '.join(refer)}.")
        kept = _changed_positions(connection, found)
        taken: dict[str, int] = {}
        for table in reversed(Base.metadata.sorted_tables):
            if table.name not in found.rows:
                continue
            progress(sum(taken.values()), found.total, f"Removing from {table.name}")
            rows = loaded(table.name, table.c, found)
            if table.name == Position.__tablename__ and kept:
                rows = sa.and_(rows, table.c.id.not_in(list(kept)))
            taken[table.name] = connection.execute(sa.delete(table).where(rows)).rowcount
        connection.execute(sa.delete(SystemConfig).where(SystemConfig.key == KEY))
        _audit(connection, "demo.remove", by, sum(taken.values()))
    sum_up(db)
    return Removed(rows=taken, kept=list(kept.values()))


def sum_up(db: Database) -> None:
    """Bring the rollups up to date; whatever comes in between, they are brought so later, and the rows are right."""
    try:
        refresh.refresh(db)
    except TradekeepError as error:
        logger.warning("the rollups were not refreshed: %s", error.message, extra={"code": error.error_code})


def loaded(name: str, columns: Any, found: Mark) -> sa.ColumnElement[bool]:
    """The condition on the columns of a table that holds for its loaded rows and for no other."""
    if name == Candle.__tablename__:
        stretches = [
            sa.and_(columns.timeframe == timeframe, columns.open_time.between(first, last))
            for timeframe, (first, last) in found.candles.items()
        ]
        untouched = sa.and_(columns.exchange == EXCHANGE, columns.updated_at <= found.loaded_at)
        return sa.and_(untouched, columns.symbol.in_(found.symbols), sa.or_(sa.false(), *stretches))
    if name == TelegramSetting.__tablename__:
        own: sa.ColumnElement[bool] = columns.key.startswith(PREFIX, autoescape=True)
        return own if found.settings is None else columns.key.in_(found.settings)
    ids: sa.ColumnElement[bool] = columns.id.between(-found.rows.get(name, 0), -1)
    return ids


def _changed_positions(connection: sa.Connection, found: Mark) -> dict[int, str]:
    """Id -> coin and side of each loaded position that is not as it was loaded."""
    now = digests(connection, found.columns)
    ids = [id for id, digest in now.items() if found.positions.get(id, digest) != digest]
    rows = connection.execute(sa.select(Position.id, Position.symbol, Position.side).where(Position.id.in_(ids)))
    return {row.id: f"{row.symbol} {row.side}" for row in rows}


def _references(connection: sa.Connection, found: Mark) -> Iterator[str]:
    """How many rows that are not loaded ones refer to loaded ones, in words, for each foreign key that has any."""
    for key in _foreign_keys(connection):
        if key.parent not in found.rows:
            continue
        ours = TABLES.get(key.child) if key.schema is None else None
        other = sa.table(key.child, *map(sa.column, key.columns), schema=key.schema)
        source = (other if ours is None else ours).alias("source")
        target = TABLES[key.parent].alias("target")
        same = [source.c[mine] == target.c[its] for mine, its in zip(key.columns, key.parent_columns, strict=True)]
        held = sa.select(sa.literal(1)).select_from(target).where(*same, loaded(key.parent, target.c, found))
        asked = sa.select(sa.func.count()).select_from(source).where(sa.exists(held.correlate(source)))
        if ours is not None and key.child in found.rows:
            asked = asked.where(~loaded(key.child, source.c, found))
        if number := connection.scalar(asked):
            yield f"{count(number, 'row')} of {key.child} (column {', '.join(key.columns)}) to {key.parent}"


class _ForeignKey(NamedTuple):
    """schema: of the child; None for our own. parent: one of our tables."""

    schema: str | None
    child: str
    columns: Sequence[str]
    parent: str
    parent_columns: Sequence[str]


def _foreign_keys(connection: sa.Connection) -> Iterator[_ForeignKey]:
    """Every foreign key to one of our tables, also of tables that are not ours."""
    if connection.dialect.name == "sqlite":
        for table in TABLES.values():
            for key in table.foreign_key_constraints:
                theirs = [element.column.name for element in key.elements]
                yield _ForeignKey(None, table.name, key.column_keys, key.referred_table.name, theirs)
        return
    sql = """
        SELECT nullif(n.nspname, 'public'), c.relname,
          (SELECT array_agg(a.attname::text ORDER BY k.n) FROM unnest(o.conkey) WITH ORDINALITY k(num, n)
           JOIN pg_attribute a ON a.attrelid = o.conrelid AND a.attnum = k.num),
          p.relname,
          (SELECT array_agg(a.attname::text ORDER BY k.n) FROM unnest(o.confkey) WITH ORDINALITY k(num, n)
           JOIN pg_attribute a ON a.attrelid = o.confrelid AND a.attnum = k.num)
        FROM pg_constraint o JOIN pg_class c ON c.oid = o.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_class p ON p.oid = o.confrelid
        WHERE o.contype = 'f' AND o.conparentid = 0 AND p.relnamespace = 'public'::regnamespace
          AND p.relname = ANY(:tables) ORDER BY n.nspname, c.relname, o.conname"""
    for row in connection.execute(sa.text(sql), {"tables": list(TABLES)}):
        yield _ForeignKey(*row)


def _audit(connection: sa.Connection, action: str, by: str, rows: int) -> None:
    details = {"by": by, "rows": rows}
    connection.execute(sa.insert(AuditLog).values(action=action, resource_type="demo_data", details=details))
