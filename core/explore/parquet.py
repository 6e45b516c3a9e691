"""Parquet from the CSV that COPY sends, a batch at a time."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from typing import Any

import pyarrow as pa
from pyarrow import csv
from pyarrow import parquet as files

from core.explore import arrowcsv
from core.explore.ahead import ahead
from core.explore.relation import Column

BLOCK_BYTES = 4 << 20
AHEAD = 16  # pieces that wait: the server goes on sending while the rows before are written
MOST_DIGITS = 38
TYPES: dict[str, pa.DataType] = {
    "smallint": pa.int16(), "integer": pa.int32(), "bigint": pa.int64(), "oid": pa.int64(),
    "real": pa.float32(), "double precision": pa.float64(), "boolean": pa.bool_(), "date": pa.date32(),
    "timestamp with time zone": pa.timestamp("us", "UTC"), "timestamp without time zone": pa.timestamp("us"),
}  # fmt: skip
_TIMES = ("date", "timestamp with time zone", "timestamp without time zone")


def arrow_type(column: Column) -> pa.DataType:
    """The type of a column in the file; text for what has no exact counterpart (numeric without digits, arrays ...)."""
    if column.digits is not None and 0 <= column.digits[1] <= column.digits[0] <= MOST_DIGITS:
        return pa.decimal128(*column.digits)
    return TYPES.get(column.type, pa.string())


def exact(column: Column, name: str) -> str:
    """The column's SQL without what its type in the file cannot hold: NaN, infinity and years before 1 become NULL."""
    if column.type in _TIMES:
        return f"CASE WHEN {name} >= '0001-01-01' AND {name} < '10000-01-01' THEN {name} END"
    if pa.types.is_decimal(arrow_type(column)):
        return f"nullif({name}, 'NaN')"
    return name


def parquet(pieces: Iterator[bytes], columns: Sequence[Column], out: Any) -> None:
    """Write CSV without a heading (NULL is an unquoted nothing) to `out` as Parquet; counts its rows in `out.rows`.

    pieces: each of whole rows. Without columns the file has no rows: there is nothing that could tell their number.
    """
    schema = pa.schema([(column.name, arrow_type(column)) for column in columns])
    sink = pa.PythonFile(_Sink(out), "w")
    # Parts of this size have too few rows for dictionaries of their own to pay.
    with (
        ahead(pieces if columns else iter(()), AHEAD) as chunks,
        files.ParquetWriter(sink, schema, compression="zstd", use_dictionary=False) as writer,
        closing(_batches(chunks, schema)) as batches,
    ):
        for batch in batches:
            out.rows += batch.num_rows
            writer.write_batch(batch)


def _batches(pieces: Iterator[bytes], schema: pa.Schema) -> Generator[pa.RecordBatch]:
    """The rows. A reader's blocks have one size, and no row may be longer: a longer piece has a reader of its own."""
    for block_bytes, some in itertools.groupby(pieces, lambda piece: max(BLOCK_BYTES, len(piece))):
        yield from arrowcsv.batches(
            _Source(some).read,
            read_options=csv.ReadOptions(block_size=block_bytes, column_names=schema.names),
            parse_options=csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
            convert_options=csv.ConvertOptions(
                column_types=dict(zip(schema.names, schema.types, strict=True)),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                true_values=["t"],
                false_values=["f"],
            ),
        )


class _Source:
    """Pieces as a file that is read from."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, b""

    def read(self, size: int) -> bytes:
        parts: list[bytes] = [self._rest]
        held = len(self._rest)
        while held < size and (piece := next(self._pieces, None)) is not None:
            parts.append(piece)
            held += len(piece)
        whole = b"".join(parts)
        self._rest = whole[size:]
        return whole[:size]


class _Sink:
    """An output that knows how far it is, as Parquet needs."""

    closed = False

    def __init__(self, out: Any) -> None:
        self._out, self._at = out, 0

    def write(self, piece: bytes) -> int:
        self._out.write(piece)
        self._at += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._at

    def flush(self) -> None:
        """The caller flushes its own output."""

    def close(self) -> None:
        """The output is the caller's."""
