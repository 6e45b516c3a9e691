"""Statements that end when somebody has enough of them, even while the server is silent."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
import sqlalchemy as sa

GLANCE_S = 0.25
CANCEL_S = 2.0  # what a cancel may take: it is a connection of its own


@contextmanager
def watched(connection: sa.Connection, glance: Callable[[], None] | None) -> Iterator[None]:
    """While the block runs, glance() is called every GLANCE_S in a thread of its own.

    What it raises cancels the connection's statement and is raised at the end of the block, however that ends. None:
    nobody watches.
    """
    if glance is None:
        yield
        return
    driver = connection.connection.driver_connection
    over = threading.Event()
    raised: list[BaseException] = []

    def watch() -> None:
        while not over.wait(GLANCE_S):
            try:
                glance()
            except BaseException as error:  # noqa: BLE001  # raised again by whoever runs the block
                raised.append(error)
                break
        while not over.is_set():  # until it took: one that arrives between two statements is lost
            _cancel(driver)
            over.wait(GLANCE_S)

    thread = threading.Thread(target=watch, name="watched", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        if raised:
            raise raised[0] from None


def _cancel(driver: Any) -> None:
    with suppress(psycopg.Error, sqlite3.Error, OSError):
        if isinstance(driver, psycopg.Connection):
            driver.cancel_safe(timeout=CANCEL_S)
        elif isinstance(driver, sqlite3.Connection):
            driver.interrupt()
