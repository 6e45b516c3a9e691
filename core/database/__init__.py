"""An engine plus what we know of it; the only place where driver errors are translated."""

from core.database.asynchronous import AsyncDatabase
from core.database.capabilities import Capabilities
from core.database.connection import Connection, Limits, Observation, connect_parameters, observe, session
from core.database.database import Database
from core.database.roles import Databases

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
