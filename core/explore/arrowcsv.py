"""Arrow's reader of CSV over a Python stream, from which Arrow reads in threads of its own.

What the stream raises never passes through Arrow. Its thread would keep the error, by that the frames the error came
through, and by one of them the reader; where that thread is the last to let go of a reader, it waits for itself for
ever, and there are eight of them for all readers of a process (pyarrow 26, BackgroundGenerator::Cleanup).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
from pyarrow import csv


def batches(read: Callable[[int], bytes], **options: Any) -> Generator[pa.RecordBatch]:
    """The rows of the CSV that read(at most so many bytes) gives; b"" ends it. options: those of pyarrow.csv.open_csv.

    Raises what `read` raises, in the place of the batch within which that was, for its last row may be half a row;
    pa.ArrowInvalid for what is no CSV. Once it is closed `read` is not called any more, and no call of it goes on.
    """
    stream = _Stream(read)
    held: pa.RecordBatch | None = None  # until it is known that it was not cut
    try:
        with stream.telling():
            reader = csv.open_csv(pa.PythonFile(stream, "r"), **options)
        try:
            while True:
                with stream.telling():
                    batch = next(reader, None)
                if batch is None:
                    break
                if held is not None:
                    yield held
                held = batch
            stream.tell()
            if held is not None:
                yield held
        finally:
            stream.stop()
            reader.close()
            del reader
    finally:
        stream.stop()


class _Stream:
    """A file that ends where reading it fails, or where nobody wants more."""

    closed = False

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read, self._stopped = read, False
        self._error: BaseException | None = None
        self._reading = threading.Lock()

    def read(self, size: int = -1) -> bytes:
        with self._reading:
            if self._stopped:
                return b""
            try:
                return self._read(size)
            except BaseException as error:  # noqa: BLE001  # raised in the thread that waits for the rows
                self._error, self._stopped = error, True
                return b""

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Raise what reading raised instead of what Arrow makes of the rows until there."""
        try:
            yield
        except pa.ArrowException:
            self.tell()
            raise

    def tell(self) -> None:
        """Raise what reading raised, if it did."""
        error, self._error = self._error, None
        if error is not None:
            raise error from None

    def stop(self) -> None:
        """End here; waits for the call that goes on."""
        self._stopped = True
        with self._reading:
            self._error = None

    def close(self) -> None:
        """Whoever opened the source closes it."""
