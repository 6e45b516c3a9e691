"""A drill of imports that are cut: kill -9 of the program, of its server process, of the network between them."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core.database import Database
from core.errors import TradekeepError
from core.explore import import_rows
from core.explore.imports import csvfile
from core.schema import migrate
from core.settings import DatabaseConfig
from tests.drills import drill
from tests.drills.project import server
from tests.servers import Cluster, free_folder, new_database

ROWS, BATCH = 20_000, 1_000
SHARES = (0.1, 0.5, 0.9)
WAYS = ("program", "backend", "network")
WITHIN_S = 60.0
HEAD = "executed_at,symbol,action,quantity,price,currency,order_id\n"
COPIES = 4  # rows that no key tells apart come so often, in different batches


@drill
def import_kill(n: int = 36, cluster: Cluster | None = None) -> dict[str, Any]:
    """n cuts at 10, 50 and 90 %: whole batches are there or nothing of them, and the next run leaves nothing twice."""
    problems: list[str] = []
    landed = 0
    begin = time.monotonic()
    file = free_folder("import-") / "trades.csv"
    _write(file)
    with server(cluster) as running, new_database(running) as name, Database(running.config(name)) as db:
        migrate.upgrade(db)
        for number in range(n):
            way, share = WAYS[number % 3], SHARES[number // 3 % 3]
            upsert = number // 9 % 2 == 0
            running.sql("TRUNCATE trades, webui_audit_logs", database=name)
            cut = _cut(running, name, file, way, share, upsert=upsert)
            _settled(running, name)
            there = _count(running, name)
            landed += there < ROWS
            where = f"round {number}, {way} at {share:.0%}, {'upsert' if upsert else 'append'}"
            if there % BATCH:
                problems.append(f"{where}: {there} rows, no whole batches")
            if way != "program" and cut != "TradekeepError" and there < ROWS:
                problems.append(f"{where}: it ended with {cut}")
            again = _again(db, file, upsert=upsert)
            if _count(running, name) != ROWS or again != (ROWS - there, there):
                problems.append(f"{where}: {there} rows, then new and skipped {again}, {_count(running, name)} in all")
            problems += [f"{where}: {line}" for line in _copies(running, name)]
    return {
        "ok": not problems,
        "n": n,
        "landed_before_completion_pct": round(100 * landed / n, 1),
        "problems": problems[:20],
        "seconds": round(time.monotonic() - begin, 1),
    }


def _write(file: Path) -> None:
    """Half of the rows have an order's number; the others are copies, COPIES of each, far from one another."""
    kinds = ROWS // 2 // COPIES
    with file.open("w") as out:
        out.write(HEAD)
        for number in range(ROWS):
            moment = 1_704_067_200 + (number if number % 2 else number // 2 % kinds)
            order = f"o{number}" if number % 2 else ""
            out.write(f"{moment},BTC/USDT,BUY,1.5,{number % 2 and number % 7},USDT,{order}\n")


def _copies(running: Cluster, name: str) -> list[str]:
    """What is there more often or less often than the file has it."""
    found = running.sql(
        "SELECT symbol, executed_at, order_id, count(*) FROM trades GROUP BY 1, 2, 3"
        f" HAVING count(*) <> CASE WHEN order_id IS NULL THEN {COPIES} ELSE 1 END LIMIT 3",
        database=name,
    )
    return [f"{row}" for row in found]


def _count(running: Cluster, name: str) -> int:
    return int(running.sql("SELECT count(*) FROM trades", database=name)[0][0])


def _settled(running: Cluster, name: str) -> None:
    """After the program's own sessions have ended, and the server has recovered."""
    deadline = time.monotonic() + WITHIN_S
    theirs = f"SELECT 1 FROM pg_stat_activity WHERE datname = '{name}' AND application_name = 'tradekeep'"
    while time.monotonic() < deadline:
        with contextlib.suppress(Exception):
            if not running.sql(f"{theirs} AND state <> 'idle'"):
                return
        time.sleep(0.05)


def _again(db: Database, file: Path, *, upsert: bool) -> tuple[int, int]:
    for _ in range(20):
        try:
            with _small_batches():
                done = import_rows(db, "trades", file, upsert=upsert)
            return done.inserted, done.skipped
        except TradekeepError as error:  # the server recovers from the kill before
            if error.error_type not in ("service", "transient", "network"):
                raise
            time.sleep(0.5)
    return -1, -1


@contextmanager
def _small_batches() -> Iterator[None]:
    before = csvfile.BATCH_ROWS, csvfile.BLOCK_BYTES
    csvfile.BATCH_ROWS, csvfile.BLOCK_BYTES = BATCH, 1 << 22  # the file is one block, cut into batches
    try:
        yield
    finally:
        csvfile.BATCH_ROWS, csvfile.BLOCK_BYTES = before


def _child(config: DatabaseConfig, file: Path, upsert: bool, share: Any, answer: Any) -> None:
    db = Database(config)

    def progress(done: int, total: int, message: str) -> None:
        share.value += 1

    try:
        with _small_batches():
            import_rows(db, "trades", file, upsert=upsert, progress=progress)
        answer.send("done")
    except Exception as error:
        answer.send(type(error).__name__)


def _cut(running: Cluster, name: str, file: Path, way: str, share: float, *, upsert: bool) -> str:
    """Begin an import in a process of its own and cut it at that share; how it ended."""
    context = multiprocessing.get_context("fork")
    reports = context.Value("i", 0)
    ours, theirs = context.Pipe(duplex=False)
    config = running.config(name)
    with _Wire(running.port) as wire:
        if way == "network":
            config = config.replace(port=wire.port)
        process = context.Process(target=_child, args=(config, file, upsert, reports, theirs))
        process.start()
        theirs.close()
        deadline = time.monotonic() + WITHIN_S
        while reports.value < 1 + share * ROWS / BATCH and process.is_alive() and time.monotonic() < deadline:
            time.sleep(0.0005)
        time.sleep(random.random() * 0.02)  # somewhere within a batch
        if way == "program":
            process.kill()
        elif way == "network":
            wire.cut()
        else:
            for (pid,) in running.sql(
                f"SELECT pid FROM pg_stat_activity WHERE datname = '{name}' AND application_name = 'tradekeep'"
                " AND state <> 'idle'"
            ):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        process.join(WITHIN_S)
        if process.is_alive():
            process.kill()
            process.join()
            return "hung"
    try:
        return str(ours.recv())
    except EOFError:
        return "killed"


class _Wire:
    """A port that leads to the server until it is cut."""

    def __init__(self, to: int) -> None:
        self._to = to
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._ends: list[socket.socket] = []

    def __enter__(self) -> _Wire:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._to))
            self._ends += [near, far]
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := one.recv(1 << 16):
                other.sendall(piece)
        for end in (one, other):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """Nothing gets through from now on."""
        self._listener.close()
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def __exit__(self, *_: object) -> None:
        self.cut()
        for end in self._ends:
            end.close()
