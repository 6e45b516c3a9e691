"""The rows of a statement as Python values; what Python cannot hold as the server's text."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg.types import datetime as times
from psycopg.types import net
from psycopg.types.string import TextLoader

from core.database.clamped import forgiving

NO_TEXT = "Some texts here are no UTF-8; their bytes are shown as \\xff."
# They hold times; a range with the one bound as Python has it and the other as text would be neither.
_RANGES = ("daterange", "tsrange", "tstzrange", "datemultirange", "tsmultirange", "tstzmultirange")


class NoText(str):
    """What a SQLite file holds as text and is none: with its bytes as \\xff."""


def fetched(
    connection: sa.Connection, sql: str, parameters: tuple[Any, ...], told: list[str] | None = None
) -> list[tuple[Any, ...]]:
    """All rows. A value that Python cannot hold (infinity, 4713 BC, 24:00) is the server's text, it alone.

    told: gets the sentence about texts that are none.
    """
    driver = connection.connection.driver_connection
    if not isinstance(driver, psycopg.Connection):
        return _fetched_sqlite(connection, sql, parameters, [] if told is None else told)
    try:
        return driver.execute(sql, parameters).fetchall()
    except (psycopg.DataError, ValueError, OverflowError) as error:
        if getattr(error, "sqlstate", None):
            raise
    cursor = driver.cursor()
    for name, loader in _LENIENT.items():
        cursor.adapters.register_loader(name, loader)
    return cursor.execute(sql, parameters).fetchall()


def _fetched_sqlite(
    connection: sa.Connection, sql: str, parameters: tuple[Any, ...], told: list[str]
) -> list[tuple[Any, ...]]:
    try:
        return [tuple(row) for row in connection.exec_driver_sql(sql, parameters).all()]
    except sa.exc.OperationalError as error:
        if "decode to UTF-8" not in str(error.orig):
            raise
    told.append(NO_TEXT)
    with any_text(connection):
        return [tuple(row) for row in connection.exec_driver_sql(sql, parameters).all()]


@contextmanager
def any_text(connection: sa.Connection) -> Iterator[None]:
    """Read a SQLite file's texts whatever they hold, while the block runs; PostgreSQL keeps none that is no text."""
    driver = connection.connection.driver_connection
    if not isinstance(driver, sqlite3.Connection):
        yield
        return
    before, driver.text_factory = driver.text_factory, _text
    try:
        yield
    finally:
        driver.text_factory = before


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return NoText(data.decode(errors="backslashreplace"))


_LENIENT: dict[str, Any] = {
    "date": forgiving(times.DateLoader, bytes.decode),
    "time": forgiving(times.TimeLoader, bytes.decode),
    "timetz": forgiving(times.TimetzLoader, bytes.decode),
    "timestamp": forgiving(times.TimestampLoader, bytes.decode),
    "timestamptz": forgiving(times.TimestamptzLoader, bytes.decode),
    "interval": forgiving(times.IntervalLoader, bytes.decode),
    "inet": forgiving(net.InetLoader, bytes.decode),
    "cidr": forgiving(net.CidrLoader, bytes.decode),
    **dict.fromkeys(_RANGES, TextLoader),
}
