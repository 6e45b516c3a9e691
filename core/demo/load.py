"""The demo's rows in a real, empty database: marked, told apart from real rows by their ids, and set to do nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict

from core.database import Database
from core.demo.books import Row
from core.demo.seed import SEED, rows
from core.models import Base
from core.progress import Report, silent
from core.services import demo_data
from core.services.demo_data import PREFIX, Mark

BATCH = 2_000
# How the platform's parts are now must not be invented beside those that report it.
LEFT_OUT = frozenset({"msg_system_health"})
# Nothing that is loaded may act, sign in, or be taken for the platform's configuration.
QUIET: dict[str, Callable[[Row], Row]] = {
    "usr_users": lambda row: {"is_active": False},
    "trading_bots": lambda row: {
        "name": f"{row['name']} (demo)",
        "status": "paused" if row["status"] == "running" else row["status"],
    },
    "job_schedules": lambda row: {"enabled": False},
    "msg_messages": lambda row: {"status": "CANCELLED" if row["status"] == "PENDING" else row["status"]},
    "msg_channel_configs": lambda row: {"channel": f"{PREFIX}{row['channel']}", "enabled": False},
    "telegram_settings": lambda row: {"key": PREFIX + row["key"]},
    "webui_system_config": lambda row: {"key": PREFIX + row["key"]},
}
# Ids in what no foreign key covers: columns, and names within JSON.
COLUMNS = {("job_schedule_runs", "user_id"): "usr_users"}
INNER = {"bot_id": "trading_bots", "trade_id": "trading_trades"}


class Loaded(BaseModel):
    """What a load wrote: rows by table, and how long it took."""

    model_config = ConfigDict(frozen=True)
    rows: dict[str, int]
    ms: float

    @property
    def total(self) -> int:
        """How many rows were written."""
        return sum(self.rows.values())


def load(db: Database, *, by: str, now: datetime | None = None, progress: Report = silent) -> Loaded:
    """Write a year of invented trading into an empty database, all or nothing, and label it.

    The rows are the demo's, with negative ids; bots are paused, jobs, channels and people switched off, waiting
    messages cancelled. db: of the role that owns the tables. Nobody else writes meanwhile. Raises data.not_empty,
    schema.missing_table, transient.lock_timeout.
    """
    begin = time.perf_counter()
    db.ask(demo_data.refuse_unless_empty)  # before the work; what counts is the look under the lock
    progress(0, 1, "Inventing a year of trading")
    tables = list(adapted(rows(now or datetime.now(UTC))))
    total, done = sum(len(found) for _table, found in tables), 0
    with db.connect(statement_timeout_s=None) as connection:
        demo_data.lock(connection)
        demo_data.refuse_unless_empty(connection)
        for table, found in tables:
            for start in range(0, len(found), BATCH):
                progress(done, total, f"Writing {table.name}")
                part = found[start : start + BATCH]
                _write(connection, table, part)
                done += len(part)
        progress(done, total, "Writing the label")
        demo_data.note(connection, _mark(connection, tables, by))
        if connection.dialect.name == "postgresql":
            quote = connection.dialect.identifier_preparer.quote
            connection.exec_driver_sql(f"ANALYZE {', '.join(quote(table.name) for table, _found in tables)}")
    demo_data.sum_up(db)
    counts = {table.name: len(found) for table, found in tables}
    return Loaded(rows=counts, ms=(time.perf_counter() - begin) * 1000)


def adapted(tables: Iterable[tuple[sa.Table, list[Row]]]) -> Iterator[tuple[sa.Table, list[Row]]]:
    """The demo's tables as they are loaded: ids from -number to -1 in the order of before, and nothing that acts."""
    kept = [(table, found) for table, found in tables if table.name not in LEFT_OUT]
    ids = {
        table.name: {row["id"]: place - len(found) for place, row in enumerate(found)}
        for table, found in kept
        if "id" in table.c
    }
    for table, found in kept:
        referring = {key.parent.name: key.column.table.name for key in table.foreign_keys}
        referring |= {column: parent for (name, column), parent in COLUMNS.items() if name == table.name}
        if table.name in ids:
            referring["id"] = table.name
        inner = [name for name, value in found[0].items() if isinstance(value, dict)]
        quiet = QUIET.get(table.name, lambda row: {})
        yield table, [_adapted(row, referring, inner, ids) | quiet(row) for row in found]


def _adapted(row: Row, referring: dict[str, str], inner: list[str], ids: dict[str, dict[int, int]]) -> Row:
    made = dict(row)
    for name, table in referring.items():
        if made[name] is not None:
            made[name] = ids[table][made[name]]
    for name in inner:
        value = made[name]
        if value and INNER.keys() & value.keys():
            made[name] = {key: ids[INNER[key]][one] if key in INNER else one for key, one in value.items()}
    return made


def _write(connection: sa.Connection, table: sa.Table, found: list[Row]) -> None:
    """The rows by COPY; on SQLite by INSERT."""
    if connection.dialect.name != "postgresql":
        connection.execute(
            sa.insert(table), [{table.c[name].key: value for name, value in row.items()} for row in found]
        )
        return
    driver: Any = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    quote, names = connection.dialect.identifier_preparer.quote, list(found[0])
    statement = f"COPY {quote(table.name)} ({', '.join(map(quote, names))}) FROM STDIN"
    with driver.cursor() as cursor, cursor.copy(statement) as copy:
        for row in found:
            copy.write_row([json.dumps(value) if isinstance(value, dict) else value for value in row.values()])


def _mark(connection: sa.Connection, tables: list[tuple[sa.Table, list[Row]]], by: str) -> Mark:
    by_name = {table.name: found for table, found in tables}
    candles: dict[str, tuple[datetime, datetime]] = {}
    for row in by_name["candles"]:
        first, last = candles.get(row["timeframe"], (row["open_time"], row["open_time"]))
        candles[row["timeframe"]] = (min(first, row["open_time"]), max(last, row["open_time"]))
    columns = [column.name for column in Base.metadata.tables["positions"].columns if column.name != "id"]
    return Mark(
        loaded_at=datetime.now(UTC),
        by=by,
        seed=SEED,
        rows={table.name: len(found) for table, found in tables},
        symbols=sorted({row["symbol"] for row in by_name["candles"]}),
        candles=candles,
        columns=columns,
        positions=demo_data.digests(connection, columns),
        settings=sorted(row["key"] for row in by_name["telegram_settings"]),
    )
