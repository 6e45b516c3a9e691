"""Failures of PostgreSQL, provoked for real, are classified as what they are; a new one is a row in a table."""

from __future__ import annotations

import contextlib
import json
import threading
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

import core.errors
from core.errors import TYPES, classify, classify_log
from tests.conformance import (
    failing_clients,
    failing_connections,
    failing_files,
    failing_machines,
    failing_more_connections,
    failing_more_statements,
    failing_more_tls,
    failing_sessions,
    failing_statements,
)
from tests.conformance.lab import PASSWORD, Failure, Lab, connecting, listener, refusing
from tests.conformance.working import CONTROLS

GIVEN = json.loads((Path(__file__).parent / "failures.json").read_text("utf-8"))
FAILURES = [
    *failing_statements.FAILURES,
    *failing_connections.FAILURES,
    *failing_connections.TLS_FAILURES,
    *failing_sessions.FAILURES,
    *failing_machines.FAILURES,
    *failing_more_statements.FAILURES,
    *failing_more_connections.FAILURES,
    *failing_more_tls.FAILURES,
    *failing_clients.FAILURES,
    *failing_files.FAILURES,
]
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
    said, config = failure.provoke(lab)
    error = classify_log(said) if isinstance(said, str) else classify(said, config)
    assert (error.kind, error.error_type) == (failure.kind, failure.error_type), f"{type(said)}: {said}"
    assert PASSWORD not in str(error.diagnostic_info())


def in_a_thread(action: Callable[[], Any]) -> None:
    """Run it in a thread of its own, which may take a network of its own; raises what it raised."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            action()
        except BaseException as exc:  # a skip is one too
            failed.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


def test_every_given_failure_is_provoked_once() -> None:
    names = [failure.id for failure in FAILURES]
    assert sorted(set(names)) == sorted(names)
    assert {failure.error_type for failure in FAILURES} <= set(TYPES)
    assert {row["id"] for row in GIVEN["failures"]} - set(names) == set()
    assert len(GIVEN["failures"]) == 135


def test_given_failures_have_the_given_types() -> None:
    ours = {failure.id: failure.error_type for failure in FAILURES}
    for row in GIVEN["failures"]:
        assert ours[row["id"]] in (row["class"], *row.get("also_right", ())), row["id"]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.id)
def test_failure_is_recognised(failure: Failure, lab: Lab) -> None:
    in_a_thread(lambda: check(failure, lab))


@pytest.mark.parametrize("name", CONTROLS)
def test_control_works(name: str, lab: Lab) -> None:
    CONTROLS[name](lab)


def test_every_given_control_is_there() -> None:
    assert sorted(CONTROLS) == sorted(GIVEN["controls"])
    assert len(CONTROLS) == 11


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
