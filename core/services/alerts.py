"""Resolving alerts: who may, and what is written down about it."""

from __future__ import annotations

import getpass
from collections.abc import Iterable

import sqlalchemy as sa

from core.database import Database
from core.errors import TradekeepError
from core.models import Alert, AuditLog
from core.repositories import unit_of_work

LONGEST_NOTE = 2000


def may_resolve(db: Database) -> bool:
    """Whether this role may change alerts. Nobody may in the demo, nor on a standby."""
    if db.read_only:
        return False
    if db.backend == "sqlite":
        return True
    return db.ask(_may)


def _may(connection: sa.Connection) -> bool:
    table = Alert.__tablename__
    return bool(
        connection.exec_driver_sql(
            "SELECT NOT pg_is_in_recovery() AND coalesce(has_table_privilege(to_regclass(%s), 'UPDATE'), false)",
            (f"public.{table}",),
        ).scalar_one()
    )


def resolve(db: Database, ids: Iterable[int], note: str, *, by: str) -> list[int]:
    """Resolve alerts with a note, all or none; the ids of those that were open. The audit log has a line each.

    Raises data.value without a note, permission.table.
    """
    if len(note) > LONGEST_NOTE:
        raise TradekeepError("data.value", f"A note has at most {LONGEST_NOTE} characters.")
    with unit_of_work(db) as unit:
        done = unit.alerts.resolve(ids, note, by)
        for id in done:
            details = {"by": by, "resolution": note.strip()}
            unit.audit_logs.add(
                AuditLog(action="alert.resolve", resource_type="alert", resource_id=str(id), details=details)
            )
    return done


def local_operator() -> str:
    """The name of whoever runs Tradekeep on this machine."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "local operator"
