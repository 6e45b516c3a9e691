"""One table of errors, one exception, and the classification of everything that drivers raise."""

from core.errors.base import KINDS, TYPES, Kind, TradekeepError

__all__ = ["KINDS", "TYPES", "Kind", "TradekeepError"]
