"""The database of another bot into ours: detected by its tables, converted exactly, written once, and reconciled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO

import sqlalchemy as sa

from core.database import Database
from core.errors import TradekeepError
from core.explore.imports import freqtrade, hummingbot
from core.explore.imports.foreign import PLACES, Carried
from core.explore.imports.run import refuse_read_only
from core.explore.imports.store import Store, store
from core.format import count
from core.models import Trade, TradingBot, TradingTrade, User
from core.progress import Report, silent
from core.repositories import bulk
from core.repositories.bulk import Counts
from core.settings import DatabaseConfig

BATCH_ROWS = 20_000
NOBODY = "import@localhost"
READERS: dict[str, Any] = {freqtrade.KIND: freqtrade, hummingbot.KIND: hummingbot}


@dataclass(frozen=True)
class Reconciled:
    """A figure of theirs beside ours; why: what explains a difference, "" where there is none."""

    name: str
    theirs: Decimal
    ours: Decimal
    why: str = ""

    @property
    def ok(self) -> bool:
        """Whether they are equal, or the difference is explained."""
        return self.theirs == self.ours or bool(self.why)


@dataclass(frozen=True)
class BotImport:
    """What became of a bot's database. counts: table -> what was new, changed, there already; left: what could not be
    carried over, a sentence each; reconciled: counts and sums of both sides."""

    kind: str
    bot: str
    counts: dict[str, Counts] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    reconciled: list[Reconciled] = field(default_factory=list)
    dry_run: bool = False

    def as_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {
            "kind": self.kind,
            "bot": self.bot,
            "tables": {table: vars(counts) for table, counts in self.counts.items()},
            "left": self.left,
            "notes": self.notes,
            "reconciled": [
                {"name": one.name, "theirs": str(one.theirs), "ours": str(one.ours), "ok": one.ok, "why": one.why}
                for one in self.reconciled
            ],
            "dry_run": self.dry_run,
        }


def bot_of(source: Path | str | BinaryIO | DatabaseConfig) -> str | None:
    """Whose database this is: freqtrade, hummingbot, or None. Raises data.file, connection errors."""
    with store(source) as found:
        return _kind(found)


def _kind(found: Store) -> str | None:
    return next((kind for kind, reader in READERS.items() if reader.is_it(found)), None)


def import_bot(
    db: Database,
    source: Path | str | BinaryIO | DatabaseConfig,
    *,
    name: str | None = None,
    type: str | None = None,
    dry_run: bool = False,
    progress: Report | None = None,
) -> BotImport:
    """Import a database of freqtrade or hummingbot: a file, an upload, or a PostgreSQL connection.

    It becomes one bot of that name (default: the program and the file's name) and type (paper or live; default: by
    its orders), its round trips (known again by the other program's own numbers) and its executions (by symbol, time
    and order). Importing it again changes what has changed since. Raises data.file, schema.missing_table.
    """
    report = progress or silent
    if not dry_run:
        refuse_read_only(db)
    report(0, 3, "Reading")
    with store(source) as found:
        kind = _kind(found)
        if kind is None:
            known = ", ".join(READERS)
            raise TradekeepError("data.file", f"{found.name} has the tables of no bot that is known here ({known}).")
        carried: Carried = READERS[kind].carried(found, name, type)
    told, where = count(len(carried.round_trips), "round trip"), "looked at" if dry_run else "in the tables"
    report(0, 3, f"{told} read")
    with db.connect(statement_timeout_s=None) as connection:
        bot_id = _bot(connection, carried, write=not dry_run)
        trips = _round_trips(connection, carried, bot_id, write=not dry_run)
    counts = {TradingTrade.__tablename__: trips}
    executions = list(carried.executions)
    done = Counts()
    for start in range(0, len(executions), BATCH_ROWS):
        report(1, 3, f"{told} and {start:,} of {count(len(executions), 'execution')} {where}")
        done += _executed(db, executions[start : start + BATCH_ROWS], write=not dry_run)
    counts[Trade.__tablename__] = done
    report(2, 3, f"{told} and {count(len(executions), 'execution')} {where}; reconciling")
    theirs = _theirs(carried, executions) if dry_run else _ours(db, carried, bot_id, executions)
    rows = len(carried.round_trips) + len(executions)
    reconciled = [_reconciled(one, amount, theirs, rows, db.backend) for one, amount in carried.sums.items()]
    report(3, 3, "Done")
    return BotImport(carried.kind, carried.name, counts, carried.left, carried.notes, reconciled, dry_run)


def _bot(connection: sa.Connection, carried: Carried, *, write: bool) -> int | None:
    """The bot's id: the one that an earlier import made, else a new one."""
    bots: Any = TradingBot.__table__
    same = sa.select(bots.c.id).where(bots.c.name == carried.name[:100], bots.c.type == carried.bot["type"])
    found: int | None = connection.execute(same.order_by(bots.c.id).limit(1)).scalar_one_or_none()
    if not write:
        return found
    values = {**carried.bot, "name": carried.name[:100]}
    if found is not None:
        changing = {name: values[name] for name in ("total_pnl", "started_at", "currency", "description")}
        connection.execute(sa.update(bots).where(bots.c.id == found).values(**changing))
        return found
    values |= {"user_id": _owner(connection, carried), "config": {}, "extra_metadata": {"imported_from": carried.kind}}
    made: Any = connection.execute(sa.insert(bots).values(**values).returning(bots.c.id)).scalar_one()
    return int(made)


def _owner(connection: sa.Connection, carried: Carried) -> int:
    """Whose the bot is: the first administrator's, else the first person's, else nobody's who can sign in."""
    users: Any = User.__table__
    first = sa.select(users.c.id).order_by(users.c.role != "admin", users.c.id).limit(1)
    found = connection.execute(first).scalar_one_or_none()
    if found is not None:
        return int(found)
    carried.notes.append(f"There was no person whom the bot could belong to; {NOBODY} was added, who cannot sign in.")
    made: Any = sa.insert(users).values(email=NOBODY, role="trader", is_active=False).returning(users.c.id)
    return int(connection.execute(made).scalar_one())


def _round_trips(connection: sa.Connection, carried: Carried, bot_id: int | None, *, write: bool) -> Counts:
    """Write the round trips, each known again by its number in the other database."""
    table: Any = TradingTrade.__table__
    known: dict[str, Any] = {}
    if bot_id is not None:
        for row in connection.execute(sa.select(table).where(table.c.bot_id == bot_id)).mappings():
            known[str((row["extra_metadata"] or {}).get("source_id"))] = row
    fresh, updated = [], 0
    for trip in carried.round_trips:
        values = {key: value for key, value in trip.items() if key not in ("source_id", "more")}
        values |= {
            "trade_type": carried.bot["type"],
            "extra_metadata": {"imported_from": carried.kind, "source_id": trip["source_id"], **trip["more"]},
        }
        old = known.get(trip["source_id"])
        if old is None:
            fresh.append({"bot_id": bot_id, **values})
        elif not all(_same(old[key], value, connection.dialect.name) for key, value in values.items()):
            updated += 1
            if write:
                now = {"updated_at": datetime.now(UTC)}
                connection.execute(sa.update(table).where(table.c.id == old["id"]).values(**values, **now))
    if fresh and write:
        target = bulk.target(connection, table.name)
        for start in range(0, len(fresh), BATCH_ROWS):
            texts = bulk.texts_of(target, fresh[start : start + BATCH_ROWS])
            _, refused = bulk.write(connection, target, None, bulk.numbered(texts, start), how="append")
            if refused:
                number = fresh[refused[0].row - 1]["extra_metadata"]["source_id"]
                raise TradekeepError("data.value", f"Trade {number}: {refused[0].column}: {refused[0].reason}")
    return Counts(len(fresh), updated, len(carried.round_trips) - len(fresh) - updated)


def _same(old: Any, new: Any, backend: str) -> bool:
    """Whether the database holds a value already; SQLite keeps 15 digits of a number."""
    if isinstance(old, Decimal) and isinstance(new, Decimal) and backend == "sqlite":
        return abs(old - new) <= abs(new) * Decimal("1e-13")
    return bool(old == new)


def _executed(db: Database, rows: list[dict[str, Any]], *, write: bool) -> Counts:
    with db.connect(statement_timeout_s=None) as connection:
        target = bulk.target(connection, Trade.__tablename__)
        key = target.key_for(list(rows[0]))
        texts = bulk.numbered(bulk.texts_of(target, rows), 0)
        done, refused = bulk.write(connection, target, key, texts, how="upsert" if write else "forecast")
        if refused:
            order = rows[refused[0].row - 1]["order_id"]
            raise TradekeepError("data.value", f"Order {order}: {refused[0].column}: {refused[0].reason}")
        return done


# --- both sides


def _theirs(carried: Carried, executions: list[dict[str, Any]]) -> Callable[[str], Decimal]:
    """Figures of the rows that would be written."""

    def figure(name: str) -> Decimal:
        what, _, of = name.partition(", ")
        trips = [trip for trip in carried.round_trips if (trip["status"] == "CLOSED") == (what != "open trades")]
        if what in ("closed trades", "open trades"):
            return Decimal(len(trips))
        if what == "profit of closed trades":
            return sum((trip["net_pnl"] or Decimal(0) for trip in trips if trip["currency"] == of), Decimal(0))
        if what in ("filled orders", "fills"):
            return Decimal(len({(row["symbol"], row["executed_at"], row["order_id"]) for row in executions}))
        field_name, key = ("fee", "currency") if what == "fees" else ("quantity", "symbol")
        return sum((row[field_name] for row in executions if row[key] == of), Decimal(0))

    return figure


def _ours(
    db: Database, carried: Carried, bot_id: int | None, executions: list[dict[str, Any]]
) -> Callable[[str], Decimal]:
    """The same figures, read from our tables afterwards."""
    trips: Any = TradingTrade.__table__
    trades: Any = Trade.__table__
    orders = {(row["symbol"], row["executed_at"], row["order_id"]) for row in executions}
    with db.connect(statement_timeout_s=None) as connection:
        chosen = sa.select(trips.c.status, trips.c.net_pnl, trips.c.currency).where(trips.c.bot_id == bot_id)
        mine = [dict(row) for row in connection.execute(chosen).mappings()]
        columns = (trades.c.symbol, trades.c.executed_at, trades.c.order_id, trades.c.quantity, trades.c.fee)
        own = sa.select(*columns, trades.c.currency).where(trades.c.source == carried.kind)
        if orders:
            moments = [key[1] for key in orders]
            own = own.where(trades.c.executed_at.between(min(moments), max(moments)))
        found = [
            dict(row)
            for row in connection.execute(own).mappings()
            if (row["symbol"], row["executed_at"], row["order_id"]) in orders
        ]
    copy = Carried(carried.kind, carried.name, carried.bot, round_trips=mine)
    return _theirs(copy, found)


def _reconciled(name: str, theirs: Decimal, ours: Callable[[str], Decimal], rows: int, backend: str) -> Reconciled:
    amount = ours(name)
    difference = abs(theirs - amount)
    why = ""
    if difference and difference <= PLACES * rows:
        why = f"Each amount is rounded to 10 digits after the point: {difference:f} in all."
    elif difference and backend == "sqlite" and difference <= abs(theirs) * Decimal("1e-13"):
        why = f"SQLite keeps 15 digits of a number: {difference:f} in all."
    return Reconciled(name, theirs, amount, why)
