"""The commands, in the order in which the help lists them; only the module of the command that is called is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

import typer

# Command -> the module that registers it. Loading all of them takes longer than most commands.
MODULES = {
    "setup": "setup",
    "discover": "discover",
    "test": "look",
    "check": "look",
    "verify": "look",
    "coverage": "coverage",
    "passwords": "passwords",
    "rotate": "rotate",
    "migrate": "migrate",
    "rollups": "rollups",
    "demo": "demo",
    "funnel": "funnel",
    "serve": "serve",
    "server": "server",
    "env": "env",
    "import": "data",
    "export": "data",
}


def app_for(words: Sequence[str]) -> typer.Typer:
    """The app with the command that the words begin with; with every command where they name none."""
    name = words[0] if words else ""
    for module in [MODULES[name]] if name in MODULES else dict.fromkeys(MODULES.values()):
        import_module(f"{__name__}.{module}")
    return import_module(f"{__name__}.frame").app


__all__ = ["MODULES", "app_for"]
