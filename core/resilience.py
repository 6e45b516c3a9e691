"""A circuit breaker for each server and each login."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable

from core.errors import TradekeepError

# What says that nobody can reach the server, and what says that one role cannot sign in.
SERVER_TYPES = frozenset({"service", "network"})
LOGIN_TYPES = frozenset({"auth", "tls"})


class Breaker:
    """Refuses calls to a server that just failed, so that a dead database never makes a page wait.

    closed: calls pass. open: calls fail at once with the last error. half open: after wait_s one call may try;
    its success closes the circuit, its failure doubles wait_s (at most longest_s). Who looks at the server anyway
    (the watcher) opens it with `trip` until its next look. types: the error types that count.
    Source: M. Nygard, "Release It!", circuit breaker.
    """

    def __init__(
        self,
        *,
        types: frozenset[str] = SERVER_TYPES,
        failures: int = 2,
        wait_s: float = 1.0,
        longest_s: float = 15.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.types = types
        self._allowed, self._first_wait_s, self._longest_s, self._clock = failures, wait_s, longest_s, clock
        self._lock = threading.Lock()
        self._failed = 0
        self._wait_s = wait_s
        self._open_until: float | None = None
        self._error: TradekeepError | None = None

    @property
    def state(self) -> str:
        """closed, open or half open."""
        with self._lock:
            if self._open_until is None:
                return "closed"
            return "open" if self._clock() < self._open_until else "half open"

    def refusal(self) -> TradekeepError | None:
        """The error with which a call would be refused now; None when one may try."""
        with self._lock:
            return self._refusal()

    def _refusal(self) -> TradekeepError | None:
        if self._open_until is None or self._error is None:
            return None
        remaining_s = self._open_until - self._clock()
        if remaining_s <= 0:
            return None
        # Callers get errors of their own: a shared one would gather the frames of every thread that raises it.
        error = copy.copy(self._error)
        error.retry_after = max(0.1, round(remaining_s, 1))
        return error

    def check(self) -> None:
        """Raise the error that opened the circuit, if it is open; let one caller pass when it is half open."""
        with self._lock:
            error = self._refusal()
            if error is None and self._open_until is not None:
                self._open_until = self._clock() + self._wait_s
        if error is not None:
            raise error

    def succeeded(self) -> None:
        """Close the circuit."""
        with self._lock:
            self._failed, self._wait_s, self._open_until, self._error = 0, self._first_wait_s, None, None

    def failed(self, error: TradekeepError) -> None:
        """Count a failure of a type that counts; open the circuit after the allowed number of them."""
        if error.error_type not in self.types:
            return
        with self._lock:
            self._failed += 1
            self._error = copy.copy(error)
            if self._failed >= self._allowed:
                if self._open_until is not None:
                    self._wait_s = min(self._wait_s * 2, self._longest_s)
                self._open_for(self._wait_s)

    def trip(self, error: TradekeepError, for_s: float) -> None:
        """Open the circuit at once, for at least for_s, if the error is of a type that counts."""
        if error.error_type not in self.types:
            return
        with self._lock:
            self._failed = max(self._failed, self._allowed)
            self._error = copy.copy(error)
            self._open_for(for_s)

    def _open_for(self, seconds: float) -> None:
        self._open_until = max(self._open_until or 0.0, self._clock() + seconds)
