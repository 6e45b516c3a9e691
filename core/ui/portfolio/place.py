"""Where the viewer is: the view as the address has it, and how to get to another one; and in which zone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import streamlit as st

from core.database import Database
from core.errors import TradekeepError
from core.explore.cells import moment
from core.explore.order import opened
from core.portfolio.address import View, known, view_of
from core.portfolio.choices import Choices
from core.ui.portfolio import asked
from core.ui.viewer import local_zone

PAGE = "pages/portfolio.py"


def current() -> View:
    """The view that the address means."""
    view = view_of(st.query_params.to_dict())
    return replace(view, after=_place(view.after), before=_place(view.before))


def arrive(db: Database, choices: Choices, *, sure: bool) -> View:
    """The same at the beginning of a run, without what is not there; the browser's address is made to say it, too.

    sure: the choices are all that there are.
    """
    view = _there(db, known(current(), choices), choices) if sure else current()
    st.query_params.from_dict(view.params())
    return view


def changed(change: Callable[[View], View]) -> None:
    """Go to what `change` makes of the present view; the run that follows draws it."""
    st.query_params.from_dict(change(current()).params())


def at_begin(view: View) -> View:
    """The view at the beginning of its list, which becomes the address within this run."""
    st.query_params.from_dict(view.first().params())
    return view.first()


def local(at: datetime) -> str:
    """A moment in the viewer's zone, to the second."""
    return moment(at.replace(microsecond=0), local_zone())


def zones() -> str:
    """Which zone the times are in, and which the days."""
    name = str(local_zone())
    return "Times and days in UTC." if name == "UTC" else f"Times in {name}; the range's days are UTC days."


def _place(token: str | None) -> str | None:
    """A place in the list of round trips, None for what is none."""
    try:
        return token and opened(token) and token
    except TradekeepError:
        return None


def _there(db: Database, view: View, choices: Choices) -> View:
    """The view without a round trip that is not there, and without a symbol that has neither candles nor round trips.

    As it is where the database does not say: the part that asks the same shows why.
    """
    try:
        if view.trip and asked.trip_of(db, view.trip) is None:
            view = replace(view, trip=None)
        traded = view.coin is None or any(view.coin in symbols for symbols in choices.symbols.values())
        return view if traded or view.coin in asked.symbols_of(db) else replace(view, coin=None)
    except TradekeepError:
        return view
