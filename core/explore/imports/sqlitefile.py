"""A SQLite file of somebody else's, opened so that not a byte of it or beside it changes; its WAL is read, too."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa

from core.errors import classify
from core.explore.imports.csvfile import Raw
from core.explore.imports.files import Opened, refused
from core.format import identifier

BATCH_ROWS = 20_000
# A view can invent what no file could hold: rows are read so many bytes at a time, each row at most LARGEST_BYTES,
# and a batch within PATIENCE_S.
BATCH_BYTES, LARGEST_BYTES, PATIENCE_S = 16 << 20, 64 << 20, 10.0
HANDLED_EVERY = 100_000  # instructions of SQLite's machine: about a millisecond
WAL_MODE = b"\x02"


@contextmanager
def readable(source: Opened) -> Iterator[sqlite3.Connection]:
    """A connection that can only read. Raises data.file for what is damaged or is no database."""
    with ExitStack() as closing:
        path = source.path or _spooled(source, closing)
        connection: sqlite3.Connection | None = None
        try:
            connection = sqlite3.connect(_uri(path, closing), uri=True, check_same_thread=False)
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST_BYTES)
            connection.execute("PRAGMA query_only = ON")
            connection.execute("PRAGMA trusted_schema = OFF")
            _whole(connection, path, source.name)
            yield connection
        except sqlite3.DatabaseError as error:
            if _impatient(error):
                raise refused(f"{source.name} has a view that takes longer than {PATIENCE_S:.0f} s a batch.") from None
            raise refused(f"{source.name} cannot be read as a SQLite database; perhaps it was cut: {error}.") from None
        except OSError as error:
            raise classify(error) from None
        finally:
            if connection is not None:
                connection.close()


def _uri(path: Path, closing: ExitStack) -> str:
    """How to open it: a database in WAL mode whose log nobody has open is copied, else reading would make files."""
    wal, shared = path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")
    with path.open("rb") as file:
        in_wal_mode = file.read(20)[18:20] == WAL_MODE * 2
    if not in_wal_mode or (wal.exists() and shared.exists()):
        return f"file:{quote(str(path.resolve()))}?mode=ro"
    if not wal.exists() or not wal.stat().st_size:
        return f"file:{quote(str(path.resolve()))}?mode=ro&immutable=1"
    folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="tradekeep-import-")))
    copy = folder / "database.sqlite"
    shutil.copyfile(path, copy)
    shutil.copyfile(wal, folder / "database.sqlite-wal")
    return f"file:{quote(str(copy))}"


def _spooled(source: Opened, closing: ExitStack) -> Path:
    """An upload as a file, which SQLite needs."""
    file = closing.enter_context(tempfile.NamedTemporaryFile(prefix="tradekeep-import-", suffix=".sqlite"))  # noqa: SIM115
    source.stream.seek(0)
    shutil.copyfileobj(source.stream, file, 1 << 20)
    file.flush()
    return Path(file.name)


def _whole(connection: sqlite3.Connection, path: Path, name: str) -> None:
    """Refuse a file that is shorter than it says it is."""
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    size = connection.execute("PRAGMA page_size").fetchone()[0]
    has_log = False
    with contextlib.suppress(OSError):
        has_log = os.stat(f"{path}-wal").st_size > 0
    if not has_log and path.stat().st_size < pages * size:
        raise refused(f"{name} is shorter than it says: it was cut, or is still written.")
    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()


@contextmanager
def patience(connection: sqlite3.Connection) -> Iterator[None]:
    """End what takes longer than PATIENCE_S; it raises sqlite3's own error then."""
    until = time.monotonic() + PATIENCE_S
    connection.set_progress_handler(lambda: time.monotonic() > until, HANDLED_EVERY)
    try:
        yield
    finally:
        connection.set_progress_handler(None, 0)


def tables(connection: sqlite3.Connection, *, views: bool = True) -> list[str]:
    """The tables of the file, and its views."""
    found = connection.execute("SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY name")
    return [name for name, type in found if not name.startswith("sqlite_") and (views or type == "table")]


def count(connection: sqlite3.Connection, table: str) -> int:
    """How many rows there are; 0 where that takes too long."""
    try:
        with patience(connection):
            sql = f"SELECT count(*) FROM {identifier(table)}"  # noqa: S608  # quoted name
            return int(connection.execute(sql).fetchone()[0])
    except sqlite3.OperationalError as error:
        if _impatient(error):
            return 0
        raise


def _impatient(error: sqlite3.DatabaseError) -> bool:
    """Whether it was `patience` that ended the statement."""
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT


def columns(connection: sqlite3.Connection, table: str) -> list[str]:
    """The columns of a table or view; no row of it may be larger than LARGEST_BYTES from then on."""
    found = connection.execute("SELECT name FROM pragma_table_info(?) ORDER BY cid", (table,))
    names = [name for (name,) in found]
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST_BYTES // max(1, len(names)))
    return names


def batches(connection: sqlite3.Connection, table: str, names: list[str]) -> Iterator[Raw]:
    """The rows of these columns as texts; numbers as their shortest exact text."""
    chosen = ", ".join(identifier(name) for name in names)
    with patience(connection):  # its first row is looked for at once
        cursor = connection.execute(f"SELECT {chosen} FROM {identifier(table)}")  # noqa: S608  # quoted names
    number = 1
    while rows := _some(connection, cursor):
        values = [pa.array([_text(value) for value in column], pa.binary()) for column in zip(*rows, strict=True)]
        yield Raw(pa.array(range(number, number + len(rows)), pa.int64()), values, [])
        number += len(rows)


def _some(connection: sqlite3.Connection, cursor: sqlite3.Cursor) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    held = 0
    with patience(connection):
        for row in itertools.islice(cursor, BATCH_ROWS):
            rows.append(row)
            held += sum(map(sys.getsizeof, row))
            if held > BATCH_BYTES:
                break
    return rows


def _text(value: object) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    return (repr(value) if isinstance(value, float) else str(value)).encode("utf-8", "surrogatepass")
