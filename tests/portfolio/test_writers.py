"""Rollups on PostgreSQL alone: several writers at once, roles, and values that SQLite does not know."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from core.database import Database
from core.errors import TradekeepError
from core.models import TradingRollup, TradingRollupMark, TradingTrade
from core.portfolio import refresh, totals
from core.portfolio.scope import Scope
from core.schema import migrate
from core.settings import DatabaseConfig
from core.setup import provision
from core.setup.provision import Provisioned
from tests.portfolio.expected import BYS, LATE, SCOPES, check, closed, expected, run, standing
from tests.portfolio.trips import BEGIN, bots, random_trips, trip, write
from tests.servers import Cluster


@pytest.fixture
def pg(migrated: DatabaseConfig) -> Iterator[Database]:
    database = Database(migrated)
    bots(database)
    write(database, random_trips(200))
    refresh.refresh(database)
    yield database
    database.dispose()


def test_a_trigger_that_was_switched_off_is_missed_and_mended(pg: Database) -> None:
    run(pg, "ALTER TABLE trading_trades DISABLE TRIGGER trading_rollups_update")
    assert standing(pg).state == "unfollowed"
    assert refresh.follow_again(pg)
    refresh.refresh(pg)
    assert standing(pg).state == "ready"


def test_emptied_table_counts_as_changed(pg: Database) -> None:
    run(pg, "TRUNCATE trading_trades")
    assert standing(pg).state == "unbuilt"
    check(pg, SCOPES[:1], BYS[:2])
    refresh.refresh(pg)
    with pg.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(TradingRollup)) == 0


def test_infinite_times_are_no_days(pg: Database) -> None:
    run(pg, "UPDATE trading_trades SET exit_time = 'infinity' WHERE net_pnl > 8")
    with pg.connect() as connection:
        assert totals.totals(connection, Scope(), ("day",)).keys()
    refresh.refresh(pg)
    with pg.connect() as connection:
        assert refresh.differing(connection) == []


def test_times_that_python_cannot_hold_are_in_no_sum(pg: Database) -> None:
    run(pg, "UPDATE trading_trades SET exit_time = '12024-01-19' WHERE net_pnl > 8")
    run(pg, "UPDATE trading_trades SET exit_time = '0044-03-15 BC' WHERE net_pnl < -8")
    run(pg, "UPDATE trading_trades SET entry_time = '-infinity' WHERE symbol = 'ETH/USDT'")
    with pg.connect() as connection:
        before = totals.totals(connection, Scope(), ("day",))
        assert totals.left_out(connection) > 1
    refresh.refresh(pg)
    assert standing(pg).changed == frozenset()
    with pg.connect() as connection:
        assert totals.totals(connection, Scope(), ("day",)) == before
        assert refresh.differing(connection) == []


def test_not_a_number_is_not_valued(pg: Database) -> None:
    wrong = trip(LATE, "5", symbol="odd") | dict.fromkeys(("net_pnl", "gross_pnl", "commission"), None)
    write(pg, [trip(LATE, "5", symbol="odd"), wrong | {"commission": 0}])
    run(pg, "UPDATE trading_trades SET net_pnl = 'NaN', gross_pnl = 'NaN', commission = 'NaN' WHERE net_pnl IS NULL")
    scope = Scope(symbol="odd")
    with pg.connect() as connection:
        before = totals.totals(connection, scope, ("day",))
        net = totals.daily_net(connection, scope)
    refresh.refresh(pg)
    with pg.connect() as connection:
        found = totals.totals(connection, scope, ("day",))
        assert refresh.differing(connection) == []
    assert found == before
    own = found[(LATE.date(),)]
    assert (own.trips, own.valued, own.wins, own.net_pnl, own.best_pnl, own.commission) == (
        2, 1, 1, 5, 5, Decimal("0.1"),
    )  # fmt: skip
    assert (net[(LATE.date(),)].valued, net[(LATE.date(),)].net_pnl) == (1, 5)


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_writers_of_every_isolation_level_are_followed(pg: Database, level: str) -> None:
    write(pg, [trip(LATE, "1")])
    with pg.connect() as writer:
        writer.exec_driver_sql(f"SET TRANSACTION ISOLATION LEVEL {level}")
        assert writer.scalar(sa.select(sa.func.count()).select_from(TradingRollupMark)) == 1  # its snapshot
        refresh.refresh(pg)
        writer.execute(sa.insert(TradingTrade), [trip(LATE, "2")])
    assert standing(pg).changed == {LATE.date()}
    check(pg, SCOPES[:2], BYS[:2])


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_a_refresh_sees_what_is_committed_until_it_takes_the_marks(
    pg: Database, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a database has another isolation level as its default, too."""
    run(pg, f"ALTER DATABASE {pg.config.database} SET default_transaction_isolation = '{level}'")
    pg.dispose()
    write(pg, [trip(LATE, "1")])
    alone, writer = refresh._alone, Database(pg.config)
    with writer.connect() as other:
        other.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        other.execute(sa.insert(TradingTrade), [trip(LATE, "100")])  # it relies on the mark that is there

        def late(connection: sa.Connection) -> bool:
            found = alone(connection)
            other.commit()
            return found

        monkeypatch.setattr(refresh, "_alone", late)
        refresh.refresh(pg)
    writer.dispose()
    with pg.connect() as connection:
        assert refresh.differing(connection) == []
    check(pg, SCOPES[:2], BYS[:2])


def test_a_writer_that_commits_after_the_refresh_is_not_missed(pg: Database) -> None:
    with pg.connect() as slow:
        slow.execute(sa.insert(TradingTrade), [trip(LATE, "3")])  # its transaction began before the refresh
        assert refresh.refresh(pg).busy is False
    assert standing(pg).changed == {LATE.date()}
    check(pg, SCOPES[:2], BYS[:2])
    refresh.refresh(pg)
    check(pg, SCOPES[:2], BYS[:2])


def test_a_mark_that_an_open_transaction_relies_on_stays(pg: Database) -> None:
    write(pg, [trip(LATE, "1")])
    with pg.connect() as slow:
        slow.execute(sa.insert(TradingTrade), [trip(LATE, "2")])
        with pg.connect() as connection:
            assert connection.scalar(sa.select(sa.func.count()).select_from(TradingRollupMark)) == 1
        assert refresh.refresh(pg).days == 0  # the mark is held, so the day waits
    assert standing(pg).changed == {LATE.date()}
    refresh.refresh(pg)
    assert standing(pg).changed == frozenset()
    check(pg, SCOPES[:2], BYS[:2])


def test_writers_do_not_wait_for_a_refresh_nor_for_each_other(pg: Database) -> None:
    write(pg, [trip(LATE, "1")])
    with pg.connect() as refreshing:
        refreshing.execute(refresh._marks(refreshing)).all()
        with pg.connect(statement_timeout_s=1) as first, pg.connect(statement_timeout_s=1) as second:
            first.execute(sa.insert(TradingTrade), [trip(LATE, "2")])
            second.execute(sa.insert(TradingTrade), [trip(LATE, "3")])


def test_two_refreshes_at_once(pg: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refresh, "LOCK_WAIT", "100ms")
    write(pg, [trip(LATE)])
    with pg.connect() as first:
        assert refresh._alone(first)
        assert refresh.refresh(pg).busy
        assert standing(pg).changed == {LATE.date()}
    assert not refresh.refresh(pg).busy


@pytest.fixture(scope="module")
def roles(cluster: Cluster) -> Provisioned:
    made = provision.provision(cluster.admin, database="rolled")
    owner = Database(made.owner)
    migrate.upgrade(owner)
    runtime = Database(made.runtime)
    bots(runtime)
    for database in (runtime, owner):
        database.dispose()
    return made


def test_runtime_role_refreshes_and_viewer_reads(roles: Provisioned) -> None:
    runtime, viewer = Database(roles.runtime), Database(roles.viewer, read_only=True)
    write(runtime, random_trips(100))
    assert refresh.refresh(runtime).rows > 100
    assert refresh.refresh(runtime, full=True).days is None
    check(viewer, SCOPES[:2], BYS[:3])
    assert standing(viewer).state == "ready"
    with pytest.raises(TradekeepError) as caught:
        refresh.refresh(viewer)
    assert caught.value.error_type == "permission"
    for database in (runtime, viewer):
        database.dispose()


def test_whoever_may_write_trades_needs_no_right_on_the_marks(roles: Provisioned) -> None:
    owner = Database(roles.owner)
    run(owner, f'REVOKE ALL ON trading_rollup_marks, trading_rollups FROM "{roles.runtime.user}"')
    runtime = Database(roles.runtime)
    write(runtime, [trip(LATE)])
    assert LATE.date() in standing(owner).changed
    run(owner, f'GRANT ALL ON trading_rollup_marks, trading_rollups TO "{roles.runtime.user}"')
    for database in (runtime, owner):
        database.dispose()


def test_nobody_else_may_attach_the_marking_function(roles: Provisioned) -> None:
    """It runs as the owner, and writes into a table of the schema in which it fires."""
    viewer = Database(roles.viewer)
    with viewer.connect() as connection:
        allowed = connection.scalar(sa.text("SELECT has_function_privilege('mark_trading_rollups()', 'EXECUTE')"))
    viewer.dispose()
    assert allowed is False


def test_trades_are_marked_whatever_the_search_path_is(pg: Database) -> None:
    with pg.connect() as connection:
        connection.exec_driver_sql("SELECT set_config('search_path', '', true)")
        connection.exec_driver_sql("UPDATE public.trading_trades SET net_pnl = 1 WHERE status = 'CLOSED'")
    assert len(standing(pg).changed) > 30


def test_sums_are_exact_while_others_write_and_refresh(pg: Database) -> None:
    """Each writer moves an amount between two days in one transaction: every reader must see the same total."""
    wanted = expected(closed(pg), Scope(), ())[()].net_pnl
    over = threading.Event()
    wrong: list[Any] = []

    def work(step: Callable[[int], Any]) -> threading.Thread:
        def loop() -> None:
            for number in itertools.count():
                if over.is_set():
                    return
                try:
                    step(number)
                except Exception as error:
                    wrong.append(error)
                    return

        return threading.Thread(target=loop)

    def move(number: int) -> None:
        with pg.connect() as connection:
            first, second = (BEGIN + timedelta(days=(number * step) % 37, hours=1) for step in (1, 5))
            connection.execute(sa.insert(TradingTrade), [trip(first, "2.5"), trip(second, "-2.5")])

    def read(_number: int) -> None:
        with pg.connect() as connection:
            found = sum(one.net_pnl for one in totals.totals(connection, Scope(), ("day",)).values())
        if found != wanted:
            wrong.append(found)

    threads = [work(move), work(move), work(read), work(lambda _: refresh.refresh(pg))]
    for thread in threads:
        thread.start()
    over.wait(2.5)
    over.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    refresh.refresh(pg)
    check(pg, SCOPES[:1], BYS[:3])
