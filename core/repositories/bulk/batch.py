"""One batch into one table: what the database refuses is set aside, the rest is written."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from core.errors import TradekeepError, classify
from core.repositories.bulk.stage import EARLIER, ROW, Counts, Stage, append
from core.repositories.bulk.target import Key, Target

# So many rows of one batch are looked for one by one; more than that is no accident of some rows.
TRIES = 400
# Where COPY was, in any language; what stands before it in the context (a line of a JSON text) counts its own lines.
_LINE = re.compile(r"^COPY [^\n,]*, \D*(\d+)(?:, \w+ ([^\n]+?) ?: )?", re.M)
Driver = (sa.exc.DBAPIError, psycopg.Error, sqlite3.Error)


@dataclass(frozen=True)
class Refusal:
    """A row that was not written: its number in the source, the column (or columns) at fault, and why."""

    row: int
    column: str
    reason: str


def write(
    connection: sa.Connection,
    target: Target,
    key: Key | None,
    rows: pa.Table,
    *,
    how: str = "upsert",
    checked: bool = False,
) -> tuple[Counts, list[Refusal]]:
    """Write rows (texts, with ROW and EARLIER before them) within the connection's transaction.

    how: upsert (new rows in, changed ones changed), append (all of them in), forecast (nothing is written). checked:
    the columns' choices and lengths were looked at. Gives what became of the good rows, and the refused ones. Raises
    what is not the fault of single rows.
    """
    if how == "append" and (done := _straight(connection, target, rows)) is not None:
        return done, []
    refused: list[Refusal] = []
    stage, rows = _staged(connection, target, key, rows, refused)
    broken = [Refusal(row, ", ".join(columns), reason) for row, columns, reason in stage.broken(all_rules=not checked)]
    if broken:
        refused += broken
        rows = _without(rows, {one.row for one in broken})
        stage = Stage(connection, target, key, rows)
    if how == "forecast":
        return stage.forecast(), refused
    work = Stage.insert if how == "append" else Stage.write
    return _bisected(connection, target, key, rows, stage, work, refused), refused


def _straight(connection: sa.Connection, target: Target, rows: pa.Table) -> Counts | None:
    """COPY into the table itself; None where some row needs a closer look, and nothing was written then."""
    bare = rows.drop_columns([ROW, EARLIER])
    for name in bare.column_names:
        if bare[name].null_count and not target.by_name[name].nullable:
            return None
    try:
        with connection.begin_nested():
            return append(connection, target, bare)
    except Driver as error:
        if not _of_rows(error) and not _no_copy(error):
            raise
    return None


def _staged(
    connection: sa.Connection, target: Target, key: Key | None, rows: pa.Table, refused: list[Refusal]
) -> tuple[Stage, pa.Table]:
    """The rows beside their table; those with a value that its type refuses are set aside, one by one."""
    for _ in range(TRIES):
        try:
            with connection.begin_nested():
                return Stage(connection, target, key, rows), rows
        except Driver as error:
            place = _LINE.search(str(getattr(_told(error), "context", "") or ""))
            if not _of_rows(error) or not place or not rows.num_rows:
                raise
            at = min(int(place[1]), rows.num_rows) - 1
            refused.append(Refusal(rows[ROW][at].as_py(), place[2] or "", _why(error)))
            rows = pa.concat_tables([rows.slice(0, at), rows.slice(at + 1)])
    raise _too_many(target, refused)


def _bisected(
    connection: sa.Connection,
    target: Target,
    key: Key | None,
    rows: pa.Table,
    stage: Stage | None,
    work: Callable[[Stage], Counts],
    refused: list[Refusal],
) -> Counts:
    """Write the rows; where the database refuses them, find out which: halves of halves.

    Those that lack a parent are tried once more at the end: it may have been among the rows after them.
    """
    waiting: list[pa.Table] = [rows]
    orphans: list[tuple[pa.Table, Refusal]] = []
    done, tries, before = Counts(), 0, 0
    while waiting:
        some = waiting.pop()
        try:
            with connection.begin_nested():
                done += work(stage or Stage(connection, target, key, some))
        except Driver as error:
            tries += 1
            if not _of_rows(error):
                raise
            if tries > TRIES:
                raise _too_many(target, refused + [one for _, one in orphans]) from None
            if some.num_rows > 1:
                half = some.num_rows // 2
                waiting += [some.slice(half), some.slice(0, half)]
            elif classify(error).kind == "data.foreign_key":
                orphans.append((some, _refusal(some, error)))
            else:
                refused.append(_refusal(some, error))
        finally:
            stage = None
        if not waiting and orphans and len(orphans) != before:
            before = len(orphans)
            waiting, orphans = [pa.concat_tables([some for some, _ in orphans])], []
    refused += [one for _, one in orphans]
    return done


def _refusal(row: pa.Table, error: Any) -> Refusal:
    return Refusal(row[ROW][0].as_py(), getattr(_told(error), "column_name", "") or "", _why(error))


def _told(error: Any) -> Any:
    """What the driver tells of an error, field by field."""
    return getattr(getattr(error, "orig", error), "diag", None)


def _too_many(target: Target, refused: list[Refusal]) -> TradekeepError:
    known = sorted(refused, key=lambda one: one.row)
    first = f"; the first is row {known[0].row}: {known[0].column}: {known[0].reason}" if known else ""
    message = f"{target.name} refuses too many rows of one batch to look for each of them{first}"
    return TradekeepError("data.file", message.replace(": : ", ": "))


def _without(rows: pa.Table, numbers: set[int]) -> pa.Table:
    return rows.filter(pc.invert(pc.is_in(rows[ROW], pa.array(sorted(numbers), rows[ROW].type))))


def _of_rows(error: BaseException) -> bool:
    """Whether single rows are at fault, not the statement, the role or the server."""
    found = classify(error)
    return found.error_type == "data" or found.kind == "schema.no_partition"


def _no_copy(error: Any) -> bool:
    """Whether COPY is refused where an INSERT may go: there is row level security. Source: manual of COPY."""
    return getattr(error, "sqlstate", None) == psycopg.errors.FeatureNotSupported.sqlstate


def _why(error: Any) -> str:
    """What the database says, in a line."""
    found = classify(error)
    said = str(getattr(error, "orig", None) or error).strip().splitlines()
    of_trigger = found.kind == "data.check" and not getattr(_told(error), "constraint_name", None)
    return f"{found.title}: {said[0]}" if said and (found.kind != "data.check" or of_trigger) else found.message
