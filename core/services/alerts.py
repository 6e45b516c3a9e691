"""Resolving alerts: who may, and what is written down about it."""

from __future__ import annotations

import getpass
from collections.abc import Iterable

import sqlalchemy as sa

from core.database import Database
from core.errors import TradekeepError
from core.models import Alert, AuditLog
from core.repositories import unit_of_work
from core.repositories.webui import writable

LONGEST_NOTE = 2000
AT_ONCE = 10_000  # a statement takes 65,535 parameters, SQLite's 32,766


def may_resolve(db: Database) -> bool:
    """Whether this role may change alerts and note it in the audit log. Nobody may in the demo, nor on a standby."""
    if db.read_only:
        return False
    return db.ask(_may)


def _may(connection: sa.Connection) -> bool:
    sql = "SELECT coalesce(has_table_privilege(to_regclass(%s), 'UPDATE'), false)"
    table = f"public.{Alert.__tablename__}"
    allowed = connection.dialect.name == "sqlite" or connection.exec_driver_sql(sql, (table,)).scalar_one()
    return bool(allowed) and writable(connection)


def resolve(db: Database, ids: Iterable[int], note: str, *, by: str) -> list[int]:
    """Resolve alerts with a note, all or none; the ids of those that were open. The audit log has a line each.

    Raises data.value without a note, permission.table, config.read_only (in the demo too).
    """
    if len(note) > LONGEST_NOTE:
        raise TradekeepError("data.value", f"A note has at most {LONGEST_NOTE} characters.")
    with unit_of_work(db) as unit:
        wanted = sorted(set(ids))
        parts = [wanted[start : start + AT_ONCE] for start in range(0, len(wanted), AT_ONCE)] or [[]]
        done = [id for part in parts for id in unit.alerts.resolve(part, note, by)]
        details = {"by": by, "resolution": note.strip()}
        unit.session.add_all(
            AuditLog(action="alert.resolve", resource_type="alert", resource_id=str(id), details=details) for id in done
        )
    return done


def local_operator() -> str:
    """The name of whoever runs Tradekeep on this machine."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "local operator"
