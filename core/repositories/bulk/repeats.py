"""How often the content of a row has come before in its source, however its values are spelled there."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core.repositories.bulk.stage import TIMED
from core.repositories.bulk.target import Column, Target

TEXT = pa.string()
NOTHING = "\0"  # which no text of a row holds
WHOLE = frozenset({"smallint", "integer", "bigint", "int", "biginteger"})
EXACT = frozenset({"numeric", "decimal"})
INEXACT = frozenset({"real", "double precision", "float"})
DIGITS, ANY_SCALE = 38, 12  # of a decimal of Arrow; after the point, where the column has no scale of its own
_WIDE = Context(prec=2000)
_CAST = re.compile(r"::[\w .\"\[\](),]+$")


class Repeats:
    """How often a row's content has come before: 8 bytes for each row that was ever asked about.

    Values count as the table would store them: numbers rounded, times in UTC, a default where there is nothing.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._runs: list[np.ndarray[Any, Any]] = []

    def before(self, texts: pa.Table) -> pa.Array:
        """For each row, how often it came before it, in this batch and the ones before; this one counts from now on."""
        stored = [self._stored(name, texts[name].combine_chunks()) for name in texts.column_names]
        whole = pc.binary_join_element_wise(*stored, "\x1f") if stored else pa.nulls(texts.num_rows, TEXT)
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

    def _stored(self, name: str, texts: pa.Array) -> pa.Array:
        """A column's values as the table would store them, each so that the next one's beginning is certain."""
        column = self._target.by_name[name]
        if pa.types.is_binary(texts.type):
            return pa.array([NOTHING if one is None else one.hex() for one in texts.to_pylist()], TEXT)
        if texts.null_count and not column.nullable and (default := _constant(column.default or "")) is not None:
            texts = pc.fill_null(texts, default)
        if column.kind in WHOLE or column.kind in EXACT or column.kind in INEXACT:
            return pc.fill_null(_numbers(texts, column, self._target.backend == "sqlite"), NOTHING)
        if column.kind in TIMED:
            return pc.fill_null(_times(texts, "UTC" if column.kind == "timestamp with time zone" else None), NOTHING)
        sized = pc.binary_join_element_wise(pc.cast(pc.binary_length(texts), TEXT), texts, ":")
        return pc.fill_null(sized, NOTHING)


def _constant(default: str) -> str | None:
    """The text of a column's default; None where it is computed for each row."""
    before, text = "", default.strip()
    while text != before:
        before, text = text, _CAST.sub("", text).strip()
        text = text[1:-1].strip() if text.startswith("(") and text.endswith(")") else text
    if found := re.fullmatch(r"'((?:[^']|'')*)'", text):
        return found[1].replace("''", "'")
    return text.lower() if re.fullmatch(r"-?\d+(\.\d+)?|true|false", text, re.I) else None


def _times(texts: pa.Array, zone: str | None) -> pa.Array:
    """Microseconds since 1970, and infinity; the texts themselves where one of them is no time."""
    try:
        return pc.cast(pc.cast(pc.cast(texts, pa.timestamp("us", zone)), pa.int64()), TEXT)
    except pa.ArrowInvalid:
        endless = pc.fill_null(pc.is_in(texts, pa.array(["infinity", "-infinity"])), False)
        if not pc.any(endless).as_py():
            return texts
        return pc.if_else(endless, texts, _times(pc.if_else(endless, pa.scalar(None, TEXT), texts), zone))


def _numbers(texts: pa.Array, column: Column, sqlite: bool) -> pa.Array:
    """Numbers in one spelling, as exact as the column is."""
    if column.kind in WHOLE:
        type, read = pa.int64(), lambda text: str(int(Decimal(text)))
    elif column.kind in EXACT and not sqlite:
        scale = column.digits[1] if column.digits else None
        type, read = pa.decimal128(DIGITS, ANY_SCALE if scale is None else min(scale, DIGITS)), _exact(scale)
    else:
        type = pa.float32() if column.kind == "real" and not sqlite else pa.float64()
        read = lambda text: str(pc.cast(pa.scalar(float(text), type), TEXT))  # noqa: E731  # one of three, as above
    try:
        return pc.cast(pc.cast(texts, type), TEXT)
    except pa.ArrowInvalid:  # digits to be rounded, or more of them
        spelled = {text: _spelled(read, text) for text in pc.unique(pc.drop_null(texts)).to_pylist()}
        return pa.array([spelled.get(text) for text in texts.to_pylist()], TEXT)


def _spelled(read: Callable[[str], str], text: str) -> str:
    try:
        return read(text)
    except (ArithmeticError, ValueError):
        return text


def _exact(scale: int | None) -> Callable[[str], str]:
    """How a number with so many digits after the point is spelled, as Arrow does; None: with all that it has."""

    def read(text: str) -> str:
        number = Decimal(text)
        unit = Decimal(1).scaleb(-(ANY_SCALE if scale is None else scale))
        stored = number.quantize(unit, rounding=ROUND_HALF_UP, context=_WIDE)
        if scale is None and stored != number:
            stored = number.normalize(_WIDE)
        return str(stored or abs(stored))  # there is no -0

    return read
