"""What all repositories share: one model, one session, and no commit."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from core.errors import TradekeepError
from core.models import Base
from core.models.base import Now
from core.repositories.tolerant import rows_of

M = TypeVar("M", bound=Base)
MOST = 10_000
SQLITE_PARAMETERS = 30_000  # it takes 32,766 in one statement


class Repository(Generic[M]):
    """The rows of one model. It hangs on a unit of work, which alone commits."""

    model: ClassVar[type[Any]]

    def __init__(self, session: Session) -> None:
        self.session = session

    def add(self, row: M) -> M:
        """Insert a row now; it comes back with what the server filled in."""
        self.session.add(row)
        self.session.flush()
        return row

    def _all(self, statement: sa.Select[Any]) -> list[M]:
        return rows_of(self.session, statement)

    def _one(self, statement: sa.Select[Any]) -> M | None:
        return next(iter(self._all(statement.limit(1))), None)

    def _locked(self, statement: sa.Select[Any], *, skip_locked: bool = False) -> list[M]:
        """Rows as they are now, whatever the session has read before; nobody else changes them until its end."""
        own = statement.with_for_update(skip_locked=skip_locked)
        return rows_of(self.session, own.execution_options(populate_existing=True))

    def _changed(self, statement: Any) -> int:
        """How many rows an UPDATE or DELETE changed; rows that the session holds are read afresh."""
        self.session.flush()
        result: Any = self.session.execute(statement, execution_options={"synchronize_session": False})
        self.session.expire_all()
        return int(result.rowcount)

    def _upsert(self, rows: Sequence[Mapping[str, Any]], key: Sequence[str], change: Sequence[str]) -> int:
        """Insert rows, or change those that have the key already and differ; how many were new or changed."""
        self.session.flush()
        connection = self.session.connection()
        number = 0
        for statement in _sqlite_inserts(self._table, rows) if self._sqlite else _postgresql_insert(self._table, rows):
            values: dict[str, Any] = {name: statement.excluded[name] for name in change}
            if "updated_at" in self._table.c:
                values["updated_at"] = Now()
            differ = sa.or_(*(self._table.c[name].is_distinct_from(statement.excluded[name]) for name in change))
            whole = statement.on_conflict_do_update(index_elements=list(key), set_=values, where=differ)
            number += connection.execute(whole, execution_options={"preserve_rowcount": True}).rowcount
        self.session.expire_all()
        return number

    @property
    def _table(self) -> Any:
        return self.model.__table__

    def _insert(self, into: type[Base]) -> postgresql.Insert | sqlite.Insert:
        """An INSERT that knows ON CONFLICT."""
        return sqlite.insert(into) if self._sqlite else postgresql.insert(into)

    @property
    def _sqlite(self) -> bool:
        return self.session.connection().dialect.name == "sqlite"


def _postgresql_insert(table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> Iterator[postgresql.Insert]:
    """One statement that takes each column as an array: its text is the same for any number of rows."""
    if not rows:
        return
    names = list(rows[0])
    arrays = [sa.bindparam(None, [row[name] for row in rows], postgresql.ARRAY(table.c[name].type)) for name in names]
    given = sa.func.unnest(*arrays).table_valued(*names).render_derived()
    yield postgresql.insert(table).from_select(names, sa.select(*(given.c[name] for name in names)))


def _sqlite_inserts(table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> Iterator[sqlite.Insert]:
    """Statements with as many rows as SQLite takes at once."""
    size = SQLITE_PARAMETERS // max(1, len(rows[0]) if rows else 1)
    for start in range(0, len(rows), size):
        yield sqlite.insert(table).values([dict(row) for row in rows[start : start + size]])


class Numbered(Repository[M]):
    """The rows of a model with an id of its own."""

    def by_id(self, id: int) -> M | None:
        """The row of that id."""
        return self._one(sa.select(self.model).where(self.model.id == id))

    def remove(self, id: int) -> bool:
        """Delete the row of that id; whether there was one. Raises data.foreign_key where others need it."""
        return self._changed(sa.delete(self.model).where(self.model.id == id)) > 0


def each_of(column: Any) -> sa.Select[Any]:
    """Each value of a column once, NULL aside, in rising order.

    One step through its index a value, however many rows each has. Source: PostgreSQL wiki, "Loose indexscan".
    """
    first = sa.select(sa.func.min(column).label("value")).cte(f"each_{column.name}", recursive=True)
    after = sa.select(sa.func.min(column)).where(column > first.c.value).scalar_subquery()
    steps = first.union_all(sa.select(after).where(first.c.value.is_not(None)))
    return sa.select(steps.c.value.label(column.name)).where(steps.c.value.is_not(None))


def limited(limit: int) -> int:
    """A limit within reason: 1 to MOST. Raises data.value for what is no number."""
    try:
        return max(1, min(MOST, int(limit)))
    except (ValueError, TypeError, OverflowError):
        raise TradekeepError("data.value", f"{limit!r} is not a number of rows.") from None


def ago(**span: float) -> datetime:
    """The time so many days or seconds before now. Raises data.value where there is no such time."""
    try:
        return datetime.now(UTC) - timedelta(**span)
    except (ValueError, TypeError, OverflowError):
        unit, number = next(iter(span.items()))
        raise TradekeepError("data.value", f"{number!r} {unit} ago is no time that can be asked for.") from None


def refuse_uneven(rows: Sequence[Mapping[str, Any]], needed: Collection[str], optional: Collection[str] = ()) -> None:
    """Raise data.mapping for the first row that lacks a needed name or has one that is unknown."""
    known = {*needed, *optional}
    for number, row in enumerate(rows, 1):
        if not row.keys() >= set(needed) or not row.keys() <= known:
            missing = [f"has no {name}" for name in needed if name not in row]
            foreign = [f"names {name}, which is unknown" for name in row if name not in known]
            raise TradekeepError("data.mapping", f"Row {number} {', '.join(missing + foreign)}.")
