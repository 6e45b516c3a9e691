"""Bots, people, templates and jobs of the platform, in one unit of work each."""

from __future__ import annotations

from datetime import datetime

from core.database import Database
from core.models import JobSchedule, JobScheduleRun, StrategyTemplate, TradingBot, User
from core.repositories import unit_of_work
from core.repositories.bots import ALIVE_S


def alive_bots(db: Database, seconds: int = ALIVE_S) -> list[TradingBot]:
    """Bots that were heard of within so many seconds, the latest first."""
    with unit_of_work(db) as unit:
        return unit.bots.with_heartbeat(seconds)


def beat(db: Database, bot_id: int, *, at: datetime | None = None) -> bool:
    """Note that a bot is alive; whether it exists."""
    with unit_of_work(db) as unit:
        return unit.bots.beat(bot_id, at=at)


def remove_bot(db: Database, bot_id: int) -> bool:
    """Delete a bot; whether there was one. Raises data.foreign_key, naming the trades that stand in the way."""
    with unit_of_work(db) as unit:
        return unit.bots.remove(bot_id)


def user_by_provider(db: Database, provider: str, external_id: str) -> User | None:
    """The person whom a provider knows under this identifier."""
    with unit_of_work(db) as unit:
        return unit.users.by_provider(provider, external_id)


def strategy_templates(db: Database, user_id: int) -> list[StrategyTemplate]:
    """A person's own templates and those for everybody, by name."""
    with unit_of_work(db) as unit:
        return unit.templates.of_user(user_id)


def due_jobs(db: Database, at: datetime | None = None, limit: int = 100) -> list[JobSchedule]:
    """Enabled jobs whose time has come, the longest overdue first; `claim_jobs` takes them for a worker."""
    with unit_of_work(db) as unit:
        return unit.jobs.due(at, limit)


def claim_jobs(db: Database, worker: str, *, at: datetime | None = None, limit: int = 100) -> list[JobScheduleRun]:
    """Take jobs that are due for a worker, a run of each; of several workers one gets a job for one time."""
    with unit_of_work(db) as unit:
        return unit.jobs.claim(worker, limit, at=at)
