"""One Python value as the text that the database reads; what has no such text is refused, never written as its repr."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import Any
from uuid import UUID

import numpy as np

from core.errors import TradekeepError
from core.repositories.bulk.target import Column

# What str() says of them is how the database spells them too.
SPELLED = (
    UUID,
    ipaddress.IPv4Address,
    ipaddress.IPv6Address,
    ipaddress.IPv4Network,
    ipaddress.IPv6Network,
    ipaddress.IPv4Interface,
    ipaddress.IPv6Interface,
)
Text = str | bytes | None
Reader = Callable[[Any, Column, str], Text]


class Unfit(ValueError):
    """A value that no column of this kind takes; the message says why."""


def of_value(value: Any, column: Column, backend: str) -> Text:
    """A Python value as text, NULL as None; bytes stay bytes on SQLite, which has no text for them.

    It takes texts, bools, numbers, times, dates, spans, UUIDs, addresses, bytes-like, lists and tuples (arrays, JSON),
    dicts (JSON), members of an Enum, numpy's scalars and arrays, pandas' Timestamp, Timedelta, NA and NaT. Raises
    Unfit for anything else, for a time without its zone and a number that is not finite.
    """
    if value is None:
        return None
    read = _EXACT.get(type(value)) or _reader(value)
    return read(value, column, backend)


def _reader(value: Any) -> Reader:
    """How a value of a type that is none of the plain ones is read."""
    if isinstance(value, Enum):
        return lambda value, column, backend: of_value(value.value, column, backend)
    if isinstance(value, np.generic | np.ndarray):
        return lambda value, column, backend: of_value(_plain(value), column, backend)
    if is_na(value):
        return lambda _value, _column, _backend: None
    read = next((read for types, read in _READERS.items() if isinstance(value, types)), None)
    if read is None:
        raise Unfit(f"{_shown(value)} is of type {type(value).__name__}, which no column takes.")
    return read


def is_na(value: Any) -> bool:
    """Whether it is NA or NaT of pandas, which nothing else here needs."""
    return type(value).__name__ in ("NAType", "NaTType")


def each(values: Iterable[Any], column: Column, backend: str) -> list[Text]:
    """Values, one a row, as texts. Raises data.value that names the first row at fault, and the column."""
    found: list[Text] = []
    for number, value in enumerate(values, 1):
        try:
            found.append(of_value(value, column, backend))
        except (ValueError, OverflowError) as error:
            raise TradekeepError("data.value", f"Row {number}: {column.name}: {error}") from None
    return found


def as_json(value: Any) -> str:
    """A JSON text of a dict or list, as both backends take it. Raises Unfit for what JSON cannot say."""
    try:
        return json.dumps(value, ensure_ascii=False, default=_in_json, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise Unfit(f"it is not JSON: {error}.") from None


def _in_json(value: Any) -> Any:
    """A value that JSON has no word for, as one that it has."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, np.floating):
        return float(str(value))
    if isinstance(value, np.generic | np.ndarray):
        return _plain(value)
    if is_na(value):
        return None
    if isinstance(value, (Decimal, date, time, *SPELLED)):
        return str(value)
    raise TypeError(f"{_shown(value)} is of type {type(value).__name__}")


def _plain(value: np.generic | np.ndarray[Any, Any]) -> Any:
    """What numpy holds, as Python holds it; a float32 with the digits that it is shown with."""
    if isinstance(value, np.ndarray):
        return list(value) if value.ndim else value[()]
    if isinstance(value, np.floating):
        return Decimal(str(value))
    if isinstance(value, np.datetime64 | np.timedelta64):
        day = value.dtype == np.dtype("M8[D]")
        value = value if day else value.astype(f"{value.dtype.kind}8[us]")
    plain = value.item()
    if isinstance(plain, int) != isinstance(value, np.integer | np.bool_) or isinstance(plain, np.generic):
        raise Unfit(f"{_shown(value)} has no twin in Python.")  # a time of the year 20,000 comes as a number
    return plain


def _number(value: float | Decimal, _column: Column, _backend: str) -> str:
    if not Decimal(value).is_finite():
        raise Unfit(f"{value} is not a finite number.")
    return str(value)


def _moment(value: datetime, column: Column, backend: str) -> str:
    if value.tzinfo is None and column.kind != "timestamp without time zone":
        raise Unfit(f"the time {value} has no time zone.")
    own = value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)
    text = own.isoformat(" ", "microseconds")
    return text if backend == "sqlite" or value.tzinfo is None else f"{text}+00"


def _span(value: timedelta, _column: Column, _backend: str) -> str:
    return f"{value.days} days {value.seconds}.{value.microseconds:06d} seconds"


def _bytes(value: bytes | bytearray | memoryview, column: Column, backend: str) -> Text:
    if not takes_bytes(column, backend):
        raise Unfit(f"bytes, where the column takes {column.type or 'texts'}.")
    held = bytes(value)
    return held if backend == "sqlite" else "\\x" + held.hex()


def takes_bytes(column: Column, backend: str) -> bool:
    """Whether a column is for bytes; on SQLite one of no type is too."""
    kind = column.kind.lower()
    return kind == "bytea" if backend != "sqlite" else not kind or "blob" in kind or "bin" in kind


def _list(value: Sequence[Any], column: Column, backend: str) -> str:
    return array(value, column, backend) if column.kind.endswith("[]") else as_json(value)


def array(values: Sequence[Any], column: Column, backend: str) -> str:
    """A list as PostgreSQL's array text."""
    parts = []
    for value in values:
        if isinstance(value, np.ndarray):
            value = _plain(value)
        if isinstance(value, list | tuple):
            parts.append(array(value, column, backend))
            continue
        text = of_value(value, _element(column), backend)
        parts.append("NULL" if text is None else '"' + str(text).replace("\\", "\\\\").replace('"', '\\"') + '"')
    return "{" + ",".join(parts) + "}"


@lru_cache(maxsize=256)
def _element(column: Column) -> Column:
    return replace(column, kind=column.kind.removesuffix("[]"), type=column.type.removesuffix("[]"))


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]} ..."


_READERS: dict[Any, Reader] = {
    bool: lambda value, _column, backend: str(int(value)) if backend == "sqlite" else str(value).lower(),
    str: lambda value, _column, _backend: str.__str__(value),
    int: lambda value, _column, _backend: int.__repr__(value),
    (float, Decimal): _number,
    datetime: _moment,
    (date, time): lambda value, _column, _backend: value.isoformat(),
    timedelta: _span,
    (bytes, bytearray, memoryview): _bytes,
    (list, tuple): _list,
    dict: lambda value, _column, _backend: as_json(value),
    SPELLED: lambda value, _column, _backend: str(value),
}
_EXACT: dict[type, Reader] = {
    type: read for types, read in _READERS.items() for type in (types if isinstance(types, tuple) else (types,))
}
