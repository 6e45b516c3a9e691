"""What somebody chose, kept while it is not on the page: Streamlit forgets a widget that is not drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

_MEMORY = "kept"


def recall(key: str, default: Any, options: Sequence[Any] | None = None) -> str:
    """Have the widget of this key, which is drawn next, begin with what was chosen last, else with the default.

    options: what may be chosen; anything else becomes the default. Gives the key.
    """
    known = last(key, default)
    if options is not None and known not in options:
        known = default
    if key not in st.session_state or st.session_state[key] != known:
        st.session_state[key] = known
    st.session_state.setdefault(_MEMORY, {})[key] = known
    return key


def last(key: str, default: Any = None) -> Any:
    """What was chosen last in the widget of this key."""
    memory: dict[str, Any] = st.session_state.get(_MEMORY, {})
    return st.session_state[key] if key in st.session_state else memory.get(key, default)
