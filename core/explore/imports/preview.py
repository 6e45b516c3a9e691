"""A look at what would be imported: the first rows, what each column seems to hold, and which table it belongs to."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from core.database import Database
from core.errors import TradekeepError
from core.explore.imports import bots, sqlitefile, times
from core.explore.imports.files import opened
from core.explore.imports.mapping import guessed, wanting
from core.explore.imports.reader import reading
from core.explore.imports.values import TRUTHS, shortened
from core.repositories.bulk import Target, target
from core.repositories.bulk.text import of_arrow

SHOWN_ROWS = 20
LOOKED_ROWS = 1000
_ANY: Any = None


@dataclass(frozen=True)
class SeenColumn:
    """A column of a file: its name, what it seems to hold, in words, and some of its values."""

    name: str
    words: str
    samples: tuple[str, ...]


@dataclass(frozen=True)
class Seen:
    """A file at first sight. kind: CSV, Parquet, SQLite or a bot's name; rows: the first ones, as text; tables: those
    of a SQLite file; table: the one that was looked at; bot: whose database it is, if it is one that is known."""

    name: str
    kind: str
    size_bytes: int | None
    columns: tuple[SeenColumn, ...] = ()
    rows: tuple[tuple[str | None, ...], ...] = ()
    notes: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    table: str | None = None
    bot: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names."""
        return tuple(column.name for column in self.columns)


def look(source: Path | str | BinaryIO, *, table: str | None = None, name: str | None = None) -> Seen:
    """The first rows of a file. table: of a SQLite file; by default its first one. Raises data.file."""
    tables: tuple[str, ...] = ()
    bot = None
    with opened(source, name) as file:
        if file.kind == "sqlite":
            with sqlitefile.readable(file) as connection:
                tables = tuple(sqlitefile.tables(connection))
            if not tables:
                raise TradekeepError("data.file", f"{file.name} has no table.")
            bot = bots.bot_of(source)
            table = table if table in tables else tables[0]
        with reading(file, table) as reader:
            first = next(reader.batches(list(range(len(reader.names))), lambda seen: None), None)
            columns, texts = [], []
            for place, name_of in enumerate(reader.names):
                values = first.columns[place][:LOOKED_ROWS] if first else pa.array([], pa.string())
                shown = _texts(values)
                texts.append(shown[:SHOWN_ROWS])
                samples = tuple(itertools.islice((shortened(one) for one in shown if one), 3))
                columns.append(SeenColumn(name_of, _words(values, shown), samples))
            rows = tuple(zip(*texts, strict=True)) if texts else ()
            return Seen(
                file.name, reader.kind, file.size_bytes, tuple(columns), rows, reader.notes, tables, table, bot
            )  # fmt: skip


def _texts(values: pa.Array) -> list[str | None]:
    if pa.types.is_binary(values.type):
        return [None if one is None else one.decode("utf-8", "replace") for one in values.to_pylist()]
    if pa.types.is_timestamp(values.type):
        return [None if one is None else str(one) for one in values.to_pylist()]
    return of_arrow(values, _ANY, "postgresql").to_pylist()


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


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


# --- where it could go


def target_of(db: Database, table: str) -> Target:
    """What a table is made of. Raises schema.missing_table."""
    with db.connect() as connection:
        return target(connection, table)


def fitting(db: Database, names: Sequence[str], tables: Sequence[str]) -> str | None:
    """The table that a file with these columns most likely belongs to; None where none fits."""
    best: tuple[float, str | None] = (0.0, None)
    for table in tables:
        of = target_of(db, table)
        found = {to for to in guessed(names, of).values() if to}
        score = len(found) - 1.5 * len(wanting(of, found))
        if score > best[0]:
            best = (score, table)
    return best[1]
