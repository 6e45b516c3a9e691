"""What the page asks, and how it waits: sums that take long are read by a task, while the rest can be used."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import nullcontext
from datetime import UTC, date, datetime
from typing import Any

import sqlalchemy as sa
import streamlit as st

from core import state
from core.database import Database
from core.portfolio import refresh, totals
from core.portfolio.candles import of_range, of_trip, symbols, trip
from core.portfolio.capital import capital
from core.portfolio.choices import choices, choices_of_bots
from core.portfolio.holdings import holdings
from core.portfolio.scope import Scope
from core.portfolio.sums import Sums
from core.portfolio.totals import Rollups
from core.tasks import Progress
from core.ui import cache, work

EVERY_S, OLD_S = 60.0, 600.0
SCREEN_PX = 430
KEPT_S = 900.0  # how long a reading of every trade is shown, before it is done again
Daily = Mapping[tuple[Any, ...], Sums]


def _by_day(connection: sa.Connection, scope: Scope) -> Daily:
    return totals.totals(connection, scope, ("day",))


def _split(connection: sa.Connection, scope: Scope, by: tuple[totals.By, ...]) -> Daily:
    return totals.totals(connection, scope, by)


rollups_of = cache.asked(ttl=2)(totals.rollups)
left_out_of = cache.asked(ttl=20)(totals.left_out)
choices_of = cache.asked(ttl=20)(choices)
bots_of = cache.asked(ttl=20)(choices_of_bots)
daily_of = cache.asked(ttl=10)(_by_day)
split_of = cache.asked(ttl=10)(_split)
capital_of = cache.asked(ttl=10)(capital)
holdings_of = cache.asked(ttl=5)(holdings)
range_of = cache.asked(ttl=20)(of_range)
around_of = cache.asked(ttl=20)(of_trip)
symbols_of = cache.asked(ttl=60)(symbols)
trip_of = cache.asked(ttl=20)(trip)


def today() -> date:
    """The UTC day with which ranges end; while the database is away the one on which it last answered."""
    if state.status().mode not in cache.OUTAGE or "portfolio_today" not in st.session_state:
        st.session_state["portfolio_today"] = datetime.now(UTC).date()
    found: date = st.session_state["portfolio_today"]
    return found


def standing(db: Database) -> tuple[Rollups, float | None]:
    """Where the rollups stand; how many seconds ago that was so, where the database is away. Asked before all else."""
    return rollups_of(db), cache.oldest_stale()


def daily(db: Database, scope: Scope, standing: Rollups) -> tuple[Daily | None, bool]:
    """What each day came to, for the whole time; and whether all of its sums are made, or those of a curve alone.

    None while a task still reads the trades, whose progress is drawn.
    """
    if not standing.slow:
        with nullcontext() if st.session_state.get("portfolio_seen") else st.skeleton(height=SCREEN_PX):
            found = daily_of(db, scope.ever())
        st.session_state["portfolio_seen"] = True  # later runs leave on the screen what is there until they are done
        return found, True
    whole = not may_refresh()  # else the rollups follow, and what takes least time comes first
    name = f"portfolio_days_{db.config.fingerprint()}_{scope.ever()}_{whole}"
    task = state.tasks().latest(name)
    if task is None or (task.state == "done" and time.time() - (task.finished or 0) > KEPT_S):

        def read(progress: Progress) -> Daily:
            progress(0, 1, "Reading every round trip: there are many, and no sums of them yet")
            with db.connect(statement_timeout_s=None) as connection:
                if whole:
                    return totals.totals(connection, scope.ever(), ("day",), given=standing)
                return totals.daily_net(connection, scope.ever())

        work.begin(name, "Reading every round trip", read)
    task = work.ended(name)
    if task is None:
        return None, whole
    if task.state == "done":
        result: Daily = task.result
        return result, whole
    if st.button("Read again", key="portfolio_read_again"):
        state.tasks().forget(name)
        st.rerun()
    return None, whole


def task_of(db: Database) -> str:
    """The name of the task that refreshes this database's rollups."""
    return f"portfolio_refresh_{db.config.fingerprint()}"


def may_refresh() -> bool:
    """Whether the database that is shown is a real one, which answers."""
    return state.settings().configured and state.status().mode == "connected"


def keep_fresh(db: Database, standing: Rollups, *, waiting: bool) -> None:
    """Have the rollups refreshed, unless it was just done, failed, or nobody may: the figures are right either way.

    waiting: the page still reads the trades; the refresh would only slow that down.
    """
    last = state.tasks().latest(task_of(db))
    if waiting or not may_refresh() or standing.state in ("absent", "unfollowed") or (last and last.state != "done"):
        return
    if last and time.time() - (last.finished or 0) < EVERY_S:
        return
    age_s = None if standing.refreshed_at is None else time.time() - standing.refreshed_at.timestamp()
    wanted = standing.state == "unbuilt" or len(standing.changed) > 1 or (age_s is None or age_s > OLD_S)
    if wanted and (standing.state == "unbuilt" or standing.changed):
        begin_refresh(db)


def begin_refresh(db: Database) -> None:
    """Start a refresh as a task, by the role that may write; the owner makes missing triggers again before."""
    writer, owner = state.databases().writer, state.databases().owner

    def run(progress: Progress) -> refresh.Refreshed:
        refresh.follow_again(owner)
        made = refresh.refresh(writer, progress=progress)
        cache.clear()
        return made

    state.tasks().forget(task_of(db))
    work.begin(task_of(db), "Refreshing the rollups", run)
