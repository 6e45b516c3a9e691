"""How fast Tradekeep is, as ratios against a floor that is measured in the same run.

A benchmark lives in a module of this package and is registered by its decorator; `python -m benchmarks` runs it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.figures import Figure

Measure = Callable[[int], list[Figure]]


@dataclass(frozen=True)
class Benchmark:
    """One benchmark: what it measures in a sentence, and how many times it does so unless --n says otherwise."""

    name: str
    sentence: str
    n: int
    measure: Measure


_known: dict[str, Benchmark] = {}


def benchmark(n: int) -> Callable[[Measure], Measure]:
    """Register a function of n under its own name; the first line of its docstring says what it measures."""

    def register(measure: Measure) -> Measure:
        sentence = (measure.__doc__ or "").splitlines()[0]
        _known[measure.__name__] = Benchmark(measure.__name__, sentence, n, measure)
        return measure

    return register


def benchmarks() -> dict[str, Benchmark]:
    """Every benchmark by name."""
    for module in pkgutil.iter_modules(__path__):
        if module.name != "__main__":
            importlib.import_module(f"{__name__}.{module.name}")
    return dict(sorted(_known.items()))
