"""The buttons that turn the pages of a grid, by hand or with the arrow keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

WAYS = {
    "First": ("first_page", None),
    "Previous": ("chevron_left", "Left"),
    "Next": ("chevron_right", "Right"),
}


def turn(of: str, way: str, *, there: bool, changed: Callable[[Any], None], to: Callable[[Any], Any]) -> None:
    """One button of WAYS.

    of: whose pages, for the key; there: whether there is such a page. A click calls changed(to), as `place.changed`
    of the page takes it.
    """
    icon, shortcut = WAYS[way]
    st.button(
        way,
        key=f"{of}_{way.lower()}",
        icon=f":material/{icon}:",
        icon_position="right" if way == "Next" else "left",
        disabled=not there,
        on_click=changed,
        args=(to,),
        shortcut=shortcut,
    )
