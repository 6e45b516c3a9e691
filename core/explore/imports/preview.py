"""A look at what would be imported: the first rows, what each column seems to hold, and which table it belongs to."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from core.database import Database
from core.errors import TradekeepError
from core.explore.imports import bots, sqlitefile, times
from core.explore.imports.files import opened
from core.explore.imports.mapping import guessed, of_bots, wanting
from core.explore.imports.reader import reading
from core.explore.imports.values import COMMA_NUMBER, TRUTHS, shortened
from core.repositories.bulk import Column, Target, target
from core.repositories.bulk.text import of_arrow

SHOWN_ROWS = 20
LOOKED_ROWS = 1000
LACKING = 0.3  # of a column: what one weighs that a table needs and the file does not have
_ANY = Column("", "timestamp without time zone", "timestamp without time zone")  # which takes any type


@dataclass(frozen=True)
class SeenColumn:
    """A column of a file: its name, what it seems to hold, in words, and some of its values."""

    name: str
    words: str
    samples: tuple[str, ...]


@dataclass(frozen=True)
class Seen:
    """A file at first sight. kind: CSV, JSON lines, Parquet, SQLite or a bot's name; rows: the first ones, as text;
    tables: those of a SQLite file; table: the one that was looked at; bot: whose database it is, if it is a known one;
    commas: whether numbers seem to have a decimal comma; unsure_days: whether there are days that may be months."""

    name: str
    kind: str
    size_bytes: int | None
    columns: tuple[SeenColumn, ...] = ()
    rows: tuple[tuple[str | None, ...], ...] = ()
    notes: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    table: str | None = None
    bot: str | None = None
    commas: bool = False
    unsure_days: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names."""
        return tuple(column.name for column in self.columns)


def look(source: Path | str | BinaryIO, *, table: str | None = None, name: str | None = None) -> Seen:
    """The first rows of a file. table: of a SQLite file; by default the first one that has rows. Raises data.file."""
    tables: tuple[str, ...] = ()
    bot = None
    with opened(source, name) as file:
        if file.kind == "sqlite":
            with sqlitefile.readable(file) as connection:
                tables = tuple(sqlitefile.tables(connection))
                if not tables:
                    raise TradekeepError("data.file", f"{file.name} has no table.")
                table = table if table in tables else sqlitefile.likeliest(connection, tables)
            bot = bots.bot_of(source)
        with reading(file, table) as reader:
            first = next(reader.batches(list(range(len(reader.names))), lambda seen: None), None)
            columns, texts, commas, unsure_days = [], [], False, False
            for place, name_of in enumerate(reader.names):
                values = first.columns[place][:LOOKED_ROWS] if first else pa.array([], pa.string())
                shown = _texts(values)
                texts.append(shown[:SHOWN_ROWS])
                samples = tuple(itertools.islice((shortened(one) for one in shown if one), 3))
                words = _words(values, shown)
                commas = commas or (words == "text" and _any(shown, _is_comma))
                unsure_days = unsure_days or _any(shown, _is_unsure)
                columns.append(SeenColumn(name_of, words, samples))
            rows = tuple(zip(*texts, strict=True)) if texts else ()
            return Seen(
                file.name, reader.kind, file.size_bytes, tuple(columns), rows, reader.notes, tables, table, bot,
                commas, unsure_days,
            )  # fmt: skip


def _texts(values: pa.Array) -> list[str | None]:
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_large_binary(values.type) or pa.types.is_fixed_size_binary(values.type):
        values = values.cast(pa.binary())
    if pa.types.is_binary(values.type):
        return [None if one is None else one.decode("utf-8", "replace") for one in values.to_pylist()]
    found: list[str | None] = of_arrow(values, _ANY, "postgresql").to_pylist()
    return found


def _words(values: pa.Array, texts: Sequence[str | None]) -> str:
    """What a column seems to hold."""
    if pa.types.is_timestamp(values.type):
        return "time" if values.type.tz else "time without zone"
    found = [one.strip() for one in texts if one and one.strip()]
    if not found:
        return "empty"
    shape = times.shape_of(found)
    if shape.unit:
        return shape.words
    if all(_is_time(one, shape) for one in found[:100]):
        zoned = any(one.endswith(("Z", "z")) or "+" in one[10:] or "-" in one[10:] for one in found)
        return "time" if zoned else "time without zone"
    if all(one.lower() in TRUTHS for one in found) and not all(one in "01" for one in found):
        return "true or false"
    if all(one.lstrip("+-").isdigit() for one in found):
        return "whole number"
    if all(_is_number(one) for one in found):
        return "number"
    if all(one.startswith(("{", "[")) and _is_json(one) for one in found[:50]):
        return "JSON"
    return "text"


def _is_time(text: str, shape: times.Shape) -> bool:
    try:
        times.moment(text, shape)
    except ValueError as error:
        return "either day and month" in str(error)
    return not text.isdigit()


def _any(texts: Sequence[str | None], says: Callable[[str], bool]) -> bool:
    return any(says(one.strip()) for one in texts[:100] if one)


def _is_comma(text: str) -> bool:
    return "," in text and re.match(COMMA_NUMBER, text) is not None


def _is_unsure(text: str) -> bool:
    try:
        times.moment(text, times.Shape())
    except ValueError as error:
        return "either day and month" in str(error)
    return False


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


# --- where it could go


def target_of(db: Database, table: str) -> Target:
    """What a table is made of. Raises schema.missing_table."""
    with db.connect() as connection:
        return target(connection, table)


def fitting(db: Database, names: Sequence[str], tables: Sequence[str]) -> str | None:
    """The table that a file with these columns most likely belongs to; None where none fits.

    It is the one that takes most of them; each that its rows need and nobody gives counts against it. One that
    leaves most of them out is the likeliest only where none takes half.
    """
    best: tuple[bool, float, str | None] = (False, 0.0, None)
    for table in tables:
        of = target_of(db, table)
        found = {to for to in guessed(names, of).values() if to}
        lacking = [name for name in wanting(of, found) if name != "bot_id" or not of_bots(of)]
        score = (2 * len(found) >= len(names), len(found) - LACKING * len(lacking))
        if score > best[:2] and score[1] > 0 and len(found) >= min(2, len(names)):
            best = (*score, table)
    return best[2]
