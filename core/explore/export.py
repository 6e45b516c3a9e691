"""Everything that matches, as CSV, JSON lines or Parquet: streamed, so that memory stays flat at any size."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from decimal import Decimal
from typing import Any, BinaryIO, Literal

import psycopg
import sqlalchemy as sa

from core.database import Database
from core.errors import TradekeepError, classify
from core.explore.asking import ask
from core.explore.copied import Copied
from core.explore.filters import Condition, Dialect, Filter, conditions, joined
from core.explore.order import Sort, order_of
from core.explore.parquet import exact, parquet
from core.explore.relation import Column, Relation, relation
from core.format import count, literal
from core.progress import Report, silent

Format = Literal["csv", "parquet", "jsonl"]
FORMATS = ("csv", "jsonl", "parquet")
# A spreadsheet takes a text that begins so for a formula, and would run it.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_QUOTED = re.compile(r'[",\r\n]|^\s|\s$|^\\\.$')
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
    line. progress(rows so far, estimate or 0, message) is called now and then; what it raises ends the export.
    Raises data.filter, schema.missing_table, and resource errors of `out` (disk full).
    """
    if format not in FORMATS:
        raise TradekeepError("data.filter", f"There is no format {format!r}; there are {', '.join(FORMATS)}.")
    sorts = (sort,) if isinstance(sort, Sort) else tuple(sort or ())
    report = progress or silent

    def question(connection: sa.Connection) -> int:
        dialect = Dialect(db.backend)
        of = relation(db, connection, table)
        shown = of.readable if columns is None else tuple(of.column(name) for name in dict.fromkeys(columns))
        where = joined(conditions(of, filters, search, dialect))
        ordered = order_of(of, sorts, dialect).sql(backward=False) if sorts else ""
        export = _Export(connection, dialect, of, shown, where, ordered, _Counted(out, report, of.rows_estimate or 0))
        return export.run(format)

    try:
        return ask(db, question, statement_timeout_s=None)
    except OSError as error:
        raise classify(error) from None


class _Counted:
    """The output; tells the progress as bytes go by. rows: so far, by those who write."""

    def __init__(self, out: BinaryIO, report: Report, estimate: int) -> None:
        self._out, self._report, self._estimate = out, report, estimate
        self._unsaid, self.rows = 0, 0

    def write(self, piece: bytes | memoryview) -> int:
        self._out.write(piece)
        self._unsaid += len(piece)
        if self._unsaid >= REPORT_EVERY_BYTES:
            self._unsaid = 0
            self._report(self.rows, max(self._estimate, self.rows), count(self.rows, "row"))
        return len(piece)


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
            self._copy(self._select([self._safe(column) for column in self.shown]), "FORMAT csv, HEADER")
        elif format == "jsonl":
            inner = self._select([self.dialect.column(column.name) for column in self.shown])
            self._copy(f"SELECT to_json(r) FROM ({inner}) r", _PLAIN_LINES)  # noqa: S608  # quoted names
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
        if not column.wide and not column.textual:
            return name
        if column.type in ("numeric", "bytea", "jsonb", "json") or column.enum:
            return name  # begins with a digit, a sign of a number, a backslash or a bracket
        text = name if column.type in ("text", "character varying") else f"CAST({name} AS text)"
        dangers = ", ".join(literal(one) for one in FORMULA)
        # Most texts begin with a letter, which two comparisons of bytes find out faster than looking for dangers.
        letter = f"""{text} COLLATE "C" >= 'A' AND {text} COLLATE "C" < '{{'"""
        # A text that begins so after ' gets one more, so that taking one away gives the text back, whatever it is.
        danger = f"left(ltrim({text}, ''''), 1) IN ({dangers})"
        return f"CASE WHEN {letter} THEN {text} WHEN {danger} THEN '''' || {text} ELSE {text} END"

    def _copied(self, select: str, options: str) -> Generator[bytes]:
        driver: Any = self.connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        driver.execute("SELECT set_config('timezone', 'UTC', true), set_config('datestyle', 'ISO', true)")
        if not self.where.parameters:  # then nothing replaces %%
            select = select.replace("%%", "%")
        copied = Copied(driver, f"COPY ({select}) TO STDOUT ({options})", self.where.parameters or None)
        with closing(iter(copied)) as pieces:
            for piece in pieces:
                self.copied_rows = copied.rows
                yield piece
        self.number = copied.number

    def _copy(self, select: str, options: str) -> None:
        """Pass on what COPY sends; the heading counts as a row until the end."""
        with closing(self._copied(select, options)) as pieces:
            for piece in pieces:
                self.out.rows = self.copied_rows
                self.out.write(piece)

    def _parquet(self) -> None:
        select = self._select([exact(column, self.dialect.column(column.name)) for column in self.shown])
        parquet(self._copied(select, "FORMAT csv"), self.shown, self.out)

    def rows(self) -> Iterator[list[tuple[Any, ...]]]:
        """The rows of a SQLite file, some at a time."""
        sql = self._select([self.dialect.column(column.name) for column in self.shown])
        result = self.connection.exec_driver_sql(sql, self.where.parameters)
        while batch := result.fetchmany(BATCH):
            yield [tuple(row) for row in batch]


def _csv(export: _Export) -> None:
    heading = ",".join(_cell(column.name) for column in export.shown)
    export.out.write(f"{heading}\n".encode("utf-8", "replace"))
    for batch in export.rows():
        lines = "".join(",".join([_cell(value) for value in row]) + "\n" for row in batch)
        export.out.rows += len(batch)
        export.out.write(lines.encode("utf-8", "replace"))


def _cell(value: Any) -> str:
    """A cell of CSV as COPY writes it: NULL is nothing, an empty text is quoted."""
    if value is None:
        return ""
    text = harmless(value) if isinstance(value, str) else str(_told(value))
    return f'"{text.replace(chr(34), chr(34) * 2)}"' if not text or _QUOTED.search(text) else text


def _jsonl(export: _Export) -> None:
    names = [column.name for column in export.shown]
    for batch in export.rows():
        lines = [json.dumps(dict(zip(names, map(_jsonable, row), strict=True)), ensure_ascii=False) for row in batch]
        export.out.rows += len(batch)
        export.out.write(("\n".join(lines) + "\n").encode("utf-8", "replace"))


def _as_parquet(export: _Export) -> None:
    lines = (b"".join(map(_line, batch)) for batch in export.rows())
    # A column of SQLite may hold values of several types, so all of them are text.
    parquet(lines, [Column(column.name, "text") for column in export.shown], export.out)


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
    """The value; bytes as PostgreSQL writes them."""
    return "\\x" + value.hex() if isinstance(value, bytes) else value


_IN_PYTHON: dict[str, Callable[[_Export], None]] = {"csv": _csv, "jsonl": _jsonl, "parquet": _as_parquet}
