"""Users and their ways to sign in, and their jobs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from core.models import AuthIdentity, JobSchedule, JobScheduleRun, User
from core.models.jobs import RunStatus
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
        """Enabled jobs whose time has come, the longest overdue first; also those that somebody runs already."""
        return self._all(_ripe(at or datetime.now(UTC), limit))

    def claim(self, worker: str, limit: int = 100, *, at: datetime | None = None) -> list[JobScheduleRun]:
        """Take what is due and nobody took for this time: a run of each job, ENQUEUED, the longest overdue first.

        One worker gets a job for one time, its next_run_at; who ran it moves that on.
        """
        at = at or datetime.now(UTC)
        taken = sa.exists().where(
            JobScheduleRun.job_id == JobSchedule.id, JobScheduleRun.scheduled_for == JobSchedule.next_run_at
        )
        jobs = self._locked(_ripe(at, limit).where(~taken), skip_locked=True)
        runs = [
            {
                "job_type": job.job_type,
                "job_id": job.id,
                "user_id": job.user_id,
                "status": RunStatus.ENQUEUED,
                "scheduled_for": job.next_run_at,
                "enqueued_at": at,
                "worker_id": worker,
                "job_snapshot": {name: getattr(job, name) for name in ("name", "target", "task_params", "cron")},
                "attempt": 1,
            }
            for job in jobs
        ]
        if not runs:
            return []
        # A worker that committed just before the lock was had is seen by the unique index alone.
        new = self._insert(JobScheduleRun).values(runs).on_conflict_do_nothing().returning(JobScheduleRun)
        return sorted(self.session.scalars(new), key=lambda run: (run.scheduled_for, run.job_id or 0))


def _ripe(at: datetime, limit: int) -> sa.Select[Any]:
    ripe = sa.select(JobSchedule).where(JobSchedule.enabled, JobSchedule.next_run_at <= at)
    return ripe.order_by(JobSchedule.next_run_at, JobSchedule.id).limit(limited(limit))


class Runs(Numbered[JobScheduleRun]):
    """What became of jobs."""

    model = JobScheduleRun

    def of_job(self, job_id: int, limit: int = 100) -> list[JobScheduleRun]:
        """A job's newest runs, newest first."""
        own = sa.select(JobScheduleRun).where(JobScheduleRun.job_id == job_id)
        newest = own.order_by(JobScheduleRun.scheduled_for.desc(), JobScheduleRun.attempt.desc())
        return self._all(newest.limit(limited(limit)))
