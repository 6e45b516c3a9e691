"""Long drills: kills, races, soaks; each a function of n that returns a dict with `ok`.

A drill lives in a module of this package and is registered by its decorator. The ordinary tests run it with a
small n.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any

Drill = Callable[..., dict[str, Any]]
_known: dict[str, Drill] = {}


def drill(function: Drill) -> Drill:
    """Register a drill under its own name. It takes n, with a default, and returns at least {"ok": bool}."""
    _known[function.__name__] = function
    return function


def drills() -> dict[str, Drill]:
    """Every drill by name."""
    for module in pkgutil.iter_modules(__path__):
        if module.name != "__main__":
            importlib.import_module(f"{__name__}.{module.name}")
    return dict(_known)
