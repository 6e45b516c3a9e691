"""Times that Python cannot hold, read as its first or last days.

PostgreSQL has infinity, the years before 1 and those after 9999: one such row would take a whole page away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg.abc import Buffer, Loader
from psycopg.pq import Format
from psycopg.types import datetime as own

# Some days within what Python holds: a time zone, or a day before and after, must not lead out again.
EARLIEST, LATEST = datetime(1, 1, 3, tzinfo=UTC), datetime(9999, 12, 29, tzinfo=UTC)


def forgiving(kind: type[Any], instead: Callable[[bytes], Any]) -> type[Any]:
    """A loader of psycopg that gives instead(text) for what Python cannot hold."""

    class Forgiving(kind):
        def load(self, data: Buffer) -> Any:
            try:
                return super().load(data)
            except (psycopg.DataError, ValueError, OverflowError):
                return instead(bytes(data))

    return Forgiving


def _loader(kind: type[Any], bring: Callable[[datetime], datetime | date]) -> type[Any]:
    first: Any = bring(EARLIEST)
    last: Any = bring(LATEST)
    forgives = forgiving(kind, lambda text: first if text.startswith(b"-") or text.endswith(b"BC") else last)

    class Clamped(forgives):  # type: ignore[valid-type, misc]
        def load(self, data: Buffer) -> Any:
            return min(max(super().load(data), first), last)

    return Clamped


CLAMPED = {
    "timestamptz": _loader(own.TimestamptzLoader, lambda moment: moment),
    "timestamp": _loader(own.TimestampLoader, lambda moment: moment.replace(tzinfo=None)),
    "date": _loader(own.DateLoader, lambda moment: moment.date()),
}


@contextmanager
def clamped(connection: sa.Connection) -> Iterator[None]:
    """Within the block every time comes, from EARLIEST to LATEST at least; slower, so only where one did not come."""
    driver = connection.connection.driver_connection
    if not isinstance(driver, psycopg.Connection | psycopg.AsyncConnection):
        yield
        return
    adapters = driver.adapters
    before: dict[str, type[Loader] | None] = {
        name: adapters.get_loader(adapters.types[name].oid, Format.TEXT) for name in CLAMPED
    }
    for name, kind in CLAMPED.items():
        adapters.register_loader(name, kind)
    try:
        yield
    finally:
        for name, usual in before.items():
            assert usual is not None
            adapters.register_loader(name, usual)
