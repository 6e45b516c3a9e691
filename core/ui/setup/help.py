"""Help on the Setup page: where setups get stuck here, from this machine's own records."""

from __future__ import annotations

import streamlit as st

from core import state
from core.format import duration
from core.settings import Settings
from core.setup import analytics, flow
from core.ui import cards
from core.ui.page import shown

TITLES = dict(flow.STEPS)


def _record(attempt: str, step: str, outcome: str, kind: str) -> None:
    analytics.record(state.settings().home, attempt, step, outcome, kind)


flow.observe(_record)


def stuck(settings: Settings) -> None:
    """A small funnel behind a fold; nothing where no setup is known."""
    found = analytics.funnel(settings.home)
    if not found.begun:
        return
    with st.expander("Where setups get stuck here", icon=":material/filter_alt:"):
        st.markdown(f"{found.completed} of {found.begun} setups on this machine were completed.")
        for step in found.steps:
            _show_step(step, found.begun)
        for path in found.recoveries[:5]:
            where, then = TITLES[path.step], path.then.replace("went to ", "")
            next_ = f"went to {TITLES[then]}" if then in TITLES else path.then
            st.caption(
                f"After {cards.text(path.error_type)} in {cards.text(where)}: {cards.text(next_)}; "
                f"it helped in {path.helped} of {path.times}."
            )
        st.caption("Times, steps and types of errors only. Kept in the user folder, sent nowhere.")
        if st.button("Delete these records", key="setup_forget"):
            with shown():
                analytics.forget(settings.home)
                st.rerun()


def _show_step(step: analytics.FunnelStep, begun: int) -> None:
    took = "" if step.median_ms is None else f", usually in {duration(step.median_ms / 1000)}"
    failures = ", ".join(f"{name} {number}" for name, number in step.by_type.items())
    failed = f"; failed in {step.failed} ({failures})" if step.failed else ""
    st.progress(
        min(1.0, step.done / begun),
        text=f"{cards.text(TITLES[step.name])} · done in {step.done} of {step.reached}{took}{cards.text(failed)}",
    )
