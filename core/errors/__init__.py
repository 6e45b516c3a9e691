"""One table of errors, one exception, and the classification of everything that drivers raise."""

from core.errors.base import KINDS, PLATFORM_NAMES, TYPES, Kind, TradekeepError, explained
from core.errors.classify import classify, classify_log

__all__ = ["KINDS", "PLATFORM_NAMES", "TYPES", "Kind", "TradekeepError", "classify", "classify_log", "explained"]
