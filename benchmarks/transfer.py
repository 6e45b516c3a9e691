"""Import and export of a million trades, against psql's \\copy of the same rows, expressions and columns."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from typing import Literal

from benchmarks import benchmark
from benchmarks.big import COLUMNS, big_trades, rows, trades
from benchmarks.figures import Figure, Goal, in_turns, timed
from benchmarks.servers import server_with_tables
from core.database import Database
from core.explore import export_rows, import_rows
from core.explore.export import FORMULA
from tests.servers import Cluster, free_folder

MOST = 1_000_000
CONF = ("shared_buffers = '512MB'", "max_wal_size = 8GB")
IN_FLOOR = "psql \\copy of the same file into the same table with its indexes"
OUT_FLOOR = "psql \\copy of the same expressions and columns into a file"


def _psql(cluster: Cluster, command: str) -> None:
    environment = {**os.environ, "PGPASSWORD": cluster.password, "PGTZ": "UTC"}
    program = [str(cluster.binaries / "psql"), "-X", "-q", "-h", "127.0.0.1", "-p", str(cluster.port), "-U", "postgres"]
    subprocess.run([*program, "-v", "ON_ERROR_STOP=1", "-c", command], env=environment, check=True)


@benchmark(n=3)
def imports(n: int) -> list[Figure]:
    """A million trades of a CSV into an empty table with its indexes, `core.explore.import_rows`."""
    with server_with_tables(CONF) as cluster:
        number = min(MOST, rows())
        file = free_folder("csv-") / "trades.csv"
        with file.open("wb") as out:
            out.write(",".join(COLUMNS).encode() + b"\n")
            out.writelines(trades(number))
        with Database(cluster.admin) as database:

            def emptied() -> None:
                cluster.sql("TRUNCATE trades, webui_audit_logs", "CHECKPOINT")

            def ours(*, upsert: bool) -> Callable[[], float]:
                def run() -> float:
                    emptied()
                    taken = timed(lambda: import_rows(database, "trades", file, upsert=upsert))()
                    assert cluster.sql("SELECT count(*) FROM trades") == [(number,)]
                    return taken

                return run

            def bare() -> float:
                emptied()
                return timed(lambda: _psql(cluster, f"\\copy trades ({', '.join(COLUMNS)}) FROM '{file}' CSV HEADER"))()

            append, upsert, floor = in_turns(n, ours(upsert=False), ours(upsert=True), bare)
            again = [timed(lambda: import_rows(database, "trades", file))() for _ in range(n)]
        return [
            Figure("plain append", IN_FLOOR, append, floor, Goal("ratio", 1 / 0.9)),
            Figure("with validation and upsert", IN_FLOOR, upsert, floor, Goal("ratio", 1 / 0.5)),
            Figure("the same file once more, nothing changes", IN_FLOOR, again, floor),
        ]


@benchmark(n=9)
def exports(n: int) -> list[Figure]:
    """A million trades into a file as CSV, Parquet and JSON lines, `core.explore.export_rows`."""
    number = min(MOST, rows())
    with big_trades(number, CONF) as cluster:
        with Database(cluster.admin) as database:
            folder = free_folder("out-")

            def ours(format: Literal["csv", "parquet", "jsonl"]) -> Callable[[], float]:
                def run() -> None:
                    with (folder / f"own.{format}").open("wb") as out:
                        assert export_rows(database, "trades", format=format, out=out) == number

                return timed(run)

            select, texts = _same_expressions(cluster)

            def bare() -> None:
                options = f"CSV HEADER FORCE QUOTE {texts}"
                _psql(cluster, f"\\copy ({select}) TO '{folder / 'bare.csv'}' {options}")

            csv, parquet, jsonl, floor = in_turns(n, ours("csv"), ours("parquet"), ours("jsonl"), timed(bare))
            assert (folder / "own.csv").read_bytes() == (folder / "bare.csv").read_bytes()
        return [
            Figure("CSV", OUT_FLOOR, csv, floor, Goal("ratio", 1.0)),
            Figure("Parquet", OUT_FLOOR, parquet, floor, Goal("ratio", 1.8)),
            Figure("JSON lines", OUT_FLOOR, jsonl, floor),
        ]


def _same_expressions(cluster: Cluster) -> tuple[str, str]:
    """What an export of trades selects (a text that a spreadsheet would run gets a ' before it), and its texts."""
    found = cluster.sql(
        "SELECT attname, atttypid::regtype::text FROM pg_attribute"
        " WHERE attrelid = 'trades'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
    )
    dangers = ", ".join("E'" + one.encode("unicode_escape").decode() + "'" for one in FORMULA)
    select = "SELECT " + ", ".join(
        f"CASE WHEN {name} COLLATE \"C\" >= 'A' AND {name} COLLATE \"C\" < '{{' THEN {name}"
        f" WHEN left(ltrim({name}, ''''), 1) IN ({dangers}) THEN '''' || {name} ELSE {name} END AS {name}"
        if type == "text"
        else name
        for name, type in found
    ) + " FROM trades"  # fmt: skip
    return select, ", ".join(name for name, type in found if type == "text")
