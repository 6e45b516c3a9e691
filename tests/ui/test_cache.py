"""Answers kept for pages: who waits, who gets old ones, and who must see the error."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from core import envfile, state
from core.database import Database
from core.errors import TradekeepError
from core.settings import DatabaseConfig
from core.state import Status
from core.ui import cache
from tests.servers import Cluster


def answer(connection: sa.Connection) -> int:
    return int(connection.exec_driver_sql("SELECT 42").scalar_one())


def sleep(connection: sa.Connection, *, seconds: float) -> None:
    connection.exec_driver_sql("SELECT pg_sleep(%s)", (seconds,))


ask = cache.asked(ttl=0)(answer)
when_type = Callable[[Callable[[Status], bool]], Status]


def reader() -> Database:
    return state.databases().reader


def test_an_outage_gives_the_last_good_answer_at_once(
    own_cluster: Cluster, configured: Callable[[DatabaseConfig], None], when: when_type
) -> None:
    configured(own_cluster.admin)
    when(lambda status: status.mode == "connected")
    assert ask(reader()) == 42
    own_cluster.suspend()
    try:
        assert ask(reader()) == 42
        begin = time.monotonic()
        for _ in range(20):
            cache.begin_run()
            assert ask(reader()) == 42
            assert cache.oldest_stale() is not None
        assert time.monotonic() - begin < 1
    finally:
        own_cluster.resume()


def test_what_was_never_answered_raises_at_once_during_an_outage(
    own_cluster: Cluster, configured: Callable[[DatabaseConfig], None], when: when_type
) -> None:
    configured(own_cluster.admin)
    when(lambda status: status.mode == "connected")
    own_cluster.stop()
    when(lambda status: status.mode == "down")
    begin = time.monotonic()
    with pytest.raises(TradekeepError):
        ask(reader())
    assert time.monotonic() - begin < 0.3


def test_a_viewer_that_may_no_longer_sign_in_sees_the_error(
    own_cluster: Cluster, configured: Callable[[DatabaseConfig], None], project: Path, when: when_type
) -> None:
    own_cluster.sql("CREATE ROLE looker LOGIN PASSWORD 'looker-pw'")
    configured(own_cluster.admin)
    viewer = own_cluster.config(user="looker", password="looker-pw")
    envfile.set_values(project / ".env.tradekeep", {"DATABASE_VIEWER_URL": viewer.url()})
    when(lambda status: status.mode == "connected")
    assert ask(reader()) == 42
    own_cluster.sql(
        "ALTER ROLE looker NOLOGIN", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'looker'"
    )
    with pytest.raises(TradekeepError) as caught:
        ask(reader())
    assert caught.value.error_type == "auth"


def test_a_slow_question_is_no_outage(
    own_cluster: Cluster, configured: Callable[[DatabaseConfig], None], project: Path, when: when_type
) -> None:
    configured(own_cluster.admin)
    envfile.set_values(project / ".env.local", {"DB_STATEMENT_TIMEOUT_S": "0.2"})
    when(lambda status: status.mode == "connected")
    slow = cache.asked(ttl=0)(sleep)
    key = ("tests.ui.test_cache", "sleep", reader().config.fingerprint(), (), ("seconds", 1.0))
    cache._keep(key, None)
    with pytest.raises(TradekeepError) as caught:
        slow(reader(), seconds=1.0)
    assert caught.value.kind == "transient.statement_timeout"
