"""All invented rows, table by table, from one seed and one moment."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from datetime import datetime

from sqlalchemy import Table

from core.demo import agents, books, people
from core.demo.books import Row
from core.demo.bots import trips as all_trips
from core.demo.market import market as all_prices
from core.models import AREAS, Base

SEED = 20_249


def rows(now: datetime, seed: int = SEED) -> Iterator[tuple[Table, list[Row]]]:
    """(table, its rows) for every table but the rollups, parents first.

    Rows by the names of the columns, all with the same keys. now: aware; it is the moment of the newest row. The same
    now and seed give the same rows. Columns named source hold "demo".
    """
    made = _made(now, seed)
    for table in Base.metadata.sorted_tables:
        if table.name not in AREAS["rollups"]:  # they are made from the round trips
            yield table, list(made.pop(table.name))


def _made(now: datetime, seed: int) -> dict[str, Iterable[Row]]:
    rng = random.Random(seed)
    market = all_prices(now, seed)
    trips = all_trips(market, now, seed)
    accounts = {currency: books.values(trips, market, now, currency) for currency in books.ACCOUNTS}
    signals = agents.signals(trips, market, now, rng)
    messages = people.messages(now, rng)
    return {
        "usr_users": people.users(now),
        "usr_auth_identities": people.identities(now),
        "usr_verification_codes": people.codes(now),
        "trades": books.fills(trips, rng),
        "positions": books.positions(trips, market, now),
        "portfolios": books.portfolios(accounts),
        "portfolio_snapshots": people.snapshots(accounts, now),
        "signals": ({name: row[name] for name in row if name != "trip"} for row in signals),
        "agent_decisions": agents.decisions(signals, rng),
        "agent_actions": agents.actions(signals),
        "alerts": agents.alerts(accounts, now, rng),
        "performance_metrics": agents.metrics(trips, now),
        "candles": (row for prices in market.values() for row in prices.candles()),
        "system_events": agents.events(trips, now, rng),
        "account_state": books.account_states(accounts, now),
        "trading_bots": books.bots(trips, now),
        "trading_positions": books.bot_positions(trips),
        "trading_trades": books.round_trips(trips),
        "trading_performance_metrics": agents.bot_metrics(trips, now),
        "job_schedules": people.schedules(now),
        "job_schedule_runs": people.runs(now),
        "telegram_command_audits": people.commands(now, rng),
        "telegram_broadcast_logs": people.broadcasts(now),
        "telegram_feedbacks": people.feedbacks(now),
        "telegram_settings": people.telegram_settings(now),
        "msg_messages": messages,
        "msg_delivery_status": people.deliveries(messages, rng),
        "msg_system_health": people.health(now),
        "msg_rate_limits": people.limits(now),
        "msg_channel_configs": people.channels(now),
        "webui_audit_logs": people.audit(now, rng),
        "webui_performance_snapshots": people.performance(trips, now),
        "webui_strategy_templates": people.templates(now),
        "webui_system_config": people.configuration(now),
    }
