"""The named queries of the documents, and rows enough that a plan without an index would show."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from core.database import Database
from core.models import AlertSeverity
from core.repositories import UnitOfWork, unit_of_work

NOW = datetime.now(UTC).replace(microsecond=0)
BIG = 100_000
Query = Callable[[UnitOfWork], Any]

# Name of the query -> how it is asked, and the tables that it must not read as a whole.
NAMED: dict[str, tuple[Query, tuple[str, ...]]] = {
    "recent trades": (lambda unit: unit.trades.recent(limit=100, days=7), ("trades",)),
    "recent trades, ever": (lambda unit: unit.trades.recent(limit=100, days=None), ("trades",)),
    "trades by symbol": (lambda unit: unit.trades.of_symbol("C7/USDT", limit=100), ("trades",)),
    "trades by order": (lambda unit: unit.trades.of_order("o77"), ("trades",)),
    "open positions": (lambda unit: unit.positions.open(), ("positions",)),
    "position by symbol": (lambda unit: unit.positions.of_symbol("C7/USDT"), ("positions",)),
    "held position": (lambda unit: unit.positions.held("C7/USDT"), ("positions",)),
    "update position": (lambda unit: unit.positions.update("C7/USDT", {"current_price": 3}), ("positions",)),
    "save position": (
        lambda unit: unit.positions.save("C7/USDT", {"quantity": 2, "currency": "USDT"}), ("positions",),
    ),
    "delete position": (lambda unit: unit.positions.delete("C9/USDT"), ("positions",)),
    "latest portfolio": (lambda unit: unit.portfolios.latest(), ("portfolios",)),
    "latest portfolio of a currency": (lambda unit: unit.portfolios.latest("USDT"), ("portfolios",)),
    "portfolio history": (lambda unit: unit.portfolios.history(days=30), ("portfolios",)),
    "portfolio snapshot": (lambda unit: unit.portfolio_snapshots.latest(1), ("portfolio_snapshots",)),
    "signals by symbol": (lambda unit: unit.signals.of_symbol("C7/USDT"), ("signals",)),
    "decisions by agent": (lambda unit: unit.decisions.of_agent("a7"), ("agent_decisions",)),
    "actions by agent": (lambda unit: unit.actions.of_agent("a7"), ("agent_actions",)),
    "unresolved alerts": (lambda unit: unit.alerts.unresolved(), ("alerts",)),
    "unresolved alerts of a severity": (lambda unit: unit.alerts.unresolved(AlertSeverity.CRITICAL), ("alerts",)),
    "resolve alert": (lambda unit: unit.alerts.resolve([7, 8], "seen", "ann"), ("alerts",)),
    "candles": (lambda unit: unit.candles.window("C7/USDT", "15m"), ("candles",)),
    "candles upsert": (lambda unit: unit.candles.upsert(_candles()), ("candles",)),
    "recent events": (lambda unit: unit.events.recent(), ("system_events",)),
    "events of a type": (lambda unit: unit.events.recent(event_type="ORDER"), ("system_events",)),
    "events of a symbol": (lambda unit: unit.events.recent(symbol="C7/USDT"), ("system_events",)),
    "decision trace": (
        lambda unit: unit.events.record("NO_SIGNAL", "Looked", symbol="C7/USDT", at=NOW), ("system_events",),
    ),
    "account state": (lambda unit: unit.account_states.latest("a7"), ("account_state",)),
    "account states": (lambda unit: unit.account_states.history("a7", days=30), ("account_state",)),
    "round trips of a bot": (lambda unit: unit.round_trips.of_bot(7), ("trading_trades",)),
    "open round trips": (lambda unit: unit.round_trips.open(), ("trading_trades",)),
    "user by provider": (lambda unit: unit.users.by_provider("telegram", "x77"), ("usr_auth_identities", "usr_users")),
    "user by email": (lambda unit: unit.users.by_email("u77@example.org"), ("usr_users",)),
    "jobs due": (lambda unit: unit.jobs.due(), ("job_schedules",)),
    "jobs claimed": (lambda unit: unit.jobs.claim("w1", at=NOW), ("job_schedules", "job_schedule_runs")),
    "runs of a job": (lambda unit: unit.runs.of_job(7), ("job_schedule_runs",)),
    "audit log": (lambda unit: unit.audit_logs.recent(), ("webui_audit_logs",)),
    "audit log of a person": (lambda unit: unit.audit_logs.recent(user_id=7), ("webui_audit_logs",)),
    "commands of a person": (lambda unit: unit.command_audits.of_user("t77"), ("telegram_command_audits",)),
    "messages due": (lambda unit: unit.messages.claim("w1"), ("msg_messages",)),
    "deliveries of a message": (lambda unit: unit.deliveries.of_message(77), ("msg_delivery_status",)),
    # Tables of a few dozen rows in any installation: read as a whole.
    "bots with heartbeat": (lambda unit: unit.bots.with_heartbeat(), ()),
    "templates": (lambda unit: unit.templates.of_user(1), ()),
    "configuration": (lambda unit: unit.configs.by_key("k"), ()),
}  # fmt: skip


def _candles() -> list[dict[str, Any]]:
    """Eighty coins in four timeframes, as one tick of a platform writes them."""
    values = {"open": 2, "high": 4, "low": 1, "close": 3, "volume": 10}
    return [
        {"symbol": f"C{coin}/USDT", "timeframe": timeframe, "open_time": NOW - timedelta(hours=1), **values}
        for coin in range(80)
        for timeframe in ("15m", "1h", "4h", "1d")
    ]


_STEP = "now() - n * interval '5 minutes'"
_COIN = "'C' || n % 80 || '/USDT'"


def rows(big: int) -> dict[str, str]:
    """Table -> what INSERT is told to fill it: `big` trades, and as many of the others as stand beside them."""
    return {
        "usr_users": f"(id, email) SELECT n, 'u' || n || '@example.org' FROM generate_series(1, {big // 20}) n",
        "usr_auth_identities": "(user_id, provider, external_id, metadata)"
        f" SELECT n, 'telegram', 'x' || n, '{{}}' FROM generate_series(1, {big // 20}) n",
        "trades": "(symbol, action, quantity, price, currency, executed_at, order_id, status)"
        f" SELECT {_COIN}, 'BUY', 1, 100, 'USDT', {_STEP}, 'o' || n, 'FILLED' FROM generate_series(1, {big}) n",
        "positions": "(symbol, quantity, currency, status, closed_at, metadata)"
        f" SELECT {_COIN}, 1, 'USDT', CASE WHEN n <= 80 THEN 'OPEN' ELSE 'CLOSED' END,"
        f" CASE WHEN n > 80 THEN now() END, '{{}}' FROM generate_series(1, {big // 4}) n",
        "portfolios": "(timestamp, total_value, cash_balance, currency)"
        f" SELECT {_STEP}, n, 1, 'USDT' FROM generate_series(1, {big // 4}) n",
        "portfolio_snapshots": "(user_id, snapshot_data, created_at)"
        f" SELECT n % 100 + 1, '{{}}', {_STEP} FROM generate_series(1, {big // 20}) n",
        "signals": "(symbol, direction, strategy, metadata, generated_at)"
        f" SELECT {_COIN}, 'BUY', 's', '{{}}', {_STEP} FROM generate_series(1, {big // 20}) n",
        "agent_decisions": "(agent, decision, inputs, decided_at)"
        f" SELECT 'a' || n % 50, 'ENTER', '{{}}', {_STEP} FROM generate_series(1, {big // 20}) n",
        "agent_actions": "(agent, action, status, result, acted_at)"
        f" SELECT 'a' || n % 50, 'OPEN', 'DONE', '{{}}', {_STEP} FROM generate_series(1, {big // 20}) n",
        "alerts": "(alert_type, severity, timestamp, resolved, resolved_at, resolved_by)"
        " SELECT 't', (ARRAY['INFO', 'WARNING', 'CRITICAL', 'EMERGENCY'])[n % 4 + 1],"
        f" {_STEP}, n % 400 > 0, CASE WHEN n % 400 > 0 THEN now() END, CASE WHEN n % 400 > 0 THEN 'x' END"
        f" FROM generate_series(1, {big // 4}) n",
        "candles": "(symbol, timeframe, open_time, open, high, low, close, volume)"
        " SELECT 'C' || n % 80 || '/USDT', (ARRAY['15m', '1h', '4h', '1d'])[n / 80 % 4 + 1],"
        f" now() - n / 320 * interval '15 minutes', 2, 4, 1, 3, 10 FROM generate_series(1, {big // 2}) n",
        "system_events": "(event_type, symbol, message, payload, occurred_at)"
        " SELECT (ARRAY['NO_SIGNAL', 'NO_SIGNAL', 'NO_SIGNAL', 'DECISION_TRACE', 'ORDER'])[n % 5 + 1],"
        f" {_COIN}, 'Looked', '{{}}', now() - n * interval '3 seconds' FROM generate_series(1, {big // 2}) n",
        "account_state": "(account, currency, equity, balance, available, recorded_at)"
        f" SELECT 'a' || n % 20, 'USDT', 1, 1, 1, {_STEP} FROM generate_series(1, {big // 20}) n",
        "trading_bots": "(id, user_id, type, name, currency, config, extra_metadata, status, last_heartbeat)"
        " SELECT n, 1, 'live', 'b' || n, 'USDT', '{}', '{}', 'running', now() FROM generate_series(1, 40) n",
        "trading_trades": "(bot_id, trade_type, symbol, interval, entry_time, entry_price, exit_time, exit_price, size,"
        " direction, currency, status, extra_metadata)"
        f" SELECT n % 40 + 1, 'live', {_COIN}, '1h', {_STEP}, 1, CASE WHEN n > 100 THEN {_STEP} END,"
        " CASE WHEN n > 100 THEN 2 END, 1, 'LONG', 'USDT', CASE WHEN n > 100 THEN 'CLOSED' ELSE 'OPEN' END, '{}'"
        f" FROM generate_series(1, {big // 4}) n",
        "job_schedules": "(user_id, name, job_type, target, task_params, cron, next_run_at)"
        f" SELECT n, 'j', 'report', 'x', '{{}}', '* * * * *', now() + (n - 20) * interval '1 hour'"
        f" FROM generate_series(1, {big // 20}) n",
        "job_schedule_runs": "(job_type, job_id, user_id, status, scheduled_for, job_snapshot)"
        f" SELECT 'report', n % 500 + 1, 1, 'COMPLETED', {_STEP}, '{{}}' FROM generate_series(1, {big // 20}) n",
        "telegram_command_audits": "(telegram_user_id, command, is_registered_user, success, created_at)"
        f" SELECT 't' || n % 500, '/pnl', true, true, {_STEP} FROM generate_series(1, {big // 20}) n",
        "msg_messages": "(message_type, channels, content, status, priority, scheduled_for)"
        " SELECT 'm', ARRAY['email'], '{}', CASE WHEN n % 1000 = 0 THEN 'PENDING' ELSE 'DELIVERED' END,"
        f" 'NORMAL', {_STEP} FROM generate_series(1, {big // 20}) n",
        "msg_delivery_status": "(message_id, channel, status)"
        f" SELECT n, 'email', 'DELIVERED' FROM generate_series(1, {big // 20}) n",
        "webui_audit_logs": "(user_id, action, details, created_at)"
        f" SELECT n % 500 + 1, 'x', '{{}}', {_STEP} FROM generate_series(1, {big // 20}) n",
    }


def fill(database: Database, big: int) -> None:
    """Rows enough that every row which a query needs has neighbours, and statistics of them."""
    with database.connect(statement_timeout_s=None) as connection:
        # Foreign keys and triggers would take most of the time.
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        for table, made in rows(big).items():
            connection.exec_driver_sql(f"INSERT INTO {table} {made.replace('%', '%%')}")
    with database.connect(statement_timeout_s=None) as connection:
        connection.exec_driver_sql("ANALYZE")


class _Enough(Exception):
    """Rolls back."""


def plans(database: Database, name: str) -> list[dict[str, Any]]:
    """The plan of every statement that a named query sends; nothing of what it does stays."""
    sent: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        sent.append((statement, parameters))

    found: list[dict[str, Any]] = []
    with contextlib.suppress(_Enough), unit_of_work(database) as unit:
        connection = unit.session.connection()
        sa.event.listen(connection, "before_cursor_execute", note)
        NAMED[name][0](unit)
        unit.session.flush()
        sa.event.remove(connection, "before_cursor_execute", note)
        for statement, parameters in sent:
            explained = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters)
            found.append(explained.scalar_one()[0]["Plan"])
        raise _Enough
    return found


def without_index(database: Database, name: str) -> str:
    """What a named query reads as a whole, or that it uses no index; empty where all is well."""
    found = [node for plan in plans(database, name) for node in _nodes(plan)]
    whole = {node["Relation Name"] for node in found if node["Node Type"] == "Seq Scan"} & set(NAMED[name][1])
    if whole:
        return f"{name} reads {', '.join(sorted(whole))} as a whole"
    arbiters = {index for node in found for index in node.get("Conflict Arbiter Indexes", ())}
    used = arbiters | {node["Index Name"] for node in found if "Index Name" in node}
    return "" if used else f"{name} uses no index"


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from _nodes(inner)
