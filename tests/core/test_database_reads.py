"""What a question gives, whatever the database's own settings, and when it is asked again."""

from __future__ import annotations

import socket
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from core.database import AsyncDatabase, Database, Limits
from core.database.clamped import EARLIEST, LATEST
from core.errors import TradekeepError
from core.explore import page_of_rows
from core.settings import DatabaseConfig, parse_connection
from tests.core.test_database import in_a_loop, one
from tests.servers import Cluster


@pytest.mark.parametrize(
    "setting",
    [
        "client_encoding = 'latin1'", "datestyle = 'German'", "datestyle = 'SQL, DMY'", "intervalstyle = 'iso_8601'",
        "intervalstyle = 'postgres_verbose'", "timezone = 'Asia/Tokyo'", "bytea_output = 'escape'",
        "search_path = nowhere",
    ],
)  # fmt: skip
def test_settings_of_the_database_do_not_change_what_is_read(
    cluster: Cluster, pg_database: DatabaseConfig, setting: str
) -> None:
    question = r"""SELECT '日本', timestamptz '2026-01-02 03:04:05+00', interval '1 day 2h', '\x00ff'::bytea"""
    read = ("日本", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), timedelta(days=1, hours=2), b"\x00\xff")
    cluster.sql(f'ALTER DATABASE "{pg_database.database}" SET {setting}')
    database, other = Database(pg_database), AsyncDatabase(pg_database)

    async def asked() -> tuple[object, ...]:
        async with other.connect() as connection:
            found = tuple((await connection.exec_driver_sql(question)).one())
        await other.dispose()
        return found

    assert tuple(database.ask(lambda connection: connection.exec_driver_sql(question).one())) == read
    assert in_a_loop(asked()) == read
    database.dispose()


def test_a_question_is_asked_again_after_a_deadlock_and_once_more_only(pg_database: DatabaseConfig) -> None:
    database = Database(pg_database)
    asked: list[int] = []

    def fails(connection: sa.Connection, times: int) -> int:
        asked.append(1)
        if len(asked) <= times:
            connection.exec_driver_sql("DO $$ BEGIN RAISE deadlock_detected; END $$")
        return one(connection)

    assert database.ask(fails, 1) == 1
    assert len(asked) == 2
    asked.clear()
    with pytest.raises(TradekeepError) as caught:
        database.ask(fails, 2)
    assert (caught.value.error_type, len(asked)) == ("transient", 2)
    database.dispose()


def test_a_resolver_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver would look the name up again, for as long as the resolver takes."""
    monkeypatch.setattr("core.database.connection.LOOK_UP_S", 0.2)
    looked_up, usual = [], socket.getaddrinfo

    def hanging(host: str, *arguments: Any, **options: Any) -> Any:
        if host == "db.example.invalid" and not options.get("flags", 0) & socket.AI_NUMERICHOST:
            looked_up.append(host)
            time.sleep(30)
        return usual(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", hanging)
    database = Database(parse_connection("postgresql://u:Pw-planted-1@db.example.invalid/d"))
    begin = time.monotonic()
    with pytest.raises(TradekeepError) as caught:
        database.ping()
    assert time.monotonic() - begin < 10
    assert caught.value.kind == "network.unresolved"
    assert looked_up


OUTSIDE = """
    SELECT timestamptz 'infinity', timestamptz '-infinity', timestamptz '57869-01-02', timestamp '0044-03-15 BC',
    date 'infinity', date '12024-01-01', timestamptz '9999-12-31 23:59:59+00', timestamptz '2026-01-02 03:04:05+00'
"""


def test_times_that_python_cannot_hold_come_as_its_ends(pg_database: DatabaseConfig) -> None:
    with Database(pg_database) as database:
        found = database.ask(lambda connection: tuple(connection.exec_driver_sql(OUTSIDE).one()))
        assert found == (
            LATEST, EARLIEST, LATEST, EARLIEST.replace(tzinfo=None), LATEST.date(), LATEST.date(), LATEST,
            datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        )  # fmt: skip
        with pytest.raises(TradekeepError) as caught:
            database.ask_exactly(lambda connection: connection.exec_driver_sql(OUTSIDE).one())
        assert caught.value.kind == "data.time"
        with pytest.raises(TradekeepError), database.connect() as connection:  # the pooled connection is as it was
            connection.exec_driver_sql(OUTSIDE).one()


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


def test_a_statement_of_sqlite_ends_at_its_time_out(tmp_path: Path) -> None:
    config = DatabaseConfig(backend="sqlite", database=str(tmp_path / "trading.sqlite"))
    with Database(config, limits=Limits(statement_timeout_s=0.2)) as database:
        for _ in range(2):
            begin = time.monotonic()
            with pytest.raises(TradekeepError) as caught:
                database.ask(lambda connection: connection.exec_driver_sql(ENDLESS).one())
            assert (caught.value.kind, time.monotonic() - begin < 5) == ("transient.statement_timeout", True)
        with database.connect() as connection:
            for _ in range(3):  # each statement has its own time
                time.sleep(0.1)
                assert one(connection) == 1
        ends = ENDLESS.replace("FROM n)", "FROM n WHERE i < 3000000)")
        with database.connect(statement_timeout_s=None) as connection:
            assert connection.exec_driver_sql(ends).scalar_one() == 3000000


def test_what_the_explorer_asked_leaves_no_trace_in_the_pool(cluster: Cluster, pg_database: DatabaseConfig) -> None:
    sets = "CREATE VIEW evil AS SELECT set_config('role', 'pg_monitor', false) AS role"
    cluster.sql(sets, database=pg_database.database)
    with Database(pg_database) as database:
        assert page_of_rows(database, "evil").rows == [("pg_monitor",)]
        with database.connect() as connection:
            assert connection.exec_driver_sql("SELECT current_user").scalar_one() == pg_database.user
