"""Env files: read, previewed, written without touching other bytes, backed up, restored."""

from core.envfile.file import (
    Backup,
    Prepared,
    Written,
    backups,
    prepare,
    preview,
    problems,
    restore,
    set_values,
    values,
)
from core.envfile.git import gitignored
from core.envfile.mask import masked_value

__all__ = [
    "Backup",
    "Prepared",
    "Written",
    "backups",
    "gitignored",
    "masked_value",
    "prepare",
    "preview",
    "problems",
    "restore",
    "set_values",
    "values",
]
