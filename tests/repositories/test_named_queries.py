"""Each named query of the documents: the same sync and async, and by its index on a big table."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import pytest
import sqlalchemy as sa

from core.database import AsyncDatabase, Database
from core.models import Base, Position
from core.repositories import Repository, UnitOfWork, async_unit_of_work, unit_of_work
from tests.repositories.named import BIG, NAMED, fill, without_index
from tests.servers import Cluster, new_database


@pytest.fixture(scope="module")
def big(cluster: Cluster, _migrated_template: str) -> Iterator[Database]:
    """A database in which reading a whole table would show in the plan."""
    with new_database(cluster, template=_migrated_template) as name:
        database = Database(cluster.config(name))
        fill(database, BIG)
        yield database
        database.dispose()


@pytest.mark.parametrize("name", [name for name, (_query, tables) in NAMED.items() if tables])
def test_named_query_uses_an_index_on_a_big_table(big: Database, name: str) -> None:
    assert without_index(big, name) == ""


def test_a_query_without_an_index_would_be_seen(big: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(unit: UnitOfWork) -> Any:
        return unit.trades._all(sa.select(unit.trades.model).where(unit.trades.model.strategy == "x"))

    monkeypatch.setitem(NAMED, "slow", (slow, ("trades",)))
    assert without_index(big, "slow") == "slow reads trades as a whole"


def test_rows_that_a_query_looks_for_are_there(big: Database) -> None:
    with unit_of_work(big) as unit:
        assert len(unit.trades.recent(limit=100, days=7)) == 100
        assert len(unit.positions.open()) == 80
        assert unit.users.by_provider("telegram", "x77") is not None
        assert len(unit.round_trips.open()) == 100
        assert len(unit.jobs.due()) >= 19


def content(found: Any) -> Any:
    """What a query gave, for comparison: rows as their columns."""
    if isinstance(found, list):
        return [content(one) for one in found]
    if isinstance(found, Base):
        table = found.__table__
        return {column.name: getattr(found, sa.inspect(type(found)).get_property_by_column(column).key)
                for column in table.columns if column.name not in ("id", "created_at", "updated_at")}  # fmt: skip
    return found


def prepare(unit: UnitOfWork) -> None:
    for symbol in ("C7/USDT", "C9/USDT"):
        unit.positions.add(Position(symbol=symbol, quantity=1, currency="USDT", metadata_={}))


def test_named_queries_give_the_same_sync_and_async(big: Database) -> None:
    async def ask() -> dict[str, Any]:
        database = AsyncDatabase(big.config)
        found = {}
        for name, (query, _tables) in NAMED.items():
            async with async_unit_of_work(database) as unit:
                found[name] = content(await unit.run(query))
                await unit.run(lambda inner: inner.session.rollback())
        await database.dispose()
        return found

    expected = {}
    for name, (query, _tables) in NAMED.items():
        with big.begin() as session:
            expected[name] = content(query(UnitOfWork(session)))
            session.rollback()
    with ThreadPoolExecutor(1) as pool:  # the browser's driver may keep a loop in this thread
        assert pool.submit(asyncio.run, ask()).result() == expected


def test_every_named_query_runs_on_both_backends(db: Database) -> None:
    for name, (query, _tables) in NAMED.items():
        with unit_of_work(db) as unit:
            if "position" in name:
                unit.positions.delete("C7/USDT")
                unit.positions.delete("C9/USDT")
                prepare(unit)
            query(unit)


def test_every_query_of_the_repositories_is_named(db: Database) -> None:
    """A query that somebody adds is explained too."""
    asked = {pair for query, _ in NAMED.values() for pair in pairwise(query.__code__.co_names)}
    with unit_of_work(db) as unit:
        there = {
            (name, method)
            for name, repository in vars(unit).items()
            if isinstance(repository, Repository)
            for method in vars(type(repository))
            if not method.startswith("_") and inspect.isfunction(getattr(type(repository), method))
        }
    left = {f"{name}.{method}" for name, method in there - asked}
    # By key, of tables with a few dozen rows, or of rights.
    assert left == {"positions.close", "bots.beat", "bots.remove", "configs.put", "health.report", "health.all",
                    "feedbacks.unanswered", "broadcasts.recent", "audit_logs.writable"}  # fmt: skip
