"""Where every setting comes from: connection strings, env files and the environment."""

from core.settings.config import DatabaseConfig
from core.settings.parse import parse_connection
from core.settings.pasted import TLS_MODES, Pasted, read_pasted
from core.settings.settings import ConfigIssue, Settings, environment, environment_for, load_settings
from core.settings.variables import VARIABLES, Variable

__all__ = [
    "TLS_MODES",
    "VARIABLES",
    "ConfigIssue",
    "DatabaseConfig",
    "Pasted",
    "Settings",
    "Variable",
    "environment",
    "environment_for",
    "load_settings",
    "parse_connection",
    "read_pasted",
]
