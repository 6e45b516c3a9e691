"""Drawing: the only part of core that knows Streamlit."""

from core.ui.cache import asked, cached, issues
from core.ui.cards import badge, empty, error_card, text
from core.ui.page import guard, heading, page, shown

__all__ = ["asked", "badge", "cached", "empty", "error_card", "guard", "heading", "issues", "page", "shown", "text"]
