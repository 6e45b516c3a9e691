"""The commands, in the order in which the help lists them: importing a module registers what is in it."""

from core.commands import setup, look, migrate, env, serve  # noqa: I001  # the order of the help
from core.commands.frame import app

__all__ = ["app", "env", "look", "migrate", "serve", "setup"]
