"""What all repositories share: one model, one session, and no commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from core.models import Base

M = TypeVar("M", bound=Base)
MOST = 10_000
PARAMETERS = 30_000  # SQLite takes 32,766 in one statement, PostgreSQL 65,535


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
        return list(self.session.scalars(statement))

    def _one(self, statement: sa.Select[Any]) -> M | None:
        found: M | None = self.session.scalars(statement.limit(1)).first()
        return found

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
        make: Any = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
        table, size = self.model.__table__, PARAMETERS // max(1, len(rows[0]) if rows else 1)
        number = 0
        for start in range(0, len(rows), size):
            statement = make(table).values([dict(row) for row in rows[start : start + size]])
            values: dict[str, Any] = {name: statement.excluded[name] for name in change}
            if "updated_at" in table.c:
                values["updated_at"] = table.c.updated_at.onupdate.arg
            changing = sa.or_(*(table.c[name].is_distinct_from(statement.excluded[name]) for name in change))
            statement = statement.on_conflict_do_update(index_elements=list(key), set_=values, where=changing)
            number += connection.execute(statement, execution_options={"preserve_rowcount": True}).rowcount
        self.session.expire_all()
        return number


class Numbered(Repository[M]):
    """The rows of a model with an id of its own."""

    def by_id(self, id: int) -> M | None:
        """The row of that id."""
        return self._one(sa.select(self.model).where(self.model.id == id))

    def remove(self, id: int) -> bool:
        """Delete the row of that id; whether there was one. Raises data.foreign_key where others need it."""
        return self._changed(sa.delete(self.model).where(self.model.id == id)) > 0


def limited(limit: int) -> int:
    """A limit within reason: 1 to MOST."""
    return max(1, min(MOST, int(limit)))
