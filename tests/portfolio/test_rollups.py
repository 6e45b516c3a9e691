"""Rollups equal the round trips they are made of, whoever changes these, and whenever."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pytest
import sqlalchemy as sa

from core.database import Database
from core.models import TradingTrade
from core.portfolio import refresh, totals
from core.portfolio.scope import Scope
from core.portfolio.sums import Sums
from core.schema import migrate
from core.settings import DatabaseConfig
from tests.portfolio.expected import BYS, LATE, SCOPES, check, closed, expected, run, same, standing
from tests.portfolio.trips import BEGIN, bots, random_trips, trip, write


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


@pytest.mark.parametrize("when", [(1, 1, 1, 10), (1899, 12, 31, 23), (2200, 1, 1), (9999, 12, 31, 10)])
def test_exits_in_impossible_years_are_in_no_sum_and_counted(full: Database, when: tuple[int, ...]) -> None:
    moment = datetime(*when, tzinfo=UTC)  # type: ignore[arg-type,misc]  # as many parts as there are
    write(full, [trip(moment, "100", entry_time=BEGIN), trip(datetime(2199, 12, 31, 23, tzinfo=UTC), "1")])
    for _ in range(2):
        with full.connect() as connection:
            found = totals.totals(connection, Scope(until=date.max), ("day",))
            assert totals.left_out(connection) == 1
        assert max(found) == (date(2199, 12, 31),)
        assert min(found)[0].year == 2026
        refresh.refresh(full)
    with full.connect() as connection:
        assert totals.totals(connection, Scope(until=date.max), ("symbol", "exit_reason"))
        assert refresh.differing(connection) == []
        assert totals.daily_net(connection, Scope(until=date.max)).keys() == found.keys()


def test_a_row_that_sqlite_replaces_counts_on_its_old_day_no_more(migrated_sqlite: DatabaseConfig) -> None:
    database = Database(migrated_sqlite)
    bots(database)
    own = trip(LATE, "5", entry_time=BEGIN) | {"id": 7}
    write(database, [own])
    write(database, [trip(LATE, "9")])
    refresh.refresh(database)
    moved = own | {"exit_time": LATE + timedelta(days=1)}
    with database.connect() as connection:
        connection.execute(sa.insert(TradingTrade).prefix_with("OR REPLACE"), [moved])
    assert standing(database).changed == {LATE.date(), (LATE + timedelta(days=1)).date()}
    refresh.refresh(database)
    check(database, SCOPES[:2], BYS[:2])
    database.dispose()
