"""The commands, in the order in which the help lists them: importing a module registers what is in it."""

# ruff: noqa: I001  # the order of the help
from core.commands import setup, discover, look, server, passwords, rotate
from core.commands import migrate, env, funnel, serve
from core.commands.frame import app

__all__ = [
    "app",
    "discover",
    "env",
    "funnel",
    "look",
    "migrate",
    "passwords",
    "rotate",
    "serve",
    "server",
    "setup",
]
