"""The viewer's browser: widgets that show what its address says, and the zone that it is in."""

from __future__ import annotations

from datetime import UTC, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st


def follow(key: str, value: Any) -> str:
    """Have the widget of this key show what the address says; gives the key.

    In every run: where one is cut short by the next, the browser has not seen the value yet.
    """
    st.session_state[key] = value
    return key


def local_zone() -> tzinfo:
    """The viewer's zone, as the browser says; UTC where it does not."""
    try:
        return ZoneInfo(st.context.timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return UTC
