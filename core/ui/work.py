"""Long work on a page: started by a button, watched by a fragment, and over whether or not anybody looks."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import streamlit as st

from core import state
from core.format import age, duration
from core.tasks import Progress, Step, Task
from core.ui import cards

EVERY_S = 0.4
ICONS = {
    "waiting": ":gray[:material/radio_button_unchecked:]",
    "running": ":blue[:material/progress_activity:]",
    "done": ":green[:material/check_circle:]",
    "skipped": ":gray[:material/do_not_disturb_on:]",
    "failed": ":red[:material/error:]",
}


def begin(name: str, title: str, work: Callable[[Progress], Any], steps: list[tuple[str, str]] | None = None) -> None:
    """Start the work, unless it runs already."""
    state.tasks().start(name, title, work, steps)


def ended(name: str) -> Task | None:
    """The task of that name if it is over. While it runs: draws its progress and gives None."""
    task = state.tasks().latest(name)
    if task is None:
        return None
    if task.running:
        st.session_state["work_whole_run"] = True
        _watch(name)
        return None
    if task.state == "failed" and task.error is not None:
        if task.steps:
            show_steps(task.steps)
        cards.error_card(task.error)
    if task.state == "cancelled":
        _cancelled(task)
    return task


def head(task: Task) -> None:
    """What ended, when, and the way to close it."""
    with st.container(horizontal=True, vertical_alignment="center"):
        ended_at = datetime.fromtimestamp(task.finished or task.started, UTC)
        st.caption(f"{cards.text(task.title)} · {age(ended_at)}", width="stretch")
        st.button("Close", key=f"{task.name}_close", on_click=state.tasks().forget, args=(task.name,))


def _cancelled(task: Task) -> None:
    kept = [step.title for step in task.steps if step.state in ("done", "skipped")]
    if kept:
        st.markdown(f":material/cancel: Cancelled. Done before, and kept: {cards.text('; '.join(kept))}.")
        show_steps(task.steps)
    else:
        unfinished = " No step of it had been finished." if task.steps else ""
        st.markdown(f":material/cancel: Cancelled: {cards.text(task.title)}.{unfinished}")


def running(name: str) -> bool:
    """Whether work of that name goes on now."""
    task = state.tasks().latest(name)
    return task is not None and task.running


@st.fragment(run_every=EVERY_S)
def _watch(name: str) -> None:
    task = state.tasks().latest(name)
    whole_run = st.session_state.pop("work_whole_run", False)
    if task is None:
        return
    if not task.running and not whole_run:  # a rerun from within a whole run would swallow a click
        st.rerun()
    st.progress(task.share, text=cards.text(" · ".join(filter(None, (task.title, task.message)))))
    show_steps(task.steps)
    if st.button("Cancel", key=f"work_cancel_{name}", disabled=task.cancel_requested.is_set()):
        task.cancel()


def show_steps(steps: list[Step]) -> None:
    """A line a step: its state, its title, what it came to, and how long it took."""
    with st.container(gap="xsmall"):
        for step in steps:
            _show_step(step)


def _show_step(step: Step) -> None:
    line = f"{ICONS[step.state]} {cards.text(step.title)}"
    if step.message:
        line += f" · :gray[{cards.text(step.message)}]"
    if step.ms is not None:
        line += f" · :gray[{duration(step.ms / 1000)}]"
    st.markdown(line)
