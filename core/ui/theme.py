"""The look that belongs to every page: logo and the few rules that theme options cannot express."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

STATIC = Path(__file__).parent.parent.parent / "static"
ICON = STATIC / "icon-32.png"


def scheme() -> str:
    """`light` or `dark`, as the viewer sees the page; light until the browser has said so."""
    return st.context.theme.type or "light"


def dress() -> None:
    """Draw the logo that suits the viewer's scheme, apply static/style.css, and listen for the pages' keys."""
    st.logo(STATIC / f"logo-{scheme()}.svg", size="large", icon_image=STATIC / "icon.png")
    st.html(STATIC / "style.css")
    st.html('<script src="/keys.js"></script>', unsafe_allow_javascript=True)  # nothing but this name
