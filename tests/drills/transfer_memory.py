"""What exports and imports of any size need of memory."""

from __future__ import annotations

import io
import multiprocessing
import time
from pathlib import Path
from typing import Any, Literal, cast

from benchmarks.big import COLUMNS, big_trades, trades
from core.database import Database
from core.explore import export_rows, import_rows
from core.settings import DatabaseConfig
from tests.drills import drill
from tests.drills.memory import memory_mb
from tests.servers import free_folder

# An import holds a few batches of 50,000 rows, as texts and as Arrow.
MOST_MB = {"csv": 60, "jsonl": 60, "parquet": 250, "append": 300, "upsert": 300}


@drill
def transfer_memory(n: int = 1_000_000) -> dict[str, Any]:
    """Each way of an export and an import of n trades, and of a tenth: at most so many MB above its beginning."""
    begin, found, problems = time.monotonic(), dict[str, dict[str, float]](), list[str]()
    folder = free_folder("memory-")
    for number in (max(1, n // 10), n):
        with big_trades(number) as cluster:
            source = folder / "source.csv"
            with source.open("wb") as out:
                out.write(",".join(COLUMNS).encode() + b"\n")
                out.writelines(trades(number))
            for what, most in MOST_MB.items():
                if what in ("append", "upsert"):
                    cluster.sql("TRUNCATE trades, webui_audit_logs")
                used = _peak(cluster.admin, what, source if what in ("append", "upsert") else folder / f"own.{what}")
                found.setdefault(what, {})[f"{number:,}"] = round(used, 1)
                if used > most:
                    problems.append(f"{what} of {number:,} trades: {used:.1f} MB, more than {most}")
    return {
        "ok": not problems, "n": n, "mb_above_begin": found, "problems": problems,
        "seconds": round(time.monotonic() - begin, 1),
    }  # fmt: skip


def _peak(config: DatabaseConfig, what: str, file: Path) -> float:
    """How many MB more than at its beginning a process of its own needs at most. Linux only."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_measured, args=(theirs, config, what, file))
    process.start()
    theirs.close()
    found: float = ours.recv()
    process.join()
    return found


def _measured(answer: Any, config: DatabaseConfig, what: str, file: Path) -> None:
    with Database(config) as database:
        _transferred(database, what, file, small=True)  # what is loaded once is no part of it
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        begin = memory_mb("VmHWM")
        _transferred(database, what, file)
        answer.send(memory_mb("VmHWM") - begin)


def _transferred(database: Database, what: str, file: Path, *, small: bool = False) -> None:
    if what in ("append", "upsert"):
        source: Any = file
        if small:
            with file.open("rb") as beginning:
                source = io.BytesIO(b"".join(beginning.readline() for _ in range(3)))
        import_rows(database, "trades", source, upsert=what == "upsert", dry_run=small)
        return
    format = cast("Literal['csv', 'parquet', 'jsonl']", what)
    with file.open("wb") as out:
        export_rows(database, "trading_bots" if small else "trades", format=format, out=out)
