"""What is imported: a file, an upload or a stream; what it is by its first bytes, and what is not taken at all."""

from __future__ import annotations

import errno
import gzip
import io
import re
import stat
import zlib
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from core.errors import TradekeepError, classify

SAMPLE_BYTES = 1 << 18
# A gzip may unpack to so many times its size, once it has unpacked to UNPACKED_BYTES; a bomb packs 1000 to one.
MOST_PACKED, UNPACKED_BYTES = 100, 64 << 20
_OBJECT, _LIST = re.compile(rb'(?:\xef\xbb\xbf)?\s*\{\s*["}]'), re.compile(rb"(?:\xef\xbb\xbf)?\s*\[\s*(?:\{|$)")
PACKED = {
    b"PK\x03\x04": "a ZIP archive, or a spreadsheet of Excel or LibreOffice",
    b"BZh": "packed by bzip2",
    b"\xfd7zXZ\x00": "packed by xz",
    b"\x28\xb5\x2f\xfd": "packed by zstd",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"%PDF": "a PDF",
    b"\xd0\xcf\x11\xe0": "a spreadsheet of an old Excel",
    b"ORC": "an ORC file",
    b"ARROW1": "an Arrow file",
}


def refused(message: str) -> TradekeepError:
    """Why this file is not imported."""
    return TradekeepError("data.file", message)


@dataclass
class Opened:
    """An open source. kind: csv, jsonl, parquet or sqlite; name: without folders, for people only; size_bytes: None
    where it is a stream. path: where it is a file of its own."""

    kind: str
    name: str
    stream: BinaryIO
    size_bytes: int | None
    path: Path | None = None
    packed: bool = False
    closing: ExitStack = field(default_factory=ExitStack, repr=False)

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.close()


def opened(source: Path | str | BinaryIO | bytes, name: str | None = None) -> Opened:
    """The source, at its beginning. name: what it is called, where its own name says nothing.

    Raises data.file for what cannot be imported, permission.file.
    """
    closing = ExitStack()
    try:
        if isinstance(source, bytes):
            source = io.BytesIO(source)
        if not isinstance(source, str | Path):
            return _known(source, _name(name or getattr(source, "name", "") or ""), None, closing)
        path = Path(source)
        if "\0" in str(path):
            raise refused("A file's name holds no NUL.")
        try:
            found = path.stat()
        except OSError as error:
            raise _unreadable(error, path) from None
        if not stat.S_ISREG(found.st_mode):
            raise refused(f"{path} is not a file with rows: it is a folder, a device or a pipe.")
        return _known(closing.enter_context(path.open("rb")), _name(name or str(path)), path, closing)
    except OSError as error:
        closing.close()
        raise classify(error) from None
    except BaseException:
        closing.close()
        raise


def located(text: str) -> tuple[Path, tuple[int, int]]:
    """The path that somebody typed, ~ for a home, and what changes when the file does: its time in ns, its size.

    (0, 0) where it is no file. Raises data.file, permission.file.
    """
    try:
        path = Path(text).expanduser()
        found = path.stat() if path.is_file() else None
    except RuntimeError:  # a home is asked for of somebody whom this machine does not know
        raise refused(f"There is no file {text[:200]}.") from None
    except OSError as error:
        raise _unreadable(error, text) from None
    return path, (found.st_mtime_ns, found.st_size) if found else (0, 0)


def _unreadable(error: OSError, path: object) -> TradekeepError:
    if error.errno in (errno.ENAMETOOLONG, errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EINVAL):
        return refused(f"There is no file {str(path)[:200]}.")
    return classify(error)


def _name(given: Any) -> str:
    """A name without folders: what an upload calls itself is never a path."""
    return str(given).replace("\\", "/").rsplit("/", 1)[-1].replace("\0", "")[:200] or "stream"


def _known(stream: BinaryIO, name: str, path: Path | None, closing: ExitStack) -> Opened:
    size = None
    if stream.seekable():
        size = stream.seek(0, io.SEEK_END)
        stream.seek(0)
    else:
        stream = closing.enter_context(io.BufferedReader(_Raw(stream), 1 << 20))
    first = _peek(stream, 16)
    if not first:
        raise refused(f"{name} is empty.")
    for magic, what in PACKED.items():
        if first.startswith(magic):
            raise refused(f"{name} is {what}. Unpack it, or save it as CSV, and import that.")
    if first.startswith(b"\x1f\x8b"):
        inner = Unpacked(stream, name)
        unpacked = io.BufferedReader(inner, 1 << 20)
        kind = _text_kind(unpacked.peek(16)[:16], name)
        return Opened(kind, name, unpacked, size, path, packed=True, closing=closing)
    kind = "parquet" if first.startswith(b"PAR1") else "sqlite" if first.startswith(b"SQLite format 3") else ""
    kind = kind or _text_kind(first, name)
    if kind not in ("csv", "jsonl") and size is None:
        raise refused(f"{name} is a {kind} file: it cannot be read as a stream. Give it as a file.")
    return Opened(kind, name, stream, size, path, closing=closing)


def _text_kind(first: bytes, name: str) -> str:
    if _LIST.match(first):
        raise refused(f"{name} is one JSON list. Save it as JSON lines, one object a line without commas between them.")
    return "jsonl" if _OBJECT.match(first) else "csv"


def _peek(stream: Any, size: int) -> bytes:
    """The first bytes, which stay to be read."""
    if stream.seekable():
        found: bytes = stream.read(size)
        stream.seek(0)
        return found
    peeked: bytes = stream.peek(size)[:size]
    return peeked


class _Raw(io.RawIOBase):
    """A stream that only knows read(), as a raw one."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        found = self._stream.read(len(into))
        into[: len(found)] = found
        return len(found)


class Unpacked(io.RawIOBase):
    """A gzip's content, as long as it is no bomb. Raises data.file, also where it was cut."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._packed, self._name, self._count = stream, name, 0
        self._unpacked = gzip.GzipFile(fileobj=stream, mode="rb")

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        try:
            found = self._unpacked.read(min(len(into), 1 << 20))
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise refused(f"{self._name} is damaged or was cut: {error}.") from None
        self._count += len(found)
        if self._count > UNPACKED_BYTES and self._packed.seekable():
            packed = max(1, self._packed.tell())
            if self._count > MOST_PACKED * packed:
                times = self._count // packed
                raise refused(f"{self._name} unpacks to {times} times its size, as only a bomb does. Unpack it first.")
        into[: len(found)] = found
        return len(found)

    @property
    def at(self) -> int:
        """How far the packed file has been read, in bytes."""
        return self._packed.tell() if self._packed.seekable() else 0
