"""The parts of the Portfolio page."""

from core.ui.portfolio import asked, bar, candles, days, equity, fresh, positions, split, trips
from core.ui.portfolio.place import arrive, changed
from core.ui.viewer import follow

__all__ = [
    "arrive",
    "asked",
    "bar",
    "candles",
    "changed",
    "days",
    "equity",
    "follow",
    "fresh",
    "positions",
    "split",
    "trips",
]
