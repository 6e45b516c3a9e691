"""How many lines of one kind this process wrote, left out and lost."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, replace

from core.errors import TradekeepError, classify

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Counts:
    """What became of this process's lines since it began.

    left_out: there was no need for the line, or no place where it may go.
    """

    recorded: int = 0
    left_out: int = 0
    failed: int = 0
    last_error: TradekeepError | None = None


class Tally:
    """Counts that several threads add to. Raises nothing."""

    def __init__(self, line: str) -> None:
        """line: what is counted, as the log names it: `an event`."""
        self.line, self.counts, self._lock = line, Counts(), threading.Lock()

    def noted(self, written: bool) -> bool:
        """Count a line that was written, or left out; gives written back."""
        what = "recorded" if written else "left_out"
        with self._lock:
            self.counts = replace(self.counts, **{what: getattr(self.counts, what) + 1})
        return written

    def lost(self, exc: Exception, **of: str) -> bool:
        """Count and log a line that could not be written; always False. of: which one, for the log."""
        error = classify(exc)
        logger.warning("%s was lost: %s", self.line, error.message, extra={"code": error.error_code, **of})
        with self._lock:
            self.counts = replace(self.counts, failed=self.counts.failed + 1, last_error=error)
        return False
