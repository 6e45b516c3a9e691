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
from collections.abc import Iterator, Sequence
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
MOST_LOOKED_AT = 100  # tables, for one that has rows
LOCKED_S = 5.0  # how long we wait for a writer
COPIED_BYTES = 1 << 30  # a larger file is read in place: to copy it would keep its writer waiting as well
WHY = {
    sqlite3.SQLITE_BUSY: "is locked by a program that is writing to it. Import it again when that has ended",
    sqlite3.SQLITE_LOCKED: "is locked by a program that is writing to it. Import it again when that has ended",
    sqlite3.SQLITE_READONLY: "was left in the middle of a write (its -journal lies beside it). Open it once with its"
    " own program, which undoes that write, and import it again",
    sqlite3.SQLITE_TOOBIG: f"has a value that is too large: all columns of a row share {LARGEST_BYTES >> 20} MB",
    sqlite3.SQLITE_NOTADB: "is no SQLite database, or it is encrypted",
    sqlite3.SQLITE_CORRUPT: "is damaged; perhaps it was cut",
    sqlite3.SQLITE_FULL: "finds no room for a copy in the temporary folder",
    sqlite3.SQLITE_INTERRUPT: "has a view that takes too long a batch",
}


@contextmanager
def readable(source: Opened, *, apart: bool = False) -> Iterator[sqlite3.Connection]:
    """A connection that can only read. apart: to a copy, where reading would keep the file's writer waiting.

    Raises data.file for what is damaged, locked or no database.
    """
    with ExitStack() as closing:
        path = source.path or _spooled(source, closing)
        try:
            uri, in_place = _uri(path, closing)
            connection = _connected(uri, closing)
            _whole(connection, path, source.name)
            if apart and in_place and source.path and _room(path):
                connection = _apart(connection, closing)
            yield connection
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest says more precisely where
            raise refused(f"{source.name} {WHY.get(code, 'cannot be read as a SQLite database')}: {error}.") from None
        except OSError as error:
            raise classify(error) from None


def _connected(uri: str, closing: ExitStack) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, timeout=LOCKED_S, check_same_thread=False)
    closing.callback(connection.close)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST_BYTES)
    connection.execute("PRAGMA query_only = ON")
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection


def _room(path: Path) -> bool:
    """Whether a copy is small enough for the temporary folder."""
    size = path.stat().st_size
    return size <= COPIED_BYTES and 2 * size < shutil.disk_usage(tempfile.gettempdir()).free


def _apart(connection: sqlite3.Connection, closing: ExitStack) -> sqlite3.Connection:
    """A copy, made at one go: a writer waits for that moment, not for as long as the rows are read."""
    copy = _folder(closing) / "database.sqlite"
    into = sqlite3.connect(copy)
    try:
        into.execute("PRAGMA synchronous = OFF")
        connection.backup(into)
    finally:
        into.close()
    connection.close()
    return _connected(f"file:{quote(str(copy))}?mode=ro&immutable=1", closing)


def _folder(closing: ExitStack) -> Path:
    return Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="tradekeep-import-")))


def _uri(path: Path, closing: ExitStack) -> tuple[str, bool]:
    """How to open it, and whether reading it keeps a writer waiting.

    A database in WAL mode whose log nobody has open is copied, else reading would make files.
    """
    wal, shared = path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")
    with path.open("rb") as file:
        in_wal_mode = file.read(20)[18:20] == WAL_MODE * 2
    if not in_wal_mode or (wal.exists() and shared.exists()):
        return f"file:{quote(str(path.resolve()))}?mode=ro", not in_wal_mode
    if not wal.exists() or not wal.stat().st_size:
        return f"file:{quote(str(path.resolve()))}?mode=ro&immutable=1", False
    folder = _folder(closing)
    copy = folder / "database.sqlite"
    shutil.copyfile(path, copy)
    shutil.copyfile(wal, folder / "database.sqlite-wal")
    return f"file:{quote(str(copy))}", False


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


def likeliest(connection: sqlite3.Connection, among: Sequence[str]) -> str:
    """The first of these tables and views that is a table with rows; the first one where none has any."""
    own = set(tables(connection, views=False))
    for table in among[:MOST_LOOKED_AT]:
        with contextlib.suppress(sqlite3.Error), patience(connection):
            sql = f"SELECT 1 FROM {identifier(table)} LIMIT 1"  # noqa: S608  # quoted name
            if table in own and connection.execute(sql).fetchone():
                return table
    return among[0]


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


class Texts:
    """Texts of a database that is read whole; what is not UTF-8 in them is replaced, and counted."""

    def __init__(self) -> None:
        self.wrong = 0

    def __call__(self, text: bytes) -> str:
        try:
            return text.decode()
        except UnicodeDecodeError:
            self.wrong += 1
            return text.decode(errors="replace")

    def notes(self) -> list[str]:
        """What to say of it."""
        what = f"{self.wrong:,} of its texts are not UTF-8; what could not be read in them stands as \ufffd."
        return [what] if self.wrong else []


def batches(connection: sqlite3.Connection, table: str, names: list[str]) -> Iterator[Raw]:
    """The rows of these columns as texts; numbers as their shortest exact text.

    A table is read by its row numbers and let go after each batch, so that whoever writes to it need not wait.
    """
    chosen = ", ".join(identifier(name) for name in names)
    sql = f"SELECT {chosen} FROM {identifier(table)}"  # noqa: S608  # quoted names
    row_id = _row_id(connection, table)
    pages = _by_row_id(connection, table, chosen, row_id) if row_id else _by_cursor(connection, sql)
    number = 1
    for rows in pages:
        values = [pa.array([_text(value) for value in column], pa.binary()) for column in zip(*rows, strict=True)]
        yield Raw(pa.array(range(number, number + len(rows)), pa.int64()), values, [])
        number += len(rows)


Rows = list[tuple[object, ...]]


def _row_id(connection: sqlite3.Connection, table: str) -> str:
    """What its row number is called; "" for a view and for a table without one."""
    taken = {name.lower() for (name,) in connection.execute("SELECT name FROM pragma_table_xinfo(?)", (table,))}
    kind = connection.execute("SELECT type, sql LIKE 'CREATE VIRTUAL%' FROM sqlite_master WHERE name = ?", (table,))
    if kind.fetchone() != ("table", 0):
        return ""
    for name in [name for name in ("rowid", "_rowid_", "oid") if name not in taken]:
        with contextlib.suppress(sqlite3.OperationalError):  # WITHOUT ROWID
            connection.execute(f"SELECT {name} FROM {identifier(table)} LIMIT 0")  # noqa: S608  # quoted name
            return name
    return ""


def _by_row_id(connection: sqlite3.Connection, table: str, chosen: str, row_id: str) -> Iterator[Rows]:
    sql = (
        f"SELECT {chosen}, {row_id} FROM {identifier(table)}"  # noqa: S608  # quoted names
        f" WHERE {row_id} > ? ORDER BY {row_id} LIMIT {BATCH_ROWS}"
    )
    after: object = -(2**63)
    while True:
        cursor = connection.execute(sql, (after,))
        rows = _some(connection, cursor)
        cursor.close()
        if not rows:
            return
        after = rows[-1][-1]
        yield [row[:-1] for row in rows]


def _by_cursor(connection: sqlite3.Connection, sql: str) -> Iterator[Rows]:
    with patience(connection):  # its first row is looked for at once
        cursor = connection.execute(sql)
    while rows := _some(connection, cursor):
        yield rows


def _some(connection: sqlite3.Connection, cursor: sqlite3.Cursor) -> Rows:
    rows: Rows = []
    held = 0
    decode, connection.text_factory = connection.text_factory, bytes  # whether it is UTF-8 is asked of each row later
    try:
        with patience(connection):
            for row in itertools.islice(cursor, BATCH_ROWS):
                rows.append(row)
                held += sum(map(sys.getsizeof, row))
                if held > BATCH_BYTES:
                    break
    finally:
        connection.text_factory = decode
    return rows


def _text(value: object) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    return (repr(value) if isinstance(value, float) else str(value)).encode()
