"""Demo mode's database: a read-only SQLite file with invented rows, made on first use."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import filelock
import sqlalchemy as sa

from core import private
from core.database import Database
from core.demo.seed import SEED, rows
from core.errors import TradekeepError, classify
from core.models import Base, SystemHealth, TradingBot
from core.models.base import UtcTime
from core.settings import DatabaseConfig

__all__ = ["SEED", "database", "rows"]
logger = logging.getLogger(__name__)
SLOT_S = 6 * 3600  # times are relative to the moment of making; a slot never spans midnight UTC
BEAT_S = 30.0
UNUSED_S = 3600.0  # a file in use is touched at each beat
LOCK_WAIT_S = 60.0


class _Demo:
    """The demo of one home: its Database, and when its bots last said that they are alive."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.database = Database(_config(file), read_only=True)
        self.beat_at = float("-inf")  # the file may be from an earlier process


_demos: dict[Path, _Demo] = {}
_lock = threading.Lock()


def database(home: Path) -> Database:
    """The read-only Database of `<home>/demo/demo-<fingerprint>.sqlite`, which is made if it is not there.

    Another file is made after a change of generator or models, and every six hours, so that "today" has rows; files
    that nobody uses any more are removed. Between that, only the bots' heartbeats move on. Raises permission.file,
    resource errors.
    """
    file = home / "demo" / f"demo-{_fingerprint(int(time.time() // SLOT_S))}.sqlite"
    with _lock:
        demo = _demos.get(home)
        if demo is None or demo.file != file or not file.exists():
            _ensure(file)
            if demo is not None:
                demo.database.dispose()
            demo = _demos[home] = _Demo(file)
        if time.monotonic() - demo.beat_at > BEAT_S:
            demo.beat_at = time.monotonic()
            _beat(demo.file)
        return demo.database


def _config(file: Path) -> DatabaseConfig:
    return DatabaseConfig(backend="sqlite", database=str(file))


@cache
def _sources() -> bytes:
    """A digest of everything that decides what the rows look like."""
    digest = hashlib.sha256()
    root = Path(__file__).parents[2]
    for folder in ("core/demo", "core/models", "core/portfolio", "migrations/versions"):
        for source in sorted((root / folder).glob("*.py")):
            digest.update(source.read_bytes())
    return digest.digest()


def _fingerprint(slot: int) -> str:
    return hashlib.sha256(_sources() + str((SEED, slot)).encode()).hexdigest()[:16]


def _ensure(file: Path) -> None:
    """Make the file unless it is there; of several processes one makes it and the others wait."""
    if file.exists():
        return
    try:
        private.folder(file.parent)
        with filelock.FileLock(file.parent / "demo.lock", timeout=LOCK_WAIT_S):
            if not file.exists():
                _make(file)
                _tidy(file)
    except (OSError, sa.exc.SQLAlchemyError) as exc:
        raise classify(exc) from None


def _make(file: Path) -> None:
    begin = time.perf_counter()
    draft = file.with_name(f"{file.name}.{os.getpid()}.new")
    draft.unlink(missing_ok=True)
    try:
        write(draft, rows(datetime.now(UTC)))
        os.replace(draft, file)
    finally:
        draft.unlink(missing_ok=True)
    logger.info("demo data made", extra={"ms": round((time.perf_counter() - begin) * 1000), "file": str(file)})


def write(file: Path, tables: Iterable[tuple[sa.Table, list[dict[str, Any]]]]) -> None:
    """A new SQLite file with the whole schema, its revision recorded, these rows, and rollups of them."""
    from core.portfolio import refresh
    from core.schema import migrate  # Alembic takes a while to import, and only this needs it

    with Database(_config(file)) as made:
        moments: dict[Any, Any] = {}
        with made.connect() as connection:
            Base.metadata.create_all(connection)
            for table, found in tables:
                _insert(connection, table, found, moments)
        refresh.refresh(made)
        migrate.stamp(made, "head")


def _insert(connection: sa.Connection, table: sa.Table, found: list[dict[str, Any]], moments: dict[Any, Any]) -> None:
    """The rows as one executemany of the driver; SQLAlchemy's own takes three times as long around the same values.

    moments: time -> its text, kept between tables, as most times occur often.
    """
    insert = table.insert().compile(dialect=connection.dialect, column_keys=list(found[0]))
    columns = []
    for name in insert.positiontup or ():
        kind = table.c[name].type
        process = kind.dialect_impl(connection.dialect).bind_processor(connection.dialect)
        values = [row[name] for row in found]
        if isinstance(kind, UtcTime) and process:
            moments |= {value: process(value) for value in set(values) - moments.keys()}
            values = [moments[value] for value in values]
        elif process:
            values = [process(value) for value in values]
        columns.append(values)
    connection.exec_driver_sql(str(insert), list(zip(*columns, strict=True)))


def _tidy(current: Path) -> None:
    for other in current.parent.glob("demo-*.sqlite*"):
        try:
            if other != current and time.time() - other.stat().st_mtime > UNUSED_S:
                other.unlink()
        except OSError:  # another process removes it too, or Windows keeps it open
            logger.info("an old demo file stays for now", extra={"file": str(other)})


def _beat(file: Path) -> None:
    """Let the running bots say that they are alive, and the healthy systems that they are well."""
    now = datetime.now(UTC)
    try:
        with Database(_config(file)) as writer, writer.connect() as connection:
            connection.execute(sa.update(TradingBot).where(TradingBot.status == "running").values(last_heartbeat=now))
            healthy = sa.update(SystemHealth).where(SystemHealth.status == "HEALTHY")
            connection.execute(healthy.values(last_success=now, checked_at=now))
    except TradekeepError as error:  # another process is writing the same: its beat serves as well
        logger.info("the demo's heartbeat was not written: %s", error.message)
