"""The database of another bot into ours: detected by its tables, converted exactly, written once, and reconciled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO

import sqlalchemy as sa

from core.database import Database
from core.errors import TradekeepError
from core.explore.imports import freqtrade, hummingbot
from core.explore.imports.foreign import Carried
from core.explore.imports.namedbot import owner
from core.explore.imports.reconciled import Reconciled, figures, held, reconciled
from core.explore.imports.run import one_at_a_time, refuse_read_only
from core.explore.imports.store import Store, store
from core.format import count
from core.models import Trade, TradingBot, TradingTrade
from core.progress import Report, silent
from core.repositories import bulk
from core.repositories.bulk import Counts, Target
from core.settings import DatabaseConfig

BATCH_ROWS = 20_000
FILLING = timedelta(days=31)  # how long an order may go on being filled after we first saw it
READERS: dict[str, Any] = {freqtrade.KIND: freqtrade, hummingbot.KIND: hummingbot}


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
    and order). Importing it again changes what has changed since; another database under the same name is refused.
    A row at fault is left out and told. Raises data.file, schema.missing_table.
    """
    report = progress or silent
    if not dry_run:
        refuse_read_only(db)
    report(0, 3, "Reading")
    with store(source, apart=True) as found:
        kind = _kind(found)
        if kind is None:
            known = ", ".join(READERS)
            raise TradekeepError("data.file", f"{found.name} has the tables of no bot that is known here ({known}).")
        carried: Carried = READERS[kind].carried(found, name, type)
        carried.notes += found.notes()
    told, where = count(len(carried.round_trips), "round trip"), "looked at" if dry_run else "in the tables"
    report(0, 3, f"{told} read")
    with db.connect() as connection:
        bots, into = (bulk.target(connection, model.__tablename__) for model in (TradingBot, Trade))
    with db.connect(statement_timeout_s=None) as connection:
        if not dry_run:
            one_at_a_time(connection, bots)
        bot_id = _bot(connection, carried, write=not dry_run)
        trips = _round_trips(connection, carried, bot_id, write=not dry_run)
    executions = list(carried.executions)
    written: list[dict[str, Any]] = []
    done = Counts()
    for start in range(0, len(executions), BATCH_ROWS):
        report(1, 3, f"{told} and {start:,} of {count(len(executions), 'execution')} {where}")
        some, counts = _executed(db, into, carried, executions[start : start + BATCH_ROWS], write=not dry_run)
        written += some
        done += counts
    report(2, 3, f"{told} and {count(len(executions), 'execution')} {where}; reconciling")
    ours = figures(carried.round_trips, written) if dry_run else held(db, carried, bot_id, written)
    rows = len(carried.round_trips) + len(executions)
    both = [reconciled(carried, one, ours.get(one, Decimal(0)), rows, db.backend) for one in carried.sums]
    report(3, 3, "Done")
    tables = {TradingTrade.__tablename__: trips, Trade.__tablename__: done}
    return BotImport(carried.kind, carried.name, tables, carried.told(), carried.notes, both, dry_run)


def _bot(connection: sa.Connection, carried: Carried, *, write: bool) -> int | None:
    """The bot's id: the one that an earlier import made, else a new one."""
    bots: Any = TradingBot.__table__
    same = sa.select(bots.c.id, bots.c.extra_metadata).where(
        bots.c.name == carried.name[:100], bots.c.type == carried.bot["type"]
    )
    found = connection.execute(same.order_by(bots.c.id).limit(1)).one_or_none()
    more = (found.extra_metadata or {}) if found else {"imported_from": carried.kind}
    if more.get("imported_from") in READERS.keys() - {carried.kind}:
        raise _another(carried, f"it is of {more['imported_from']}")
    first = more.get("first")
    if first and carried.first and first != carried.first:
        raise _another(carried, f"its first one is {first}, here it is {carried.first}")
    if not write:
        return found.id if found else None
    values = {**carried.bot, "name": carried.name[:100]}
    values["extra_metadata"] = more | ({"first": carried.first} if carried.first else {})
    if found:
        changing = {
            name: values[name] for name in ("total_pnl", "started_at", "currency", "description", "extra_metadata")
        }
        connection.execute(sa.update(bots).where(bots.c.id == found.id).values(**changing))
        return int(found.id)
    values["user_id"], note = owner(connection)
    values["config"] = {}
    carried.notes += [note] if note else []
    made: Any = connection.execute(sa.insert(bots).values(**values).returning(bots.c.id)).scalar_one()
    return int(made)


def _another(carried: Carried, why: str) -> TradekeepError:
    return TradekeepError(
        "data.file",
        f"The bot {carried.name} was imported from another database: {why}. Give this one a name of its own (Name of"
        " the bot, or --bot NAME).",
    )


def _round_trips(connection: sa.Connection, carried: Carried, bot_id: int | None, *, write: bool) -> Counts:
    """Write the round trips, each known again by its number in the other database; those refused are left out."""
    table: Any = TradingTrade.__table__
    known: dict[str, Any] = {}
    if bot_id is not None:
        for row in connection.execute(sa.select(table).where(table.c.bot_id == bot_id)).mappings():
            if number := (row["extra_metadata"] or {}).get("source_id"):
                known[str(number)] = row
    _recognise(carried, known)
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
    counts = Counts(len(fresh), updated, len(carried.round_trips) - len(fresh) - updated)
    return counts + Counts(-_appended(connection, carried, fresh)) if fresh and write else counts


def _recognise(carried: Carried, known: dict[str, Any]) -> None:
    """Raises data.file where these round trips are another database's than those that are known.

    What was closed stays as it was. Where nothing was, one open trade must be the same: of those that nothing was
    bought for, freqtrade gives the number away again.
    """

    def told(trip: Mapping[str, Any]) -> str:  # freqtrade once renamed BTC/USDT to BTC/USDT:USDT
        return f"{trip['symbol'].partition(':')[0]} of {trip['entry_time'].isoformat(' ')}"

    both = [(known[trip["source_id"]], trip) for trip in carried.round_trips if trip["source_id"] in known]
    if known and carried.round_trips and not both:
        raise _another(carried, f"none of its {count(len(known), 'round trip')} is here")
    closed = [(old, trip) for old, trip in both if old["status"] == "CLOSED"]
    wrong = [(old, trip) for old, trip in closed or both if told(old) != told(trip)]
    if wrong and (closed or len(wrong) == len(both)):
        old, trip = wrong[0]
        raise _another(carried, f"its trade {trip['source_id']} is {told(old)}, here it is {told(trip)}")


def _appended(connection: sa.Connection, carried: Carried, fresh: list[dict[str, Any]]) -> int:
    """Add new round trips; how many the table refused."""
    target = bulk.target(connection, TradingTrade.__tablename__)
    refused: dict[str, str] = {}
    for start in range(0, len(fresh), BATCH_ROWS):
        texts = bulk.texts_of(target, fresh[start : start + BATCH_ROWS])
        for one in bulk.write(connection, target, None, bulk.numbered(texts, start), how="append")[1]:
            refused[fresh[one.row - 1]["extra_metadata"]["source_id"]] = f"{one.column}: {one.reason}"
    lost = [trip for trip in carried.round_trips if trip["source_id"] in refused]
    carried.round_trips = [trip for trip in carried.round_trips if trip["source_id"] not in refused]
    _lost(carried, lost, [], [f"Trade {number}: {why}" for number, why in refused.items()])
    return len(lost)


def _lost(carried: Carried, trips: list[dict[str, Any]], executions: list[dict[str, Any]], lines: list[str]) -> None:
    """Note rows that a table refused."""
    for line in lines:
        carried.leave(line)
    for name, amount in figures(trips, executions).items():
        carried.lose(name, amount)


def _same(old: Any, new: Any, backend: str) -> bool:
    """Whether the database holds a value already; SQLite keeps 15 digits of a number."""
    if isinstance(old, Decimal) and isinstance(new, Decimal) and backend == "sqlite":
        return abs(old - new) <= abs(new) * Decimal("1e-13")
    return bool(old == new)


def _executed(
    db: Database, target: Target, carried: Carried, rows: list[dict[str, Any]], *, write: bool
) -> tuple[list[dict[str, Any]], Counts]:
    """Write executions; those that the table took, and what became of them. Those refused are left out."""
    with db.connect(statement_timeout_s=None) as connection:
        if write:
            one_at_a_time(connection, target)
        moved = _moved(connection, carried, rows, write=write) if carried.once else 0
        key = target.key_for(list(rows[0]))
        texts = bulk.numbered(bulk.texts_of(target, rows), 0)
        done, refused = bulk.write(connection, target, key, texts, how="upsert" if write else "forecast")
    lines = [f"Order {rows[one.row - 1]['order_id']}: {one.column}: {one.reason}" for one in refused]
    lost = {one.row - 1 for one in refused}
    _lost(carried, [], [rows[place] for place in lost], lines)
    return [row for place, row in enumerate(rows) if place not in lost], done + Counts(-moved, moved)


def _moved(connection: sa.Connection, carried: Carried, rows: list[dict[str, Any]], *, write: bool) -> int:
    """Take these orders away where they stand at another time: one that goes on being filled changes its time.

    How many of the rows to be written are such orders, and no new ones.
    """
    trades: Any = Trade.__table__
    now: dict[tuple[Any, ...], set[datetime]] = {}
    for one in rows:
        now.setdefault((one["symbol"], one["order_id"], one["exchange"]), set()).add(one["executed_at"])
    moments = [one["executed_at"] for one in rows]
    columns = (trades.c.symbol, trades.c.order_id, trades.c.exchange, trades.c.executed_at, trades.c.id)
    asked = sa.select(*columns).where(
        trades.c.source == carried.kind,
        trades.c.order_id.in_([one["order_id"] for one in rows]),
        trades.c.executed_at.between(min(moments) - FILLING, max(moments) + FILLING),
    )
    found = [row for row in connection.execute(asked) if row[:3] in now]
    old = [row for row in found if row.executed_at not in now[row[:3]]]
    if write:
        for row in old:
            its = (trades.c.symbol == row.symbol, trades.c.executed_at == row.executed_at, trades.c.id == row.id)
            connection.execute(sa.delete(trades).where(*its))
    return len({row[:3] for row in old} - {row[:3] for row in found if row.executed_at in now[row[:3]]})
