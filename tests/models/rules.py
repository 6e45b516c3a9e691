"""The rules of the tables, written down a second time: what the models and the migration have to keep."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
LATER = datetime(2026, 1, 2, 4, 4, 5, 678901, tzinfo=UTC)
NOW = "now()"
Row = dict[str, Any]

# A valid row with only what must be given; "-> table" is the id of a row that is made there.
ROWS: dict[str, Row] = {
    "usr_users": {"email": "ada@example.org"},
    "usr_auth_identities": {"user_id": "-> usr_users", "provider": "telegram", "external_id": "1"},
    "usr_verification_codes": {"user_id": "-> usr_users", "code": "hash", "sent_time": 1767323045, "provider": "email"},
    "trades": {
        "symbol": "BTCUSDT", "action": "BUY", "quantity": Decimal(1), "price": Decimal(2), "currency": "USDT",
        "executed_at": MOMENT,
    },
    "positions": {"symbol": "BTCUSDT", "quantity": Decimal(1), "currency": "USDT", "metadata": {}},
    "portfolios": {"total_value": Decimal(2), "cash_balance": Decimal(1)},
    "portfolio_snapshots": {"user_id": "-> usr_users", "snapshot_data": {"a": 1}},
    "signals": {
        "symbol": "BTCUSDT", "direction": "HOLD", "strategy": "s", "metadata": {}, "generated_at": MOMENT,
    },
    "agent_decisions": {"agent": "a", "decision": "hold", "inputs": {}, "decided_at": MOMENT},
    "agent_actions": {"agent": "a", "action": "order", "status": "DONE", "result": {}, "acted_at": MOMENT},
    "alerts": {"alert_type": "t", "severity": "INFO"},
    "performance_metrics": {"name": "n", "value": Decimal(1), "metadata": {}, "recorded_at": MOMENT},
    "candles": {
        "symbol": "BTCUSDT", "timeframe": "1h", "open_time": MOMENT, "open": Decimal(2), "high": Decimal(4),
        "low": Decimal(1), "close": Decimal(3), "volume": Decimal(0),
    },
    "system_events": {"event_type": "ORDER", "message": "m", "payload": {}},
    "account_state": {
        "currency": "USDT", "equity": Decimal(1), "balance": Decimal(1), "available": Decimal(1), "recorded_at": MOMENT,
    },
    "trading_bots": {
        "user_id": "-> usr_users", "type": "paper", "name": "b", "currency": "USDT", "extra_metadata": {},
        "config": {"a": 1},
    },
    "trading_positions": {
        "bot_id": "-> trading_bots", "trade_type": "paper", "symbol": "BTCUSDT", "direction": "LONG",
        "opened_at": MOMENT, "status": "OPEN", "extra_metadata": {},
    },
    "trading_trades": {
        "bot_id": "-> trading_bots", "trade_type": "paper", "symbol": "BTCUSDT", "interval": "1h",
        "entry_time": MOMENT, "entry_price": Decimal(1), "size": Decimal(1), "direction": "LONG", "currency": "USDT",
        "status": "OPEN", "extra_metadata": {},
    },
    "trading_performance_metrics": {
        "bot_id": "-> trading_bots", "trade_type": "paper", "metrics": {"a": 1}, "calculated_at": MOMENT,
    },
    "job_schedules": {
        "user_id": "-> usr_users", "name": "n", "job_type": "backup", "target": "t", "task_params": {},
        "cron": "0 3 * * *",
    },
    "job_schedule_runs": {
        "job_type": "backup", "user_id": 1, "status": "PENDING", "scheduled_for": MOMENT, "job_snapshot": {"a": 1},
    },
    "telegram_command_audits": {
        "telegram_user_id": "1", "command": "/status", "is_registered_user": True, "success": True,
    },
    "telegram_broadcast_logs": {"message": "m", "sent_by": "ada"},
    "telegram_feedbacks": {"type": "bug", "message": "m"},
    "telegram_settings": {"key": "k"},
    "msg_messages": {"message_type": "alert", "channels": ["email", "slack"], "content": {"a": 1}},
    "msg_delivery_status": {"message_id": "-> msg_messages", "channel": "email", "status": "SENT"},
    "msg_system_health": {"system": "database", "status": "HEALTHY", "metadata": {}},
    "msg_rate_limits": {
        "user_id": "-> usr_users", "channel": "email", "tokens": Decimal(1), "max_tokens": Decimal(2),
        "refill_per_minute": Decimal(1), "last_refill": MOMENT,
    },
    "msg_channel_configs": {
        "channel": "email", "enabled": True, "config": {"a": 1}, "rate_limit_per_minute": 1, "max_retries": 1,
    },
    "webui_audit_logs": {"action": "a", "details": {}},
    "webui_performance_snapshots": {
        "strategy_id": "s", "timestamp": MOMENT, "pnl": {"a": 1}, "positions": {"a": 1}, "trades_count": 1,
        "win_rate": {"a": 1}, "drawdown": {"a": 1}, "metrics": {"a": 1},
    },
    "webui_strategy_templates": {"name": "n", "template_data": {"a": 1}, "created_by": "-> usr_users"},
    "webui_system_config": {"key": "k", "value": {"a": 1}},
    "trading_rollups": {
        "level": "bot", "part": "", "day": date(2026, 1, 2), "trade_type": "paper", "currency": "USDT", "bot_id": 1,
        "strategy_name": "", "trips": 1, "valued": 1, "wins": 1, "losses": 0, "net_pnl": Decimal(1),
        "gross_pnl": Decimal(2), "commission": Decimal(1), "profit": Decimal(1), "hold_s": Decimal(60),
        "hold_wins_s": Decimal(60), "refreshed_at": MOMENT,
    },
    "trading_rollup_marks": {},
}  # fmt: skip

CREATED = {"created_at": NOW}
CHANGED = {"created_at": NOW, "updated_at": NOW}
ZERO = Decimal(0)
# What the server fills in; the value, or NOW.
DEFAULTS: dict[str, Row] = {
    "usr_users": {"role": "viewer", "is_active": True, **CHANGED},
    "usr_auth_identities": {"metadata": {}, **CREATED},
    "usr_verification_codes": CREATED,
    "trades": {"fee": ZERO, "status": "PENDING", **CHANGED},
    "positions": {
        "side": "LONG", "entry_price": ZERO, "current_price": ZERO, "market_value": ZERO, "unrealized_pnl": ZERO,
        "realized_pnl": ZERO, "leverage": Decimal(1), "status": "OPEN", "opened_at": NOW, **CHANGED,
    },
    "portfolios": {"timestamp": NOW, "currency": "USD", **CHANGED},
    "portfolio_snapshots": CREATED,
    "signals": CREATED,
    "agent_decisions": CREATED,
    "agent_actions": CREATED,
    "alerts": {"message": "", "resolved": False, "timestamp": NOW, **CHANGED},
    "performance_metrics": CREATED,
    "candles": CHANGED,
    "system_events": {"severity": "INFO", "occurred_at": NOW},
    "account_state": {"account": "main", "margin_used": ZERO, "unrealized_pnl": ZERO, **CREATED},
    "trading_bots": {"status": "stopped", "error_count": 0, **CHANGED},
    "trading_positions": {"qty_open": ZERO, "realized_pnl": ZERO},
    "trading_trades": {"commission": ZERO, **CHANGED},
    "trading_performance_metrics": CREATED,
    "job_schedules": {"enabled": True, **CHANGED},
    "job_schedule_runs": {"attempt": 1},
    "telegram_command_audits": CREATED,
    "telegram_broadcast_logs": {"success_count": 0, "total_count": 0, **CREATED},
    "telegram_feedbacks": {"status": "open", **CREATED},
    "telegram_settings": {"updated_at": NOW},
    "msg_messages": {
        "priority": "NORMAL", "status": "PENDING", "scheduled_for": NOW, "attempts": 0, "max_attempts": 3, **CHANGED,
    },
    "msg_delivery_status": CREATED,
    "msg_system_health": {"failure_count": 0, "checked_at": NOW},
    "msg_channel_configs": {"updated_at": NOW},
    "webui_audit_logs": CREATED,
    "webui_strategy_templates": {"is_public": False, **CHANGED},
    "webui_system_config": CHANGED,
    "trading_rollup_marks": CREATED,
}  # fmt: skip

OPTIONAL: dict[str, str] = {
    "usr_users": "password_hash last_login",
    "trades": "fee_currency order_id exchange strategy source",
    "positions": "take_profit stop_loss closed_at",
    "portfolios": "source",
    "signals": "timeframe strength price reason expires_at",
    "agent_decisions": "symbol confidence reasoning signal_id",
    "agent_actions": "decision_id order_id error",
    "alerts": "source resolution resolved_at resolved_by fingerprint",
    "performance_metrics": "unit symbol strategy period_start period_end",
    "candles": "exchange",
    "system_events": "symbol",
    "trading_bots": "started_at last_heartbeat current_balance total_pnl description",
    "trading_positions": "closed_at avg_price",
    "trading_trades": "position_id strategy_name entry_logic_name exit_logic_name exit_time exit_price gross_pnl"
    " net_pnl pnl_percentage exit_reason",
    "trading_performance_metrics": "symbol interval entry_logic_name exit_logic_name",
    "job_schedules": "next_run_at",
    "job_schedule_runs": "job_id enqueued_at started_at finished_at result error worker_id",
    "telegram_command_audits": "full_message user_email error_message response_time_ms",
    "telegram_feedbacks": "user_id",
    "telegram_settings": "value",
    "msg_messages": "user_id recipient subject locked_by last_error",
    "msg_delivery_status": "delivered_at response_time_ms error external_id",
    "msg_system_health": "component last_success last_failure avg_response_time_ms error_message",
    "webui_audit_logs": "user_id resource_type resource_id ip_address user_agent",
    "webui_strategy_templates": "description",
    "webui_system_config": "description",
    "trading_rollups": "best_pnl worst_pnl",
    "trading_rollup_marks": "day",
}

LIMITS: dict[str, dict[str, int]] = {
    "usr_users": {"email": 320},
    "usr_auth_identities": {"provider": 50, "external_id": 255},
    "usr_verification_codes": {"provider": 50},
    "trades": {
        "symbol": 64, "fee_currency": 16, "currency": 16, "order_id": 100, "exchange": 50, "strategy": 100,
        "source": 50,
    },
    "signals": {"timeframe": 8},
    "agent_decisions": {"agent": 100, "decision": 50},
    "agent_actions": {"action": 50},
    "alerts": {"alert_type": 50, "source": 50, "fingerprint": 64},
    "performance_metrics": {"name": 100, "unit": 20},
    "system_events": {"event_type": 50},
    "account_state": {"account": 100},
    "trading_bots": {"name": 100},
    "trading_trades": {"interval": 8},
    "job_schedules": {"name": 255, "target": 255, "cron": 100},
    "job_schedule_runs": {"worker_id": 255},
    "telegram_command_audits": {"telegram_user_id": 50, "command": 100},
    "telegram_settings": {"key": 100},
    "msg_messages": {"message_type": 50},
    "msg_delivery_status": {"channel": 50},
    "msg_system_health": {"system": 50, "component": 100},
    "msg_channel_configs": {"channel": 50},
    "webui_audit_logs": {"action": 100, "ip_address": 45},
    "webui_performance_snapshots": {"strategy_id": 100},
    "webui_strategy_templates": {"name": 100},
    "webui_system_config": {"key": 100},
}  # fmt: skip

BOT_TYPE, SIDE = "paper live backtest optimization", "LONG SHORT"
CHOICES: dict[str, dict[str, str]] = {
    "usr_users": {"role": "admin trader viewer"},
    "trades": {"action": "BUY SELL", "status": "PENDING FILLED PARTIALLY_FILLED CANCELLED REJECTED FAILED"},
    "positions": {"side": SIDE, "status": "OPEN CLOSING"},  # CLOSED needs closed_at: among the checks below
    "signals": {"direction": "BUY SELL HOLD"},
    "agent_actions": {"status": "PENDING DONE FAILED"},
    "alerts": {"severity": "INFO WARNING CRITICAL EMERGENCY"},
    "candles": {"timeframe": "15m 1h 4h 1d 1m 5m 30m 1w"},
    "system_events": {"severity": "DEBUG INFO WARNING ERROR"},
    "trading_bots": {"type": BOT_TYPE, "status": "stopped starting running paused error stopping"},
    "trading_positions": {"trade_type": BOT_TYPE, "direction": SIDE, "status": "OPEN CLOSED"},
    "trading_trades": {"trade_type": BOT_TYPE, "direction": SIDE, "status": "OPEN CANCELLED"},
    "trading_rollups": {"level": "day bot symbol exit_reason", "trade_type": BOT_TYPE},
    "job_schedules": {"job_type": "report screener alert notification data_processing backup"},
    "job_schedule_runs": {"status": "PENDING ENQUEUED RUNNING COMPLETED FAILED CANCELLED"},
    "telegram_feedbacks": {"type": "bug feature other", "status": "open in_progress closed"},
    "msg_messages": {
        "priority": "LOW NORMAL HIGH CRITICAL",
        "status": "PENDING PROCESSING DELIVERED FAILED CANCELLED",
    },
    "msg_delivery_status": {"status": "PENDING SENT DELIVERED FAILED BOUNCED"},
    "msg_system_health": {"status": "HEALTHY DEGRADED DOWN UNKNOWN"},
}

LITTLE = Decimal("0.00001")
RESOLVED = {"resolved": True, "resolved_at": MOMENT, "resolved_by": "ada"}
CLOSED = {"status": "CLOSED", "exit_time": LATER, "exit_price": Decimal(1)}
# Table, what breaks a rule, the constraint's name.
BROKEN: list[tuple[str, Row, str]] = [
    ("usr_users", {"email": "Ada@example.org"}, "ck_usr_users_email_lower"),
    ("trades", {"quantity": ZERO}, "ck_trades_quantity"),
    ("trades", {"price": -LITTLE}, "ck_trades_price"),
    ("positions", {"closed_at": MOMENT}, "ck_positions_closed_at"),
    ("positions", {"status": "CLOSED"}, "ck_positions_closed_at"),
    ("signals", {"strength": 1 + LITTLE}, "ck_signals_strength"),
    ("signals", {"strength": -LITTLE}, "ck_signals_strength"),
    ("agent_decisions", {"confidence": 1 + LITTLE}, "ck_agent_decisions_confidence"),
    ("agent_decisions", {"confidence": -LITTLE}, "ck_agent_decisions_confidence"),
    ("alerts", RESOLVED | {"resolved_at": None}, "ck_alerts_resolved_at"),
    ("alerts", RESOLVED | {"resolved_by": None}, "ck_alerts_resolved_by"),
    ("alerts", {"resolved_at": MOMENT}, "ck_alerts_resolved_at"),
    ("alerts", {"resolved_by": "ada"}, "ck_alerts_resolved_by"),
    ("candles", {"low": Decimal("2.1")}, "ck_candles_low_open_close"),
    ("candles", {"low": Decimal("1.5"), "close": Decimal("1.4")}, "ck_candles_low_open_close"),
    ("candles", {"high": Decimal("2.9")}, "ck_candles_high_open_close"),
    ("candles", {"high": Decimal("3.5"), "open": Decimal("3.6")}, "ck_candles_high_open_close"),
    ("candles", {"low": -LITTLE}, "ck_candles_low"),
    ("candles", {"low": -LITTLE, "open": -LITTLE}, "ck_candles_low ck_candles_open"),
    ("candles", {"low": -LITTLE, "close": -LITTLE}, "ck_candles_low ck_candles_close"),
    (
        "candles",
        dict.fromkeys(("low", "open", "high", "close"), -LITTLE),
        "ck_candles_low ck_candles_open ck_candles_high ck_candles_close",
    ),
    ("candles", {"volume": -LITTLE}, "ck_candles_volume"),
    ("trading_bots", {"error_count": -1}, "ck_trading_bots_error_count"),
    ("trading_trades", {"size": ZERO}, "ck_trading_trades_size"),
    ("trading_trades", CLOSED | {"exit_time": None}, "ck_trading_trades_exit_time_exit_price"),
    ("trading_trades", CLOSED | {"exit_price": None}, "ck_trading_trades_exit_time_exit_price"),
    ("telegram_broadcast_logs", {"success_count": 1}, "ck_telegram_broadcast_logs_success_count_total_count"),
]
# What is just allowed.
KEPT: list[tuple[str, Row]] = [
    ("trades", {"quantity": LITTLE, "price": ZERO}),
    ("positions", {"status": "CLOSED", "closed_at": MOMENT}),
    ("signals", {"strength": ZERO}),
    ("signals", {"strength": Decimal(1)}),
    ("alerts", RESOLVED),
    ("candles", dict.fromkeys(("low", "open", "high", "close"), ZERO)),
    ("trading_trades", CLOSED),
    ("telegram_broadcast_logs", {"success_count": 2, "total_count": 2}),
]

# Table, what two rows have in common, what tells a third row apart, the constraint's or index's name.
UNIQUE: list[tuple[str, Row, Row, str]] = [
    ("usr_users", {"email": "a@b"}, {"email": "c@d"}, "ix_users_email"),
    (
        "usr_auth_identities",
        {"provider": "p", "external_id": "1"},
        {"external_id": "2"},
        "ix_auth_identities_provider_external",
    ),
    ("trades", {"order_id": "1"}, {"order_id": "2"}, "uq_trades_symbol_executed_at_order_id"),
    ("trades", {"id": 5}, {"id": 6}, "pk_trades_symbol_executed_at_id"),
    ("positions", {"status": "OPEN"}, {"side": "SHORT"}, "uq_positions_symbol_side"),
    ("positions", {"status": "OPEN"}, {"status": "CLOSING"}, "uq_positions_symbol_side"),
    ("candles", {}, {"timeframe": "4h"}, "pk_candles_symbol_timeframe_open_time"),
    ("system_events", {"id": 5, "occurred_at": MOMENT}, {"id": 6}, "pk_system_events_occurred_at_id"),
    ("trading_trades", {"id": 5}, {"id": 6}, "pk_trading_trades_symbol_entry_time_id"),
    ("job_schedules", {"name": "n"}, {"name": "o"}, "uq_job_schedules_user_id_name"),
    ("job_schedule_runs", {"job_id": "-> job_schedules"}, {"attempt": 2}, "ux_runs_job_scheduled_for"),
    ("telegram_command_audits", {"id": 5, "created_at": MOMENT}, {"id": 6}, "pk_telegram_command_audits_created_at_id"),
    ("telegram_settings", {"key": "k"}, {"key": "l"}, "pk_telegram_settings_key"),
    ("msg_delivery_status", {"channel": "c"}, {"channel": "d"}, "uq_msg_delivery_status_message_id_channel"),
    ("msg_system_health", {"component": "c"}, {"component": "d"}, "uq_msg_system_health_system_component"),
    ("msg_system_health", {"component": None}, {"component": "d"}, "uq_msg_system_health_system_component"),
    ("msg_rate_limits", {"channel": "c"}, {"channel": "d"}, "uq_msg_rate_limits_user_id_channel"),
    ("msg_channel_configs", {"channel": "c"}, {"channel": "d"}, "uq_msg_channel_configs_channel"),
    ("webui_audit_logs", {"id": 5, "created_at": MOMENT}, {"id": 6}, "pk_webui_audit_logs_created_at_id"),
    ("webui_strategy_templates", {"name": "n"}, {"name": "o"}, "uq_webui_strategy_templates_created_by_name"),
    ("webui_system_config", {"key": "k"}, {"key": "l"}, "uq_webui_system_config_key"),
    ("trading_rollups", {}, {"part": "BTCUSDT"}, "pk_trading_rollups_key"),
    ("trading_rollup_marks", {"id": 5}, {"id": 6}, "pk_trading_rollup_marks_id"),
]

# Table, column, the table it points to, what happens when that row is deleted.
REFERENCES: list[tuple[str, str, str, str]] = [
    ("usr_auth_identities", "user_id", "usr_users", "cascade"),
    ("usr_verification_codes", "user_id", "usr_users", "cascade"),
    ("portfolio_snapshots", "user_id", "usr_users", "cascade"),
    ("agent_decisions", "signal_id", "signals", "set null"),
    ("agent_actions", "decision_id", "agent_decisions", "set null"),
    ("trading_bots", "user_id", "usr_users", "restrict"),
    ("trading_positions", "bot_id", "trading_bots", "restrict"),
    ("trading_trades", "bot_id", "trading_bots", "restrict"),
    ("trading_trades", "position_id", "trading_positions", "set null"),
    ("trading_performance_metrics", "bot_id", "trading_bots", "cascade"),
    ("job_schedules", "user_id", "usr_users", "cascade"),
    ("job_schedule_runs", "job_id", "job_schedules", "set null"),
    ("telegram_feedbacks", "user_id", "usr_users", "cascade"),
    ("msg_messages", "user_id", "usr_users", "set null"),
    ("msg_delivery_status", "message_id", "msg_messages", "cascade"),
    ("msg_rate_limits", "user_id", "usr_users", "cascade"),
    ("webui_audit_logs", "user_id", "usr_users", "set null"),
    ("webui_strategy_templates", "created_by", "usr_users", "cascade"),
]

# Every index that is not a constraint's, as PostgreSQL tells it without "CREATE INDEX ... ON public.".
INDEXES: dict[str, str] = {
    "ix_users_email": "unique usr_users (email)",
    "ix_auth_identities_provider_external": "unique usr_auth_identities (provider, external_id)",
    "ix_verification_codes_user_id": "usr_verification_codes (user_id)",
    "ix_trades_executed_at_id": "trades (executed_at DESC, id DESC)",
    "ix_trades_symbol_executed_at_id": "trades (symbol, executed_at DESC, id DESC)",
    "ix_trades_id": "trades (id)",
    "ix_trades_order_id": "trades (order_id)",
    "uq_positions_symbol_side": "unique positions (symbol, side) WHERE (status = 'OPEN'::text)",
    "ix_portfolios_timestamp": 'portfolios ("timestamp" DESC)',
    "ix_portfolio_snapshots_user_id_created_at": "portfolio_snapshots (user_id, created_at DESC)",
    "ix_signals_symbol_generated_at": "signals (symbol, generated_at DESC)",
    "ix_agent_decisions_agent_decided_at": "agent_decisions (agent, decided_at DESC)",
    "ix_agent_actions_agent_acted_at": "agent_actions (agent, acted_at DESC)",
    "ix_alerts_timestamp": 'alerts ("timestamp" DESC)',
    "ix_alerts_severity": "alerts (severity) WHERE (NOT resolved)",
    "ix_performance_metrics_name_recorded_at": "performance_metrics (name, recorded_at DESC)",
    "ix_candles_timeframe_open_time": "candles (timeframe, open_time DESC)",
    "ix_system_events_event_type_occurred_at": "system_events (event_type, occurred_at DESC)",
    "ix_system_events_symbol_occurred_at": "system_events (symbol, occurred_at DESC)",
    "ix_system_events_id": "system_events (id)",
    "ix_account_state_account_recorded_at": "account_state (account, recorded_at DESC)",
    "ix_trading_bots_user_id": "trading_bots (user_id)",
    "ix_trading_bots_status": "trading_bots (status)",
    "ix_trading_positions_bot_id": "trading_positions (bot_id)",
    "ix_trading_positions_status": "trading_positions (status)",
    "ix_trading_trades_strategy_name": "trading_trades (strategy_name)",
    "ix_trading_trades_symbol": "trading_trades (symbol)",
    "ix_trading_trades_id": "trading_trades (id)",
    "ix_trading_trades_bot_id_entry_time": "trading_trades (bot_id, entry_time DESC)",
    "ix_trading_trades_exit_time": "trading_trades (exit_time DESC)",
    "ix_trading_performance_metrics_calculated_at": "trading_performance_metrics (calculated_at)",
    "idx_schedules_enabled": "job_schedules (enabled)",
    "idx_schedules_next_run_at": "job_schedules (next_run_at)",
    "ux_runs_job_scheduled_for": "unique job_schedule_runs (job_id, scheduled_for, attempt)",
    "ix_job_schedule_runs_status_scheduled_for": "job_schedule_runs (status, scheduled_for)",
    "ix_telegram_command_audits_telegram_user_id": "telegram_command_audits (telegram_user_id)",
    "ix_telegram_command_audits_success": "telegram_command_audits (success)",
    "ix_telegram_command_audits_id": "telegram_command_audits (id)",
    "ix_msg_messages_status_priority_scheduled_for": "msg_messages (status, priority, scheduled_for)",
    "ix_webui_audit_logs_user_id": "webui_audit_logs (user_id)",
    "ix_webui_audit_logs_id": "webui_audit_logs (id)",
    "ix_trading_rollups_day": "trading_rollups (day)",
    "ix_trading_rollup_marks_day": "trading_rollup_marks (day)",
    "ix_webui_performance_snapshots_strategy_id": "webui_performance_snapshots (strategy_id)",
}
