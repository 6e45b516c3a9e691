"""One change of the schema at a time: the locks around it, how long it waits for others, and whom it waits for."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TypeVar

from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from core.database import Database
from core.errors import TradekeepError
from core.format import utc

T = TypeVar("T")
logger = logging.getLogger(__name__)
LOCK = 7_245_001  # the advisory lock's key: every program that migrates this schema takes the same one
LOCK_WAIT_S = 30.0
# A migration that waits for a table makes everybody else who wants the table wait behind it.
TABLE_WAIT_S = 5.0
TRIES = 3
PAUSE_S = 0.5
STATEMENT_TIMEOUT_S = 120.0  # a suspended server must not keep this process's lock for ever
LOOK_S = 2.0
# Alembic keeps its context in module globals: two threads would mix their connections.
_running = threading.RLock()


def run(db: Database, act: Callable[[Connection], T], wait_s: float | None = None) -> T:
    """act(connection), in one transaction in which nobody else migrates this database; its result.

    Tried again from its beginning when a table stays locked, three times in all. wait_s: longest wait for another
    migration, default LOCK_WAIT_S. Raises schema.busy, transient.lock, and what act raises.
    """
    limit_s = LOCK_WAIT_S if wait_s is None else wait_s
    with in_one_thread(limit_s, db.name):
        for number in range(1, TRIES + 1):
            blockers: list[str] = []
            try:
                with db.connect(statement_timeout_s=STATEMENT_TIMEOUT_S) as connection:
                    if connection.dialect.name == "sqlite":
                        _lock_file(db, connection, limit_s)
                        return act(connection)
                    _lock_database(db, connection, limit_s)
                    with _watched(db, connection, blockers):
                        return act(connection)
            except TradekeepError as error:
                if error.kind != "transient.lock" or db.backend == "sqlite":
                    raise
                held = "; ".join(blockers)
                logger.warning("the migration waited in vain for a lock: %s", held, extra={"try": number})
                if number == TRIES:
                    raise _explained(error, blockers) from None
            time.sleep(PAUSE_S)
    raise AssertionError("unreachable")


@contextmanager
def in_one_thread(wait_s: float, name: str = "") -> Iterator[None]:
    """Nobody else in this process uses Alembic meanwhile. Raises schema.busy."""
    if not _running.acquire(timeout=wait_s):
        raise TradekeepError("schema.busy", "Another migration is running in this process.", database=name)
    try:
        yield
    finally:
        _running.release()


def _lock_database(db: Database, connection: Connection, wait_s: float) -> None:
    """Take the advisory lock for this transaction; asked again and again, so that the wait ends without an error.

    Every statement sees what was committed before it, so the revision is read afresh after this.
    """
    connection.exec_driver_sql("SELECT set_config('lock_timeout', %s, true)", (str(round(TABLE_WAIT_S * 1000)),))
    deadline = time.monotonic() + wait_s
    while not connection.exec_driver_sql("SELECT pg_try_advisory_xact_lock(%s)", (LOCK,)).scalar():
        if time.monotonic() > deadline:
            raise TradekeepError("schema.busy", database=db.name)
        time.sleep(0.05)


def _lock_file(db: Database, connection: Connection, wait_s: float) -> None:
    """Take SQLite's write lock at once: a transaction that reads first cannot wait for it any more."""
    waits_ms = connection.exec_driver_sql("PRAGMA busy_timeout").scalar()
    connection.exec_driver_sql(f"PRAGMA busy_timeout = {round(wait_s * 1000)}")
    try:
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    except OperationalError as exc:
        if "locked" not in str(exc.orig):
            raise
        raise TradekeepError("schema.busy", details=str(exc.orig), database=db.name) from None
    finally:
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {waits_ms}")


@contextmanager
def _watched(db: Database, connection: Connection, blockers: list[str]) -> Iterator[None]:
    """Keep in blockers who holds up the connection; asked over another one, because afterwards nobody knows."""
    pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    over = threading.Event()

    def watch() -> None:
        while not over.wait(TABLE_WAIT_S / 4):
            try:
                with db.connect(statement_timeout_s=LOOK_S) as other:
                    found = _blockers(other, pid)
            except TradekeepError as error:  # the migration itself goes on, and reports what is wrong
                logger.info("could not look at who blocks the migration: %s", error.message)
                continue
            if found:
                blockers[:] = found

    watcher = threading.Thread(target=watch, name="migration-watch", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join(2 * LOOK_S)


def _blockers(connection: Connection, pid: int) -> list[str]:
    """Who holds locks for which the session waits, in words.

    Source: pg_blocking_pids, pg_stat_activity; the start of other roles' transactions is for pg_monitor only.
    """
    rows = connection.execute(
        text("""
            SELECT b.pid, coalesce(a.usename, ''), coalesce(a.application_name, ''), a.xact_start
            FROM unnest(pg_blocking_pids(:pid)) b (pid) LEFT JOIN pg_stat_activity a ON a.pid = b.pid
            ORDER BY a.xact_start NULLS LAST, b.pid"""),
        {"pid": pid},
    )
    return [_told(*row) for row in rows]


def _told(pid: int, user: str, application: str, since: datetime | None) -> str:
    who = f"process {pid} ({', '.join(part for part in (application, user) if part) or 'unknown'})"
    return f"{who}, in a transaction since {utc(since)}" if since else who


def _explained(error: TradekeepError, blockers: list[str]) -> TradekeepError:
    held = f"a table is held by {'; '.join(blockers)}" if blockers else "a table is held by another transaction"
    message = f"The schema was not changed: {held}."
    return TradekeepError("transient.lock", message, details=error.details, **{**error.facts, "blockers": blockers})
