"""Columns of a file as the texts that a table takes, and which values it cannot take and why."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, tzinfo
from decimal import Decimal, InvalidOperation
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core.explore.export import FORMULA
from core.explore.imports import times
from core.repositories.bulk import Column
from core.repositories.bulk.text import join, of_arrow

TEXT = pa.string()
SHOWN = 80
EMPTY = frozenset({"", "null", "none", "n/a", "na", "\\n", "-"})
WHOLE = {"smallint": 15, "integer": 31, "bigint": 63, "int": 63, "biginteger": 63}
DEEPEST = 500  # of arrays and objects within each other; a server refuses some thousands, and Python does before
NUMERIC = frozenset({"numeric", "decimal", "real", "double precision", "float", *WHOLE})
TIMES = frozenset({"timestamp with time zone", "timestamp without time zone", "datetime", "timestamp"})
TRUTHS = {"t": True, "true": True, "1": True, "y": True, "yes": True, "on": True,
          "f": False, "false": False, "0": False, "n": False, "no": False, "off": False}  # fmt: skip
_NEUTRAL = re.compile("^'+[" + re.escape("".join(FORMULA)) + "]")
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.?)*(?:"|\Z)|[\[\]{}]', re.S)
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_BYTES = re.compile(rb"\\x(?:[0-9a-fA-F]{2})*")
_MINUTES_OR_MONTHS = re.compile(r"\s*\d+\s*[mM]\s*")
COMMA_NUMBER = r"^[-+]?(\d{1,3}([.\s']\d{3})+|\d+)(,\d+)?$"
_COMMA = re.compile(r"^[-+]?\d{1,3}([.\s]\d{3})*,\d+$|^[-+]?\d+,\d+$")


@dataclass(frozen=True)
class RowError:
    """A row that was not imported: its number (1 is the first row after the names), column, value, and why."""

    row: int
    column: str
    value: str
    reason: str


def shortened(value: object) -> str:
    """A value as an error shows it."""
    text = str(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]} ..."


@dataclass
class Reading:
    """How one column is read, decided by its first values; what was noticed on the way, for people."""

    column: Column
    backend: str
    zone: tzinfo = UTC
    finite: bool = False  # whether a time has to be a moment
    comma: bool = False  # whether texts have a decimal comma
    day_first: bool | None = None  # where that cannot be told from the days
    shape: times.Shape | None = None
    rounded: int = 0
    zoneless: bool = False
    neutral: int = 0
    _problems: list[tuple[int, str, str]] = field(default_factory=list)

    def texts(self, values: pa.Array, *, nul: bool = True) -> tuple[pa.Array, list[tuple[int, str, str]]]:
        """The column's texts, null where it takes none; and (place, value, reason) for each value at fault."""
        self._problems = []
        found = self._strings(values)
        found = self._without_nul(found) if nul else found
        if found.null_count < len(found):
            found = self._plain(found)
            kind = self.column.kind
            if kind in TIMES or kind == "date":
                found = self._times(found)
            elif kind in NUMERIC:
                worded = pa.types.is_string(values.type) or pa.types.is_binary(values.type)
                found = self._numbers(self._pointed(found) if self.comma and worded else found)
            elif kind == "boolean":
                found = self._truths(self._tidy(found))
            elif kind in ("json", "jsonb"):
                found = self._each(found, self._json)
            else:
                found = self._words(found)
        if not self.column.nullable and self.column.default is None and found.null_count:
            wrong = {place for place, _, _ in self._problems}
            for place in np.flatnonzero(found.is_null().to_numpy(zero_copy_only=False)):
                if int(place) not in wrong:
                    self._problems.append((int(place), "", "a value is needed, and there is none"))
        return found, self._problems

    # --- any type to text

    def _strings(self, values: pa.Array) -> pa.Array:
        if pa.types.is_string(values.type):
            return values
        if pa.types.is_floating(values.type) and (self.column.kind in TIMES or self.column.kind == "date"):
            return _plain_floats(values)
        if pa.types.is_binary(values.type) and self.column.kind == "bytea" and self.backend != "sqlite":
            return pa.array([_bytes(one) for one in values.to_pylist()], TEXT)
        if pa.types.is_binary(values.type) and self.column.kind != "bytea":
            try:
                return pc.cast(values, TEXT)
            except pa.ArrowInvalid:
                return self._each_of(values.to_pylist(), bytes.decode)
        if pa.types.is_timestamp(values.type) and values.type.tz is None:
            self.zoneless = True
            text = pc.cast(pc.cast(values, pa.timestamp("us"), safe=False), TEXT)
            return text if self.zone is UTC else self._each_of(text.to_pylist(), str)
        if pa.types.is_boolean(values.type):
            return pc.cast(values, TEXT)
        return of_arrow(values, self.column, "postgresql")

    def _without_nul(self, texts: pa.Array) -> pa.Array:
        held = pc.match_substring(texts, "\0")
        if not pc.any(held).as_py():
            return texts
        return self._refuse(texts, held, "it holds a NUL, which no text may")

    def _plain(self, texts: pa.Array) -> pa.Array:
        """Take the ' away that an export puts before what a spreadsheet would run."""
        if not pc.any(pc.starts_with(texts, "'")).as_py():
            return texts
        neutral = pc.match_substring_regex(texts, _NEUTRAL.pattern)
        self.neutral += pc.sum(neutral).as_py() or 0
        return pc.if_else(neutral, pc.utf8_slice_codeunits(texts, 1), texts)

    def _tidy(self, texts: pa.Array) -> pa.Array:
        """Without blanks around it; a word for nothing is null."""
        if not pc.any(pc.match_substring_regex(texts, r"^\s|\s$|^$|^-$|^\\N$|^[nN]")).as_py():
            return texts
        texts = pc.utf8_trim_whitespace(texts)
        return pc.if_else(pc.is_in(pc.utf8_lower(texts), pa.array(sorted(EMPTY))), pa.scalar(None, TEXT), texts)

    # --- by type

    def _words(self, texts: pa.Array) -> pa.Array:
        """Text; of a column with choices, in their spelling."""
        column = self.column
        if column.choices:
            choices = pa.array(column.choices)
            if not pc.all(pc.or_(pc.is_null(texts), pc.is_in(texts, choices))).as_py():
                return self._each(texts, cache(lambda text: _chosen(column.choices, text)))
        longest = column.longest
        if longest is not None and (pc.max(pc.binary_length(texts)).as_py() or 0) > longest:
            long = pc.greater(pc.utf8_length(texts), longest)
            if pc.any(long).as_py():
                return self._refuse(texts, long, f"longer than {longest} characters")
        return texts

    def _numbers(self, texts: pa.Array) -> pa.Array:
        """Numbers, finite, in the column's range."""
        found = self._plain_numbers(texts)
        if found is None:
            texts = self._tidy(texts)
            found = self._plain_numbers(texts)
        if found is None:
            texts = self._each(texts, self._number)
            found = pc.cast(texts, pa.float64())
        limit, over = _limit(self.column, self.backend)
        if limit is not None:
            size = pc.max(pc.abs(found)).as_py()
            if size is not None and size >= limit:
                texts = self._refuse(texts, pc.greater_equal(pc.abs(found), limit), over)
        self._note_rounding(texts)
        return texts

    def _pointed(self, texts: pa.Array) -> pa.Array:
        """Numbers with a decimal comma as the server reads them."""
        texts = self._tidy(texts)
        texts = self._refuse(
            texts, pc.invert(pc.match_substring_regex(texts, COMMA_NUMBER)), "not a number with a decimal comma"
        )
        return pc.replace_substring(pc.replace_substring_regex(texts, r"[.\s']", ""), ",", ".")

    def _plain_numbers(self, texts: pa.Array) -> pa.Array | None:
        """The numbers, where each text is one as the server reads it, blanks and words apart."""
        found = _cast(texts, pa.float64())
        if found is None or not pc.all(pc.is_finite(found), min_count=0).as_py():
            return None
        return None if self.column.kind in WHOLE and _cast(texts, pa.int64()) is None else found

    def _note_rounding(self, texts: pa.Array) -> None:
        digits = self.column.digits
        if digits and (pc.max(pc.binary_length(texts)).as_py() or 0) > digits[1] + 1:
            more = pc.match_substring_regex(texts, rf"\.\d{{{digits[1]}}}\d*[1-9]|[eE]-")
            self.rounded += pc.sum(more).as_py() or 0

    def _number(self, text: str) -> str:
        if _COMMA.match(text):
            plain = re.sub(r"[.\s]", "", text)
            if re.fullmatch(r"[-+]?[1-9]\d{0,2},\d{3}", text):
                either = f"{plain.replace(',', '.')} or {plain.replace(',', '')}"
                raise ValueError(f"a comma before decimals or between thousands; write {either}, as it is meant")
            raise ValueError(f"a decimal comma; write {plain.replace(',', '.')}")
        if re.fullmatch(r"[-+]?\d{1,3}(,\d{3})+(\.\d+)?", text):
            raise ValueError(f"commas between thousands; write {text.replace(',', '')}")
        try:
            number = Decimal(text)
        except InvalidOperation:
            raise ValueError("not a number") from None
        if not number.is_finite() or not text.isascii() or "_" in text:
            raise ValueError("not a number" if number.is_finite() else "not a finite number")
        if self.column.kind in WHOLE:
            if number != number.to_integral_value():
                raise ValueError("not a whole number")
            return str(int(number)) if abs(number) < Decimal(10) ** 25 else text
        return f"{number:f}" if abs(number.adjusted()) < 40 else text

    def _truths(self, texts: pa.Array) -> pa.Array:
        words = ("1", "0") if self.backend == "sqlite" else ("true", "false")

        def truth(text: str) -> str:
            found = TRUTHS.get(text.lower())
            if found is None:
                raise ValueError("neither true nor false")
            return words[0] if found else words[1]

        known = {text: truth(text) for text in pc.unique(texts).to_pylist() if text and text.lower() in TRUTHS}
        return self._each(texts, lambda text: known.get(text) or truth(text))

    def _times(self, texts: pa.Array) -> pa.Array:
        """Times in UTC; those that the server reads just so stay as they are."""
        if _cast(texts, pa.timestamp("us", "UTC")) is None and _cast(texts, pa.timestamp("us")) is None:
            texts = self._tidy(texts)
        if texts.null_count == len(texts):
            return texts
        if self.shape is None and texts.null_count < len(texts):
            self.shape = times.shape_of(pc.drop_null(texts[:2000]).to_pylist(), self.zone)
            if self.shape.day_first is None:
                self.shape = replace(self.shape, day_first=self.day_first)
        if self.column.kind == "date":
            shape = replace(self.shape or times.Shape(), zone=UTC)  # a day is the one that is written, in any zone
            return self._each(texts, lambda text: times.moment(text, shape).date().isoformat())
        aware = self.column.kind != "timestamp without time zone"
        if (found := _cast(texts, pa.timestamp("us", "UTC"))) is not None:
            return texts if aware and self.backend != "sqlite" else pc.cast(pc.cast(found, pa.timestamp("us")), TEXT)
        if self.zone is UTC and (found := _cast(texts, pa.timestamp("us"))) is not None:
            self.zoneless = True
            if self.backend == "sqlite":
                return pc.cast(found, TEXT)
            return join(texts, "+00") if aware and pc.min(pc.binary_length(texts)).as_py() > 10 else _utc(found, aware)
        unit = self.shape.unit if self.shape else None
        if unit and (whole := _cast(texts, pa.int64())) is not None:
            micros = {"s": 1e-6, "ms": 1e-3, "us": 1, "ns": 1e3}[unit]
            low, high = times.FROM_S * 1e6 * micros, times.UNTIL_S * 1e6 * micros
            if pc.min(whole).as_py() >= low and pc.max(whole).as_py() < high:
                stamps = pc.cast(pc.cast(whole, pa.timestamp(unit)), pa.timestamp("us"), safe=False)
                return pc.cast(stamps, TEXT) if self.backend == "sqlite" else _utc(stamps, aware)
        return self._each(texts, self._moment)

    def _moment(self, text: str) -> str:
        if text in ("infinity", "-infinity") and self.backend != "sqlite":
            if self.finite:
                raise ValueError("it is no moment, which this column needs")
            return text
        shape = self.shape or times.Shape(zone=self.zone)
        found = times.moment(text, shape).replace(tzinfo=None).isoformat(" ", "microseconds")
        aware = self.column.kind != "timestamp without time zone" and self.backend != "sqlite"
        return f"{found}+00" if aware else found

    @staticmethod
    def _json(text: str) -> str:
        if "\\u0000" in text and _NUL.search(text):
            raise ValueError("it holds a NUL, which no text may")
        if text.count("[") + text.count("{") > DEEPEST and _depth(text) > DEEPEST:
            raise ValueError(f"arrays and objects more than {DEEPEST} deep")
        try:
            json.loads(text, parse_constant=_no_number)
        except ValueError as error:
            raise ValueError(f"not JSON: {str(error)[:100]}") from None
        return text

    # --- value by value

    def _each(self, texts: pa.Array, read: Callable[[str], str]) -> pa.Array:
        return self._each_of(texts.to_pylist(), read)

    def _each_of(self, values: Iterable[object], read: Callable[..., str]) -> pa.Array:
        found: list[str | None] = []
        for place, value in enumerate(values):
            try:
                found.append(None if value is None else read(value))
            except UnicodeDecodeError:
                found.append(None)
                self._problems.append((place, shortened(value)[2:-1], "not UTF-8"))
            except ValueError as error:
                found.append(None)
                self._problems.append((place, shortened(value), str(error)))
        return pa.array(found, TEXT)

    def _refuse(self, texts: pa.Array, wrong: pa.Array, reason: str) -> pa.Array:
        for place in np.flatnonzero(pc.fill_null(wrong, False).to_numpy(zero_copy_only=False)):
            self._problems.append((int(place), shortened(texts[int(place)].as_py().replace("\0", "�")), reason))
        return pc.if_else(wrong, pa.scalar(None, TEXT), texts)


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is no number of JSON")


def _depth(text: str) -> int:
    """How deep the arrays and objects of a JSON text are at most; what stands in its texts does not count."""
    depth = deepest = 0
    for letter in _BRACKETS.findall(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(letter, 0)
        deepest = max(deepest, depth)
    return deepest


def _bytes(value: bytes | None) -> str | None:
    """Bytes as the server reads them; those that an export has written so already stay as they are."""
    if value is None:
        return None
    return value.decode() if _BYTES.fullmatch(value) else f"\\x{value.hex()}"


def _plain_floats(values: pa.Array) -> pa.Array:
    """Numbers that stand for times, without exponents; NaN, which says that there is none, as null."""
    values = pc.cast(values, pa.float64())
    values = pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
    try:
        return pc.cast(pc.cast(values, pa.int64()), TEXT)
    except pa.ArrowInvalid:
        return pa.array([None if one is None else f"{Decimal(repr(one)):f}" for one in values.to_pylist()], TEXT)


def _chosen(choices: Sequence[str], text: str) -> str:
    """The choice that is meant: as it is written, else the only one that differs by case alone. Raises ValueError."""
    word = text.strip()
    if word in choices:
        return word
    found = [choice for choice in choices if choice.lower() == word.lower()]
    if len(found) != 1 or _MINUTES_OR_MONTHS.fullmatch(word):  # 1M is a month, 1m a minute
        raise ValueError(f"one of {', '.join(choices)} is needed")
    return found[0]


def _limit(column: Column, backend: str) -> tuple[float | None, str]:
    """The size from which a number is refused, and why."""
    if column.digits:
        before = column.digits[0] - column.digits[1]
        return 10.0**before, f"more than {before} digits before the point"
    bits = 63 if backend == "sqlite" and column.kind in WHOLE else WHOLE.get(column.kind)
    if bits and column.numbered:
        return 2.0 ** (bits - 1), "so high that few numbers would be left for the rows after it"
    return (2.0**bits, "beyond what the column can hold") if bits else (None, "")


def _cast(texts: pa.Array, type: pa.DataType) -> pa.Array | None:
    """The texts as that type; None where one of them is none, which the first ones tell at once."""
    try:
        pc.cast(pc.drop_null(texts[:100])[:1], type)
        return pc.cast(texts, type)
    except pa.ArrowInvalid:
        return None


def _utc(stamps: pa.Array, aware: bool) -> pa.Array:
    """Times of UTC as the server reads them."""
    text = pc.cast(pc.cast(stamps, pa.timestamp("us")), TEXT)
    return join(text, "+00") if aware else text
