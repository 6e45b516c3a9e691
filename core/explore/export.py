"""Everything that matches, as CSV, JSON lines or Parquet: streamed, so that memory stays flat at any size."""

from __future__ import annotations

import itertools
import json
import math
import re
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from decimal import Decimal
from typing import Any, BinaryIO, Literal

import psycopg
import sqlalchemy as sa

from core.database import Database
from core.database.connection import DRIVER_ERRORS
from core.errors import TradekeepError, classify
from core.explore.asking import ask
from core.explore.copied import PIECE_BYTES, Copied
from core.explore.fetched import any_text
from core.explore.filters import Condition, Dialect, Filter, conditions, joined
from core.explore.order import Sort, order_of
from core.explore.parquet import exact, parquet
from core.explore.relation import PLAIN, Column, Relation, relation
from core.explore.watched import watched
from core.format import count, literal
from core.progress import Report, silent

Format = Literal["csv", "parquet", "jsonl"]
FORMATS = ("csv", "jsonl", "parquet")
# A spreadsheet takes a text that begins so for a formula, and would run it.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", "﹦", "﹢", "﹣", "﹫")
# What begins with a digit, the sign of a number or of a length of time, a letter, a backslash or a bracket.
_HARMLESS = PLAIN - {"text", "character varying", "character", "name"} | {
    "bytea", "json", "jsonb", "interval", "money", "time without time zone", "time with time zone",
}  # fmt: skip
_QUOTED = re.compile(r'[",;\t\r\n]|^\s|\s$|^\\\.$')
# What JSON tells in one line; the text of a json has the line breaks that it was written with.
_ONE_LINE = PLAIN | {"bytea", "jsonb"}
REPORT_EVERY_BYTES = 4 << 20
BATCH = 2000
# COPY's CSV, with a quote and a delimiter that no JSON text holds: the lines come as they are.
_PLAIN_LINES = "FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02'"


def export_rows(
    db: Database,
    table: str,
    filters: Sequence[Filter] = (),
    sort: Sequence[Sort] | Sort | None = None,
    *,
    format: Format = "csv",
    out: BinaryIO,
    columns: Sequence[str] | None = None,
    search: str | None = None,
    progress: Report | None = None,
) -> int:
    """Write every row that matches to `out`; gives how many. Without a sort: as the server finds them.

    csv: with a heading; a text that a spreadsheet would take for a formula gets a ' before it. jsonl: one object a
    line. progress(rows so far, estimate or 0, message) is called now and then, also from another thread; what it
    raises ends the export, whatever the server is doing. Raises data.filter, schema.missing_table, and resource errors
    of `out` (disk full).
    """
    if format not in FORMATS:
        raise TradekeepError("data.filter", f"There is no format {format!r}; there are {', '.join(FORMATS)}.")
    sorts = (sort,) if isinstance(sort, Sort) else tuple(sort or ())
    counted = _Counted(out, progress or silent)
    halfway: list[BaseException] = []

    def exported(connection: sa.Connection) -> int:
        dialect = Dialect(db.backend)
        of = relation(db, connection, table)
        shown = of.readable if columns is None else tuple(of.column(name) for name in dict.fromkeys(columns))
        where = joined(conditions(of, filters, search, dialect))
        ordered = order_of(of, sorts, dialect).sql(backward=False) if sorts else ""
        counted.estimate = of.rows_estimate or 0
        return _Export(connection, dialect, of, shown, where, ordered, counted).run(format)

    def question(connection: sa.Connection) -> int:
        if halfway:
            raise halfway[0]
        try:
            with watched(connection, counted.tell if progress else None):
                return exported(connection)
        except DRIVER_ERRORS as error:
            if counted.bytes:  # which cannot be taken back, so no second try
                halfway.append(error)
            raise

    try:
        return ask(db, question, statement_timeout_s=None)
    except OSError as error:
        raise classify(error) from None


class _Counted:
    """The output; tells the progress as bytes go by. rows: so far, by those who write."""

    def __init__(self, out: BinaryIO, report: Report) -> None:
        self._out, self._report, self._telling = out, report, threading.Lock()
        self._unsaid = self.bytes = self.rows = self.estimate = 0

    def write(self, piece: bytes | memoryview) -> int:
        self._out.write(piece)
        self.bytes += len(piece)
        self._unsaid += len(piece)
        if self._unsaid >= REPORT_EVERY_BYTES:
            self._unsaid = 0
            self.tell()
        return len(piece)

    def tell(self) -> None:
        with self._telling:
            rows = self.rows
            self._report(rows, max(self.estimate, rows), count(rows, "row") if rows else "")


class _Export:
    """One export on one connection."""

    def __init__(
        self,
        connection: sa.Connection,
        dialect: Dialect,
        of: Relation,
        shown: Sequence[Column],
        where: Condition,
        ordered: str,
        out: _Counted,
    ) -> None:
        self.connection, self.dialect, self.of, self.shown = connection, dialect, of, shown
        self.where, self.ordered, self.out = where, ordered, out
        self.number: int | None = None  # of rows, as the server says at the end
        self.copied_rows = 0

    def run(self, format: Format) -> int:
        """Write everything; gives the number of rows."""
        if self.dialect.sqlite:
            _IN_PYTHON[format](self)
        elif format == "csv":
            self._copy(self._select(map(self._safe, self.shown)), self._quoting(), _heading(self.shown))
        elif format == "jsonl":
            inner = self._select([self.dialect.column(column.name) for column in self.shown])
            line = "to_json(t.*)"  # t alone could be a column
            if not all(column.type in _ONE_LINE or column.enum for column in self.shown):
                line = f"translate({line}::text, E'\\n\\r', '  ')"  # a JSON text has them between its parts alone
            self._copy(f"SELECT {line} FROM ({inner}) t", _PLAIN_LINES)  # noqa: S608  # quoted names
        else:
            self._parquet()
        return self.out.rows if self.number is None else self.number

    def _select(self, chosen: Iterable[str]) -> str:
        named = [f"{sql} AS {self.dialect.name(c.name)}" for sql, c in zip(chosen, self.shown, strict=True)]
        sql = f"SELECT {', '.join(named)} FROM {self.dialect.table(self.of)}"  # noqa: S608  # quoted names
        sql += f" WHERE {self.where.sql}" if self.where.sql else ""
        return sql + (f" ORDER BY {self.ordered}" if self.ordered else "")

    def _safe(self, column: Column) -> str:
        """A column for a spreadsheet: what can hold any text is made harmless."""
        name = self.dialect.column(column.name)
        if column.type in _HARMLESS:
            return name
        text = name if column.type in ("text", "character varying") else f"CAST({name} AS text)"
        dangers = ", ".join(literal(one) for one in FORMULA)
        # Most texts begin with a letter, which two comparisons of bytes find out faster than looking for dangers.
        letter = f"""{text} COLLATE "C" >= 'A' AND {text} COLLATE "C" < '{{'"""
        # A text that begins so after ' gets one more, so that taking one away gives the text back, whatever it is.
        danger = f"left(ltrim({text}, ''''), 1) IN ({dangers})"
        return f"CASE WHEN {letter} THEN {text} WHEN {danger} THEN '''' || {text} ELSE {text} END"

    def _quoting(self) -> str:
        """COPY's options: any text is quoted, or a program that takes ; or a tab for the end of a cell sees two."""
        quoted = [self.dialect.name(column.name) for column in self.shown if column.type not in _HARMLESS]
        return "FORMAT csv" + (f", FORCE_QUOTE ({', '.join(quoted)})" if quoted else "")

    def _copied(self, select: str, options: str) -> Generator[bytes]:
        driver: Any = self.connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        driver.execute("SELECT set_config('timezone', 'UTC', true), set_config('datestyle', 'ISO', true)")
        statement = f"COPY ({select}) TO STDOUT ({options})"
        if not self.where.parameters:  # then nothing replaces %%
            statement = statement.replace("%%", "%")
        copied = Copied(driver, statement, self.where.parameters or None)
        with closing(iter(copied)) as pieces:
            for piece in pieces:
                self.copied_rows = copied.rows
                yield piece
        self.number = copied.number

    def _copy(self, select: str, options: str, heading: bytes = b"") -> None:
        """Pass on what COPY sends, after the heading: once it sends something, or nothing is there to be sent."""
        with closing(self._copied(select, options)) as pieces:
            first = next(pieces, b"")
            for piece in itertools.chain([heading + first], pieces):
                self.out.rows = self.copied_rows
                self.out.write(piece)

    def _parquet(self) -> None:
        select = self._select([exact(column, self.dialect.column(column.name)) for column in self.shown])
        parquet(self._copied(select, "FORMAT csv"), self.shown, self.out)

    def rows(self) -> Iterator[list[tuple[Any, ...]]]:
        """The rows of a SQLite file, some at a time."""
        sql = self._select([self.dialect.column(column.name) for column in self.shown])
        with any_text(self.connection):
            result = self.connection.exec_driver_sql(sql, self.where.parameters)
            while batch := result.fetchmany(BATCH):
                yield [tuple(row) for row in batch]


def _csv(export: _Export) -> None:
    export.out.write(_heading(export.shown))
    for batch in export.rows():
        lines = "".join(",".join([_cell(value) for value in row]) + "\n" for row in batch)
        export.out.rows += len(batch)
        export.out.write(lines.encode("utf-8", "replace"))


def _heading(shown: Iterable[Column]) -> bytes:
    return (",".join(_cell(column.name) for column in shown) + "\n").encode("utf-8", "replace")


def _cell(value: Any) -> str:
    """A cell of CSV as COPY writes it: NULL is nothing, an empty text is quoted."""
    if value is None:
        return ""
    text = harmless(value) if isinstance(value, str) else str(_told(value))
    return f'"{text.replace(chr(34), chr(34) * 2)}"' if not text or _QUOTED.search(text) else text


def _jsonl(export: _Export) -> None:
    names = [column.name for column in export.shown]
    for batch in export.rows():
        rows = (dict(zip(names, map(_jsonable, row), strict=True)) for row in batch)
        lines = [json.dumps(row, ensure_ascii=False, allow_nan=False) for row in rows]
        export.out.rows += len(batch)
        export.out.write(("\n".join(lines) + "\n").encode("utf-8", "replace"))


def _as_parquet(export: _Export) -> None:
    lines = (_line(row) for batch in export.rows() for row in batch)
    # A column of SQLite may hold values of several types, so all of them are text.
    parquet(_pieces(lines), [Column(column.name, "text") for column in export.shown], export.out)


def _pieces(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The lines in pieces as COPY's are."""
    held: list[bytes] = []
    size = 0
    for line in lines:
        held.append(line)
        size += len(line)
        if size >= PIECE_BYTES:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)


def _line(values: Iterable[Any]) -> bytes:
    """A line of CSV in which NULL is nothing, and every value is quoted."""
    return (",".join("" if value is None else _quoted(value) for value in values) + "\n").encode("utf-8", "replace")


def _quoted(value: Any) -> str:
    return '"' + str(_told(value)).replace('"', '""') + '"'


def harmless(text: str) -> str:
    """The text with a ' before it where a spreadsheet would take it for a formula, as Export._safe has it in SQL."""
    return f"'{text}" if text.lstrip("'").startswith(FORMULA) else text


def _jsonable(value: Any) -> Any:
    return str(value) if isinstance(value, Decimal) else _told(value)


def _told(value: Any) -> Any:
    """The value; bytes and what is no number as PostgreSQL writes them."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(Decimal(value))
    return "\\x" + value.hex() if isinstance(value, bytes) else value


_IN_PYTHON: dict[str, Callable[[_Export], None]] = {"csv": _csv, "jsonl": _jsonl, "parquet": _as_parquet}
