"""What a question gives, whatever the database's own settings, and when it is asked again."""

from __future__ import annotations

import socket
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from core.database import AsyncDatabase, Database
from core.errors import TradekeepError
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
