"""What the web interface keeps: its audit log and its configuration."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from core.models import AuditLog, StrategyTemplate, SystemConfig
from core.repositories.base import Numbered, limited


def writable(connection: sa.Connection) -> bool:
    """Whether this role may read the audit log and add to it; not where there is none, nor on a standby."""
    table = AuditLog.__tablename__
    if connection.dialect.name == "sqlite":
        found = connection.exec_driver_sql("SELECT 1 FROM sqlite_master WHERE name = ? AND type = 'table'", (table,))
        return found.first() is not None
    # Of several rights in one question any would do, so each has its own.
    sql = (
        "SELECT NOT pg_is_in_recovery() AND coalesce(has_table_privilege(t, 'SELECT')"
        " AND has_table_privilege(t, 'INSERT'), false) FROM to_regclass(%s) t"
    )
    return bool(connection.exec_driver_sql(sql, (f"public.{table}",)).scalar_one())


class AuditLogs(Numbered[AuditLog]):
    """Who did what; rows are added and never changed."""

    model = AuditLog

    def writable(self) -> bool:
        """Whether there is an audit log here to which this role may add, now."""
        return writable(self.session.connection())

    def recent(self, limit: int = 100, user_id: int | None = None) -> list[AuditLog]:
        """The newest, of one person or of all, newest first."""
        wanted = sa.select(AuditLog).order_by(AuditLog.created_at.desc(), AuditLog.id.desc())
        return self._all(
            (wanted if user_id is None else wanted.where(AuditLog.user_id == user_id)).limit(limited(limit))
        )


class Templates(Numbered[StrategyTemplate]):
    """Strategies to start from."""

    model = StrategyTemplate

    def of_user(self, user_id: int, limit: int = 1000) -> list[StrategyTemplate]:
        """A person's own and those for everybody, by name."""
        seen = sa.or_(StrategyTemplate.created_by == user_id, StrategyTemplate.is_public)
        named = sa.select(StrategyTemplate).where(seen).order_by(StrategyTemplate.name, StrategyTemplate.id)
        return self._all(named.limit(limited(limit)))


class SystemConfigs(Numbered[SystemConfig]):
    """Settings of the web interface."""

    model = SystemConfig

    def by_key(self, key: str) -> SystemConfig | None:
        """The setting of that name."""
        return self._one(sa.select(SystemConfig).where(SystemConfig.key == key))

    def put(self, key: str, value: dict[str, Any], description: str | None = None) -> None:
        """Set it, whether or not it is there."""
        self._upsert([{"key": key, "value": value, "description": description}], ("key",), ("value", "description"))
