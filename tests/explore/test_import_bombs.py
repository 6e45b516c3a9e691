"""Files that would fill memory or take for ever: each is refused by a process whose memory stays flat."""

from __future__ import annotations

import gzip
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.harness import ROOT
from tests.explore.test_import import HEAD

GIGABYTE = 1 << 30
LINE = "2024-01-01T00:00:01Z,BTC/USDT,BUY,1.5,100.25,USDT,o1\n"
FLAT_MB = 128  # above what an ordinary file takes
# A process of its own: the peak of one that has run other tests says nothing.
READ = """
import json, resource, sys
from pathlib import Path
from core.errors import TradekeepError
from core.explore.imports import sqlitefile
from core.explore.imports.files import opened
from core.explore.imports.preview import look
from core.explore.imports.reader import reading

def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10

def drained(path):
    with opened(path) as file, reading(file) as reader:
        for _ in reader.batches(list(range(len(reader.names))), lambda seen: None):
            pass

sqlitefile.PATIENCE_S = 0.2
look(Path(sys.argv[1]))
drained(Path(sys.argv[1]))
before, found = peak_mb(), {}
for name in sys.argv[2:]:
    for way in (look, drained):
        try:
            way(Path(name))
        except TradekeepError as error:
            found[Path(name).name] = error.error_type, error.message, peak_mb() - before
print(json.dumps(found))
"""


def sparse(begin: bytes, end: bytes = b"") -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with path.open("wb") as out:
            out.write(begin)
            out.truncate(GIGABYTE - len(end))
            out.seek(GIGABYTE - len(end))
            out.write(end)

    return write


def packed(path: Path) -> None:
    """A gigabyte of rows in a megabyte: a gzip of many parts."""
    part = gzip.compress(LINE.encode() * 20_000)
    path.write_bytes(gzip.compress(HEAD.encode()) + part * (GIGABYTE // (len(LINE) * 20_000)))


def view(sql: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with sqlite3.connect(path) as connection:
            connection.execute(f"CREATE VIEW a AS {sql}")
        connection.close()

    return write


ENDLESS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
FILES = {
    "zeros.csv": sparse(b""),
    "row.csv": sparse(HEAD.encode() + LINE.encode()),
    "quoted.csv": sparse(HEAD.encode() + LINE.encode() + b'"'),
    "bomb.csv.gz": packed,
    "half.csv.gz": lambda path: path.write_bytes(gzip.compress(LINE.encode() * 50_000)[:-2000]),
    "half.parquet": sparse(b"PAR1"),
    "footer.parquet": sparse(b"PAR1", b"\xff\xff\xff\x3fPAR1"),
    "half.sqlite": sparse(b"SQLite format 3\0" + b"\x10\x00\x02\x02\x00\x40\x20\x20"),
    "blob.sqlite": view("SELECT zeroblob(900000000) AS x"),
    "wide.sqlite": view(f"SELECT {', '.join(f'zeroblob(60000000) c{n}' for n in range(40))}"),
    "many.sqlite": view(f"{ENDLESS} SELECT i, iif(i > 60, abs({-(2**63)}), hex(zeroblob(3000000))) FROM n"),
    "endless.sqlite": view(f"{ENDLESS} SELECT i FROM n WHERE i < 0"),
    "archive.zip": sparse(b"PK\x03\x04"),
}


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str, int]]:
    folder = tmp_path_factory.mktemp("bombs")
    good = folder / "good.csv"
    good.write_text(HEAD + LINE * 100_000)
    for name, write in FILES.items():
        write(folder / name)
    command = [sys.executable, "-c", READ, str(good), *(str(folder / name) for name in FILES)]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120
    )
    for name in FILES:
        (folder / name).unlink()
    assert done.returncode == 0, done.stderr
    found: dict[str, tuple[str, str, int]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("name", FILES)
def test_a_bomb_is_refused_with_memory_flat(refusals: dict[str, tuple[str, str, int]], name: str) -> None:
    kind, message, more_mb = refusals[name]
    assert kind == "data"
    assert name in message
    assert more_mb < FLAT_MB
