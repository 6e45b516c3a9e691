"""Failures of PostgreSQL, provoked for real, are classified as what they are; a new one is a row in a table."""

from __future__ import annotations

import contextlib
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

import core.errors
from core.errors import TYPES, classify
from tests.conformance import failing_connections, failing_sessions, failing_statements
from tests.conformance.lab import PASSWORD, Failure, Lab, connecting, listener, refusing

FAILURES = [*failing_statements.FAILURES, *failing_connections.FAILURES, *failing_sessions.FAILURES]
TRANSLATIONS = tomllib.loads((Path(core.errors.__file__).parent / "translations.toml").read_text("utf-8"))
IN_THE_SERVERS_LANGUAGE = {
    'password authentication failed for user "%s"': ("28P01", "auth.password"),
    'no pg_hba.conf entry for host "%s", user "%s", database "%s", %s': ("28000", "auth.pg_hba"),
    'role "%s" does not exist': ("28000", "auth.role_missing"),
    'role "%s" is not permitted to log in': ("28000", "auth.role_no_login"),
    'database "%s" does not exist': ("3D000", "schema.missing_database"),
    'permission denied for database "%s"': ("42501", "permission.connect"),
    "sorry, too many clients already": ("53300", "resource.connections"),
    'too many connections for role "%s"': ("53300", "resource.role_connections"),
    "the database system is starting up": ("57P03", "service.starting"),
    "the database system is shutting down": ("57P03", "service.shutting_down"),
    "the database system is in recovery mode": ("57P03", "service.recovering"),
}


@pytest.fixture(scope="module")
def lab(cluster: object) -> Iterator[Lab]:
    """The servers of this module; `cluster` is asked for as it skips or fails where there is no PostgreSQL."""
    with contextlib.ExitStack() as stack:
        yield Lab(stack)


def check(failure: Failure, lab: Lab) -> None:
    """Provoke it, classify it, and look at what a person would read."""
    exc, config = failure.provoke(lab)
    error = classify(exc, config)
    assert (error.kind, error.error_type) == (failure.kind, failure.error_type), f"{type(exc)}: {exc}"
    assert PASSWORD not in str(error.diagnostic_info())


def test_ids_are_unique() -> None:
    names = [failure.id for failure in (*FAILURES, *failing_connections.TLS_FAILURES)]
    assert sorted(set(names)) == sorted(names)
    assert {failure.error_type for failure in FAILURES} <= set(TYPES)


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.id)
def test_failure_is_recognised(failure: Failure, lab: Lab) -> None:
    check(failure, lab)


@pytest.mark.parametrize("failure", failing_connections.TLS_FAILURES, ids=lambda failure: failure.id)
def test_failure_of_tls_is_recognised(failure: Failure, lab: Lab) -> None:
    check(failure, lab)


@pytest.mark.parametrize("control", failing_connections.CONTROLS)
def test_right_certificate_is_no_failure(control: Callable[[], Callable[[Lab], Any]], lab: Lab) -> None:
    with pytest.raises(AssertionError, match="nothing was raised"):
        control()(lab)


def test_expired_certificate_says_since_when(lab: Lab) -> None:
    failure = next(row for row in failing_connections.TLS_FAILURES if row.id == "tls_expired")
    error = classify(*failure.provoke(lab))
    assert "the not after" not in error.why
    assert "UTC" in error.why


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize("message", IN_THE_SERVERS_LANGUAGE)
@pytest.mark.parametrize("language", ["de", "es", "fr", "it", "ja", "ko", "pt_BR", "ru", "sv", "uk", "zh_CN"])
def test_failure_is_recognised_in_the_servers_language(message: str, language: str, encoding: str) -> None:
    """Over a socket, in UTF-8 and as a server in the C locale sends it: a question mark for every other letter."""
    text = TRANSLATIONS[message].get(language)
    if text is None:
        assert language == "pt_BR"
        return
    if encoding == "ascii" and language in ("ja", "ko", "ru", "uk", "zh_CN"):
        text = ""  # nothing of it is left but the SQLSTATE, and psycopg does not show that
    sqlstate, kind = IN_THE_SERVERS_LANGUAGE[message]
    said = text.replace("%s", "plain") or "?????"
    for number in range(1, 5):
        said = said.replace(f"%{number}$s", "plain")
    with listener(refusing(sqlstate, said, encoding)) as port:
        exc, config = connecting(Lab().elsewhere(port))
        assert isinstance(exc, psycopg.OperationalError)
        assert classify(exc).kind == (kind if text else "unexpected")
        if not text and kind in ("service.starting", "resource.connections", "schema.missing_database"):
            assert classify(exc, config).kind == kind
