"""Where the viewer is: the view as the address has it, and how to get to another one."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from core.portfolio.address import View, view_of

PAGE = "pages/portfolio.py"


def current() -> View:
    """The view that the address means."""
    return view_of(st.query_params.to_dict())


def arrive() -> View:
    """The same at the beginning of a run; the browser's address is made to say it, too."""
    view = current()
    st.query_params.from_dict(view.params())
    return view


def changed(change: Callable[[View], View]) -> None:
    """Go to what `change` makes of the present view; the run that follows draws it."""
    st.query_params.from_dict(change(current()).params())
