"""What the planner expects: how many rows match, without counting them."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import Any

import sqlalchemy as sa

from core.explore.filters import Condition

ENTRIES = 512
_kept: OrderedDict[tuple[str, ...], tuple[float, int]] = OrderedDict()
_lock = threading.Lock()


def estimate(key: tuple[str, ...], connection: sa.Connection, table: str, where: Condition, *, kept_s: float) -> int:
    """How many rows of a quoted table match; what was said under this key less than kept_s ago is said again."""
    with _lock:
        known = _kept.get(key)
    if known and time.monotonic() - known[0] < kept_s:
        return known[1]
    sql = f"EXPLAIN (FORMAT JSON) SELECT 1 FROM {table} WHERE {where.sql}"  # noqa: S608  # quoted
    driver: Any = connection.connection.driver_connection
    plan = driver.execute(sql, where.parameters).fetchone()[0]
    rows = int(plan[0]["Plan"]["Plan Rows"])
    with _lock:
        _kept[key] = (time.monotonic(), rows)
        while len(_kept) > ENTRIES:
            _kept.popitem(last=False)
    return rows
