"""What a benchmark finds: times beside those of a floor, their ratio, and whether the goal is met."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any, Literal, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Goal:
    """The most that a figure may be: its ratio to the floor, its own seconds, or the seconds beyond the floor."""

    of: Literal["ratio", "seconds", "more"]
    at_most: float

    @property
    def text(self) -> str:
        """The goal in words."""
        words = {"ratio": "at most {:g}x the floor", "seconds": "at most {:g} s", "more": "at most {:g} s more"}
        return words[self.of].format(self.at_most)


@dataclass(frozen=True)
class Figure:
    """Milliseconds of something and of its floor, measured in turns: the same number of both, in order.

    floor: what the floor is, in words. goal: None where the figure is for information only.
    """

    name: str
    floor: str
    ms: Sequence[float]
    floor_ms: Sequence[float]
    goal: Goal | None = None

    @property
    def ratio(self) -> float:
        """Median to median."""
        return median(self.ms) / median(self.floor_ms)

    @property
    def ratios(self) -> list[float]:
        """Each time to that of the floor measured next to it."""
        return [own / floor for own, floor in zip(self.ms, self.floor_ms, strict=True)]

    @property
    def met(self) -> bool | None:
        """Whether the medians meet the goal; None without one."""
        if self.goal is None:
            return None
        more_s = (median(self.ms) - median(self.floor_ms)) / 1000
        found = {"ratio": self.ratio, "seconds": median(self.ms) / 1000, "more": more_s}
        return found[self.goal.of] <= self.goal.at_most

    def as_dict(self) -> dict[str, Any]:
        """The figure as JSON takes it."""
        return {
            "name": self.name,
            "ms": _spread(self.ms),
            "floor": self.floor,
            "floor_ms": _spread(self.floor_ms),
            "ratio": {"medians": round(self.ratio, 3)} | _ends(self.ratios, 3),
            "goal": self.goal.text if self.goal else None,
            "met": self.met,
        }

    def lines(self) -> list[str]:
        """The figure as text: itself, its floor, its goal."""
        low, high = min(self.ratios), max(self.ratios)
        found = [
            f"  {self.name}: {self.ratio:.2f}x the floor ({low:.2f} to {high:.2f})",
            f"    {_text(self.ms)}; floor {_text(self.floor_ms)}: {self.floor}",
        ]
        if self.goal:
            found.append(f"    goal {self.goal.text}: {'met' if self.met else 'MISSED'}")
        return found


def _spread(ms: Sequence[float]) -> dict[str, float]:
    return {"median": round(median(ms), 2)} | _ends(ms, 2)


def _ends(values: Sequence[float], digits: int) -> dict[str, float]:
    return {"min": round(min(values), digits), "max": round(max(values), digits)}


def _text(ms: Sequence[float]) -> str:
    return f"{median(ms):.1f} ms ({min(ms):.1f} to {max(ms):.1f})"


def in_turns(n: int, *ways: Callable[[], T]) -> list[list[T]]:
    """Call each way n times, one after the other, so that what else happens on the machine meets all; their results.

    Every other time in reverse: the first one finds the processor's caches cold. Where n is more than 1, one more call
    of each before that warms them up, and garbage is collected before each turn.
    """
    if n > 1:
        for way in ways:
            way()
    found: list[list[T]] = [[] for _ in ways]
    pairs = list(zip(ways, found, strict=True))
    for turn in range(n):
        if n > 1:
            gc.collect()  # a collection in the middle would be somebody else's work
        for way, results in reversed(pairs) if turn % 2 else pairs:
            results.append(way())
    return found


def timed(work: Callable[[], object]) -> Callable[[], float]:
    """work as a function that returns the milliseconds it took."""

    def run() -> float:
        begin = perf_counter()
        work()
        return (perf_counter() - begin) * 1000

    return run
