"""What is kept about setups: where they got stuck, and nothing that names anybody."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from core.errors import TradekeepError
from core.settings import DatabaseConfig, load_settings
from core.setup import analytics, wizard
from core.setup.analytics import Recovery, events, forget, funnel, record
from core.tasks import Tasks
from tests.servers import Cluster

ROOT = Path(__file__).parents[2]


def test_the_funnel_counts_setups_not_events(home: Path) -> None:
    for attempt in ("a", "b", "c"):
        record(home, attempt, "server", "done", ms=10)
    for _ in range(3):
        record(home, "a", "test", "failed", "auth.password", 5)
    record(home, "a", "test", "done", ms=30)
    record(home, "b", "test", "failed", "network.timeout")
    record(home, "b", "server", "done", ms=20)
    record(home, "a", "verify", "done")
    found = funnel(home)
    assert (found.begun, found.completed) == (3, 1)
    assert found.completion_pct == pytest.approx(33.3, abs=0.1)
    server, test, verify = found.steps
    assert (server.name, server.reached, server.done, server.median_ms) == ("server", 3, 3, 10)
    assert (test.reached, test.done, test.failed, test.median_ms) == (2, 1, 2, 30)
    assert test.by_type == {"auth": 3, "network": 1}
    assert verify.done == 1
    assert Recovery("auth", "test", "tried again", times=3, helped=3) in found.recoveries
    assert Recovery("network", "test", "went to server", times=1, helped=0) in found.recoveries


def test_without_records_there_is_nothing(home: Path) -> None:
    found = funnel(home)
    assert (found.begun, found.completion_pct, found.steps) == (0, None, [])
    forget(home)


def test_only_this_account_may_read_them(home: Path) -> None:
    before = os.umask(0)
    try:
        record(home / "new", "a", "server", "done")
    finally:
        os.umask(before)
    assert stat.S_IMODE((home / "new" / analytics.FILE).stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "damage", [b"", b"\xff\xfe\0", b"{", b"[]\n1\nnull\n", b'{"at": "x"}\n', b"[" * 100_000, b'{"at": 1, "attempt"']
)
def test_damage_loses_the_damaged_lines_only(home: Path, damage: bytes) -> None:
    record(home, "a", "server", "done")
    with (home / analytics.FILE).open("ab") as file:
        file.write(damage + b"\n")
    record(home, "a", "verify", "done")
    assert [event.step for event in events(home)] == ["server", "verify"]


def test_what_is_not_ours_is_not_shown(home: Path) -> None:
    lines = [{"at": 1, "attempt": "a", "step": "**bold**", "outcome": "done"}]
    lines.append({"at": 1, "attempt": "a", "step": "test", "outcome": "failed", "kind": "evil.kind"})
    (home / analytics.FILE).write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert events(home) == []


def test_a_folder_that_cannot_be_written_stops_no_setup(home: Path) -> None:
    (home / analytics.FILE).mkdir()
    record(home, "a", "server", "done")
    record(home / "x\0y", "a", "server", "done")
    assert events(home) == []
    with pytest.raises(TradekeepError):
        forget(home)


def test_a_link_in_its_place_is_not_followed(home: Path) -> None:
    target = home / "target"
    target.write_text("kept")
    (home / analytics.FILE).symlink_to(target)
    record(home, "a", "server", "done")
    assert target.read_text() == "kept"


def test_it_stays_small(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analytics, "LARGEST_BYTES", 2000)
    monkeypatch.setattr(analytics, "KEPT_LINES", 10)
    for number in range(200):
        record(home, f"a{number}", "server", "done")
    assert (home / analytics.FILE).stat().st_size < 2200
    assert events(home)[-1].attempt == "a199"


def test_several_processes_lose_nothing(home: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from core.setup.analytics import record\n"
        "for n in range(200): record(Path(sys.argv[1]), sys.argv[2], 'server', 'done', ms=n)"
    )
    command = [sys.executable, "-c", code, str(home)]
    running = [subprocess.Popen([*command, name], cwd=ROOT) for name in ("a", "b", "c")]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    assert len(events(home)) == 600


def test_a_whole_setup_and_a_failed_one_are_noted_without_a_name(cluster: Cluster, home: Path) -> None:
    settings, tasks = load_settings(), Tasks()
    good = tasks.start(
        "x", "x", lambda p: wizard.set_up(settings, p, admin=cluster.admin, database="counted"), wizard.JOURNEY
    )
    assert good.wait(60)
    assert good.error is None
    wrong = cluster.config(password="Wr0ng-planted", user="nobody-here")
    bad = tasks.start("y", "y", lambda p: wizard.set_up(settings, p, admin=wrong, database="counted"), wizard.JOURNEY)
    assert bad.wait(60)
    found = funnel(settings.home)
    assert (found.begun, found.completed) == (2, 1)
    assert (found.steps[0].name, found.steps[0].done, found.steps[0].failed) == ("server", 1, 1)
    assert found.recoveries[0].then == "gave up"
    text = (settings.home / analytics.FILE).read_text()
    for secret in ("counted", "nobody-here", "127.0.0.1", str(cluster.port), "Wr0ng", str(settings.project)):
        assert secret not in text
    cluster.sql(
        "DROP DATABASE counted WITH (FORCE)",
        *(f'DROP ROLE "{name}"' for name in ("counted", "counted_owner", "counted_viewer")),
    )


def test_a_step_that_only_found_faults_is_a_failure(home: Path) -> None:
    class Walk:
        def __call__(self, done: int, total: int, message: str) -> None: ...

        @contextmanager
        def step(self, name: str) -> Iterator[Any]:
            yield SimpleNamespace(state="running", message="")

    with analytics.Noted(Walk(), home).step("verify") as step:
        step.state = "failed"
    assert [event.outcome for event in events(home)] == ["reached", "failed"]


def test_the_pages_own_steps_are_noted(home: Path) -> None:
    from core.setup.diagnose import ConnectionResult
    from core.setup.flow import Draft, observe

    seen: list[tuple[str, str, str]] = []
    observe(lambda attempt, step, outcome, kind: seen.append((step, outcome, kind)))
    draft = Draft(way="server")
    draft.choose(DatabaseConfig(host="db"))
    draft.sign_in(DatabaseConfig(host="db", user="u"))
    draft.take_tested(draft.tests, ConnectionResult(success=False, error={"kind": "auth.password"}))
    with pytest.raises(TradekeepError), draft.noted("roles"):
        raise TradekeepError("permission.provision")
    assert seen == [
        ("server", "done", ""),
        ("login", "done", ""),
        ("test", "failed", "auth.password"),
        ("roles", "reached", ""),
        ("roles", "failed", "permission.provision"),
    ]
