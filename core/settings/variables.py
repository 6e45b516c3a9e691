"""The one table of environment variables: what Tradekeep reads, in which unit, and what it means."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

ENVIRONMENTS = {"dev": "development", "test": "testing", "prod": "production"}
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


@dataclass(frozen=True)
class Variable:
    """One variable: its name, the field of Settings, how to read it, its default in words, its unit and meaning.

    read raises ValueError with a reason that shows nothing of the value. secret: the value is never shown.
    """

    name: str
    field: str
    read: Callable[[str], Any]
    default: Any
    unit: str
    meaning: str
    secret: bool = False
    also: tuple[str, ...] = ()

    @property
    def default_text(self) -> str:
        """The default as README shows it."""
        if isinstance(self.default, bool):
            return "yes" if self.default else "no"
        return "" if self.default is None else str(self.default)


def _whole(lowest: int, highest: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        try:
            number = int(text.strip())
        except ValueError:
            raise ValueError("is not a whole number") from None
        if not lowest <= number <= highest:
            raise ValueError(f"is not between {lowest} and {highest}")
        return number

    return read


def _seconds(lowest: float, highest: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            number = float(text.strip())
        except ValueError:
            raise ValueError("is not a number") from None
        if not math.isfinite(number) or not lowest <= number <= highest:
            raise ValueError(f"is not between {lowest:g} and {highest:g}")
        return number

    return read


def _yes_no(text: str) -> bool:
    word = text.strip().lower()
    if word in ("1", "true", "yes", "on", "y", "t"):
        return True
    if word in ("0", "false", "no", "off", "n", "f"):
        return False
    raise ValueError("is neither yes nor no")


def _environment(text: str) -> str:
    word = text.strip().lower()
    word = ENVIRONMENTS.get(word, word)
    if word not in ENVIRONMENTS.values():
        raise ValueError("is none of development, testing, production")
    return word


def _level(text: str) -> str:
    word = text.strip().upper()
    word = {"WARN": "WARNING", "FATAL": "CRITICAL"}.get(word, word)
    if word not in LEVELS:
        raise ValueError(f"is none of {', '.join(LEVELS)}")
    return word


def _symbols(text: str) -> list[str]:
    """Trimmed, without doubles, in the order given."""
    return list(dict.fromkeys(name for part in text.split(",") if (name := part.strip())))


def _folder(text: str) -> Path:
    if "\0" in text:
        raise ValueError("contains a NUL character")
    try:
        return Path(text.strip()).expanduser().absolute()
    except RuntimeError:
        raise ValueError("begins with the home folder of an unknown user") from None


VARIABLES: tuple[Variable, ...] = (
    Variable("TRADEKEEP_HOME", "home", _folder, "the user's data folder", "folder",
             "Where the bundled server, the metrics store and caches are; /var/lib/tradekeep for root on Linux."),
    Variable("TRADEKEEP_PROJECT", "project", _folder, "the current folder", "folder",
             "The trading platform's folder, whose .env.local and .env.tradekeep are read and written."),
    Variable("TRADEKEEP_ENV", "env", _environment, "development", "development, testing, production",
             "testing uses a SQLite file when no database is given; production is stricter about TLS."),
    Variable("DATABASE_URL", "database", str, None, "connection string",
             "The database and the runtime role: what the bots use.", secret=True, also=("DB_URL",)),
    Variable("DATABASE_OWNER_URL", "owner", str, None, "connection string",
             "The role that owns schema and tables; belongs into .env.tradekeep.", secret=True),
    Variable("DATABASE_VIEWER_URL", "viewer", str, None, "connection string",
             "The role that only reads; belongs into .env.tradekeep.", secret=True),
    Variable("TRADEKEEP_ADMIN_PASSWORD", "admin_password", SecretStr, None, "password",
             "Of the administrator's login that `setup --url` names; read from the environment, stored nowhere.",
             secret=True),
    Variable("TRACKED_SYMBOLS", "tracked_symbols", _symbols, None, "names with commas",
             "The coins whose candles are expected."),
    Variable("LOG_LEVEL", "log_level", _level, "INFO", ", ".join(LEVELS), "The least severe records that are logged."),
    Variable("SQL_ECHO", "sql_echo", _yes_no, False, "yes or no", "Log every SQL statement."),
    Variable("DB_POOL_SIZE", "pool_size", _whole(1, 1000), 5, "connections", "Connections that stay open."),
    Variable("DB_MAX_OVERFLOW", "max_overflow", _whole(0, 1000), 10, "connections",
             "Further connections under load; closed afterwards."),
    Variable("DB_POOL_TIMEOUT_S", "pool_timeout_s", _seconds(0.1, 600), 5.0, "s",
             "Longest wait for a free connection of the pool."),
    Variable("DB_POOL_RECYCLE_S", "pool_recycle_s", _seconds(-1, 604800), 1800.0, "s",
             "Age at which a connection is replaced; -1 for never."),
    Variable("DB_CONNECT_TIMEOUT_S", "connect_timeout_s", _seconds(0.1, 600), 2.0, "s",
             "Longest wait for the server while connecting; libpq rounds below 2 up."),
    Variable("DB_STATEMENT_TIMEOUT_S", "statement_timeout_s", _seconds(0, 86400), 5.0, "s",
             "Longest time of a reading statement; 0 for no limit."),
    Variable("DB_INIT_TIMEOUT_S", "init_timeout_s", _seconds(1, 86400), 30.0, "s",
             "Longest wait for another process that changes the schema."),
    Variable("DB_RETRY_ATTEMPTS", "retry_attempts", _whole(1, 100), 5, "tries", "Tries of the start-up's connection."),
    Variable("DB_RETRY_DELAY_S", "retry_delay_s", _seconds(0, 600), 1.0, "s",
             "Wait before the second try; doubled before each further one."),
    Variable("AUTO_REPAIR", "auto_repair", _yes_no, False, "yes or no",
             "Reserved: to create a missing table without asking; nothing reads it yet."),
)  # fmt: skip
