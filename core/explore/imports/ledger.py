"""What plain appends have written, so that one that was cut goes on where it stopped and writes nothing twice.

Each batch writes a row into webui_audit_logs in its own transaction: with a mark of everything in the file up to its
end. A run that ended well says so; the batches of one that did not are skipped by the next run over the same file,
if their rows are still there.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from core.models import AuditLog
from core.repositories.bulk import Key, Target, as_json
from core.repositories.bulk.stage import Stage
from core.repositories.bulk.target import execute
from core.repositories.webui import writable

TABLE = AuditLog.__tablename__
ACTION = "import.batch"


class Ledger:
    """The ledger of one append into one table; does nothing where there is no audit log that may be written."""

    def __init__(self, connection: sa.Connection, target: Target, name: str) -> None:
        self.run, self.name, self.target = uuid.uuid4().hex, name, target
        self.kept = writable(connection)
        self._known: dict[str, str] = {}
        self._chain = hashlib.sha256(target.sql.encode())
        self._taken: set[str] = set()
        ended: set[str] = set()
        if not self.kept:
            return
        sql = f"SELECT details FROM {TABLE} WHERE action = %s AND resource_type = %s ORDER BY id"  # noqa: S608
        for (details,) in execute(connection, sql, (ACTION, target.name)):
            said: dict[str, Any] = json.loads(details) if isinstance(details, str) else details
            if said.get("ended"):
                ended.update(said["ended"])
            elif "mark" in said:
                self._known[said["mark"]] = said["run"]
        self._known = {mark: run for mark, run in self._known.items() if run not in ended}

    def mark(self, rows: pa.Table) -> str:
        """The mark of everything up to the end of these rows."""
        for batch in rows.to_batches():
            self._chain.update(memoryview(batch.serialize()))
        return self._chain.hexdigest()

    def written(self, connection: sa.Connection, mark: str, rows: pa.Table, key: Key | None) -> bool:
        """Whether a run that was cut has written this batch: it said so, and its first or last row is there."""
        run = self._known.get(mark)
        if run is None or not rows.num_rows:
            return False
        ends = pa.concat_tables([rows.slice(0, 1), rows.slice(rows.num_rows - 1)]) if rows.num_rows > 1 else rows
        if Stage(connection, self.target, None, ends).forecast().inserted == ends.num_rows:
            return False
        self._taken.add(run)
        return True

    def note(self, connection: sa.Connection, mark: str, rows: int) -> None:
        """Say within the batch's transaction that it was written."""
        if self.kept:
            self._say(connection, {"run": self.run, "mark": mark, "rows": rows, "file": self.name})

    def end(self, connection: sa.Connection) -> None:
        """Say that the run ended well: the same file may be appended again."""
        if self.kept:
            self._say(connection, {"ended": [self.run, *sorted(self._taken)], "file": self.name})

    def _say(self, connection: sa.Connection, details: dict[str, Any]) -> None:
        sql = f"INSERT INTO {TABLE} (action, resource_type, resource_id, details) VALUES (%s, %s, %s, %s)"  # noqa: S608
        resource = str(details.get("mark") or self.run)
        execute(connection, sql, (ACTION, self.target.name, resource, as_json(details)))
