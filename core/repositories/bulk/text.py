"""Rows as the texts that the database reads: one form for COPY, arrays and SQLite alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from core.errors import TradekeepError
from core.repositories.bulk.target import Column, Target
from core.repositories.bulk.value import Text, each, of_value, takes_bytes

TEXT = pa.string()
WIDEST = 2**63  # what SQLite keeps as an INTEGER is below it
SPOKEN = frozenset({"arrow.uuid", "arrow.json", "arrow.bool8"})  # extensions whose values Python spells as the database
_ANY = Column("", "text", "text")


def texts_of(target: Target, rows: Any) -> pa.Table:
    """Rows (mappings that all name the same columns, an Arrow table or batch, a DataFrame) as a table of texts.

    NULL is null; bytes on SQLite stay bytes. Raises schema.missing_column; data.mapping for what is none of these,
    for mappings that differ and for a column that comes twice; data.value, naming row and column, for a value that no
    column takes.
    """
    if isinstance(rows, pa.RecordBatch):
        rows = pa.Table.from_batches([rows])
    if isinstance(rows, pa.Table):
        names = list(rows.column_names)
    elif hasattr(rows, "iloc"):  # a DataFrame; pandas itself is not needed for anything else here
        names = [str(name) for name in rows.columns]
    else:
        names = _names(target, rows)
    found: dict[str, pa.Array] = {}
    for place, name in enumerate(names):
        column = _column(target, name)
        if name in found:
            raise TradekeepError("data.mapping", f"The column {name!r} comes twice.")
        if isinstance(rows, pa.Table):
            texts = _of_array(rows.column(place), column, target.backend)
        elif hasattr(rows, "iloc"):
            texts = _of_series(rows.iloc[:, place], column, target.backend)
        else:
            texts = _packed(each((row[name] for row in rows), column, target.backend), column)
        found[name] = _refuse_beyond(texts, column, target.backend)
    return pa.table(found)


def _names(target: Target, rows: Any) -> list[str]:
    """The columns that all mappings name; one that lacks some would have them erased or defaulted, unasked."""
    if not isinstance(rows, Sequence) or not all(isinstance(row, Mapping) for row in rows):
        message = f"Rows are mappings, an Arrow table or a DataFrame, not {type(rows).__name__}."
        raise TradekeepError("data.mapping", message)
    first = rows[0].keys() if rows else ()
    for number, row in enumerate(rows, 1):
        if row.keys() != first:
            for name in row:
                _column(target, name)
            more, less = (", ".join(map(str, one)) for one in (row.keys() - first, first - row.keys()))
            differs = " and ".join(word for word in (more and f"also names {more}", less and f"lacks {less}") if word)
            message = f"Row {number} {differs}, unlike row 1. Rows of one call name the same columns."
            raise TradekeepError("data.mapping", message)
    return list(first)


def _column(target: Target, name: str) -> Column:
    found = target.by_name.get(name)
    if found is None:
        raise TradekeepError("schema.missing_column", f"{target.name} has no column {name!r}.")
    return found


def _packed(texts: list[Text], column: Column) -> pa.Array:
    """Texts as an array; bytes, which SQLite has, as one of bytes."""
    kinds = list(dict.fromkeys(type(text) for text in texts if text is not None))
    if len(kinds) > 1:
        number = next(number for number, text in enumerate(texts, 1) if type(text) is kinds[1])
        message = f"Row {number}: {column.name}: bytes in some rows, texts in others."
        raise TradekeepError("data.value", message)
    return pa.array(texts, pa.binary() if bytes in kinds else TEXT)


def _of_series(series: Any, column: Column, backend: str) -> pa.Array:
    """A column of a DataFrame as texts; NaN is its word for nothing."""
    try:
        values = pa.Array.from_pandas(series)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):  # objects of several kinds, sparse
        values = None
    # Arrow would give each dict the keys of all others, and a Period the number of its month.
    if values is None or pa.types.is_nested(values.type) or isinstance(values.type, pa.BaseExtensionType):
        kept = zip(series.tolist(), series.isna(), strict=True)
        return _packed(each((None if gone else one for one, gone in kept), column, backend), column)
    return _of_array(values, column, backend)


def _of_array(values: pa.ChunkedArray | pa.Array, column: Column, backend: str) -> pa.Array:
    """An Arrow column as texts, all its numbers finite."""
    if pa.types.is_floating(values.type):
        plain = pc.cast(values, pa.float32()) if pa.types.is_float16(values.type) else values
        if not pc.all(pc.is_finite(plain), min_count=0).as_py():
            each(values.to_pylist(), column, backend)  # which names the row
    found = _at_once(values, column, backend)
    return found if found is not None else _packed(each(values.to_pylist(), column, backend), column)


def of_arrow(values: pa.ChunkedArray | pa.Array, column: Column | None, backend: str) -> pa.Array:
    """An Arrow column as texts, of which the caller says what is wrong; its own type says what it is."""
    column = column or _ANY
    found = _at_once(values, column, backend)
    if found is not None:
        return found
    try:
        return _packed([of_value(one, column, backend) for one in values.to_pylist()], column)
    except (ValueError, OverflowError) as error:
        raise TradekeepError("data.value", f"{column.name}: {error}") from None


def _at_once(values: pa.ChunkedArray | pa.Array, column: Column, backend: str) -> pa.Array | None:
    """An Arrow column as texts, all values in one step; None where each has to be looked at."""
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    type = values.type
    if pa.types.is_null(type) or values.null_count == len(values):
        return pa.nulls(len(values), TEXT)
    if pa.types.is_timestamp(type):
        if type.tz is None and column.kind not in ("timestamp without time zone", "date"):
            number = pc.index(pc.is_valid(values), True).as_py() + 1
            raise TradekeepError("data.value", f"Row {number}: {column.name}: a time without a time zone.")
        plain = pc.cast(values, pa.timestamp("us", type.tz), safe=False)
        text = pc.cast(pc.cast(plain, pa.timestamp("us")), TEXT)
        return text if backend == "sqlite" or type.tz is None else join(text, "+00")
    if pa.types.is_boolean(type):
        return pc.cast(pc.cast(values, pa.int8()) if backend == "sqlite" else values, TEXT)
    if pa.types.is_binary(type) or pa.types.is_large_binary(type) or pa.types.is_fixed_size_binary(type):
        return pc.cast(values, pa.binary()) if backend == "sqlite" and takes_bytes(column, backend) else None
    if pa.types.is_floating(type) or pa.types.is_integer(type) or pa.types.is_string(type):
        return pc.cast(values, TEXT)
    if pa.types.is_decimal(type) or pa.types.is_large_string(type) or pa.types.is_date(type) or pa.types.is_time(type):
        return pc.cast(values, TEXT)
    strange = isinstance(type, pa.BaseExtensionType) and type.extension_name not in SPOKEN
    if strange or pa.types.is_interval(type):
        raise TradekeepError("data.value", f"Row 1: {column.name}: values of type {type}, which no column takes.")
    return None


def _refuse_beyond(texts: pa.Array, column: Column, backend: str) -> pa.Array:
    """The texts; whole numbers that SQLite would make an inexact one of are refused."""
    if backend != "sqlite" or "int" not in column.kind.lower() or not pa.types.is_string(texts.type):
        return texts
    if (pc.max(pc.binary_length(texts)).as_py() or 0) >= len(str(WIDEST)):
        for number, text in enumerate(texts.to_pylist(), 1):
            if text and text.removeprefix("-").isdecimal() and not -WIDEST <= int(text) < WIDEST:
                message = f"Row {number}: {column.name}: {text} is beyond what the column can hold."
                raise TradekeepError("data.value", message)
    return texts


def join(texts: pa.Array, ending: str) -> pa.Array:
    """Each text with an ending; null stays null."""
    return pc.binary_join_element_wise(texts, pa.scalar(ending, texts.type), "")
