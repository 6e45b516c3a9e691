"""Many rows at once: COPY in, with upsert where it is asked for; how many were new, changed or there already.

PostgreSQL: a plain append is a COPY into the table itself; an upsert is a COPY into a temporary table (arrays where
the role may make none) and one INSERT ... ON CONFLICT. SQLite: the same statements over a temporary table.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from core.database import Database
from core.errors import TradekeepError
from core.repositories.bulk.batch import Refusal, write
from core.repositories.bulk.repeats import Repeats
from core.repositories.bulk.stage import EARLIER, ROW, Counts
from core.repositories.bulk.target import Column, Key, Target, target
from core.repositories.bulk.text import texts_of
from core.repositories.bulk.value import as_json

BATCH_ROWS = 50_000

__all__ = [
    "BATCH_ROWS",
    "EARLIER",
    "ROW",
    "Column",
    "Counts",
    "Key",
    "Refusal",
    "Repeats",
    "Target",
    "append",
    "as_json",
    "numbered",
    "target",
    "texts_of",
    "upsert",
    "write",
]


def append(db: Database, table: str, rows: Any) -> Counts:
    """Insert rows, in one transaction: a sequence of mappings, an Arrow table or batch, or a DataFrame.

    Columns that are not given get their defaults. Raises data errors for rows that the table refuses, and then
    nothing is written.
    """
    return _load(db, table, rows, None, "append")


def upsert(db: Database, table: str, rows: Any, *, key: Sequence[str] | None = None) -> Counts:
    """As append, but a row that is there already is changed where it differs, and else skipped.

    key: the columns that tell rows apart, of a primary key or a unique constraint; by default the first such key
    that the rows have all columns of. Rows that no key tells apart (there is none, or it holds NULL) are compared
    as a whole: those are added that come more often than they are in the table.
    """
    return _load(db, table, rows, tuple(key) if key is not None else None, "upsert")


def _load(db: Database, table: str, rows: Any, key: tuple[str, ...] | None, how: str) -> Counts:
    with db.connect(statement_timeout_s=None) as connection:
        into = target(connection, table)
        texts = texts_of(into, rows)
        columns = tuple(texts.column_names)
        chosen = into.key_for(columns)
        if key is not None:
            chosen = next((one for one in into.keys if set(one.columns) == set(key)), None)
            if chosen is None or not set(key) <= set(columns):
                raise TradekeepError("data.mapping", f"{into.name} has no key of {', '.join(key)} among the columns.")
        done, repeats = Counts(), Repeats(into)
        for start in range(0, texts.num_rows, BATCH_ROWS):
            some = texts.slice(start, BATCH_ROWS)
            before = repeats.before(some) if how == "upsert" else None
            counts, refused = write(connection, into, chosen, numbered(some, start, before), how=how)
            if refused:
                one = refused[0]
                raise TradekeepError("data.value", f"Row {one.row}: {one.column}: {one.reason}")
            done += counts
        return done


def numbered(texts: pa.Table, start: int, earlier: pa.Array | None = None) -> pa.Table:
    """The texts with the number of each row in its source, from start + 1, and how often its content came before."""
    numbers = pa.array(range(start + 1, start + 1 + texts.num_rows), pa.int64())
    before = earlier if earlier is not None else pa.nulls(texts.num_rows, pa.int64()).fill_null(0)
    return pa.table([numbers, before, *texts.columns], names=[ROW, EARLIER, *texts.column_names])
