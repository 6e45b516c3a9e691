"""Rollups equal the round trips they are made of, whoever changes these, and whenever."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from core.database import Database
from core.errors import TradekeepError
from core.models import TradingRollup, TradingRollupMark, TradingTrade
from core.portfolio import refresh, totals
from core.portfolio.scope import Scope
from core.portfolio.sums import COUNTS, NAMES, Sums
from core.schema import migrate
from core.settings import DatabaseConfig
from core.setup import provision
from core.setup.provision import Provisioned
from tests.portfolio.trips import BEGIN, bots, random_trips, trip, write
from tests.servers import Cluster

KEYS: tuple[totals.By, ...] = ("day", "trade_type", "currency", "bot_id", "strategy")
BYS: list[tuple[totals.By, ...]] = [
    (), ("day",), KEYS, (*KEYS, "symbol"), (*KEYS, "exit_reason"), ("symbol", "exit_reason"), ("currency", "strategy"),
]  # fmt: skip
SCOPES = [
    Scope(),
    Scope("live", "USDT"),
    Scope("live", "USDT", symbol="ETH/USDT"),
    Scope("live", "USDT", strategy=""),
    Scope("paper", bot_id=2),
    Scope(since=date(2026, 3, 5), until=date(2026, 3, 20), strategy="trend"),
    Scope(since=date(2026, 3, 5), until=date(2026, 3, 5), symbol="BTC/USDT"),
]


def closed(db: Database) -> list[tuple[dict[str, Any], Sums]]:
    """Every closed round trip with its day, strategy and reason, and what it adds to the sums."""
    found = []
    with db.connect() as connection:
        rows = connection.execute(sa.select(TradingTrade.__table__).where(TradingTrade.status == "CLOSED")).mappings()
        for row in rows:
            own = dict(row) | {"day": row["exit_time"].date(), "strategy": row["strategy_name"] or ""}
            own["exit_reason"] = own["exit_reason"] or ""
            net, held = row["net_pnl"], row["exit_time"] - row["entry_time"]
            hold_s = Decimal(held // timedelta(microseconds=1)) / 1_000_000
            won = net is not None and net > 0
            one = Sums(
                1, int(net is not None), int(won), int(net is not None and net < 0), net or Decimal(0),
                row["gross_pnl"] or Decimal(0), row["commission"], net if won else Decimal(0), net, net, hold_s,
                hold_s if won else Decimal(0),
            )  # fmt: skip
            found.append((own, one))
    return found


def expected(
    rows: list[tuple[dict[str, Any], Sums]], scope: Scope, by: tuple[totals.By, ...]
) -> dict[tuple[Any, ...], Sums]:
    """The same, added up here from every row."""
    found: dict[tuple[Any, ...], Sums] = {}
    for own, one in rows:
        wanted = {"trade_type", "currency", "symbol", "bot_id", "strategy"}
        if any(getattr(scope, name) not in (None, own[name]) for name in wanted):
            continue
        if (scope.since and own["day"] < scope.since) or (scope.until and own["day"] > scope.until):
            continue
        key = tuple(own[name] for name in by)
        found[key] = found.get(key, Sums()) + one
    return found if by else {(): found.get((), Sums())}


def same(db: Database, found: dict[Any, Sums], wanted: dict[Any, Sums]) -> None:
    """Equal to the last digit; SQLite's sums to its 15."""
    assert found.keys() == wanted.keys()
    for key, name in itertools.product(wanted, NAMES):
        one, other = getattr(found[key], name), getattr(wanted[key], name)
        if db.backend == "postgresql" or name in COUNTS or one is None:
            assert one == other, (key, name)
        else:
            assert abs(one - other) <= Decimal("1e-8") * max(1, abs(other)), (key, name)


def check(db: Database, scopes: list[Scope] = SCOPES, bys: list[tuple[totals.By, ...]] = BYS) -> None:
    """Every grouping of every scope equals the rows themselves."""
    rows = closed(db)
    for scope, by in itertools.product(scopes, bys):
        with db.connect() as connection:
            found = totals.totals(connection, scope, by)
        same(db, found, expected(rows, scope, by))


def standing(db: Database) -> totals.Rollups:
    with db.connect() as connection:
        return totals.rollups(connection)


def run(db: Database, statement: str, **values: Any) -> None:
    with db.connect() as connection:
        connection.execute(sa.text(statement), values)


@pytest.fixture
def full(db: Database) -> Database:
    """A database with 400 round trips of two bots, and rollups that are up to date."""
    bots(db)
    write(db, random_trips(400))
    refresh.refresh(db)
    return db


def test_sums_equal_the_trades_before_and_after_a_refresh(db: Database) -> None:
    bots(db)
    write(db, random_trips(400))
    before = standing(db)
    assert (before.state, len(before.changed), before.refreshed_at) == ("ready", 40, None)
    check(db)
    made = refresh.refresh(db)
    assert (made.days, made.busy) == (40, False)
    assert made.rows > 400
    after = standing(db)
    assert (after.state, after.changed, after.slow) == ("ready", frozenset(), False)
    assert after.refreshed_at is not None
    check(db)
    assert refresh.refresh(db).days == 0


LATE = BEGIN + timedelta(days=3, hours=5)
CHANGES: dict[str, Callable[[Database], None]] = {
    "a row that comes late": lambda db: write(db, [trip(LATE, "7.77")]),
    "a row on a new day": lambda db: write(db, [trip(BEGIN + timedelta(days=90), "1")]),
    "an old row changed without updated_at": lambda db: run(
        db, "UPDATE trading_trades SET net_pnl = net_pnl * 2, symbol = 'ETH/USDT' WHERE net_pnl > 5"
    ),
    "rows moved to another day": lambda db: run(
        db, "UPDATE trading_trades SET exit_time = :to WHERE exit_time < :before",
        **({"to": "2026-03-25 01:02:03.000000", "before": "2026-03-04"}),
    ),
    "closed rows cancelled": lambda db: run(db, "UPDATE trading_trades SET status = 'CANCELLED' WHERE net_pnl < -5"),
    "open rows closed": lambda db: run(
        db, "UPDATE trading_trades SET status = 'CLOSED', exit_price = 1, net_pnl = 3, exit_time = :at"
        " WHERE status = 'OPEN'", at="2026-03-09 10:00:00.000000",
    ),
    "rows deleted": lambda db: run(db, "DELETE FROM trading_trades WHERE symbol = 'SOL/USDT'"),
    "all rows deleted": lambda db: run(db, "DELETE FROM trading_trades"),
    "the strategy renamed": lambda db: run(db, "UPDATE trading_trades SET strategy_name = '' WHERE bot_id = 1"),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_counts_at_once_and_after_the_next_refresh(full: Database, change: str) -> None:
    CHANGES[change](full)
    assert standing(full).changed
    check(full, SCOPES[:4], BYS[:4])
    refresh.refresh(full)
    assert not standing(full).changed
    check(full, SCOPES[:4], BYS[:5])
    with full.connect() as connection:
        assert refresh.differing(connection) == []


def test_open_rows_change_no_day(full: Database) -> None:
    write(full, [trip(None)])
    run(full, "UPDATE trading_trades SET extra_metadata = '{}' WHERE status = 'OPEN'")
    assert not standing(full).changed


def test_a_failed_write_leaves_no_mark(full: Database) -> None:
    with full.connect() as connection:
        connection.execute(sa.insert(TradingTrade), [trip(LATE)])
        connection.rollback()
    assert not standing(full).changed


def test_net_profit_alone_is_the_same(full: Database) -> None:
    with full.connect() as connection:
        found = totals.daily_net(connection, SCOPES[1])
    wanted = expected(closed(full), SCOPES[1], ("day",))
    same(full, {key: Sums(net_pnl=one.net_pnl) for key, one in found.items()},
         {key: Sums(net_pnl=one.net_pnl) for key, one in wanted.items()})  # fmt: skip


def test_full_rebuild_mends_what_was_written_by_hand(full: Database) -> None:
    run(full, "UPDATE trading_rollups SET net_pnl = net_pnl + 1 WHERE level = 'bot' AND day = '2026-03-07'")
    with full.connect() as connection:
        assert refresh.differing(connection) == [date(2026, 3, 7)]
    made = refresh.refresh(full, full=True)
    assert made.days is None
    check(full, SCOPES[:2])
    with full.connect() as connection:
        assert refresh.differing(connection) == []


def test_without_triggers_the_trades_are_read(full: Database) -> None:
    run(full, "DROP TRIGGER trading_rollups_insert" + (" ON trading_trades" if full.backend == "postgresql" else ""))
    write(full, [trip(LATE, "5")])
    assert standing(full).state == "unfollowed"
    check(full, SCOPES[:2])
    assert refresh.refresh(full).days is None
    assert refresh.follow_again(full)
    assert standing(full).state == "unbuilt"
    refresh.refresh(full)
    write(full, [trip(LATE, "7")])
    assert standing(full).changed == {LATE.date()}
    assert not refresh.follow_again(full)


def test_a_trigger_that_was_switched_off_is_missed_and_mended(pg: Database) -> None:
    run(pg, "ALTER TABLE trading_trades DISABLE TRIGGER trading_rollups_update")
    assert standing(pg).state == "unfollowed"
    assert refresh.follow_again(pg)
    refresh.refresh(pg)
    assert standing(pg).state == "ready"


def test_before_the_upgrade_the_trades_are_read(full: Database) -> None:
    migrate.downgrade(full, "0001")
    assert standing(full).state == "absent"
    check(full, SCOPES[:2], BYS[:3])
    write(full, [trip(LATE)])
    migrate.upgrade(full)
    assert standing(full).state == "unbuilt"
    check(full, SCOPES[:2], BYS[:3])
    refresh.refresh(full)
    assert standing(full).state == "ready"
    check(full, SCOPES[:2], BYS[:3])


# --- only on PostgreSQL: several writers at once, roles, and what SQLite does not know


@pytest.fixture
def pg(migrated: DatabaseConfig) -> Iterator[Database]:
    database = Database(migrated)
    bots(database)
    write(database, random_trips(200))
    refresh.refresh(database)
    yield database
    database.dispose()


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
