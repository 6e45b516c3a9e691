"""Where somebody stands: what the page shows, whose results count, and how long a password lives."""

from __future__ import annotations

import threading
import time

import pytest

from core.settings import DatabaseConfig
from core.setup import flow
from core.setup.diagnose import ConnectionResult
from core.setup.provision import Provisioned
from core.setup.verify import Verification

A = DatabaseConfig(host="a.example", port=5432, database="postgres", user="postgres", password="S3cret-a")
B = DatabaseConfig(host="b.example", port=5432)


@pytest.mark.parametrize(
    ("way", "written", "configured", "mode", "ready", "current", "shown"),
    [
        ("", False, False, "demo", False, False, "ways"),
        ("", False, True, "connected", True, True, "done"),
        ("", False, True, "connected", False, True, "steps"),
        ("", False, True, "down", True, True, "away"),
        ("", False, True, "connecting", False, True, "away"),
        ("", False, True, "starting", False, False, "looking"),
        ("server", False, True, "connected", True, True, "steps"),
        ("server", True, True, "connected", True, True, "done"),
        ("server", True, True, "down", True, True, "away"),
        ("server", True, True, "connected", True, False, "looking"),
        ("local", False, True, "down", False, True, "away"),
        ("choose", False, True, "connected", True, True, "ways"),
    ],
)
def test_the_page_shows_what_is_really_there(
    way: str, written: bool, configured: bool, mode: str, ready: bool, current: bool, shown: str
) -> None:
    draft = flow.Draft(way=way, written=written)
    assert flow.view(draft, configured=configured, mode=mode, ready=ready, current=current) == shown


@pytest.mark.parametrize(
    ("server", "kept"),
    [
        (A.replace(password=None, options={"sslmode": "require"}), True),
        (A.replace(password=None, host="b.example"), False),
        (A.replace(password=None, port=5433), False),
    ],
)
def test_a_password_goes_to_the_server_that_it_was_typed_for(server: DatabaseConfig, kept: bool) -> None:
    draft = flow.Draft()
    draft.sign_in(A)
    draft.choose(server)
    assert draft.login is not None
    assert (draft.login.password is not None) == kept
    assert (draft.at == "login") == (not kept)
    assert draft.login.user == "postgres"


def test_the_result_of_an_earlier_test_does_not_count() -> None:
    draft = flow.Draft()
    draft.sign_in(A)
    of_a, name = draft.tests, draft.task("setup_test")
    draft.choose(B)
    draft.take_tested(of_a, ConnectionResult(success=True))
    assert draft.tested is None
    assert draft.task("setup_test") != name
    assert flow.Draft().task("setup_roles") != draft.task("setup_roles")


def test_secrets_go_by_themselves_when_nobody_comes_back() -> None:
    draft = flow.Draft(kept_s=0.1)
    draft.sign_in(A)
    draft.take_made(Provisioned(A, A, A))
    assert draft.login is not None
    deadline = time.monotonic() + 5
    while draft.made is not None or draft.login.password is not None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert "S3cret-a" not in repr(vars(draft))


def test_somebody_at_work_keeps_the_password() -> None:
    draft = flow.Draft(kept_s=0.4)
    draft.sign_in(A)
    for _ in range(8):
        time.sleep(0.1)
        draft.touch()
    assert draft.login is not None
    assert draft.login.password is not None
    draft.forget_secrets()


def test_only_labels_stay_once_the_files_are_written() -> None:
    draft = flow.Draft()
    draft.sign_in(A)
    draft.take_made(Provisioned(A, A.replace(user="trading", database="trading"), A))
    draft.settle()
    assert draft.made is None
    assert draft.login is not None
    assert draft.login.password is None
    states = flow.steps(draft, A, connected=False, schema_ready=False)
    assert {step.name: step.summary for step in states}["roles"] == "database trading"
    assert not any(isinstance(thread, threading.Timer) and thread.is_alive() for thread in [draft._timer])


def test_a_verification_counts_for_its_own_database_only() -> None:
    draft = flow.Draft()
    draft.take_verified([Verification(name="Table trades", ok=True, message="")], A.label)
    assert draft.verifications_of(A) == draft.verifications
    assert draft.verifications_of(B) == draft.verifications_of(None) == []
    states = {step.name: step.state for step in flow.steps(draft, B, connected=True, schema_ready=True)}
    assert states["verify"] == "now"
    states = {step.name: step.state for step in flow.steps(draft, A, connected=True, schema_ready=True)}
    assert states["verify"] == "done"


def test_a_coin_that_is_late_does_not_undo_the_setup() -> None:
    draft = flow.Draft()
    lines = [
        Verification(name="Table trades", ok=True, message=""),
        Verification(area="coins", name="Coin BTC/USDT", ok=False, message=""),
    ]
    draft.take_verified(lines, A.label)
    assert {step.name: step.state for step in flow.steps(draft, A, connected=True, schema_ready=True)}[
        "verify"
    ] == "done"
