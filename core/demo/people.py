"""The invented people, their jobs, and the messages that they got."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal

from core.demo.agents import figures
from core.demo.books import Row, Value
from core.demo.bots import BOTS, Trip

PEOPLE = (("admin@example.com", "admin"), ("trader@example.com", "trader"), ("viewer@example.com", "viewer"))
JOBS = (
    # user, name, type, target, cron, hour of day
    (2, "Morning report", "report", "daily_pnl", "0 7 * * *", 7),
    (2, "Screener for new coins", "screener", "top_50_by_volume", "30 6 * * *", 6),
    (2, "Drawdown watch", "alert", "equity_drawdown", "0 * * * *", 12),
    (3, "Weekly letter", "notification", "weekly_summary", "0 8 * * 1", 8),
    (1, "Candle clean-up", "data_processing", "candles", "15 3 * * *", 3),
    (1, "Nightly backup", "backup", "trading", "0 2 * * *", 2),
)
CHANNELS = (("telegram", 30), ("email", 10), ("sms", 2))
SYSTEMS = (
    ("notification", None), ("notification", "telegram"), ("notification", "email"), ("notification", "sms"),
    ("telegram_bot", None), ("api_service", None), ("web_ui", None), ("trading_bot", None), ("database", None),
)  # fmt: skip
COMMANDS = ("/status", "/positions", "/pnl", "/alerts", "/help", "/stop")
RUN_DAYS, MESSAGE_DAYS = 14, 14


def users(now: datetime) -> Iterator[Row]:
    """Rows of `usr_users`; nobody can sign in as one of them, for none has a password."""
    for number, (email, role) in enumerate(PEOPLE, start=1):
        yield {
            "id": number,
            "email": email,
            "password_hash": None,
            "role": role,
            "is_active": True,
            "created_at": now - timedelta(days=366 - number),
            "updated_at": now - timedelta(days=40 * number),
            "last_login": now - timedelta(hours=3 * number),
        }


def identities(now: datetime) -> Iterator[Row]:
    """Rows of `usr_auth_identities`."""
    for number, (_email, _role) in enumerate(PEOPLE, start=1):
        moment = now - timedelta(days=360 - number)
        yield {
            "id": number,
            "user_id": number,
            "provider": "telegram",
            "external_id": f"demo-{number}",
            "metadata": {},
            "created_at": moment,
        }


def codes(now: datetime) -> Iterator[Row]:
    """Rows of `usr_verification_codes`, long expired."""
    for number in range(1, len(PEOPLE) + 1):
        moment = now - timedelta(days=359 - number)
        code = hashlib.sha256(f"demo {number}".encode()).hexdigest()
        yield {
            "id": number,
            "user_id": number,
            "code": code,
            "sent_time": int(moment.timestamp()),
            "provider": "email",
            "created_at": moment,
        }


def schedules(now: datetime) -> Iterator[Row]:
    """Rows of `job_schedules`."""
    begin = now - timedelta(days=200)
    for number, (user, name, kind, target, cron, hour) in enumerate(JOBS, start=1):
        today = now.replace(hour=hour, minute=0, second=0, microsecond=0)
        yield {
            "id": number,
            "user_id": user,
            "name": name,
            "job_type": kind,
            "target": target,
            "task_params": {},
            "cron": cron,
            "enabled": kind != "screener",
            "next_run_at": today if today > now else today + timedelta(days=1),
            "created_at": begin,
            "updated_at": begin,
        }


def runs(now: datetime) -> Iterator[Row]:
    """Rows of `job_schedule_runs`: each job once a day for two weeks; one failed and was tried again."""
    number = 0
    for job, (user, name, kind, target, cron, hour) in enumerate(JOBS, start=1):
        for day in range(RUN_DAYS, 0, -1):
            planned = now.replace(hour=hour, minute=0, second=0, microsecond=0) - timedelta(days=day)
            for attempt in (1, 2) if (job, day) == (1, 5) else (1,):
                failed = (job, day, attempt) == (1, 5, 1)
                number += 1
                begin = planned + timedelta(seconds=1 + 300 * (attempt - 1))
                yield {
                    "id": number,
                    "job_type": kind,
                    "job_id": job,
                    "user_id": user,
                    "status": "FAILED" if failed else "COMPLETED",
                    "scheduled_for": planned,
                    "enqueued_at": planned,
                    "started_at": begin,
                    "finished_at": begin + timedelta(seconds=3 + job * 4),
                    "job_snapshot": {"name": name, "target": target, "cron": cron},
                    "result": None if failed else {"rows": 100 * job},
                    "error": "The mail server did not answer within 10 s" if failed else None,
                    "worker_id": "worker-1",
                    "attempt": attempt,
                }


def messages(now: datetime, rng: random.Random) -> list[Row]:
    """Rows of `msg_messages`: two a day, the last one still waiting."""
    rows = []
    for number in range(1, MESSAGE_DAYS * 2 + 1):
        moment = now - timedelta(hours=12 * (MESSAGE_DAYS * 2 - number), minutes=rng.randrange(1, 50))
        failed, waiting = number == 9, number == MESSAGE_DAYS * 2
        rows.append(
            {
                "id": number,
                "user_id": 2,
                "message_type": "daily_report" if number % 2 else "alert",
                "priority": "NORMAL" if number % 2 else "HIGH",
                "channels": ["email"] if number % 2 else ["telegram"],
                "recipient": PEOPLE[1][0],
                "subject": "Morning report" if number % 2 else "New alert",
                "content": {"text": "What the bots did since yesterday" if number % 2 else "See the list of alerts"},
                "status": "FAILED" if failed else "PENDING" if waiting else "DELIVERED",
                "scheduled_for": moment,
                "locked_by": None,
                "attempts": 3 if failed else 0 if waiting else 1,
                "max_attempts": 3,
                "last_error": "The mailbox is full" if failed else None,
                "created_at": moment,
                "updated_at": moment,
            }
        )
    return rows


def deliveries(messages: list[Row], rng: random.Random) -> Iterator[Row]:
    """Rows of `msg_delivery_status`: what became of each message that was sent."""
    for row in messages:
        if row["status"] == "PENDING":
            continue
        failed = row["status"] == "FAILED"
        yield {
            "id": row["id"],
            "message_id": row["id"],
            "channel": row["channels"][0],
            "status": "BOUNCED" if failed else "DELIVERED",
            "delivered_at": None if failed else row["scheduled_for"] + timedelta(seconds=2),
            "response_time_ms": rng.randrange(80, 900),
            "error": row["last_error"],
            "external_id": f"demo-{row['id']}",
            "created_at": row["scheduled_for"],
        }


def health(now: datetime) -> Iterator[Row]:
    """Rows of `msg_system_health`."""
    for number, (system, component) in enumerate(SYSTEMS, start=1):
        slow = component == "sms"
        yield {
            "id": number,
            "system": system,
            "component": component,
            "status": "DEGRADED" if slow else "HEALTHY",
            "last_success": now - timedelta(minutes=42 if slow else 0, seconds=number),
            "last_failure": now - timedelta(minutes=3 if slow else 4_000 + number),
            "failure_count": 2 if slow else 0,
            "avg_response_time_ms": 2_400 if slow else 35 + 11 * number,
            "error_message": "The provider answers slowly" if slow else None,
            "metadata": {},
            "checked_at": now - timedelta(seconds=number),
        }


def limits(now: datetime) -> Iterator[Row]:
    """Rows of `msg_rate_limits`."""
    for number, (channel, most) in enumerate(CHANNELS, start=1):
        yield {
            "id": number,
            "user_id": 2,
            "channel": channel,
            "tokens": Decimal(most) - 1,
            "max_tokens": Decimal(most),
            "refill_per_minute": Decimal(most),
            "last_refill": now - timedelta(minutes=number),
        }


def channels(now: datetime) -> Iterator[Row]:
    """Rows of `msg_channel_configs`."""
    for number, (channel, most) in enumerate(CHANNELS, start=1):
        yield {
            "id": number,
            "channel": channel,
            "enabled": channel != "sms",
            "config": {"token_setting": f"{channel.upper()}_TOKEN"},
            "rate_limit_per_minute": most,
            "max_retries": 3,
            "updated_at": now - timedelta(days=100),
        }


def commands(now: datetime, rng: random.Random) -> Iterator[Row]:
    """Rows of `telegram_command_audits`."""
    for number in range(1, 121):
        moment = now - timedelta(hours=2.7 * (121 - number))
        known, command = number % 17 != 0, rng.choice(COMMANDS)
        yield {
            "id": number,
            "telegram_user_id": "demo-2" if known else "demo-99",
            "command": command,
            "full_message": command,
            "is_registered_user": known,
            "user_email": PEOPLE[1][0] if known else None,
            "success": known,
            "error_message": None if known else "This account is not registered",
            "response_time_ms": rng.randrange(40, 700),
            "created_at": moment,
        }


def broadcasts(now: datetime) -> Iterator[Row]:
    """Rows of `telegram_broadcast_logs`."""
    for number, text in enumerate(("Maintenance on Sunday, 06:00 to 06:30 UTC", "The euro bot is live"), start=1):
        yield {
            "id": number,
            "message": text,
            "sent_by": PEOPLE[0][0],
            "success_count": 14 + number,
            "total_count": 17,
            "created_at": now - timedelta(days=120 - 60 * number),
        }


def feedbacks(now: datetime) -> Iterator[Row]:
    """Rows of `telegram_feedbacks`."""
    for number, (kind, text, status) in enumerate(
        (
            ("feature", "A chart of the drawdown in the morning report, please", "in_progress"),
            ("bug", "/pnl shows yesterday's figure after midnight UTC", "closed"),
            ("other", "Thank you for the weekly letter", "open"),
        ),
        start=1,
    ):
        moment = now - timedelta(days=30 - 7 * number)
        yield {"id": number, "user_id": 3, "type": kind, "message": text, "status": status, "created_at": moment}


def telegram_settings(now: datetime) -> Iterator[Row]:
    """Rows of `telegram_settings`."""
    for name, value in (("language", "en"), ("quiet_hours", "22:00-06:00"), ("alerts_from", "WARNING")):
        yield {"key": name, "value": value, "updated_at": now - timedelta(days=90)}


def audit(now: datetime, rng: random.Random) -> Iterator[Row]:
    """Rows of `webui_audit_logs`."""
    done = (("sign_in", None), ("alert.resolve", "alerts"), ("bot.pause", "trading_bots"), ("export", "trades"))
    for number in range(1, 61):
        action, kind = rng.choice(done)
        yield {
            "id": number,
            "user_id": rng.choice((1, 2, 2)),
            "action": action,
            "resource_type": kind,
            "resource_id": str(rng.randrange(1, 5)) if kind else None,
            "details": {},
            "ip_address": "192.0.2.10",
            "user_agent": "Demo browser",
            "created_at": now - timedelta(hours=7.3 * (61 - number)),
        }


def snapshots(accounts: dict[str, list[Value]], now: datetime) -> Iterator[Row]:
    """Rows of `portfolio_snapshots`: the trader's accounts, week by week."""
    for number in range(1, 13):
        moment = now - timedelta(days=7 * (13 - number))
        latest = {name: next(v for v in reversed(found) if v.at <= moment) for name, found in accounts.items()}
        data = {
            name: {"equity": float(value.equity), "balance": float(value.balance)} for name, value in latest.items()
        }
        yield {"id": number, "user_id": 2, "snapshot_data": {"accounts": data}, "created_at": moment}


def performance(trips: list[Trip], now: datetime) -> Iterator[Row]:
    """Rows of `webui_performance_snapshots`: each strategy that has closed something."""
    number = 0
    for bot in BOTS:
        own = [trip for trip in trips if trip.bot is bot]
        found = figures(own)
        if found is None:
            continue
        number += 1
        yield {
            "id": number,
            "strategy_id": bot.strategy,
            "timestamp": now - timedelta(hours=1),
            "pnl": {"net": found["net_pnl"], "currency": bot.currency},
            "positions": {"open": sum(trip.exit_time is None for trip in own)},
            "trades_count": found["round_trips"],
            "win_rate": {"pct": found["win_rate_pct"]},
            "drawdown": {},
            "metrics": found,
        }


def templates(now: datetime) -> Iterator[Row]:
    """Rows of `webui_strategy_templates`."""
    for number, bot in enumerate(BOTS, start=1):
        moment = now - timedelta(days=300 - number)
        yield {
            "id": number,
            "name": f"{bot.name} template",
            "description": bot.description,
            "template_data": {"strategy": bot.strategy, "interval": bot.interval},
            "is_public": number < 3,
            "created_by": 1 if number < 3 else 2,
            "created_at": moment,
            "updated_at": moment,
        }


def configuration(now: datetime) -> Iterator[Row]:
    """Rows of `webui_system_config`."""
    moment = now - timedelta(days=150)
    for number, (name, value, text) in enumerate(
        (
            ("risk.max_drawdown", {"pct": 15}, "New positions stop beyond this fall of the equity"),
            ("risk.max_open_positions", {"count": 8}, "How many positions all bots may hold together"),
            ("ui.start_page", {"page": "overview"}, "The page that opens first"),
        ),
        start=1,
    ):
        yield {
            "id": number,
            "key": name,
            "value": value,
            "description": text,
            "created_at": moment,
            "updated_at": moment,
        }
