"""What people took away or did, written into the audit log once it is done.

A line that cannot be written is counted and logged, and whoever did it goes on.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from core.database import Database
from core.errors import TradekeepError, classify
from core.models import AuditLog
from core.repositories import unit_of_work

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AuditCounts:
    """What became of this process's lines since it began; left_out: there is no audit log that this role may write."""

    recorded: int = 0
    left_out: int = 0
    failed: int = 0
    last_error: TradekeepError | None = None


_counts = AuditCounts()
_lock = threading.Lock()


def note(db: Database, action: str, *, of: str, named: str, details: Mapping[str, Any]) -> bool:
    """Write one line in a unit of work of its own; whether it was written. Raises nothing.

    of, named: the kind of thing and which one it was. details: without secrets, as JSON takes it.
    """
    global _counts
    try:
        if db.read_only:
            return _left_out()
        with unit_of_work(db) as unit:
            if not unit.audit_logs.writable():
                return _left_out()
            line = AuditLog(action=action, resource_type=of, resource_id=named, details=dict(details))
            unit.audit_logs.add(line)
    except Exception as exc:  # noqa: BLE001  # what was done is done: whatever it is, the caller goes on
        error = classify(exc)
        logger.warning("an audit line was lost: %s", error.message, extra={"code": error.error_code, "action": action})
        with _lock:
            _counts = replace(_counts, failed=_counts.failed + 1, last_error=error)
        return False
    with _lock:
        _counts = replace(_counts, recorded=_counts.recorded + 1)
    return True


def audit_counts() -> AuditCounts:
    """How many lines this process wrote, left out, and lost."""
    return _counts


def _left_out() -> bool:
    global _counts
    with _lock:
        _counts = replace(_counts, left_out=_counts.left_out + 1)
    return False
