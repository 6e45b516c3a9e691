"""Env files: read, previewed, written without touching other bytes, backed up, restored."""

from core.envfile.file import (
    Backup,
    Prepared,
    Written,
    backups,
    backups_folder,
    prepare,
    preview,
    problems,
    restore,
    restore_preview,
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
    "backups_folder",
    "gitignored",
    "masked_value",
    "prepare",
    "preview",
    "problems",
    "restore",
    "restore_preview",
    "set_values",
    "values",
]
