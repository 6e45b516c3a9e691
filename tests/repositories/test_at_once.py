"""Several at once on one row: nothing is lost, counted twice or refused."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import pytest
import sqlalchemy as sa

from core.database import Database
from core.errors import TradekeepError
from core.models import JobSchedule, SystemEvent, User
from core.models.messaging import HealthStatus
from core.repositories import UnitOfWork, unit_of_work
from core.services import market, platform, trading
from core.settings import DatabaseConfig
from tests.servers import Cluster

NOW = datetime.now(UTC).replace(microsecond=0)
SEVERAL = 6


def at_once(db: Database, work: Callable[[UnitOfWork], Any], number: int = SEVERAL) -> list[Any]:
    """What each of several units of work gives that begin in one moment; the kind of the error of those that fail."""
    gate = Barrier(number)

    def one(_: int) -> Any:
        try:
            with unit_of_work(db) as unit:
                unit.session.execute(sa.select(1))
                gate.wait()
                return work(unit)
        except TradekeepError as error:
            return error.kind

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(one, range(number)))


@pytest.mark.parametrize("may_lock", [True, False])
def test_one_of_many_traces_of_a_coin_is_kept(cluster: Cluster, migrated: DatabaseConfig, may_lock: bool) -> None:
    """Where a role may take no advisory lock it writes still."""
    right = "pg_try_advisory_xact_lock(int, int)"
    role = "tracer"
    cluster.sql(
        f"CREATE ROLE {role} LOGIN PASSWORD 'tracer'",
        f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}",
        f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}",
        *([] if may_lock else [f"REVOKE EXECUTE ON FUNCTION {right} FROM public"]),
        database=migrated.database,
    )
    try:
        with Database(cluster.config(migrated.database, user=role, password="tracer")) as db:
            written = at_once(db, lambda unit: unit.events.record("NO_SIGNAL", "m", symbol="BTC"), 12)
            assert set(written) <= {True, False}
            assert written.count(True) == 1 if may_lock else written.count(True) >= 1
            with db.connect() as connection:
                kept = connection.scalar(sa.select(sa.func.count()).select_from(SystemEvent))
            assert kept == written.count(True)
            assert market.record_event(db, "NO_SIGNAL", "m", symbol="ETH")
    finally:
        cluster.sql(f"DROP OWNED BY {role}", f"DROP ROLE {role}", database=migrated.database)


def test_what_a_position_is_set_to_is_what_it_is(db: Database) -> None:
    trading.save_position(db, "BTC/USDT", {"quantity": 5, "currency": "USDT"})
    with unit_of_work(db) as unit:
        read = unit.positions.of_symbol("BTC/USDT")
        assert read is not None
        assert read.quantity == 5
        if db.backend == "postgresql":  # SQLite has one writer
            trading.update_position(db, "BTC/USDT", {"quantity": 7, "stop_loss": 90})
        assert unit.positions.update("BTC/USDT", {"quantity": 5}).quantity == 5
    found = trading.position_of_symbol(db, "BTC/USDT")
    assert found is not None
    assert (found.quantity, found.stop_loss) == (5, 90 if db.backend == "postgresql" else None)


def test_contracts_that_several_add_are_all_there(migrated: DatabaseConfig) -> None:
    def more(unit: UnitOfWork) -> None:
        unit.positions.of_symbol("BTC/USDT")
        held = unit.positions.held("BTC/USDT")
        assert held is not None
        unit.positions.update("BTC/USDT", {"quantity": held.quantity + 1})

    with Database(migrated) as db:
        trading.save_position(db, "BTC/USDT", {"quantity": 1, "currency": "USDT"})
        assert at_once(db, more) == [None] * SEVERAL
        found = trading.position_of_symbol(db, "BTC/USDT")
        assert found is not None
        assert found.quantity == 1 + SEVERAL


@pytest.mark.parametrize("component", [None, "email"])
def test_each_failure_of_a_new_part_is_counted(migrated: DatabaseConfig, component: str | None) -> None:
    with Database(migrated) as db:
        reports = at_once(db, lambda unit: unit.health.report("bot", HealthStatus.DOWN, component=component))
        assert [one for one in reports if isinstance(one, str)] == []
        with unit_of_work(db) as unit:
            assert [row.failure_count for row in unit.health.all()] == [SEVERAL]


def test_a_job_is_one_workers(migrated: DatabaseConfig) -> None:
    with Database(migrated) as db:
        with unit_of_work(db) as unit:
            owner = unit.users.add(User(email="ann@example.org"))
            for hours in range(4):
                due = NOW - timedelta(hours=hours)
                job: dict[str, Any] = {"name": f"j{hours}", "job_type": "report", "target": "x", "cron": "* * * * *"}
                unit.jobs.add(JobSchedule(user_id=owner.id, next_run_at=due, **job))
        claimed = at_once(db, lambda unit: [run.job_id for run in unit.jobs.claim("w", limit=2)])
        claimed.append([run.job_id for run in platform.claim_jobs(db, "w")])  # what all others thought another had
        assert sorted(id for ids in claimed for id in ids) == sorted(row.id for row in platform.due_jobs(db))
