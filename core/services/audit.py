"""What people took away or did, written into the audit log once it is done.

A line that cannot be written is counted and logged, and whoever did it goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.database import Database
from core.models import AuditLog
from core.repositories import unit_of_work
from core.services.tally import Counts, Tally

_tally = Tally("an audit line")


def note(db: Database, action: str, *, of: str, named: str, details: Mapping[str, Any]) -> bool:
    """Write one line in a unit of work of its own; whether it was written. Raises nothing.

    of, named: the kind of thing and which one it was. details: without secrets, as JSON takes it.
    """
    try:
        if db.read_only:
            return _tally.noted(written=False)
        with unit_of_work(db) as unit:
            written = unit.audit_logs.writable()
            if written:
                line = AuditLog(action=action, resource_type=of, resource_id=named, details=dict(details))
                unit.audit_logs.add(line)
    except Exception as exc:  # noqa: BLE001  # what was done is done: whatever it is, the caller goes on
        return _tally.lost(exc, action=action)
    return _tally.noted(written)


def audit_counts() -> Counts:
    """How many lines this process wrote, left out (there is no audit log that the role may write), and lost."""
    return _tally.counts
