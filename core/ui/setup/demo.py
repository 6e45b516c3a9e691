"""Demo data on the Setup page: loading it into an empty database, and taking it away again."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from core import state
from core.format import age, count, duration
from core.services import demo_data
from core.services.alerts import local_operator
from core.services.demo_data import Mark, Removed
from core.tasks import Progress, Task
from core.ui import cards, work
from core.ui.cache import asked, clear
from core.ui.page import shown

TASK, ASKED = "setup_demo", "setup_demo_asked"
standing_of = asked(ttl=5)(demo_data.standing)


def show() -> None:
    """What can be done about demo data here; nothing in a database with rows of somebody's own."""
    with shown():
        found = standing_of(state.databases().reader)
        if found.mark is None and not found.loadable and state.tasks().latest(TASK) is None:
            return
        with st.container(border=True, key="setup_demo"):
            task = work.ended(TASK)
            if work.running(TASK):
                return
            if task is not None and task.state == "done":
                _outcome(task)
            if found.mark is not None:
                _loaded(found.mark)
            elif found.loadable:
                _offer()
    if st.session_state.get(ASKED) == "load":
        _ask_to_load()
    if st.session_state.get(ASKED) == "remove" and found.mark is not None:
        _ask_to_remove(found.mark)


def _ask(what: str) -> None:
    st.session_state[ASKED] = what


def _forget() -> None:
    st.session_state.pop(ASKED, None)


def _offer() -> None:
    st.markdown("##### :material/science: Demo data")
    st.markdown("This database is empty. See every page at work with a year of invented trading, and remove it again.")
    st.button("Load demo data", key="setup_demo_load", on_click=_ask, args=("load",))


def _loaded(mark: Mark) -> None:
    st.markdown("##### :violet[:material/science:] Demo data is loaded")
    st.markdown(
        f"{count(mark.total, 'row')} that nobody traded, loaded {age(mark.loaded_at)} by {cards.text(mark.by)}. They "
        "have negative ids. Remove them before your bots trade on this database."
    )
    st.button("Remove demo data", key="setup_demo_remove", on_click=_ask, args=("remove",))


@st.dialog("Load demo data?", on_dismiss=_forget)
def _ask_to_load() -> None:
    owner = state.databases().owner
    st.markdown(f"A year of invented trading goes into **{cards.text(owner.name)}**, which is empty.")
    st.markdown(
        "- Every page says that it is demo data. It can be removed again, without touching anything else.\n"
        "- Its bots are paused, its jobs and channels switched off; nobody can sign in as its people.\n"
        "- :orange[:material/warning:] It has open positions. Bots that read this database would take them for their "
        "own: load it only where none trades."
    )
    if st.button("Load it", type="primary", key="setup_demo_load_yes"):

        def run(progress: Progress) -> object:
            from core.demo import load  # its generator loads numpy

            done = load.load(owner, by=local_operator(), progress=progress)
            clear()
            state.refresh(3.0)
            return done

        _begin("Loading demo data", run)


@st.dialog("Remove demo data?", on_dismiss=_forget)
def _ask_to_remove(mark: Mark) -> None:
    owner = state.databases().owner
    name = owner.config.database
    st.markdown(
        f"The {count(mark.total, 'row')} of demo data go from **{cards.text(owner.name)}**. No other row does: if one "
        "refers to demo data, nothing is removed and it is named."
    )
    typed = st.text_input(f"Type the database's name, {cards.text(name)}", key="setup_demo_name")
    if st.button("Remove it", type="primary", key="setup_demo_remove_yes", disabled=typed.strip() != name):

        def run(progress: Progress) -> object:
            done = demo_data.remove(owner, by=local_operator(), progress=progress)
            clear()
            state.refresh(3.0)
            return done

        _begin("Removing demo data", run)


def _begin(title: str, run: Callable[[Progress], object]) -> None:
    _forget()
    state.tasks().forget(TASK)
    work.begin(TASK, title, run)
    st.rerun()


def _outcome(task: Task) -> None:
    done = task.result
    if isinstance(done, Removed):
        st.success(f"{count(done.total, 'row')} of demo data removed.", icon=":material/check_circle:")
        if done.kept:
            kept = ", ".join(cards.text(name) for name in done.kept)
            st.warning(f"Kept, because something was written to them since: positions {kept}.")
    else:
        st.success(
            f"{count(done.total, 'row')} of demo data loaded in {duration(done.ms / 1000)}.",
            icon=":material/check_circle:",
        )
