"""Appends that are cut, and imports that run at the same time: nothing twice, nothing lost, nothing hidden."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from core.database import Database
from core.explore.imports import Imported
from core.repositories import bulk
from core.settings import DatabaseConfig
from tests.explore.test_import import HEAD, imported, outcome, rows, trades
from tests.servers import Cluster

LINES = [f"2024-01-01T00:00:{n:02}Z,BTC/USDT,BUY,{-1 if n == 1 else 1},{n},USDT,\n" for n in range(10)]
GOOD = HEAD + "".join(LINES).replace("-1", "1")


class Stopped(BaseException):
    """As a cancelled task raises."""


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.explore.imports.csvfile.BATCH_ROWS", 2)


@pytest.fixture
def open_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each batch is open for a while after it was written."""

    def slow(*given: Any, **more: Any) -> Any:
        found = bulk.write(*given, **more)
        time.sleep(0.1)
        return found

    monkeypatch.setattr("core.explore.imports.run.write", slow)


def cut_after(batches: int) -> Callable[[int, int, str], None]:
    def progress(done: int, total: int, message: str) -> None:
        if message.startswith(f"{2 * batches} rows") or message.startswith(f"{2 * batches - 1} row"):
            raise Stopped

    return progress


def at_once(*works: Callable[[], Imported]) -> list[Imported]:
    """What each of these imports came to, all of them at the same time."""
    found: list[Any] = [None] * len(works)

    def run(place: int) -> None:
        try:
            found[place] = works[place]()
        except Exception as error:  # shown by whoever compares
            found[place] = error

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return found


def test_rows_that_the_database_refused_before_the_cut_are_told_again(db: Database) -> None:
    text = HEAD + "".join(LINES)
    with pytest.raises(Stopped):
        imported(db, text, upsert=False, progress=cut_after(1))
    assert trades(db) == 1
    done = imported(db, text, upsert=False)
    assert outcome(done) == (8, 0, 1, 1)
    assert [(error.row, "cut" in error.reason) for error in done.errors] == [(2, True)]
    assert trades(db) == 9


def test_two_appends_of_one_file_at_once_add_it_twice(db: Database) -> None:
    begun = threading.Event()

    def slow(done: int, total: int, message: str) -> None:
        if message.startswith("2 rows"):
            begun.set()
            time.sleep(0.3)

    def second() -> Imported:
        begun.wait(10)
        other = Database(db.config)
        try:
            return imported(other, GOOD, upsert=False)
        finally:
            other.dispose()

    found = at_once(lambda: imported(db, GOOD, upsert=False, progress=slow), second)
    if db.backend == "postgresql":  # a file of SQLite has no lock that ends with a program
        assert [outcome(one) for one in found] == [(10, 0, 0, 0)] * 2
        assert trades(db) == 20
    said = rows(db, "SELECT count(*) FROM webui_audit_logs WHERE action = 'import.batch'")
    assert said[0][0] >= 11


def test_a_batch_that_a_killed_program_commits_late_is_not_written_twice(
    migrated: DatabaseConfig, cluster: Cluster
) -> None:
    db = Database(migrated)
    with pytest.raises(Stopped):
        imported(db, GOOD, upsert=False, progress=cut_after(2))
    # Its third batch is still open on the server, with the table's lock, when the next run begins.
    line = "(SELECT max(id) FROM webui_audit_logs)"
    other = Database(migrated)
    with pytest.raises(Stopped):
        imported(other, GOOD, upsert=False, progress=cut_after(3))
    with db.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE late AS SELECT * FROM trades WHERE price IN (4, 5)")
        connection.exec_driver_sql(f"CREATE TABLE late_line AS SELECT * FROM webui_audit_logs WHERE id = {line}")
        connection.exec_driver_sql("DELETE FROM trades WHERE price IN (4, 5)")
        connection.exec_driver_sql(f"DELETE FROM webui_audit_logs WHERE id = {line}")
    opened, go_on = threading.Event(), threading.Event()

    def holding() -> Any:
        with other.connect() as connection:
            connection.exec_driver_sql(
                "SELECT pg_advisory_xact_lock(hashtext('tradekeep.import'), hashtext('\"public\".\"trades\"'))"
            )
            connection.exec_driver_sql("INSERT INTO trades SELECT * FROM late")
            connection.exec_driver_sql("INSERT INTO webui_audit_logs SELECT * FROM late_line")
            opened.set()
            go_on.wait(10)

    def again() -> Imported:
        opened.wait(10)
        threading.Timer(0.3, go_on.set).start()
        return imported(db, GOOD, upsert=False)

    _, done = at_once(holding, again)
    assert outcome(done) == (4, 0, 6, 0)
    assert trades(db) == 10
    db.dispose()
    other.dispose()


@pytest.mark.usefixtures("open_for_long")
@pytest.mark.parametrize("lock", [True, False])
def test_two_imports_of_rows_without_key_at_once_add_them_once(
    migrated: DatabaseConfig, cluster: Cluster, lock: bool
) -> None:
    name = migrated.database
    if not lock:
        for function in ("pg_advisory_xact_lock", "pg_try_advisory_xact_lock"):
            cluster.sql(f"REVOKE EXECUTE ON FUNCTION {function}(int, int) FROM public", database=name)
    cluster.sql(
        "CREATE ROLE adder LOGIN PASSWORD 'adder'",
        "GRANT SELECT, INSERT, UPDATE ON trades TO adder",
        "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO adder",
        database=name,
    )
    both = [Database(cluster.config(name, user="adder", password="adder")) for _ in range(2)]
    try:
        found = at_once(*(lambda one=one: imported(one, GOOD) for one in both))
        assert sum(one.inserted for one in found) == 10
        assert trades(both[0]) == 10
    finally:
        for one in both:
            one.dispose()
        cluster.sql("DROP OWNED BY adder", "DROP ROLE adder", database=name)


@pytest.mark.usefixtures("open_for_long")
def test_two_imports_into_one_file_of_sqlite_wait_for_each_other(migrated_sqlite: DatabaseConfig) -> None:
    both = [Database(migrated_sqlite) for _ in range(2)]
    found = at_once(*(lambda one=one: imported(one, GOOD) for one in both))
    assert sum(one.inserted for one in found) == 10
    assert trades(both[0]) == 10
    for one in both:
        one.dispose()
