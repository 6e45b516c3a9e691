"""The queue of messages, what became of them, and how the platform's parts are."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from core.models import (
    Message,
    MessageDelivery,
    SystemHealth,
    TelegramBroadcastLog,
    TelegramCommandAudit,
    TelegramFeedback,
)
from core.models.messaging import FeedbackStatus, HealthStatus, MessagePriority, MessageStatus
from core.repositories.base import Numbered, limited

_URGENCY = {priority: number for number, priority in enumerate(reversed(MessagePriority))}


class Messages(Numbered[Message]):
    """What is to be sent."""

    model = Message

    def claim(self, worker: str, limit: int = 10, *, at: datetime | None = None) -> list[Message]:
        """Take what is due for sending, the most urgent first; nobody else gets these."""
        at = at or datetime.now(UTC)
        urgency = sa.case(_URGENCY, value=Message.priority, else_=len(_URGENCY))
        due = sa.select(Message).where(Message.status == MessageStatus.PENDING, Message.scheduled_for <= at)
        due = due.order_by(urgency, Message.scheduled_for, Message.id).limit(limited(limit))
        found = self._locked(due, skip_locked=True)
        for message in found:
            message.status, message.locked_by, message.attempts = MessageStatus.PROCESSING, worker, message.attempts + 1
        self.session.flush()
        return found


class Deliveries(Numbered[MessageDelivery]):
    """What became of messages on each channel."""

    model = MessageDelivery

    def of_message(self, message_id: int) -> list[MessageDelivery]:
        """A message's deliveries, by channel."""
        own = sa.select(MessageDelivery).where(MessageDelivery.message_id == message_id)
        return self._all(own.order_by(MessageDelivery.channel))


class Health(Numbered[SystemHealth]):
    """How the platform's parts are."""

    model = SystemHealth

    def report(
        self,
        system: str,
        status: HealthStatus,
        *,
        component: str | None = None,
        response_time_ms: int | None = None,
        error: str | None = None,
        at: datetime | None = None,
    ) -> SystemHealth:
        """Note how a part is now; failures in a row are counted, a success begins anew."""
        at = at or datetime.now(UTC)
        own = sa.select(SystemHealth).where(
            SystemHealth.system == system, SystemHealth.component.is_not_distinct_from(component)
        )
        found = self._locked(own)
        if not found:  # two may find it missing at once: one of them inserts it, then each in its turn counts
            new = self._insert(SystemHealth).values(system=system, component=component, status=status, failure_count=0)
            self.session.execute(new.on_conflict_do_nothing())
            found = self._locked(own)
        row = found[0]
        row.status, row.checked_at, row.error_message = status, at, error
        row.avg_response_time_ms = response_time_ms if response_time_ms is not None else row.avg_response_time_ms
        if status == HealthStatus.HEALTHY:
            row.last_success, row.failure_count = at, 0
        elif status in (HealthStatus.DEGRADED, HealthStatus.DOWN):
            row.last_failure, row.failure_count = at, row.failure_count + 1
        self.session.flush()
        return row

    def all(self) -> list[SystemHealth]:
        """Every part, by system and component."""
        return self._all(sa.select(SystemHealth).order_by(SystemHealth.system, SystemHealth.component))


class CommandAudits(Numbered[TelegramCommandAudit]):
    """Commands that came by Telegram."""

    model = TelegramCommandAudit

    def of_user(self, telegram_user_id: str, limit: int = 100) -> list[TelegramCommandAudit]:
        """A user's newest, newest first."""
        own = sa.select(TelegramCommandAudit).where(TelegramCommandAudit.telegram_user_id == telegram_user_id)
        newest = (TelegramCommandAudit.created_at.desc(), TelegramCommandAudit.id.desc())
        return self._all(own.order_by(*newest).limit(limited(limit)))


class Broadcasts(Numbered[TelegramBroadcastLog]):
    """Messages to everybody."""

    model = TelegramBroadcastLog

    def recent(self, limit: int = 100) -> list[TelegramBroadcastLog]:
        """The newest, newest first."""
        newest = (TelegramBroadcastLog.created_at.desc(), TelegramBroadcastLog.id.desc())
        return self._all(sa.select(TelegramBroadcastLog).order_by(*newest).limit(limited(limit)))


class Feedbacks(Numbered[TelegramFeedback]):
    """What people said."""

    model = TelegramFeedback

    def unanswered(self, limit: int = 100) -> list[TelegramFeedback]:
        """What nobody closed, oldest first."""
        wanted: Any = sa.select(TelegramFeedback).where(TelegramFeedback.status != FeedbackStatus.CLOSED)
        return self._all(wanted.order_by(TelegramFeedback.created_at, TelegramFeedback.id).limit(limited(limit)))
