"""Drawing: the only part of core that knows Streamlit."""

from core.ui.cache import cached
from core.ui.cards import badge, empty, error_card, text
from core.ui.page import guard, page, shown

__all__ = ["badge", "cached", "empty", "error_card", "guard", "page", "shown", "text"]
