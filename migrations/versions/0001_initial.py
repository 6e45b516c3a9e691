"""Initial schema: 34 tables in seven areas.

Revision ID: 0001
Revises:
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | None = None
depends_on: str | None = None

# Frozen here on purpose: a later change of the models must not change what this revision makes.
TEXT = sa.Text()
TIME = sa.DateTime(timezone=True)
MONEY = sa.Numeric(28, 10)
BOOL = sa.Boolean()
INT = sa.Integer()
BIGINT = sa.BigInteger()
JSON = postgresql.JSONB().with_variant(sa.JSON(), "sqlite")
TEXTS = sa.ARRAY(sa.Text()).with_variant(sa.JSON(), "sqlite")


def sqlite() -> bool:
    return op.get_context().dialect.name == "sqlite"


def now() -> sa.TextClause:
    return sa.text("(strftime('%Y-%m-%d %H:%M:%f000', 'now'))" if sqlite() else "now()")


def id_() -> sa.Column[Any]:
    """bigserial; on SQLite the row id, which only INTEGER gives."""
    return sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False)


def part_id() -> sa.Column[Any]:
    """bigserial within a composite key; SQLite has no row id there, so a random number of 53 bits."""
    if sqlite():
        return sa.Column("id", sa.Integer(), server_default=sa.text("(random() & 9007199254740991)"), nullable=False)
    return sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False)


def col(name: str, kind: Any, *, default: Any = None, comment: str | None = None) -> sa.Column[Any]:
    return sa.Column(name, kind, server_default=default, comment=comment, nullable=False)


def null(name: str, kind: Any, *, comment: str | None = None) -> sa.Column[Any]:
    return sa.Column(name, kind, comment=comment, nullable=True)


def moment(name: str) -> sa.Column[Any]:
    return col(name, TIME, default=now())


def pk(table: str, *columns: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(*columns, name=op.f(f"pk_{table}_{'_'.join(columns)}"))


def fk(table: str, column: str, target: str, ondelete: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{target}.id"], name=op.f(f"fk_{table}_{column}"), ondelete=ondelete)


def uq(table: str, *columns: str) -> sa.UniqueConstraint:
    return sa.UniqueConstraint(*columns, name=op.f(f"uq_{table}_{'_'.join(columns)}"))


def uq_system_component() -> sa.UniqueConstraint:
    """A system as a whole (component is null) exists once too; on SQLite an index does it."""
    name = op.f("uq_msg_system_health_system_component")
    return sa.UniqueConstraint("system", "component", name=name, postgresql_nulls_not_distinct=True)


def check(name: str, rule: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(rule, name=op.f(name))


def limits(table: str, **longest: int) -> list[sa.CheckConstraint]:
    return [check(f"ck_{table}_{column}", f'length("{column}") <= {n}') for column, n in longest.items()]


def choice(table: str, column: str, *values: str) -> sa.CheckConstraint:
    return check(f"ck_{table}_{column}", f'"{column}" IN ({", ".join(repr(value) for value in values)})')


def index(name: str, table: str, *columns: str, unique: bool = False, where: str | None = None) -> None:
    predicate = None if where is None else sa.text(where)
    expressions: list[Any] = [column if column.isidentifier() else sa.text(column) for column in columns]
    op.create_index(name, table, expressions, unique=unique, postgresql_where=predicate, sqlite_where=predicate)


def upgrade() -> None:
    _accounts()
    _trading()
    _market()
    _bots()
    _jobs()
    _messaging()
    _webui()


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)


TABLES = (
    "usr_users",
    "usr_auth_identities",
    "usr_verification_codes",
    "trades",
    "positions",
    "portfolios",
    "portfolio_snapshots",
    "signals",
    "agent_decisions",
    "agent_actions",
    "alerts",
    "performance_metrics",
    "candles",
    "system_events",
    "account_state",
    "trading_bots",
    "trading_positions",
    "trading_trades",
    "trading_performance_metrics",
    "job_schedules",
    "job_schedule_runs",
    "telegram_command_audits",
    "telegram_broadcast_logs",
    "telegram_feedbacks",
    "telegram_settings",
    "msg_messages",
    "msg_delivery_status",
    "msg_system_health",
    "msg_rate_limits",
    "msg_channel_configs",
    "webui_audit_logs",
    "webui_performance_snapshots",
    "webui_strategy_templates",
    "webui_system_config",
)


def _accounts() -> None:
    op.create_table(
        "usr_users",
        id_(),
        col("email", TEXT, comment="Stored in lower case"),
        null("password_hash", TEXT, comment="Empty for people who sign in through another provider"),
        col("role", TEXT, default="viewer"),
        col("is_active", BOOL, default=sa.true()),
        moment("created_at"),
        moment("updated_at"),
        null("last_login", TIME),
        pk("usr_users", "id"),
        *limits("usr_users", email=320),
        choice("usr_users", "role", "admin", "trader", "viewer"),
        check("ck_usr_users_email_lower", "email = lower(email)"),
        comment="People who may sign in.",
    )
    index("ix_users_email", "usr_users", "email", unique=True)
    op.create_table(
        "usr_auth_identities",
        id_(),
        col("user_id", BIGINT),
        col("provider", TEXT),
        col("external_id", TEXT, comment="The person's identifier at the provider"),
        col("metadata", JSON, default=sa.text("'{}'")),
        moment("created_at"),
        pk("usr_auth_identities", "id"),
        fk("usr_auth_identities", "user_id", "usr_users", "CASCADE"),
        *limits("usr_auth_identities", provider=50, external_id=255),
        comment="How a person signs in through another provider.",
    )
    index("ix_auth_identities_provider_external", "usr_auth_identities", "provider", "external_id", unique=True)
    op.create_table(
        "usr_verification_codes",
        id_(),
        col("user_id", BIGINT),
        col("code", TEXT, comment="A hash of the code, never the code"),
        col("sent_time", BIGINT, comment="Unix time in seconds"),
        col("provider", TEXT),
        moment("created_at"),
        pk("usr_verification_codes", "id"),
        fk("usr_verification_codes", "user_id", "usr_users", "CASCADE"),
        *limits("usr_verification_codes", provider=50),
        comment="Codes that were sent to a person to prove an address.",
    )
    index("ix_verification_codes_user_id", "usr_verification_codes", "user_id")


def _trading() -> None:
    op.create_table(
        "trades",
        part_id(),
        col("symbol", TEXT),
        col("action", TEXT),
        col("quantity", MONEY),
        col("price", MONEY, comment="A unit's price in currency"),
        col("fee", MONEY, default=sa.text("0")),
        null("fee_currency", TEXT),
        col("currency", TEXT, comment="The currency of price"),
        col("executed_at", TIME),
        null("order_id", TEXT, comment="The order's identifier at the exchange"),
        col("status", TEXT, default="PENDING"),
        null("exchange", TEXT),
        null("strategy", TEXT),
        null("source", TEXT, comment="The program that wrote the row"),
        moment("created_at"),
        moment("updated_at"),
        pk("trades", "symbol", "executed_at", "id"),
        uq("trades", "symbol", "executed_at", "order_id"),
        *limits("trades", symbol=64, fee_currency=16, currency=16, order_id=100, exchange=50, strategy=100, source=50),
        choice("trades", "action", "BUY", "SELL"),
        choice("trades", "status", "PENDING", "FILLED", "PARTIALLY_FILLED", "CANCELLED", "REJECTED", "FAILED"),
        check("ck_trades_quantity", "quantity > 0"),
        check("ck_trades_price", "price >= 0"),
        comment="Executions: what was bought and sold, one row a fill or order.",
    )
    index("ix_trades_executed_at_id", "trades", "executed_at DESC", "id DESC")
    index("ix_trades_id", "trades", "id")
    index("ix_trades_order_id", "trades", "order_id")
    index("ix_trades_symbol_executed_at_id", "trades", "symbol", "executed_at DESC", "id DESC")
    op.create_table(
        "positions",
        id_(),
        col("symbol", TEXT),
        col("side", TEXT, default="LONG"),
        col("quantity", MONEY),
        col("entry_price", MONEY, default=sa.text("0")),
        col("current_price", MONEY, default=sa.text("0")),
        col("market_value", MONEY, default=sa.text("0")),
        col("unrealized_pnl", MONEY, default=sa.text("0")),
        col("realized_pnl", MONEY, default=sa.text("0")),
        null("take_profit", MONEY, comment="The price at which to close with a gain"),
        null("stop_loss", MONEY, comment="The price at which to close with a loss"),
        col("leverage", sa.Numeric(10, 4), default=sa.text("1")),
        col("currency", TEXT, comment="The currency of all amounts in the row"),
        col("status", TEXT, default="OPEN"),
        col("opened_at", TIME, default=now()),
        null("closed_at", TIME, comment="Set exactly when status is CLOSED"),
        col("metadata", JSON),
        moment("created_at"),
        moment("updated_at"),
        pk("positions", "id"),
        choice("positions", "side", "LONG", "SHORT"),
        choice("positions", "status", "OPEN", "CLOSED", "CLOSING"),
        check("ck_positions_closed_at", "(closed_at IS NULL) = (status <> 'CLOSED')"),
        comment="What is held now and what was held, with its profit and loss.",
    )
    index("uq_positions_symbol_side", "positions", "symbol", "side", unique=True, where="status = 'OPEN'")
    op.create_table(
        "portfolios",
        id_(),
        col("timestamp", TIME, default=now(), comment="When the value was observed"),
        col("total_value", MONEY),
        col("cash_balance", MONEY),
        col("currency", TEXT, default="USD"),
        null("source", TEXT),
        moment("created_at"),
        moment("updated_at"),
        pk("portfolios", "id"),
        comment="The account's value over time.",
    )
    index("ix_portfolios_timestamp", "portfolios", "timestamp DESC")
    op.create_table(
        "portfolio_snapshots",
        id_(),
        col("user_id", BIGINT),
        col("snapshot_data", JSON),
        moment("created_at"),
        pk("portfolio_snapshots", "id"),
        fk("portfolio_snapshots", "user_id", "usr_users", "CASCADE"),
        comment="One person's whole portfolio at one moment.",
    )
    index("ix_portfolio_snapshots_user_id_created_at", "portfolio_snapshots", "user_id", "created_at DESC")
    op.create_table(
        "signals",
        id_(),
        col("symbol", TEXT),
        null("timeframe", TEXT),
        col("direction", TEXT),
        null("strength", sa.Numeric(6, 5), comment="0 to 1"),
        null("price", MONEY),
        col("strategy", TEXT),
        null("reason", TEXT),
        col("metadata", JSON),
        col("generated_at", TIME),
        null("expires_at", TIME),
        moment("created_at"),
        pk("signals", "id"),
        *limits("signals", timeframe=8),
        choice("signals", "direction", "BUY", "SELL", "HOLD"),
        check("ck_signals_strength", "strength BETWEEN 0 AND 1"),
        comment="What a strategy advises; agent_decisions says what was made of it.",
    )
    index("ix_signals_symbol_generated_at", "signals", "symbol", "generated_at DESC")
    op.create_table(
        "agent_decisions",
        id_(),
        col("agent", TEXT),
        null("symbol", TEXT),
        col("decision", TEXT),
        null("confidence", sa.Numeric(6, 5), comment="0 to 1"),
        null("reasoning", TEXT),
        col("inputs", JSON, comment="What the agent looked at"),
        null("signal_id", BIGINT),
        col("decided_at", TIME),
        moment("created_at"),
        pk("agent_decisions", "id"),
        fk("agent_decisions", "signal_id", "signals", "SET NULL"),
        *limits("agent_decisions", agent=100, decision=50),
        check("ck_agent_decisions_confidence", "confidence BETWEEN 0 AND 1"),
        comment="What an agent decided, and from what.",
    )
    index("ix_agent_decisions_agent_decided_at", "agent_decisions", "agent", "decided_at DESC")
    op.create_table(
        "agent_actions",
        id_(),
        null("decision_id", BIGINT),
        col("agent", TEXT),
        col("action", TEXT),
        col("status", TEXT),
        null("order_id", TEXT),
        col("result", JSON),
        null("error", TEXT),
        col("acted_at", TIME),
        moment("created_at"),
        pk("agent_actions", "id"),
        fk("agent_actions", "decision_id", "agent_decisions", "SET NULL"),
        *limits("agent_actions", action=50),
        choice("agent_actions", "status", "PENDING", "DONE", "FAILED"),
        comment="What an agent did about a decision, and how it ended.",
    )
    index("ix_agent_actions_agent_acted_at", "agent_actions", "agent", "acted_at DESC")
    op.create_table(
        "alerts",
        id_(),
        col("alert_type", TEXT),
        col("severity", TEXT),
        col("message", TEXT, default=""),
        null("source", TEXT),
        col("resolved", BOOL, default=sa.false()),
        null("resolution", TEXT),
        null("resolved_at", TIME, comment="Set exactly when resolved"),
        null("resolved_by", TEXT, comment="Who resolved it; set exactly when resolved"),
        null("fingerprint", TEXT, comment="Alerts about the same thing share it"),
        col("timestamp", TIME, default=now(), comment="When the alert was raised"),
        moment("created_at"),
        moment("updated_at"),
        pk("alerts", "id"),
        *limits("alerts", alert_type=50, source=50, fingerprint=64),
        choice("alerts", "severity", "INFO", "WARNING", "CRITICAL", "EMERGENCY"),
        check("ck_alerts_resolved_at", "(resolved_at IS NOT NULL) = resolved"),
        check("ck_alerts_resolved_by", "(resolved_by IS NOT NULL) = resolved"),
        comment="What somebody should look at, until it is resolved.",
    )
    index("ix_alerts_severity", "alerts", "severity", where="NOT resolved")
    index("ix_alerts_timestamp", "alerts", "timestamp DESC")
    op.create_table(
        "performance_metrics",
        id_(),
        col("name", TEXT),
        col("value", MONEY),
        null("unit", TEXT),
        null("symbol", TEXT),
        null("strategy", TEXT),
        null("period_start", TIME),
        null("period_end", TIME),
        col("metadata", JSON),
        col("recorded_at", TIME),
        moment("created_at"),
        pk("performance_metrics", "id"),
        *limits("performance_metrics", name=100, unit=20),
        comment="Figures about how trading went, for instance the win rate of a strategy in a period.",
    )
    index("ix_performance_metrics_name_recorded_at", "performance_metrics", "name", "recorded_at DESC")


def _market() -> None:
    op.create_table(
        "candles",
        col("symbol", TEXT),
        col("timeframe", TEXT),
        col("open_time", TIME, comment="When the stretch begins"),
        col("open", MONEY),
        col("high", MONEY),
        col("low", MONEY),
        col("close", MONEY),
        col("volume", MONEY),
        null("exchange", TEXT),
        moment("created_at"),
        moment("updated_at"),
        pk("candles", "symbol", "timeframe", "open_time"),
        choice("candles", "timeframe", "1m", "5m", "15m", "30m", "1h", "4h", "1d", "1w"),
        check("ck_candles_low", "low >= 0"),
        check("ck_candles_high", "high >= 0"),
        check("ck_candles_volume", "volume >= 0"),
        check("ck_candles_low_open_close", "low <= open AND low <= close"),
        check("ck_candles_close", "close >= 0"),
        check("ck_candles_open", "open >= 0"),
        check("ck_candles_high_open_close", "open <= high AND close <= high"),
        comment="Open, high, low, close and volume of one symbol in one stretch of time.",
    )
    index("ix_candles_timeframe_open_time", "candles", "timeframe", "open_time DESC")
    op.create_table(
        "system_events",
        part_id(),
        col("event_type", TEXT, comment="DECISION_TRACE, NO_SIGNAL, ORDER, RECONCILE, ERROR and others"),
        null("symbol", TEXT),
        col("severity", TEXT, default="INFO"),
        col("message", TEXT),
        col("payload", JSON),
        col("occurred_at", TIME, default=now()),
        pk("system_events", "occurred_at", "id"),
        *limits("system_events", event_type=50),
        choice("system_events", "severity", "DEBUG", "INFO", "WARNING", "ERROR"),
        comment="What the platform noticed and decided: decision traces and the audit trail of trading.",
    )
    index("ix_system_events_event_type_occurred_at", "system_events", "event_type", "occurred_at DESC")
    index("ix_system_events_id", "system_events", "id")
    index("ix_system_events_symbol_occurred_at", "system_events", "symbol", "occurred_at DESC")
    op.create_table(
        "account_state",
        id_(),
        col("account", TEXT, default="main"),
        col("currency", TEXT),
        col("equity", MONEY, comment="Balance plus unrealized profit and loss"),
        col("balance", MONEY),
        col("available", MONEY, comment="What new orders may use"),
        col("margin_used", MONEY, default=sa.text("0")),
        col("unrealized_pnl", MONEY, default=sa.text("0")),
        col("recorded_at", TIME),
        moment("created_at"),
        pk("account_state", "id"),
        *limits("account_state", account=100),
        comment="The account's balance at the exchange, each time it was read.",
    )
    index("ix_account_state_account_recorded_at", "account_state", "account", "recorded_at DESC")


def _bots() -> None:
    op.create_table(
        "trading_bots",
        id_(),
        col("user_id", BIGINT),
        col("type", TEXT),
        col("name", TEXT),
        col("status", TEXT, default="stopped"),
        null("started_at", TIME),
        null("last_heartbeat", TIME, comment="When the bot last said that it is alive"),
        col("error_count", INT, default=sa.text("0")),
        null("current_balance", MONEY),
        null("total_pnl", MONEY),
        col("currency", TEXT, comment="The currency of balance and profit"),
        col("extra_metadata", JSON),
        col("config", JSON),
        null("description", TEXT),
        moment("created_at"),
        moment("updated_at"),
        pk("trading_bots", "id"),
        fk("trading_bots", "user_id", "usr_users", "RESTRICT"),
        *limits("trading_bots", name=100),
        choice("trading_bots", "type", "paper", "live", "backtest", "optimization"),
        choice("trading_bots", "status", "stopped", "starting", "running", "paused", "error", "stopping"),
        check("ck_trading_bots_error_count", "error_count >= 0"),
        comment="Bots: their configuration, state and heartbeat.",
    )
    index("ix_trading_bots_status", "trading_bots", "status")
    index("ix_trading_bots_user_id", "trading_bots", "user_id")
    op.create_table(
        "trading_positions",
        id_(),
        col("bot_id", BIGINT),
        col("trade_type", TEXT),
        col("symbol", TEXT),
        col("direction", TEXT),
        col("opened_at", TIME),
        null("closed_at", TIME),
        col("qty_open", MONEY, default=sa.text("0")),
        null("avg_price", MONEY),
        col("realized_pnl", MONEY, default=sa.text("0")),
        col("status", TEXT),
        col("extra_metadata", JSON),
        pk("trading_positions", "id"),
        fk("trading_positions", "bot_id", "trading_bots", "RESTRICT"),
        choice("trading_positions", "trade_type", "paper", "live", "backtest", "optimization"),
        choice("trading_positions", "direction", "LONG", "SHORT"),
        choice("trading_positions", "status", "OPEN", "CLOSED"),
        comment="What a bot holds or held.",
    )
    index("ix_trading_positions_bot_id", "trading_positions", "bot_id")
    index("ix_trading_positions_status", "trading_positions", "status")
    op.create_table(
        "trading_trades",
        part_id(),
        col("bot_id", BIGINT),
        null("position_id", BIGINT),
        col("trade_type", TEXT),
        null("strategy_name", TEXT),
        null("entry_logic_name", TEXT),
        null("exit_logic_name", TEXT),
        col("symbol", TEXT),
        col("interval", TEXT, comment="The candles' timeframe"),
        col("entry_time", TIME),
        null("exit_time", TIME),
        col("entry_price", MONEY),
        null("exit_price", MONEY),
        col("size", MONEY),
        col("direction", TEXT),
        col("commission", MONEY, default=sa.text("0")),
        col("currency", TEXT, comment="The currency of prices, commission and profit"),
        null("gross_pnl", MONEY, comment="Before commission"),
        null("net_pnl", MONEY, comment="After commission"),
        null("pnl_percentage", MONEY),
        null("exit_reason", TEXT),
        col("status", TEXT),
        col("extra_metadata", JSON),
        moment("created_at"),
        moment("updated_at"),
        pk("trading_trades", "symbol", "entry_time", "id"),
        fk("trading_trades", "bot_id", "trading_bots", "RESTRICT"),
        fk("trading_trades", "position_id", "trading_positions", "SET NULL"),
        *limits("trading_trades", interval=8),
        choice("trading_trades", "trade_type", "paper", "live", "backtest", "optimization"),
        choice("trading_trades", "direction", "LONG", "SHORT"),
        choice("trading_trades", "status", "OPEN", "CLOSED", "CANCELLED"),
        check("ck_trading_trades_size", "size > 0"),
        check(
            "ck_trading_trades_exit_time_exit_price",
            "status <> 'CLOSED' OR (exit_time IS NOT NULL AND exit_price IS NOT NULL)",
        ),
        comment="Round trips of the bots: from entry to exit.",
    )
    index("ix_trading_trades_bot_id_entry_time", "trading_trades", "bot_id", "entry_time DESC")
    index("ix_trading_trades_exit_time", "trading_trades", "exit_time DESC")
    index("ix_trading_trades_id", "trading_trades", "id")
    index("ix_trading_trades_strategy_name", "trading_trades", "strategy_name")
    index("ix_trading_trades_symbol", "trading_trades", "symbol")
    op.create_table(
        "trading_performance_metrics",
        id_(),
        col("bot_id", BIGINT),
        col("trade_type", TEXT),
        null("symbol", TEXT),
        null("interval", TEXT),
        null("entry_logic_name", TEXT),
        null("exit_logic_name", TEXT),
        col("metrics", JSON),
        col("calculated_at", TIME),
        moment("created_at"),
        pk("trading_performance_metrics", "id"),
        fk("trading_performance_metrics", "bot_id", "trading_bots", "CASCADE"),
        comment="Figures of a bot's trading, computed for one symbol, interval and logic or for all.",
    )
    index("ix_trading_performance_metrics_calculated_at", "trading_performance_metrics", "calculated_at")


def _jobs() -> None:
    op.create_table(
        "job_schedules",
        id_(),
        col("user_id", BIGINT),
        col("name", TEXT),
        col("job_type", TEXT),
        col("target", TEXT, comment="What the job is about, for instance a screener set"),
        col("task_params", JSON),
        col("cron", TEXT, comment="Minute, hour, day, month, weekday"),
        col("enabled", BOOL, default=sa.true()),
        null("next_run_at", TIME),
        moment("created_at"),
        moment("updated_at"),
        pk("job_schedules", "id"),
        fk("job_schedules", "user_id", "usr_users", "CASCADE"),
        uq("job_schedules", "user_id", "name"),
        *limits("job_schedules", name=255, target=255, cron=100),
        choice("job_schedules", "job_type", "report", "screener", "alert", "notification", "data_processing", "backup"),
        comment="Jobs and when they run.",
    )
    index("idx_schedules_enabled", "job_schedules", "enabled")
    index("idx_schedules_next_run_at", "job_schedules", "next_run_at")
    op.create_table(
        "job_schedule_runs",
        id_(),
        col("job_type", TEXT),
        null("job_id", BIGINT, comment="Empty when the job was deleted"),
        col("user_id", BIGINT, comment="Whose job it was; kept when the person is deleted"),
        col("status", TEXT),
        col("scheduled_for", TIME),
        null("enqueued_at", TIME),
        null("started_at", TIME),
        null("finished_at", TIME),
        col("job_snapshot", JSON, comment="The job as it was when the run was planned"),
        null("result", JSON),
        null("error", TEXT),
        null("worker_id", TEXT),
        col("attempt", INT, default=sa.text("1")),
        pk("job_schedule_runs", "id"),
        fk("job_schedule_runs", "job_id", "job_schedules", "SET NULL"),
        *limits("job_schedule_runs", worker_id=255),
        choice("job_schedule_runs", "status", "PENDING", "ENQUEUED", "RUNNING", "COMPLETED", "FAILED", "CANCELLED"),
        comment="Runs of the jobs; a job runs once for one time and attempt.",
    )
    index("ix_job_schedule_runs_status_scheduled_for", "job_schedule_runs", "status", "scheduled_for")
    index("ux_runs_job_scheduled_for", "job_schedule_runs", "job_id", "scheduled_for", "attempt", unique=True)


def _messaging() -> None:
    op.create_table(
        "telegram_command_audits",
        part_id(),
        col("telegram_user_id", TEXT),
        col("command", TEXT),
        null("full_message", TEXT),
        col("is_registered_user", BOOL),
        null("user_email", TEXT),
        col("success", BOOL),
        null("error_message", TEXT),
        null("response_time_ms", INT),
        moment("created_at"),
        pk("telegram_command_audits", "created_at", "id"),
        *limits("telegram_command_audits", telegram_user_id=50, command=100),
        comment="Commands that the Telegram bot was given, and how it answered.",
    )
    index("ix_telegram_command_audits_id", "telegram_command_audits", "id")
    index("ix_telegram_command_audits_success", "telegram_command_audits", "success")
    index("ix_telegram_command_audits_telegram_user_id", "telegram_command_audits", "telegram_user_id")
    op.create_table(
        "telegram_broadcast_logs",
        id_(),
        col("message", TEXT),
        col("sent_by", TEXT),
        col("success_count", INT, default=sa.text("0")),
        col("total_count", INT, default=sa.text("0")),
        moment("created_at"),
        pk("telegram_broadcast_logs", "id"),
        check("ck_telegram_broadcast_logs_success_count_total_count", "success_count <= total_count"),
        comment="Messages that went to everybody, and how many they reached.",
    )
    op.create_table(
        "telegram_feedbacks",
        id_(),
        null("user_id", BIGINT, comment="Empty when nobody was signed in"),
        col("type", TEXT),
        col("message", TEXT),
        col("status", TEXT, default="open"),
        moment("created_at"),
        pk("telegram_feedbacks", "id"),
        fk("telegram_feedbacks", "user_id", "usr_users", "CASCADE"),
        choice("telegram_feedbacks", "type", "bug", "feature", "other"),
        choice("telegram_feedbacks", "status", "open", "in_progress", "closed"),
        comment="What people say about the platform.",
    )
    op.create_table(
        "telegram_settings",
        col("key", TEXT),
        null("value", TEXT),
        moment("updated_at"),
        pk("telegram_settings", "key"),
        *limits("telegram_settings", key=100),
        comment="Settings of the Telegram bot.",
    )
    op.create_table(
        "msg_messages",
        id_(),
        null("user_id", BIGINT),
        col("message_type", TEXT),
        col("priority", TEXT, default="NORMAL"),
        col("channels", TEXTS),
        null("recipient", TEXT),
        null("subject", TEXT),
        col("content", JSON),
        col("status", TEXT, default="PENDING"),
        col("scheduled_for", TIME, default=now()),
        null("locked_by", TEXT, comment="The worker that is sending it"),
        col("attempts", INT, default=sa.text("0")),
        col("max_attempts", INT, default=sa.text("3")),
        null("last_error", TEXT),
        moment("created_at"),
        moment("updated_at"),
        pk("msg_messages", "id"),
        fk("msg_messages", "user_id", "usr_users", "SET NULL"),
        *limits("msg_messages", message_type=50),
        choice("msg_messages", "priority", "LOW", "NORMAL", "HIGH", "CRITICAL"),
        choice("msg_messages", "status", "PENDING", "PROCESSING", "DELIVERED", "FAILED", "CANCELLED"),
        comment="The queue of messages to people.",
    )
    index("ix_msg_messages_status_priority_scheduled_for", "msg_messages", "status", "priority", "scheduled_for")
    op.create_table(
        "msg_delivery_status",
        id_(),
        col("message_id", BIGINT),
        col("channel", TEXT),
        col("status", TEXT),
        null("delivered_at", TIME),
        null("response_time_ms", INT),
        null("error", TEXT),
        null("external_id", TEXT, comment="The message's identifier at the channel's provider"),
        moment("created_at"),
        pk("msg_delivery_status", "id"),
        fk("msg_delivery_status", "message_id", "msg_messages", "CASCADE"),
        uq("msg_delivery_status", "message_id", "channel"),
        *limits("msg_delivery_status", channel=50),
        choice("msg_delivery_status", "status", "PENDING", "SENT", "DELIVERED", "FAILED", "BOUNCED"),
        comment="What became of a message on each of its channels.",
    )
    op.create_table(
        "msg_system_health",
        id_(),
        col("system", TEXT, comment="notification, telegram_bot, api_service, web_ui, trading_bot, database"),
        null("component", TEXT, comment="Empty for the system as a whole"),
        col("status", TEXT),
        null("last_success", TIME),
        null("last_failure", TIME),
        col("failure_count", INT, default=sa.text("0"), comment="Failures since the last success"),
        null("avg_response_time_ms", INT),
        null("error_message", TEXT),
        col("metadata", JSON),
        col("checked_at", TIME, default=now()),
        pk("msg_system_health", "id"),
        *([] if sqlite() else [uq_system_component()]),
        *limits("msg_system_health", system=50, component=100),
        choice("msg_system_health", "status", "HEALTHY", "DEGRADED", "DOWN", "UNKNOWN"),
        comment="The last known health of each system and its components.",
    )
    if sqlite():
        name = "uq_msg_system_health_system_component"
        index(name, "msg_system_health", "system", "coalesce(component, '')", unique=True)
    op.create_table(
        "msg_rate_limits",
        id_(),
        col("user_id", BIGINT),
        col("channel", TEXT),
        col("tokens", sa.Numeric(12, 4), comment="What is left, as of last_refill"),
        col("max_tokens", sa.Numeric(12, 4)),
        col("refill_per_minute", sa.Numeric(12, 4)),
        col("last_refill", TIME),
        pk("msg_rate_limits", "id"),
        fk("msg_rate_limits", "user_id", "usr_users", "CASCADE"),
        uq("msg_rate_limits", "user_id", "channel"),
        comment="How many messages a person may still be sent on a channel: a bucket of tokens that refills.",
    )
    op.create_table(
        "msg_channel_configs",
        id_(),
        col("channel", TEXT),
        col("enabled", BOOL),
        col("config", JSON, comment="Secrets only as names of settings, never their values"),
        col("rate_limit_per_minute", INT),
        col("max_retries", INT),
        moment("updated_at"),
        pk("msg_channel_configs", "id"),
        uq("msg_channel_configs", "channel"),
        *limits("msg_channel_configs", channel=50),
        comment="How each channel sends.",
    )


def _webui() -> None:
    op.create_table(
        "webui_audit_logs",
        part_id(),
        null("user_id", BIGINT),
        col("action", TEXT),
        null("resource_type", TEXT),
        null("resource_id", TEXT),
        col("details", JSON),
        null("ip_address", TEXT),
        null("user_agent", TEXT),
        moment("created_at"),
        pk("webui_audit_logs", "created_at", "id"),
        fk("webui_audit_logs", "user_id", "usr_users", "SET NULL"),
        *limits("webui_audit_logs", action=100, ip_address=45),
        comment="Who did what in the web interface, and from where; rows are added and never changed.",
    )
    index("ix_webui_audit_logs_id", "webui_audit_logs", "id")
    index("ix_webui_audit_logs_user_id", "webui_audit_logs", "user_id")
    op.create_table(
        "webui_performance_snapshots",
        id_(),
        col("strategy_id", TEXT),
        col("timestamp", TIME),
        col("pnl", JSON),
        col("positions", JSON),
        col("trades_count", INT),
        col("win_rate", JSON),
        col("drawdown", JSON),
        col("metrics", JSON),
        pk("webui_performance_snapshots", "id"),
        *limits("webui_performance_snapshots", strategy_id=100),
        comment="A strategy's figures at one moment, computed once and shown often.",
    )
    index("ix_webui_performance_snapshots_strategy_id", "webui_performance_snapshots", "strategy_id")
    op.create_table(
        "webui_strategy_templates",
        id_(),
        col("name", TEXT),
        null("description", TEXT),
        col("template_data", JSON),
        col("is_public", BOOL, default=sa.false()),
        col("created_by", BIGINT),
        moment("created_at"),
        moment("updated_at"),
        pk("webui_strategy_templates", "id"),
        fk("webui_strategy_templates", "created_by", "usr_users", "CASCADE"),
        uq("webui_strategy_templates", "created_by", "name"),
        *limits("webui_strategy_templates", name=100),
        comment="Strategies to start from, a person's own or everybody's.",
    )
    op.create_table(
        "webui_system_config",
        id_(),
        col("key", TEXT),
        col("value", JSON),
        null("description", TEXT),
        moment("created_at"),
        moment("updated_at"),
        pk("webui_system_config", "id"),
        uq("webui_system_config", "key"),
        *limits("webui_system_config", key=100),
        comment="Settings of the web interface.",
    )
