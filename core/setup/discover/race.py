"""Questions asked all at once, each in a thread of its own, until one deadline."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

logger = logging.getLogger(__name__)


class Race:
    """Jobs that run at the same time; what does not end in time is left behind and holds nothing up."""

    def __init__(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds
        self._done: queue.SimpleQueue[tuple[object, Any]] = queue.SimpleQueue()
        self.pending: set[object] = set()

    @property
    def left_s(self) -> float:
        """Seconds to the deadline."""
        return max(0.0, self._deadline - time.monotonic())

    def run(self, name: object, work: Callable[[], Any]) -> None:
        """Begin a job; its name is unique."""
        self.pending.add(name)
        threading.Thread(target=self._work, args=(name, work), name="discover", daemon=True).start()

    def _work(self, name: object, work: Callable[[], Any]) -> None:
        result = None
        try:
            result = work()
        except Exception:  # an odd system must not take the other sources away
            logger.debug("discovery: %s failed", name, exc_info=True)
        self._done.put((name, result))

    def results(self) -> Iterator[tuple[object, Any]]:
        """Name and result of each job as it ends, those begun meanwhile too; None for one that failed."""
        while self.pending:
            try:
                name, result = self._done.get(timeout=self.left_s)
            except queue.Empty:
                return
            self.pending.discard(name)
            yield name, result
