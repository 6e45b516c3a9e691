"""A drill of files that break while they are read: none of them may keep one of Arrow's few threads."""

from __future__ import annotations

import gzip
import io
import subprocess
import sys
import time
from typing import Any

from core.errors import TradekeepError
from core.explore.imports.files import opened
from core.explore.imports.preview import look
from core.explore.imports.reader import reading
from tests.drills import drill

ROWS = (b"time,pair,side,amount,price\n", b"2024-01-01T00:00:01Z,BTC/USDT,BUY,1.5,100.25\n" * 300_000)
AT_ONCE = 4  # programs; Arrow's threads get stuck only where the processors are busy
WITHIN_S = 5.0  # for each of the files


@drill
def broken_files(n: int = 60) -> dict[str, Any]:
    """Several programs at once look at n cut files each, read them to their fault, and end."""
    begin = time.monotonic()
    command = [sys.executable, "-c", f"from tests.drills.broken_files import read; read({n})"]
    running = [subprocess.Popen(command) for _ in range(AT_ONCE)]
    problems: list[str] = []
    for program in running:
        try:
            code = program.wait(max(1.0, begin + n * WITHIN_S - time.monotonic()))
            problems += [f"a program ended with {code}"] if code else []
        except subprocess.TimeoutExpired:
            problems.append("a program did not end")
            program.kill()
            program.wait()
    return {"ok": not problems, "n": n, "problems": problems, "seconds": round(time.monotonic() - begin, 1)}


def read(n: int) -> None:
    """Look at n broken files, and read each to its fault."""
    broken = (gzip.compress(b"".join(ROWS), 1)[:-2000], b"".join(ROWS) + b'"')
    for number in range(n):
        content = broken[number % 2]
        look(io.BytesIO(content), name="broken.csv")
        try:
            with opened(content, "broken.csv") as file, reading(file) as reader:
                for _ in reader.batches(list(range(len(reader.names))), lambda nul: None):
                    pass
        except TradekeepError:
            continue
        raise AssertionError("a broken file was read to its end")
