"""Changing a role's own password, so that it stands in no log and is lost in no case."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass

import psycopg
from psycopg import sql
from pydantic import SecretStr

from core.database import session
from core.errors import TradekeepError, classify
from core.settings import DatabaseConfig
from core.setup.credentials import defaults
from core.setup.credentials.attempt import Caller

BUSY_TRIES, BUSY_WAIT_S = 5, 0.1


@dataclass(frozen=True)
class Change:
    """A changed password: the login as it is now, proven by signing in with it."""

    login: DatabaseConfig


def new_password() -> SecretStr:
    """32 letters, digits, - and _: every program and file format takes them as they are."""
    return SecretStr(secrets.token_urlsafe(24))


def change_password(login: DatabaseConfig, new: SecretStr) -> Change:
    """Give the login's own role another password, then prove it by signing in.

    The server gets a SCRAM verifier, so that its log never holds the password. Show or store the new one before
    this is called: afterwards the old one is gone. Raises TradekeepError, with the old password still valid unless
    the message says otherwise.
    """
    secret = new.get_secret_value()
    with session(login) as connection:
        verifier = connection.pgconn.encrypt_password(secret.encode(), login.user.encode(), b"scram-sha-256")
        statement = sql.SQL("ALTER ROLE CURRENT_USER PASSWORD {}").format(sql.Literal(verifier.decode()))
        for attempt in range(BUSY_TRIES):
            try:
                connection.execute(statement)
                break
            except psycopg.errors.InternalError_ as exc:  # several sessions change the same role at once
                if attempt == BUSY_TRIES - 1:
                    raise classify(exc, login) from None
                time.sleep(BUSY_WAIT_S)
    changed = login.replace(password=new)
    found = Caller().try_login(changed)
    if not found.ok:
        raise TradekeepError(
            "auth.password",
            f"The password of {login.user} was changed, but signing in with it fails: {found.why}. Keep the new one.",
            user=login.user,
        )
    defaults.forget()
    return Change(changed)
