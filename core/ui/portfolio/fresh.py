"""How fresh the figures are, and the button that refreshes the rollups."""

from __future__ import annotations

import streamlit as st

from core import state
from core.database import Database
from core.format import age, count, duration
from core.models.rollups import FIRST_DAY, LAST_DAY
from core.portfolio.totals import Rollups
from core.ui import cards, work
from core.ui.portfolio import asked


def sentence(standing: Rollups, known_s: float | None = None) -> str:
    """From what the figures are made, and how old that is.

    known_s: how many seconds ago the database said so, where it is away.
    """
    when = age(standing.refreshed_at)
    if standing.state == "absent":
        return "Every figure is read from the round trips: the tables of the rollups come with the next schema update."
    if standing.state == "unfollowed":
        why = "the triggers that note changes are missing. Refresh the rollups to make them again."
        return f"Every figure is read from the round trips: {why}"
    if standing.state == "unbuilt" or standing.refreshed_at is None:
        return "Every figure is read from the round trips: their rollups are not built yet."
    if standing.changed:
        days = count(len(standing.changed), "day")
        verb = "had" if known_s is not None else "has" if len(standing.changed) == 1 else "have"
        then = f"; {days} that {verb} changed since, read from the round trips."
    else:
        then = f", and no round trip {'has' if known_s is None else 'had'} changed since."
    known = "Up to date" if known_s is None else f"When the database last answered, {duration(known_s)} ago"
    return f"{known}: rollups refreshed {when}{then}"


def missing(number: int) -> str:
    """What is said of so many round trips that are in no figure."""
    if not number:
        return ""
    verb = "is" if number == 1 else "are"
    years = f"{FIRST_DAY.year} to {LAST_DAY.year}"
    return f"{count(number, 'round trip')} {verb} in no figure: the exit time lies outside of the years {years}."


def show(db: Database, standing: Rollups, known_s: float | None) -> None:
    """The sentence, what a refresh is doing, and a button to start one."""
    name, outside = asked.task_of(db), asked.left_out_of(db)
    with st.container(horizontal=True, vertical_alignment="center", key="portfolio_fresh"):
        told = " ".join(part for part in (sentence(standing, known_s), missing(outside)) if part)
        st.caption(f":material/update: {cards.text(told)}", width="stretch")
        able = asked.may_refresh() and standing.state != "absent" and not work.running(name)
        if able:
            st.button(
                "Refresh the rollups", key="portfolio_refresh", type="tertiary", icon=":material/refresh:",
                on_click=asked.begin_refresh, args=(db,),
                help="Sums the days that have changed. The figures are the same before and after; they come faster.",
            )  # fmt: skip
    if work.running(name):
        work.ended(name)
        return
    task = state.tasks().latest(name)
    if task is not None and task.state == "failed" and task.error is not None:
        with st.expander("The rollups could not be refreshed: the figures are right, but come more slowly"):
            cards.error_card(task.error)
