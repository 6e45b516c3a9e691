"""What runs when, and what became of it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, Integer, UniqueConstraint, text, true
from sqlalchemy.orm import Mapped, mapped_column, relationship

from core.models.base import Base, Choice, LimitedText, created, index, key, reference, updated


class JobType(StrEnum):
    """What a job does."""

    REPORT = "report"
    SCREENER = "screener"
    ALERT = "alert"
    NOTIFICATION = "notification"
    DATA_PROCESSING = "data_processing"
    BACKUP = "backup"


class RunStatus(StrEnum):
    """How far a run came."""

    PENDING = "PENDING"
    ENQUEUED = "ENQUEUED"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class JobSchedule(Base):
    """Jobs and when they run."""

    __tablename__ = "job_schedules"

    id: Mapped[int] = key()
    user_id: Mapped[int] = reference("usr_users", "cascade")
    name: Mapped[str] = mapped_column(LimitedText(255))
    job_type: Mapped[JobType] = mapped_column(Choice(JobType))
    target: Mapped[str] = mapped_column(LimitedText(255), comment="What the job is about, for instance a screener set")
    task_params: Mapped[dict[str, Any]] = mapped_column(default=dict)
    cron: Mapped[str] = mapped_column(LimitedText(100), comment="Minute, hour, day, month, weekday")
    enabled: Mapped[bool] = mapped_column(server_default=true())
    next_run_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = created()
    updated_at: Mapped[datetime] = updated()

    __table_args__ = (
        UniqueConstraint("user_id", "name"),
        index("enabled", name="idx_schedules_enabled"),
        index("next_run_at", name="idx_schedules_next_run_at"),
    )


class JobScheduleRun(Base):
    """Runs of the jobs; a job runs once for one time and attempt."""

    __tablename__ = "job_schedule_runs"

    id: Mapped[int] = key()
    job_type: Mapped[str]
    job_id: Mapped[int | None] = reference("job_schedules", "set null", comment="Empty when the job was deleted")
    user_id: Mapped[int] = mapped_column(BigInteger, comment="Whose job it was; kept when the person is deleted")
    status: Mapped[RunStatus] = mapped_column(Choice(RunStatus))
    scheduled_for: Mapped[datetime]
    enqueued_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    job_snapshot: Mapped[dict[str, Any]] = mapped_column(comment="The job as it was when the run was planned")
    result: Mapped[dict[str, Any] | None]
    error: Mapped[str | None]
    worker_id: Mapped[str | None] = mapped_column(LimitedText(255))
    attempt: Mapped[int] = mapped_column(Integer, server_default=text("1"))

    job: Mapped[JobSchedule | None] = relationship(lazy="raise")

    __table_args__ = (
        index("job_id", "scheduled_for", "attempt", name="ux_runs_job_scheduled_for", unique=True),
        index("status", "scheduled_for"),
    )
