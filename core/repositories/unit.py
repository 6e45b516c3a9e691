"""A unit of work: one transaction, every repository on it, sync or async from the same code."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import wraps
from typing import Any, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from core.database import AsyncDatabase, Database
from core.repositories.base import Repository
from core.repositories.bots import Bots, RoundTrips
from core.repositories.market import AccountStates, Candles, Events
from core.repositories.messaging import Broadcasts, CommandAudits, Deliveries, Feedbacks, Health, Messages
from core.repositories.people import Identities, Jobs, Runs, Users
from core.repositories.trading import (
    Actions,
    Alerts,
    Decisions,
    Portfolios,
    PortfolioSnapshots,
    Positions,
    Signals,
    Trades,
)
from core.repositories.webui import AuditLogs, SystemConfigs, Templates

T = TypeVar("T")


class UnitOfWork:
    """Every repository on one session. What it did is there for others once the block of `unit_of_work` ends."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.trades, self.positions = Trades(session), Positions(session)
        self.portfolios, self.portfolio_snapshots = Portfolios(session), PortfolioSnapshots(session)
        self.signals, self.decisions, self.actions = Signals(session), Decisions(session), Actions(session)
        self.alerts = Alerts(session)
        self.candles, self.events, self.account_states = Candles(session), Events(session), AccountStates(session)
        self.bots, self.round_trips = Bots(session), RoundTrips(session)
        self.users, self.identities = Users(session), Identities(session)
        self.jobs, self.runs = Jobs(session), Runs(session)
        self.messages, self.deliveries, self.health = Messages(session), Deliveries(session), Health(session)
        self.command_audits, self.broadcasts = CommandAudits(session), Broadcasts(session)
        self.feedbacks = Feedbacks(session)
        self.audit_logs, self.templates = AuditLogs(session), Templates(session)
        self.configs = SystemConfigs(session)


@contextmanager
def unit_of_work(db: Database) -> Iterator[UnitOfWork]:
    """A unit of work: committed at the end of the block, rolled back on any error. Raises TradekeepError."""
    with db.begin() as session:
        yield UnitOfWork(session)


class AsyncUnitOfWork:
    """The same for asyncio: `await unit.trades.recent()`, and `await unit.run(work)` for several steps at once."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def run(self, work: Callable[[UnitOfWork], T]) -> T:
        """work(unit) within this transaction."""
        return await self._session.run_sync(lambda session: work(UnitOfWork(session)))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return _Awaited(self, name)


class _Awaited:
    """A repository whose methods are awaited."""

    def __init__(self, unit: AsyncUnitOfWork, name: str) -> None:
        self._unit, self._name = unit, name

    def __getattr__(self, method: str) -> Callable[..., Any]:
        @wraps(getattr(Repository, method, lambda: None))
        async def call(*args: Any, **kwargs: Any) -> Any:
            return await self._unit.run(lambda unit: getattr(getattr(unit, self._name), method)(*args, **kwargs))

        return call


@asynccontextmanager
async def async_unit_of_work(db: AsyncDatabase) -> AsyncIterator[AsyncUnitOfWork]:
    """As unit_of_work, on an AsyncDatabase."""
    async with db.begin() as session:
        yield AsyncUnitOfWork(session)
