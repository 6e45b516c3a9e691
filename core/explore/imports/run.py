"""An import from its beginning to its end: rows read, looked at and written, a batch at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import tzinfo
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from core.database import Database
from core.errors import TradekeepError
from core.explore.ahead import ahead
from core.explore.imports import times
from core.explore.imports.csvfile import Raw
from core.explore.imports.faulty import Faulty
from core.explore.imports.files import Opened, opened
from core.explore.imports.ledger import Ledger
from core.explore.imports.mapping import Usual, chosen, empties, usual
from core.explore.imports.namedbot import PLACE, NamedBot, named_bot, without_bots
from core.explore.imports.ranges import Fault, Ranges, told
from core.explore.imports.reader import Reader, reading
from core.explore.imports.report import Imported
from core.explore.imports.values import WHOLE, Reading, RowError, shortened
from core.format import count
from core.progress import Report, silent
from core.repositories.bulk import EARLIER, ROW, Counts, Key, Refusal, Repeats, Target, target, write
from core.repositories.bulk.target import execute

MOST_ERRORS = 10_000
AHEAD = 2  # batches that are read and looked at while one is written
TRIES = 5  # of a batch, where another program holds a file of SQLite
REFUSED_BEFORE = "refused by the database before, in a run that was cut"


def import_rows(
    db: Database,
    table: str,
    source: Path | str | BinaryIO,
    *,
    mapping: Mapping[str, str | None] | None = None,
    upsert: bool = True,
    dry_run: bool = False,
    progress: Report | None = None,
    values: Mapping[str, str] | None = None,
    source_table: str | None = None,
    zone: str = "UTC",
    name: str | None = None,
    bot: str | None = None,
    comma: bool = False,
    day_first: bool | None = None,
) -> Imported:
    """Import the rows of a file (CSV, JSON lines, Parquet, SQLite) into a table; and what became of them.

    mapping: file column -> table column (None: leave it out); what it does not name is guessed. values: a value for
    a column that the file does not have. source_table: which table of a SQLite file. zone: of times without one.
    name: what to call the source, for instance an upload. bot: the name of the bot whose rows they are, in a table with
    a bot_id; one that is not there is made with the first rows. What rows have in other columns that neither the file
    nor `values` give is `mapping.usual`; a note tells it. comma: numbers have a decimal comma. day_first: how days and
    months stand where that cannot be told.
    upsert: a row that is there already is changed where it differs, else skipped; without it every row is added.
    What tells rows apart is a key of the table; where a row has none (a trade without order_id) its whole content,
    and the row is added as often as the file has it more often than the table. dry_run: nothing is written.

    Each batch is one transaction: a run that was cut can be repeated and leaves nothing twice. Rows at fault are
    left out and told; progress(done, total, message) comes after each batch, and what it raises ends the import.
    Raises data.file, data.mapping, data.value, schema.missing_table, permission errors.
    """
    if not dry_run:
        refuse_read_only(db)
    begin = time.perf_counter()
    with opened(source, name) as file, reading(file, source_table) as reader:
        with db.connect() as connection:
            into = target(connection, table)
            named = named_bot(connection, into, bot) if bot else None
        given = [*(values or {}), *(["bot_id"] if named else [])]
        pairs = chosen(reader.names, into, mapping, given)
        rules = usual(into, [*pairs.values(), *given], named.type if named else None)
        fixed = {name: text for name, text in empties(into).items() if name not in pairs.values()}
        fixed |= {one.column: one.value for one in rules if not one.by} | dict(values or {})
        if named:
            fixed |= {"bot_id": PLACE}
            into = without_bots(into) if dry_run and named.id is None else into
        run = _Run(db, into, file, reader, pairs, fixed, zone, upsert, dry_run, rules, named, comma, day_first)
        run.go(progress or silent)
        return run.told(begin)


def refuse_read_only(db: Database) -> None:
    """Raises config.read_only where nothing can be written through this connection."""
    if db.read_only:
        raise TradekeepError("config.read_only", "This connection only reads; rows are imported through another one.")


@dataclass
class _Batch:
    """Rows that are ready: texts with their numbers; the last number read, and how far the source was read."""

    rows: pa.Table
    read: int
    done: int
    raw: Raw
    mark: str = ""


@dataclass
class _Run:
    """One import under way."""

    db: Database
    into: Target
    file: Opened
    reader: Reader
    pairs: dict[str, str]
    fixed: dict[str, str]
    zone: str
    upsert: bool
    dry_run: bool
    rules: list[Usual] = field(default_factory=list)
    bot: NamedBot | None = None
    comma: bool = False
    day_first: bool | None = None
    counts: Counts = field(default_factory=Counts)
    errors: list[RowError] = field(default_factory=list)
    wrong: int = 0
    read: int = 0
    resumed: int = 0
    refused_before: int = 0

    def __post_init__(self) -> None:
        zone = times.zone_of(self.zone)
        self.derived = [one for one in self.rules if one.by]
        columns = [*self.pairs.values(), *self.fixed, *(one.column for one in self.derived)]
        in_keys = {name for key in self.into.keys for name in key.columns}
        self.readings = {name: self._reading(name, zone, name in in_keys) for name in columns}
        self.key: Key | None = self.into.key_for(columns) if self.upsert else None
        self.repeats = Repeats(self.into)
        self.faulty = Faulty(tuple(self.pairs))
        self.ranges = Ranges(self.into, {to: name for name, to in self.pairs.items()})
        self._telling = threading.Lock()
        self.ledger: Ledger | None = None
        self._constants = {name: self._constant(name, value) for name, value in self.fixed.items()}

    def _reading(self, name: str, zone: tzinfo, of_key: bool) -> Reading:
        column = self.into.by_name[name]
        moment = of_key or not column.nullable
        return Reading(column, self.into.backend, zone, finite=moment, comma=self.comma, day_first=self.day_first)

    def _constant(self, name: str, value: str) -> str | None:
        texts, problems = self.readings[name].texts(pa.array([value]))
        if problems:
            raise TradekeepError("data.value", f"{name}: {shortened(value)}: {problems[0][2]}.")
        text: str | None = texts[0].as_py()
        return text

    # --- reading

    def _batches(self) -> Iterator[_Batch]:
        places = [self.reader.names.index(name) for name in self.pairs]
        nul = [False]

        def watch(seen: bool) -> None:
            nul[0] = seen

        for raw in self.reader.batches(places, watch):
            yield self._ready(raw, nul[0])

    def _ready(self, raw: Raw, nul: bool) -> _Batch:
        """The rows of a batch that nothing is wrong with, as texts."""
        found: dict[str, pa.Array] = {}
        wrong: dict[int, list[Fault]] = {}
        for (name, to), values in zip(self.pairs.items(), raw.columns, strict=True):
            found[to], problems = self.readings[to].texts(values, nul=nul)
            for place, value, reason in problems:
                wrong.setdefault(place, []).append((name, value, reason))
        self.faulty.add(raw, wrong)
        for number, reason, text in raw.ragged:
            self._tell(RowError(number, "", shortened(text), reason))
        size = len(raw.numbers)
        for name, constant in self._constants.items():
            found[name] = pa.array([constant] * size, pa.string())
        for one in self.derived:
            found[one.column] = pc.if_else(pc.is_valid(found[str(one.by)]), one.value, one.otherwise)
        for place, faults in wrong.items():
            more = self.ranges.faults(found, place) if len(self.errors) < MOST_ERRORS else []
            self._tell(told(raw.numbers[place].as_py(), faults + more))
        rows = pa.table({ROW: raw.numbers, EARLIER: pa.array(_zeros(size)), **found})
        if wrong:
            keep = [place not in wrong for place in range(size)]
            rows = rows.filter(pa.array(keep))
        if self.upsert:
            rows = self._repeated(rows)
        mark = self.ledger.mark(rows.drop_columns([EARLIER])) if self.ledger and self.ledger.kept else ""
        return _Batch(rows, size + len(raw.ragged), self.reader.done(), raw, mark)

    def _repeated(self, rows: pa.Table) -> pa.Table:
        """Note for rows that no key tells apart how often they came before."""
        loose: Any = True
        if self.key is not None:
            nulls = [pc.is_null(rows[name]) for name in self.key.columns if self.into.by_name[name].nullable]
            if self.key.nulls_equal or not nulls or not any(pc.any(one).as_py() for one in nulls):
                return rows
            loose = nulls[0]
            for one in nulls[1:]:
                loose = pc.or_(loose, one)
        some = rows if loose is True else rows.filter(loose)
        names = [n for n in some.column_names if n not in (ROW, EARLIER) and not self.into.by_name[n].numbered]
        before = self.repeats.before(some.select(names))
        if loose is not True:
            before = pc.replace_with_mask(pa.array(_zeros(rows.num_rows)), loose.combine_chunks(), before)
        return rows.set_column(1, EARLIER, before)

    def _tell(self, *errors: RowError, of: int | None = None) -> None:
        """Count rows at fault, and keep the first ones. of: how many there are, where not all are told."""
        with self._telling:  # the thread that reads and the one that writes
            self.wrong += len(errors) if of is None else of
            self.errors += errors[: MOST_ERRORS - len(self.errors)]

    # --- writing

    def go(self, report: Report) -> None:
        """Everything, a batch a transaction."""
        total = self.reader.total
        report(0, total, f"Reading {self.file.name}")
        if not self.upsert and not self.dry_run:
            with self.db.connect() as connection:
                self.ledger = Ledger(connection, self.into, self.file.name)

        begun = False

        def waiting() -> None:
            report(0, total, "Waiting for another import of the same rows to end")

        with ExitStack() as held, ahead(self._batches(), AHEAD) as batches:
            for batch in batches:
                if self.ledger and batch.rows.num_rows and not begun:
                    begun = True
                    held.enter_context(self.ledger.alone(self.db, batch.mark, waiting))
                self.read += batch.read
                if batch.rows.num_rows:
                    self._write(batch)
                done = self.counts.inserted + self.counts.updated + self.counts.skipped
                so_far = f"{count(done, 'row')} {'looked at' if self.dry_run else 'in the table'}"
                report(min(batch.done, total) if total else batch.done, total, f"{so_far}, {self.wrong:,} at fault")
            if self.ledger:
                with self.db.connect(statement_timeout_s=None) as connection:
                    one_at_a_time(connection, self.into)
                    self.ledger.end(connection)

    def _write(self, batch: _Batch) -> None:
        """Write a batch, and tell what became of it once that is certain."""
        for tried in range(1, TRIES + 1):
            try:
                counts, refused, before = self._written(batch)
                break
            except TradekeepError as error:  # nothing of the batch is there
                if error.kind != "transient.lock" or self.into.backend != "sqlite" or tried == TRIES:
                    raise
        self.counts += counts
        if before is not None:
            self.resumed += counts.skipped
            self.refused_before += before["refused"]
            self._tell(*(RowError(row, "", "", REFUSED_BEFORE) for row in before["refused_rows"]), of=before["refused"])
        places = {row: place for place, row in enumerate(batch.rows[ROW].to_pylist())} if refused else {}
        columns = dict(zip(batch.rows.column_names, batch.rows.columns, strict=True))
        names = {to: name for name, to in self.pairs.items()}
        if refused:
            numbers = {number: place for place, number in enumerate(batch.raw.numbers.to_pylist())}
            self.faulty.add(batch.raw, [numbers[one.row] for one in refused])
        for one in refused:
            value = ", ".join(
                str(columns[column][places[one.row]].as_py()) for column in one.column.split(", ") if column in columns
            )
            column = ", ".join(names.get(name, name) for name in one.column.split(", "))
            more = self.ranges.faults(columns, places[one.row]) if len(self.errors) < MOST_ERRORS else []
            first = (column, shortened(value), one.reason)
            self._tell(told(one.row, [first, *(fault for fault in more if fault[2] != one.reason)]))

    def _written(self, batch: _Batch) -> tuple[Counts, list[Refusal], dict[str, Any] | None]:
        """What became of a batch's rows, in one transaction; and what a run that was cut has said of it."""
        how = "forecast" if self.dry_run else "upsert" if self.upsert else "append"
        with self.db.connect(statement_timeout_s=None) as connection:
            if not self.dry_run:
                one_at_a_time(connection, self.into)
            rows, bot_id = batch.rows, self.bot.id if self.bot else None
            if self.bot and (bot_id is not None or not self.dry_run):
                rows, bot_id = self.bot.of(connection, rows, self.reader.kind)
            before = self.ledger.written(connection, batch.mark, rows) if self.ledger else None
            if before is not None:
                return Counts(skipped=rows.num_rows - before["refused"]), [], before
            counts, refused = write(connection, self.into, self.key, rows, how=how, checked=True)
            if not self.dry_run:
                self._number_on(connection, rows)
            if self.ledger:
                self.ledger.note(connection, batch.mark, rows, [one.row for one in refused])
        if self.bot and bot_id is not None:
            self.bot.known(bot_id)  # only now it is certain
        return counts, refused, None

    def _number_on(self, connection: sa.Connection, rows: pa.Table) -> None:
        """Have the database number its next rows after those that came with numbers, also where no batch follows."""
        if self.into.backend == "sqlite":
            return
        for name in self.readings:
            column = self.into.by_name[name]
            if column.numbered and column.kind in WHOLE and rows[name].null_count < len(rows):
                execute(
                    connection,
                    "SELECT setval(s.oid, m.most) FROM (SELECT %s::bigint AS most) m,"
                    " (SELECT pg_get_serial_sequence(%s, %s)::regclass AS oid) s"
                    " WHERE CASE WHEN has_sequence_privilege(s.oid, 'UPDATE')"
                    " AND has_sequence_privilege(s.oid, 'USAGE')"
                    " THEN m.most > greatest(pg_sequence_last_value(s.oid), 0) END",
                    (pc.max(pc.cast(rows[name], pa.int64())).as_py(), self.into.sql.replace("%%", "%"), name),
                )

    def told(self, begin: float) -> Imported:
        """What became of it all."""
        return Imported(
            inserted=self.counts.inserted,
            updated=self.counts.updated,
            skipped=self.counts.skipped,
            errors=sorted(self.errors, key=lambda error: error.row),
            error_count=self.wrong,
            rows=self.read,
            mapping=dict(self.pairs),
            key=self.key.columns if self.key else (),
            notes=list(self._notes()),
            dry_run=self.dry_run,
            faulty=self.faulty,
            elapsed_ms=(time.perf_counter() - begin) * 1000,
        )

    def _notes(self) -> Iterator[str]:
        """What was noticed on the way, a sentence each."""
        yield from self.reader.notes
        for name, one in self.readings.items():
            if one.rounded:
                digits = (self.into.by_name[name].digits or (0, 0))[1]
                yield f"{name}: {one.rounded:,} values have more than {digits} digits after the point and are rounded."
            if one.zoneless:
                yield f"{name} has no time zone; it is read as {self.zone}."
            if one.shape is not None and one.shape.unit:
                yield f"{name} is read as {one.shape.words}."
            if one.neutral:
                told = count(one.neutral, "value")
                yield f"{name}: {told} came with a ' before what a spreadsheet would run; it is taken away."
        if self.resumed:
            yield f"{self.resumed:,} rows had been written by a run that was cut; they are skipped."
        if self.refused_before:
            again = count(self.refused_before, "row")
            yield f"{again} had been refused by the database in that run; they are at fault here, too."
        if self.wrong > len(self.errors):
            yield f"Of {self.wrong:,} rows at fault the first {len(self.errors):,} are listed."
        for rule in self.rules:
            yield f"{rule.column} is {self.fixed.get(rule.column, rule.words)} in every row: {rule.why}."
        if self.bot and (self.bot.made or self.bot.id is None):
            what = "would be" if self.dry_run else "was" if self.bot.made else "was not"
            yield f"The bot {self.bot.name} {what} made. {self.bot.note}".strip()
        left_out = [name for name in self.reader.names if name not in self.pairs]
        if left_out:
            yield f"Left out: {', '.join(left_out[:40])}."


def _zeros(size: int) -> Any:
    return pc.fill_null(pa.nulls(size, pa.int64()), 0)


def one_at_a_time(connection: sa.Connection, into: Target) -> None:
    """Wait for another import into this table to end its batch, as far as this role may."""
    if into.backend == "sqlite":  # whoever writes first waits for others to end; who has read before may not
        execute(connection, f"DELETE FROM {into.sql} WHERE false")  # noqa: S608  # quoted name
        return
    way = execute(
        connection,
        "SELECT CASE WHEN has_function_privilege('pg_advisory_xact_lock(int, int)', 'EXECUTE') THEN 'advisory'"
        " WHEN has_table_privilege(%s, 'UPDATE, DELETE, TRUNCATE') THEN 'table' END",
        (into.sql.replace("%%", "%"),),
    ).scalar_one()
    if way == "advisory":
        execute(connection, "SELECT pg_advisory_xact_lock(hashtext('tradekeep.import'), hashtext(%s))", (into.sql,))
    elif way == "table":
        execute(connection, f"LOCK TABLE {into.sql} IN SHARE ROW EXCLUSIVE MODE")
