"""Portfolio: how am I doing, really?"""

from dataclasses import replace

import streamlit as st

from core import ui
from core.portfolio import address, figures
from core.portfolio.equity import course
from core.ui import portfolio
from core.ui.portfolio import asked


def show_part(db, view, scope, choices, standing, found):
    """The part that is chosen; only this one is asked for."""
    st.segmented_control(
        "Part",
        list(address.PARTS),
        format_func=address.PARTS.__getitem__,
        key=portfolio.follow("portfolio_part", view.part),
        required=True,
        label_visibility="collapsed",
        on_change=lambda: portfolio.changed(lambda now: replace(now, part=st.session_state["portfolio_part"])),
    )
    with ui.shown():
        if view.part == "split":
            portfolio.split.show(db, scope, choices, standing)
        elif view.part == "positions":
            portfolio.positions.show(db, scope)
        elif view.part == "trips":
            portfolio.trips.show(db, scope, view)
        elif view.part == "candles":
            portfolio.candles.show(db, scope, view, choices)
        elif found is not None and found.sums.trips:
            portfolio.days.show(found, scope.currency)
        elif found is not None:
            ui.empty("No round trip was closed in these days. Choose a longer range, or fewer filters.")


def show_course(found, view, scope, capital, whole):
    """The sentence, the curves and the figures of the range; whole: every sum was made, not only net profits."""
    st.markdown(f"#### {ui.text(portfolio.equity.sentence(found, scope.currency, view))}")
    if found.sums.trips:
        portfolio.equity.show(found, scope, capital)
        made = [one for one in figures.figures(found, scope.currency) if whole or one.name in figures.OF_DAYS]
        portfolio.equity.show_figures(made, scope.currency)
    elif view.dated or view.range != "all":
        st.button("Show all days", icon=":material/date_range:", on_click=portfolio.changed, args=(address.all_days,))


db = ui.page("Portfolio", "How am I doing, really? Closed round trips of the bots, in one currency at a time.")
today = asked.today()
with ui.guard():
    standing, known_s = asked.standing(db)
    choices = asked.bots_of(db) if standing.slow else asked.choices_of(db)
    if not choices.groups:
        ui.empty(
            "No round trips yet. What bots close in the table trading_trades is summed up here; single fills in trades "
            "are not. Import a bot's database, or a file of round trips with their entry and exit."
        )
        st.page_link("pages/import.py", label="Import round trips", icon=":material/upload_file:")
        st.stop()
    view = portfolio.arrive(db, choices, sure=not standing.slow)
    scope = address.scope_of(view, choices, today)
    portfolio.bar.show(view, scope, choices, today)
    daily, whole = asked.daily(db, scope, standing)
    found = None
    if daily is not None:
        bots = choices.bots(scope.trade_type, scope.currency, scope.strategy)
        capital = asked.capital_of(db, scope.ever(), tuple(bots))
        found = course(daily, scope, today=today, capital=capital.first(daily))
        show_course(found, view, scope, capital, whole)
    show_part(db, view, scope, choices, standing, found)
with ui.shown():
    portfolio.fresh.show(db, standing, known_s)
asked.keep_fresh(db, standing, waiting=daily is None)
