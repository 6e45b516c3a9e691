"""One valid row for each table: what verification writes, reads back and rolls back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

Values = dict[str, Any]
MARK = "tradekeep-verification"
MOMENT = datetime(2000, 1, 1, 12, tzinfo=UTC)
ONE, TWO = Decimal("1.0000000001"), Decimal("2.0000000002")
Parent = Callable[[str], Any]

# A row per table; parent("usr_users") writes that table's sample first and gives its id.
SAMPLES: dict[str, Callable[[Parent], Values]] = {
    "usr_users": lambda parent: {"email": f"{MARK}@example.invalid", "role": "viewer"},
    "usr_auth_identities": lambda parent: {
        "user_id": parent("usr_users"), "provider": "telegram", "external_id": MARK, "metadata": {"a": 1},
    },
    "usr_verification_codes": lambda parent: {
        "user_id": parent("usr_users"), "code": MARK, "sent_time": 946728000, "provider": "email",
    },
    "trades": lambda parent: {
        "symbol": MARK, "action": "BUY", "quantity": ONE, "price": TWO, "currency": "USDT", "executed_at": MOMENT,
    },
    "positions": lambda parent: {"symbol": MARK, "quantity": ONE, "currency": "USDT"},
    "portfolios": lambda parent: {"total_value": TWO, "cash_balance": ONE, "timestamp": MOMENT},
    "portfolio_snapshots": lambda parent: {"user_id": parent("usr_users"), "snapshot_data": {"holdings": [MARK]}},
    "signals": lambda parent: {
        "symbol": MARK, "direction": "HOLD", "strategy": MARK, "strength": Decimal("0.5"), "generated_at": MOMENT,
    },
    "agent_decisions": lambda parent: {
        "agent": MARK, "decision": "hold", "signal_id": parent("signals"), "decided_at": MOMENT,
    },
    "agent_actions": lambda parent: {
        "agent": MARK, "action": "none", "status": "DONE", "decision_id": parent("agent_decisions"),
        "acted_at": MOMENT,
    },
    "alerts": lambda parent: {"alert_type": MARK, "severity": "INFO", "message": MARK},
    "performance_metrics": lambda parent: {"name": MARK, "value": ONE, "recorded_at": MOMENT},
    "candles": lambda parent: {
        "symbol": MARK, "timeframe": "1h", "open_time": MOMENT, "open": ONE, "high": TWO, "low": ONE, "close": TWO,
        "volume": ONE,
    },
    "system_events": lambda parent: {
        "event_type": "NO_SIGNAL", "symbol": MARK, "message": MARK, "occurred_at": MOMENT,
    },
    "account_state": lambda parent: {
        "account": MARK, "currency": "USDT", "equity": TWO, "balance": TWO, "available": ONE, "recorded_at": MOMENT,
    },
    "trading_bots": lambda parent: {
        "user_id": parent("usr_users"), "type": "paper", "name": MARK, "currency": "USDT", "config": {"a": 1},
    },
    "trading_positions": lambda parent: {
        "bot_id": parent("trading_bots"), "trade_type": "paper", "symbol": MARK, "direction": "LONG",
        "opened_at": MOMENT, "status": "OPEN",
    },
    "trading_trades": lambda parent: {
        "bot_id": parent("trading_bots"), "trade_type": "paper", "symbol": MARK, "interval": "1h",
        "entry_time": MOMENT, "entry_price": ONE, "size": ONE, "direction": "LONG", "currency": "USDT",
        "status": "OPEN",
    },
    "trading_performance_metrics": lambda parent: {
        "bot_id": parent("trading_bots"), "trade_type": "paper", "metrics": {"sharpe": 1}, "calculated_at": MOMENT,
    },
    "job_schedules": lambda parent: {
        "user_id": parent("usr_users"), "name": MARK, "job_type": "backup", "target": MARK, "cron": "0 3 * * *",
        "task_params": {"a": 1},
    },
    "job_schedule_runs": lambda parent: {
        "job_type": "backup", "job_id": parent("job_schedules"), "user_id": 1, "status": "PENDING",
        "scheduled_for": MOMENT, "job_snapshot": {"a": 1},
    },
    "telegram_command_audits": lambda parent: {
        "telegram_user_id": MARK, "command": "/status", "is_registered_user": False, "success": True,
    },
    "telegram_broadcast_logs": lambda parent: {"message": MARK, "sent_by": MARK, "success_count": 1, "total_count": 2},
    "telegram_feedbacks": lambda parent: {"user_id": parent("usr_users"), "type": "other", "message": MARK},
    "telegram_settings": lambda parent: {"key": MARK, "value": MARK},
    "msg_messages": lambda parent: {
        "user_id": parent("usr_users"), "message_type": MARK, "channels": ["email", "telegram"], "content": {"a": 1},
    },
    "msg_delivery_status": lambda parent: {
        "message_id": parent("msg_messages"), "channel": "email", "status": "PENDING",
    },
    "msg_system_health": lambda parent: {"system": "database", "component": MARK, "status": "HEALTHY"},
    "msg_rate_limits": lambda parent: {
        "user_id": parent("usr_users"), "channel": "email", "tokens": Decimal("2.0002"), "max_tokens": 10,
        "refill_per_minute": 1, "last_refill": MOMENT,
    },
    "msg_channel_configs": lambda parent: {
        "channel": MARK, "enabled": False, "config": {"secret": "NAME_OF_A_SETTING"}, "rate_limit_per_minute": 1,
        "max_retries": 1,
    },
    "webui_audit_logs": lambda parent: {"user_id": None, "action": MARK, "details": {"a": 1}},
    "webui_performance_snapshots": lambda parent: {
        "strategy_id": MARK, "timestamp": MOMENT, "pnl": {"a": 1}, "positions": {"a": 1}, "trades_count": 0,
        "win_rate": {"a": 1}, "drawdown": {"a": 1}, "metrics": {"a": 1},
    },
    "webui_strategy_templates": lambda parent: {
        "name": MARK, "template_data": {"a": 1}, "created_by": parent("usr_users"),
    },
    "webui_system_config": lambda parent: {"key": MARK, "value": {"a": 1}},
    "trading_rollups": lambda parent: {
        "level": "symbol", "part": MARK, "day": MOMENT.date(), "trade_type": "paper", "currency": "USDT", "bot_id": 0,
        "strategy_name": MARK, "trips": 1, "valued": 1, "wins": 1, "losses": 0, "net_pnl": ONE, "gross_pnl": TWO,
        "commission": ONE, "profit": ONE, "hold_s": ONE, "hold_wins_s": ONE, "refreshed_at": MOMENT,
    },
    "trading_rollup_marks": lambda parent: {"day": MOMENT.date()},
}  # fmt: skip


def write_and_read(connection: sa.Connection, table: sa.Table, tables: dict[str, sa.Table]) -> list[str]:
    """Write the table's sample (and its parents'), read it back; the names of columns that came back changed.

    The caller rolls back. Values are compared as given: numerics to their last digit on PostgreSQL.
    """

    def insert(name: str) -> Any:
        target = tables[name]
        keys = [*target.primary_key.columns]
        row = connection.execute(sa.insert(target).values(SAMPLES[name](insert)).returning(*keys)).one()
        return row._mapping["id"] if "id" in target.c else row

    values = SAMPLES[table.name](insert)
    keys = [*table.primary_key.columns]
    key = connection.execute(sa.insert(table).values(values).returning(*keys)).one()
    found = connection.execute(
        sa.select(table).where(*(column == value for column, value in zip(keys, key, strict=True)))
    ).one()
    exact = connection.dialect.name == "postgresql"
    return [
        name
        for name, value in values.items()
        if found._mapping[name] != value and (exact or not isinstance(value, Decimal))
    ]
