"""An engine plus what we know of it; the only place where driver errors are translated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.database.capabilities import Capabilities
from core.database.connection import Connection, Limits, Observation, connect_parameters, observe, session
from core.database.database import Database
from core.database.roles import Databases

if TYPE_CHECKING:
    from core.database.asynchronous import AsyncDatabase

__all__ = [
    "AsyncDatabase",
    "Capabilities",
    "Connection",
    "Database",
    "Databases",
    "Limits",
    "Observation",
    "connect_parameters",
    "observe",
    "session",
]


def __getattr__(name: str) -> Any:
    """AsyncDatabase when it is asked for: the app starts without SQLAlchemy's asyncio part, which no page uses."""
    if name != "AsyncDatabase":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from core.database.asynchronous import AsyncDatabase

    return AsyncDatabase
