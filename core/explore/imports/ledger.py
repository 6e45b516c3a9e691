"""What plain appends have written, so that one that was cut goes on where it stopped and writes nothing twice.

Each batch writes a row into webui_audit_logs in its own transaction: with a mark of everything in the file up to its
end. A run that ended well says so; the batches of one that did not are skipped by the next run over the same file,
if their rows are still there. Runs over one file go one after another, or each would take the other for one that was
cut.
"""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from core.database import Database
from core.models import AuditLog
from core.repositories.alone import alone
from core.repositories.bulk import ROW, Target, as_json
from core.repositories.bulk.stage import Stage
from core.repositories.bulk.target import execute
from core.repositories.webui import writable

TABLE = AuditLog.__tablename__
ACTION = "import.batch"
KEPT = timedelta(days=30)  # a run that was cut goes on within these; more would be read at every append
MOST_TOLD = 100
AGAIN_S = 0.2
# Of the session that stands for a run: it may be idle, and a network that is gone ends it within seconds.
_PATIENT = {
    "idle_in_transaction_session_timeout": "0", "tcp_keepalives_idle": "5", "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
}  # fmt: skip


class Ledger:
    """The ledger of one append into one table; does nothing where there is no audit log that may be written."""

    def __init__(self, connection: sa.Connection, target: Target, name: str) -> None:
        self.run, self.name, self.target = uuid.uuid4().hex, name, target
        self.kept = writable(connection)
        self._since = f"{datetime.now(UTC) - KEPT:%Y-%m-%d %H:%M:%S}+00"
        self._seen = 0
        self._known: dict[str, dict[str, Any]] = {}
        self._chain = hashlib.sha256(target.sql.encode())
        self._taken: set[str] = set()
        self._ended: set[str] = set()

    def mark(self, rows: pa.Table) -> str:
        """The mark of everything up to the end of these rows."""
        for batch in rows.to_batches():
            self._chain.update(memoryview(batch.serialize()))
        return self._chain.hexdigest()

    @contextmanager
    def alone(self, db: Database, first: str, waiting: Callable[[], None]) -> Iterator[None]:
        """Be the only run over files whose first batch has this mark, until the end of the block or of this program.

        waiting() is called now and then while another one goes on; what it raises ends the waiting. A role that may
        take no such lock goes on without one, and so does a file of SQLite.
        """
        if not self.kept or db.backend == "sqlite":
            yield
            return
        with db.connect(statement_timeout_s=None) as connection:
            for setting, value in _PATIENT.items():
                execute(connection, "SELECT set_config(%s, %s, true)", (setting, value))
            while not alone(connection, "append", first):
                waiting()
                time.sleep(AGAIN_S)
            try:
                yield
            finally:
                with suppress(Exception):  # a lock that is lost by now was of use all the same
                    connection.rollback()

    def written(self, connection: sa.Connection, mark: str, rows: pa.Table) -> dict[str, Any] | None:
        """What a run that was cut said of this batch, if it has written it and its first or last row is there.

        refused: how many of its rows the database refused; refused_rows: the first of their numbers. To be asked
        under the table's lock, under which the lines are written: a batch may be committed after its program's end.
        """
        if not self.kept:
            return None
        self._look(connection)
        said = self._known.get(mark)
        if said is None or said["run"] in self._ended or not rows.num_rows:
            return None
        said = {"refused": rows.num_rows - said["rows"], "refused_rows": [], "ends": []} | said
        ends = rows.filter(pc.is_in(rows[ROW], pa.array(said["ends"], pa.int64())))
        if not said["ends"] and said["rows"]:  # as they were told before there were "ends"
            ends = pa.concat_tables([rows.slice(0, 1), rows.slice(rows.num_rows - 1)])
        if ends.num_rows and Stage(connection, self.target, None, ends).forecast().inserted == ends.num_rows:
            return None
        self._taken.add(said["run"])
        return said

    def _look(self, connection: sa.Connection) -> None:
        """Read the lines that are new."""
        number_of = "rowid" if self.target.backend == "sqlite" else "id"  # ids of SQLite are in no order
        newest = execute(connection, f"SELECT coalesce(max({number_of}), 0) FROM {TABLE}").scalar_one()  # noqa: S608
        sql = (
            f"SELECT details FROM {TABLE} WHERE created_at > %s AND {number_of} > %s"  # noqa: S608
            f" AND action = %s AND resource_type = %s ORDER BY {number_of}"
        )
        for (details,) in execute(connection, sql, (self._since, self._seen, ACTION, self.target.name)):
            said: dict[str, Any] = json.loads(details) if isinstance(details, str) else details
            self._ended.update(said.get("ended", ()))
            if "mark" in said:
                self._known[said["mark"]] = said
        self._seen = newest

    def note(self, connection: sa.Connection, mark: str, rows: pa.Table, refused: list[int]) -> None:
        """Say within the batch's transaction that it was written, but for the rows with these numbers."""
        if not self.kept:
            return
        told: dict[str, Any] = {"run": self.run, "mark": mark, "rows": rows.num_rows - len(refused), "file": self.name}
        if refused:
            told |= {"refused": len(refused), "refused_rows": sorted(refused)[:MOST_TOLD]}
        good = rows[ROW].filter(pc.invert(pc.is_in(rows[ROW], pa.array(refused, pa.int64())))) if refused else rows[ROW]
        told["ends"] = sorted({good[0].as_py(), good[-1].as_py()}) if len(good) else []
        self._say(connection, told)

    def end(self, connection: sa.Connection) -> None:
        """Say that the run ended well: the same file may be appended again."""
        if self.kept:
            self._say(connection, {"ended": [self.run, *sorted(self._taken)], "file": self.name})

    def _say(self, connection: sa.Connection, details: dict[str, Any]) -> None:
        sql = f"INSERT INTO {TABLE} (action, resource_type, resource_id, details) VALUES (%s, %s, %s, %s)"  # noqa: S608
        resource = str(details.get("mark") or self.run)
        execute(connection, sql, (ACTION, self.target.name, resource, as_json(details)))
