"""Rows with times that Python cannot hold: one of them must not hide the others."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from core.database.clamped import clamped


def rows_of(session: Session, statement: sa.Select[Any]) -> list[Any]:
    """The rows of a model that a query finds; where one has such a time, all are read again, from EARLIEST to LATEST.

    The driver alone refuses such a time, so that the transaction goes on.
    """
    try:
        return list(session.scalars(statement))
    except sa.exc.DataError as error:
        if getattr(error.orig, "sqlstate", None):  # the server's refusal
            raise
    with clamped(session.connection()):
        return list(session.scalars(statement))
