"""Users and their ways to sign in, and their jobs."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa

from core.models import AuthIdentity, JobSchedule, JobScheduleRun, User
from core.repositories.base import Numbered, limited


class Users(Numbered[User]):
    """People who may sign in."""

    model = User

    def by_email(self, email: str) -> User | None:
        """The person with this address, whatever its case."""
        return self._one(sa.select(User).where(User.email == email.strip().lower()))

    def by_provider(self, provider: str, external_id: str) -> User | None:
        """The person whom a provider knows under this identifier."""
        known = sa.select(User).join(AuthIdentity, AuthIdentity.user_id == User.id)
        return self._one(known.where(AuthIdentity.provider == provider, AuthIdentity.external_id == external_id))


class Identities(Numbered[AuthIdentity]):
    """How people sign in through providers."""

    model = AuthIdentity


class Jobs(Numbered[JobSchedule]):
    """What runs when."""

    model = JobSchedule

    def due(self, at: datetime | None = None, limit: int = 100) -> list[JobSchedule]:
        """Enabled jobs whose time has come, the longest overdue first; locked until the unit of work ends.

        On PostgreSQL two workers never get the same job: what another one holds is left out.
        """
        ripe = sa.select(JobSchedule).where(JobSchedule.enabled, JobSchedule.next_run_at <= (at or datetime.now(UTC)))
        ripe = ripe.order_by(JobSchedule.next_run_at, JobSchedule.id).limit(limited(limit))
        return self._all(ripe.with_for_update(skip_locked=True))


class Runs(Numbered[JobScheduleRun]):
    """What became of jobs."""

    model = JobScheduleRun

    def of_job(self, job_id: int, limit: int = 100) -> list[JobScheduleRun]:
        """A job's newest runs, newest first."""
        own = sa.select(JobScheduleRun).where(JobScheduleRun.job_id == job_id)
        newest = own.order_by(JobScheduleRun.scheduled_for.desc(), JobScheduleRun.attempt.desc())
        return self._all(newest.limit(limited(limit)))
