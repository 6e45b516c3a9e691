"""How long work tells what it is doing, without knowing who listens."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Protocol


class Report(Protocol):
    """Called with done of total and what happens now; may raise to stop the work."""

    def __call__(self, done: int, total: int, message: str) -> None: ...


class Journey(Report, Protocol):
    """A report of work that has named steps; step(name) yields an object with state and message."""

    def step(self, name: str) -> AbstractContextManager[Any]: ...


def silent(done: int, total: int, message: str) -> None:
    """Report to nobody."""
