"""`rollups`: the daily sums of the round trips: where they stand, brought up to date, made anew, or compared."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from core.commands.frame import Json, Project, app, run
from core.database import Databases
from core.format import age, count, duration
from core.portfolio import refresh, totals
from core.settings import Settings
from core.terminal import Terminal

SHOWN = 20
ACTIONS = ("status", "refresh", "rebuild", "check")


@app.command()
def rollups(
    action: Annotated[
        str,
        typer.Argument(
            help="status; refresh (changed days); rebuild (all days); check (compare with all round trips)."
        ),
    ] = "status",
    project: Project = None,
    as_json: Json = False,
) -> None:
    """The daily sums behind the Portfolio page: where they stand, refreshed, rebuilt or checked."""
    if action not in ACTIONS:
        raise typer.BadParameter(f"write one of {', '.join(ACTIONS)}")

    def work(settings: Settings, terminal: Terminal) -> tuple[bool, Any]:
        with Databases.from_settings(settings) as databases:
            if action in ("refresh", "rebuild"):
                return _refreshed(databases, terminal, full=action == "rebuild")
            return _status(databases, terminal, compare=action == "check")

    run("rollups", as_json, project, work)


def _refreshed(databases: Databases, terminal: Terminal, *, full: bool) -> tuple[bool, Any]:
    if refresh.follow_again(databases.owner):
        terminal.line("the triggers that note changes were missing, and are there again")
    made = refresh.refresh(databases.writer, full=full, progress=terminal)
    if made.busy:
        terminal.line("another refresh is under way; nothing was done")
    else:
        days = "every day" if made.days is None else count(made.days, "changed day")
        terminal.line(f"{days} summed, {count(made.rows, 'row')}, in {duration(made.ms / 1000)}")
    terminal.verdict(not made.busy)
    return not made.busy, asdict(made)


def _status(databases: Databases, terminal: Terminal, *, compare: bool) -> tuple[bool, Any]:
    """Where the rollups stand; compared with every round trip, which takes a while."""
    standing = databases.reader.ask(totals.rollups)
    days: list[str] = []
    if compare and standing.state != "absent":
        with databases.reader.connect(statement_timeout_s=None) as connection:
            days = [str(day) for day in refresh.differing(connection)]
    right = standing.state == "ready" and not days
    when = f"refreshed {age(standing.refreshed_at)}"
    terminal.line(f"rollups: {standing.state}, {when}, {count(len(standing.changed), 'changed day')} to be summed")
    if days:
        more = f" and {len(days) - SHOWN} more" if len(days) > SHOWN else ""
        terminal.line(f"not equal to the round trips: {', '.join(days[:SHOWN])}{more}; python -m core rollups rebuild")
    terminal.verdict(right)
    found = {
        "state": standing.state,
        "refreshed_at": standing.refreshed_at.isoformat() if standing.refreshed_at else None,
        "changed_days": sorted(str(day) for day in standing.changed),
    }
    return right, found | ({"differing_days": days} if compare else {})
