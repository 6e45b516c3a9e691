"""One way to read rows, whatever they come in: CSV, JSON lines, Parquet, or a table of a SQLite file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from core.errors import TradekeepError
from core.explore.imports import csvfile, jsonlines, sqlitefile
from core.explore.imports.csvfile import Raw
from core.explore.imports.files import Opened, Unpacked, refused

BATCH_ROWS = 50_000
# A part of a Parquet file is unpacked at once: so many bytes at most, and so many times its size.
PART_BYTES, MOST_PACKED = 1 << 30, 200


@dataclass
class Reader:
    """The source's columns, and its rows in batches.

    total, done(): how much there is and how much was read, in one unit; 0 where nobody knows. batches(wanted, watch):
    rows of the wanted columns, by place; watch hears whether any text so far held a NUL.
    """

    kind: str
    names: tuple[str, ...]
    notes: tuple[str, ...]
    total: int
    done: Callable[[], int]
    batches: Callable[[list[int], Callable[[bool], None]], Iterator[Raw]]


@contextmanager
def reading(source: Opened, table: str | None = None) -> Iterator[Reader]:
    """A reader of the source. table: which one of a SQLite file. Raises data.file."""
    if source.kind == "csv":
        yield _csv(source)
    elif source.kind == "jsonl":
        yield _jsonl(source)
    elif source.kind == "parquet":
        yield _parquet(source)
    else:
        with sqlitefile.readable(source) as connection:
            yield _sqlite(source, connection, table)


def _csv(source: Opened) -> Reader:
    found = csvfile.dialect(source)
    seen = [0]

    def batches(wanted: list[int], watch: Callable[[bool], None]) -> Iterator[Raw]:
        for raw in csvfile.batches(source, found, wanted, watch, lambda: _position(source)):
            seen[0] = raw.done
            yield raw

    return Reader("CSV", found.names, found.notes, source.size_bytes or 0, lambda: seen[0], batches)


def _jsonl(source: Opened) -> Reader:
    rows = jsonlines.Rows(source)
    total = source.size_bytes or 0

    def batches(wanted: list[int], watch: Callable[[bool], None]) -> Iterator[Raw]:
        watch(True)  # \u0000 may stand for one
        yield from rows.batches(wanted)

    return Reader("JSON lines", rows.names, (), total, lambda: _position(source), batches)


def _position(source: Opened) -> int:
    """How much of the file was read."""
    raw: Any = source.stream
    if source.packed:
        inner = raw.raw
        return inner.at if isinstance(inner, Unpacked) else 0
    return int(raw.tell()) if source.size_bytes is not None else 0


def _parquet(source: Opened) -> Reader:
    try:
        file = parquet.ParquetFile(pa.PythonFile(source.stream, "r"), pre_buffer=False, buffer_size=1 << 20)
        of = file.metadata
        own = file.schema_arrow.names
        names = csvfile.named(own)
        for part in range(of.num_row_groups):
            for place in range(of.num_columns):
                column = of.row_group(part).column(place)
                packed, plain = max(1, column.total_compressed_size), column.total_uncompressed_size
                if plain > PART_BYTES or (plain > PART_BYTES // 16 and plain > MOST_PACKED * packed):
                    raise refused(f"{source.name} unpacks to {plain >> 20} MB for one column at once. Split it first.")
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _not_parquet(source, error) from None
    seen = [0]

    def batches(wanted: list[int], watch: Callable[[bool], None]) -> Iterator[Raw]:
        watch(True)  # what its texts hold is not known
        number = 1
        # By name, where each is its column's own; else all of them are read, and taken by their places.
        chosen = [own[place] for place in wanted] if len(set(own)) == len(own) else None
        rows = file.iter_batches(batch_size=BATCH_ROWS, columns=chosen, use_threads=False)
        while True:
            try:
                batch = next(rows, None)
            except (pa.ArrowException, OSError, ValueError) as error:
                raise _not_parquet(source, error) from None
            if batch is None:
                return
            taken = [batch.column(own[place] if chosen else place) for place in wanted]
            numbers = pa.array(np.arange(number, number + batch.num_rows))
            number += batch.num_rows
            seen[0] = number - 1
            yield Raw(numbers, taken, [])

    return Reader("Parquet", names, (), of.num_rows, lambda: seen[0], batches)


def _not_parquet(source: Opened, error: Exception) -> TradekeepError:
    if isinstance(error, TradekeepError):
        return error
    text = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
    return refused(f"{source.name} is damaged, was cut, or is still written: {text}")


def _sqlite(source: Opened, connection: Any, table: str | None) -> Reader:
    known = sqlitefile.tables(connection)
    if table is None and len(known) != 1:
        raise refused(f"{source.name} has several tables; choose one of {', '.join(known[:40]) or 'none'}.")
    chosen = table or known[0]
    if chosen not in known:
        raise refused(f"{source.name} has no table {chosen!r}; it has {', '.join(known[:40]) or 'none'}.")
    names = sqlitefile.columns(connection, chosen)
    count = sqlitefile.count(connection, chosen)
    seen = [0]

    def batches(wanted: list[int], watch: Callable[[bool], None]) -> Iterator[Raw]:
        watch(True)
        for raw in sqlitefile.batches(connection, chosen, [names[place] for place in wanted]):
            seen[0] += len(raw.numbers)
            yield raw

    return Reader("SQLite", tuple(names), (), count, lambda: seen[0], batches)
