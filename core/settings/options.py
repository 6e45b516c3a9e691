"""Options that are none of PostgreSQL's: what they are called there, and whose they are."""

from __future__ import annotations

import difflib
import re

from core.settings.config import option_variables

_FOREIGN_OPTIONS = {
    "ssl": "write sslmode=require or sslmode=disable",
    "pgbouncer": "it belongs to Prisma; leave it out",
    "schema": "write options=-c%20search_path=NAME",
    "currentSchema": "write options=-c%20search_path=NAME",
    "search_path": "write options=-c%20search_path=NAME",
    "connection_limit": "it belongs to Prisma; leave it out",
    "pool_size": "set DB_POOL_SIZE instead",
    "username": "write user",
    "database": "write dbname",
    "db": "write dbname",
    "hostname": "write host",
    "uzer": "write user",
}


def unknown_option(name: str, where: str, *, named: bool = False) -> str:
    """Names the option only if it is a known word, or where it cannot be the tail of a password."""
    if name in _FOREIGN_OPTIONS:
        return f'"{name}" is not an option of PostgreSQL: {_FOREIGN_OPTIONS[name]}.'
    subject = f'"{name}"' if named and re.fullmatch("[A-Za-z_]{1,30}", name) else where
    close = difflib.get_close_matches(name.lower(), option_variables(), n=1, cutoff=0.6 if subject != where else 0.75)
    if close:
        return f"{subject} is not an option of PostgreSQL; did you mean {close[0]}?"
    return f"{subject} is not an option of PostgreSQL."
