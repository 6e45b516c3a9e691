"""Values as the texts that the database reads: one form for COPY, arrays and SQLite alike."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core.errors import TradekeepError
from core.repositories.bulk.target import Column, Target

TEXT = pa.string()
UTC_TIME = pa.timestamp("us", "UTC")


def texts_of(target: Target, rows: Any) -> pa.Table:
    """Rows (mappings, an Arrow table or batch, a DataFrame) as a table of texts, NULL as null.

    Raises schema.missing_column, data.mapping for what is none of these, data.value for a value no column takes.
    """
    if isinstance(rows, pa.RecordBatch):
        rows = pa.Table.from_batches([rows])
    elif hasattr(rows, "iloc"):  # a DataFrame; pandas itself is not needed for anything else here
        rows = pa.Table.from_pandas(rows, preserve_index=False)
    if isinstance(rows, pa.Table):
        made = {name: of_arrow(rows[name], _column(target, name), target.backend) for name in rows.column_names}
        return pa.table(made)
    if not isinstance(rows, Sequence) or not all(isinstance(row, Mapping) for row in rows):
        message = f"Rows are mappings, an Arrow table or a DataFrame, not {type(rows).__name__}."
        raise TradekeepError("data.mapping", message)
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = [_column(target, name) for name in names]
    return pa.table(
        {
            column.name: pa.array([of_value(row.get(column.name), column, target.backend) for row in rows], TEXT)
            for column in columns
        }
    )


def _column(target: Target, name: str) -> Column:
    found = target.by_name.get(name)
    if found is None:
        raise TradekeepError("schema.missing_column", f"{target.name} has no column {name!r}.")
    return found


def of_value(value: Any, column: Column, backend: str) -> str | None:
    """A Python value as text; times without a zone and numbers that are not finite are refused."""
    if value is None or isinstance(value, str):
        return value if value is None else str(value)
    if isinstance(value, bool):
        return str(int(value)) if backend == "sqlite" else str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float | Decimal):
        if not Decimal(value).is_finite():
            raise TradekeepError("data.value", f"{column.name}: {value} is not a finite number.")
        return str(value)
    if isinstance(value, datetime):
        if value.tzinfo is None and column.kind != "timestamp without time zone":
            raise TradekeepError("data.value", f"{column.name}: the time {value} has no time zone.")
        own = value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)
        text = own.isoformat(" ", "microseconds")
        return text if backend == "sqlite" or value.tzinfo is None else f"{text}+00"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    if isinstance(value, list | tuple) and column.kind.endswith("[]"):
        return array(value)
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def array(values: Sequence[Any]) -> str:
    """A list as PostgreSQL's array text."""
    parts = []
    for value in values:
        if value is None:
            parts.append("NULL")
        elif isinstance(value, list | tuple):
            parts.append(array(value))
        else:
            parts.append('"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"')
    return "{" + ",".join(parts) + "}"


def of_arrow(values: pa.ChunkedArray | pa.Array, column: Column, backend: str) -> pa.Array:
    """An Arrow column as texts; its own type says what it is."""
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    type = values.type
    if pa.types.is_null(type):
        return pa.nulls(len(values), TEXT)
    if pa.types.is_timestamp(type):
        if type.tz is None and column.kind not in ("timestamp without time zone", "date"):
            raise TradekeepError("data.value", f"{column.name}: times without a time zone.")
        plain = pc.cast(values, pa.timestamp("us", type.tz), safe=False)
        text = pc.cast(pc.cast(plain, pa.timestamp("us")), TEXT)
        return text if backend == "sqlite" or type.tz is None else join(text, "+00")
    if pa.types.is_boolean(type):
        return pc.cast(pc.cast(values, pa.int8()) if backend == "sqlite" else values, TEXT)
    if pa.types.is_binary(type) or pa.types.is_large_binary(type) or pa.types.is_fixed_size_binary(type):
        return pa.array([None if one is None else "\\x" + one.hex() for one in values.to_pylist()], TEXT)
    if pa.types.is_floating(type) or pa.types.is_integer(type) or pa.types.is_string(type):
        return pc.cast(values, TEXT)
    if pa.types.is_decimal(type) or pa.types.is_large_string(type) or pa.types.is_date(type) or pa.types.is_time(type):
        return pc.cast(values, TEXT)
    return pa.array([of_value(one, column, backend) for one in values.to_pylist()], TEXT)


def join(texts: pa.Array, ending: str) -> pa.Array:
    """Each text with an ending; null stays null."""
    return pc.binary_join_element_wise(texts, pa.scalar(ending, texts.type), "")


class Repeats:
    """How often a row's content has come before: 8 bytes for each row that was ever asked about.

    numbers: columns that hold numbers, of which 1.5 and 1.50 are the same.
    """

    def __init__(self, numbers: Sequence[str] = ()) -> None:
        self._numbers = frozenset(numbers)
        self._runs: list[np.ndarray[Any, Any]] = []

    def before(self, texts: pa.Table) -> pa.Array:
        """For each row, how often it came before it, in this batch and the ones before; this one counts from now on."""
        filled = [pc.fill_null(self._canonical(name, texts[name]), "\0") for name in texts.column_names]
        whole = pc.binary_join_element_wise(*filled, "\x1f") if filled else pa.nulls(texts.num_rows, TEXT)
        marks = np.fromiter(map(hash, whole.to_pylist()), np.int64, texts.num_rows)
        order = np.argsort(marks, kind="stable")
        own = marks[order]
        found = np.empty(texts.num_rows, np.int64)
        found[order] = np.arange(len(own)) - np.searchsorted(own, own, "left")  # among equals, in their order
        for run in self._runs:
            found += np.searchsorted(run, marks, "right") - np.searchsorted(run, marks, "left")
        self._runs.append(own)
        while len(self._runs) > 1 and len(self._runs[-2]) < 2 * len(self._runs[-1]):
            last = self._runs.pop()
            self._runs[-1] = np.sort(np.concatenate((self._runs[-1], last)), kind="stable")
        return pa.array(found)

    def _canonical(self, name: str, texts: pa.ChunkedArray) -> pa.Array:
        column = texts.combine_chunks()
        if name not in self._numbers or not pc.any(pc.ends_with(column, "0")).as_py():
            return column
        return pc.replace_substring_regex(column, r"\.0+$|(\.\d*[1-9])0+$", r"\1")
