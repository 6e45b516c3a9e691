"""Overview: is everything fine, and what comes next?"""

import streamlit as st

from core import state, ui
from core.services import overview
from core.ui import overview as show

figures_of = ui.asked(ttl=5)(overview.figures)
alerts_of = ui.asked(ttl=5)(overview.latest_alerts)
trades_of = ui.asked(ttl=5)(overview.latest_trades)


def show_state(sentence: str) -> None:
    """How everything is, in one line."""
    headline.markdown(f"#### {ui.text(sentence)}")


db = ui.page("Overview", "Is everything fine, and what comes next?", shows_next_step=True)
status, settings = state.status(), state.settings()
headline = st.empty()
figures, alerts, trades = None, [], []
show_state(overview.sentence(status, figures))
if overview.readable(status) or not settings.configured:
    with ui.guard():
        figures, alerts, trades = figures_of(db), alerts_of(db), trades_of(db)
        show_state(overview.sentence(status, figures))
        show.figures(overview.cards(status, figures), overview.others(figures))
elif status.mode == "down" and status.error:
    ui.error_card(status.error)
show.step(overview.next_step(status, figures, ui.issues(settings)))
if figures:
    left, right = st.columns(2, gap="medium")
    with left:
        show.alerts(alerts)
    with right:
        show.trades(trades)
