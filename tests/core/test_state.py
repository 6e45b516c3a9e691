"""The process's state follows what is really there: env files, the server, the schema."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core import embedded, envfile, state
from core.database import Database
from core.errors import TradekeepError
from core.schema import migrate
from core.settings import DatabaseConfig, Settings
from core.state import Status
from tests.servers import Cluster, end_bundled


@pytest.fixture
def project(home: Path) -> Iterator[Path]:
    state.stop()
    yield Path.cwd()
    state.stop()


def wait_for(condition: Callable[[Status], bool], within_s: float = 20) -> Status:
    deadline = time.monotonic() + within_s
    while not condition(found := state.refresh(1.0)):
        assert time.monotonic() < deadline, found
    return found


def configure(project: Path, config: DatabaseConfig) -> None:
    envfile.set_values(project / ".env.local", {"DATABASE_URL": config.url()})


def test_without_a_configuration_it_is_demo(project: Path) -> None:
    found = wait_for(lambda status: status.mode == "demo")
    assert found.error is None
    with pytest.raises(TradekeepError):
        state.databases()


def test_asking_for_the_status_never_waits(project: Path) -> None:
    configure(project, DatabaseConfig(host="192.0.2.1", port=5432, user="u", database="d", password="p-p-p-p"))
    begin = time.monotonic()
    state.status()
    assert time.monotonic() - begin < 0.5


def test_a_file_that_appears_is_taken_up_and_the_schema_is_watched(project: Path, pg_database: DatabaseConfig) -> None:
    wait_for(lambda status: status.mode == "demo")
    configure(project, pg_database)
    found = wait_for(lambda status: status.mode == "connected")
    assert not found.ready
    owner = Database(pg_database)
    migrate.upgrade(owner)
    owner.dispose()
    found = wait_for(lambda status: status.ready)
    assert found.latency_ms is not None
    assert found.label == pg_database.label


@pytest.mark.parametrize("first", [True, False], ids=["at the first look", "later"])
def test_a_file_that_is_written_while_it_is_read_is_read_again(
    project: Path, monkeypatch: pytest.MonkeyPatch, first: bool
) -> None:
    if not first:
        assert state.settings().database is None
        (project / ".env.local").write_text("TRACKED_SYMBOLS=BTC/USDT\n")
    load, users = state.load_settings, [f"late{number}" for number in range(9)]

    def overtaken(folder: Path | None = None) -> Settings:
        found = load(folder)
        config = DatabaseConfig(host="127.0.0.1", port=1, user=users.pop(), database="d", password="p-p-p-p")
        configure(project, config)
        return found

    with monkeypatch.context() as patched:
        patched.setattr(state, "load_settings", overtaken)
        state.settings()
    found = state.settings().database
    assert found is not None
    assert found.user == f"late{len(users)}"


def test_an_outage_is_seen_and_the_way_back_too(project: Path, own_cluster: Cluster) -> None:
    configure(project, own_cluster.admin)
    wait_for(lambda status: status.mode == "connected")
    own_cluster.stop()
    found = wait_for(lambda status: status.mode == "down")
    assert found.error is not None
    assert found.error.kind == "service.refused"
    assert found.reachable_at is not None
    own_cluster.start()
    wait_for(lambda status: status.mode == "connected")


def test_the_first_tries_are_counted_before_it_is_down(project: Path) -> None:
    configure(project, DatabaseConfig(host="127.0.0.1", port=1, user="u", database="d"))
    found = wait_for(lambda status: status.mode == "connecting")
    assert found.attempt >= 1
    found = wait_for(lambda status: status.mode == "down")
    assert found.attempt >= 5


def test_a_wrong_password_is_down_at_once(project: Path, pg_database: DatabaseConfig) -> None:
    configure(project, pg_database.replace(password="not-the-password"))
    found = wait_for(lambda status: status.mode == "down")
    assert found.error is not None
    assert found.error.error_type == "auth"


def test_a_configuration_that_cannot_be_read_is_no_demo(project: Path) -> None:
    (project / ".env.local").write_text("DATABASE_URL=postgresql://h:1/db?nonsense=1\n")
    found = wait_for(lambda status: status.mode == "misconfigured")
    assert found.error is not None
    assert found.error.error_type == "config"


def test_the_bundled_server_is_started_again_after_a_reboot(project: Path, home: Path) -> None:
    server = embedded.start(home=home)
    end_bundled(home)
    configure(project, server.admin_config)
    wait_for(lambda status: status.mode == "connected")
    assert embedded.status(home=home).state == "running"


def test_a_bundled_server_that_was_stopped_on_purpose_stays_so(project: Path, home: Path) -> None:
    server = embedded.start(home=home)
    configure(project, server.admin_config)
    wait_for(lambda status: status.mode == "connected")
    embedded.stop(home=home)
    found = wait_for(lambda status: status.mode != "connected" and status.attempt > 2)
    assert found.error is not None
    assert "python -m core server start" in " ".join(found.error.recovery_steps)
    assert embedded.status(home=home).left_stopped
    embedded.start(home=home)
    wait_for(lambda status: status.mode == "connected")


def test_another_project_folder_is_kept_over_a_restart(project: Path, tmp_path: Path, home: Path) -> None:
    chosen = state.use_project(tmp_path)
    assert chosen.project == tmp_path.resolve()
    state.stop()
    assert state.settings().project == tmp_path.resolve()


@pytest.mark.parametrize("folder", ["", "  ", "~nosuchuser/x", "a\0b", "x" * 5000, "missing", "file", Path("")])
def test_what_is_no_folder_is_refused(project: Path, folder: str | Path) -> None:
    (project / "file").touch()
    with pytest.raises(TradekeepError) as caught:
        state.use_project(folder)
    assert caught.value.kind == "config.project"
    assert len(caught.value.message) < 1000


def test_a_new_project_does_not_show_the_status_of_the_old_one(
    project: Path, pg_database: DatabaseConfig, tmp_path: Path
) -> None:
    configure(project, pg_database)
    wait_for(lambda status: status.mode == "connected")
    state.use_project(tmp_path)
    assert state.status().label == ""
    wait_for(lambda status: status.mode == "demo")


@pytest.mark.parametrize("attempt", [0, 1, 3, 5_000])
@pytest.mark.parametrize("delay_s", [0.0, 1.0, 3600.0])
def test_the_pause_is_never_nothing_and_never_long(project: Path, attempt: int, delay_s: float) -> None:
    configured = state.settings().model_copy(update={"retry_delay_s": delay_s})
    assert 0.25 <= state._pause_s(Status(mode="down", attempt=attempt), configured) <= 15


def test_the_watcher_outlives_a_home_that_cannot_be_used(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TRADEKEEP_HOME", str(tmp_path / "file" / "home"))
    assert wait_for(lambda status: status.mode == "down").error is not None
    assert "watcher" in watchers()


def watchers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "watcher"]


def test_a_look_that_began_before_the_call_is_not_its_answer() -> None:
    watcher = state._Watcher()
    watcher.begin()
    caller = threading.Thread(target=watcher.look, args=(10.0,))
    caller.start()
    assert watcher.kick.wait(5)
    watcher.schema_read = watcher.begun
    watcher.end()
    caller.join(0.1)
    assert caller.is_alive()
    watcher.begin()
    assert watcher.schema_wanted > watcher.schema_read
    watcher.end()
    caller.join(5)
    assert not caller.is_alive()


def test_stopping_during_a_look_and_starting_again_leaves_one_watcher(project: Path, own_cluster: Cluster) -> None:
    configure(project, own_cluster.admin)
    own_cluster.suspend()
    try:
        state.start()
        time.sleep(0.3)
        state.stop()
        state.start()
        deadline = time.monotonic() + 10
        while len(watchers()) > 1:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert len(watchers()) == 1
    finally:
        own_cluster.resume()
    wait_for(lambda status: status.mode == "connected")


def test_pages_are_refused_at_once_while_the_watcher_finds_no_server(project: Path, own_cluster: Cluster) -> None:
    configure(project, own_cluster.admin)
    wait_for(lambda status: status.mode == "connected")
    own_cluster.suspend()
    try:
        wait_for(lambda status: status.mode == "down", within_s=30)
        end = time.monotonic() + 4
        while time.monotonic() < end:
            begin = time.monotonic()
            with pytest.raises(TradekeepError):
                state.databases().reader.ask(lambda connection: None)
            assert time.monotonic() - begin < 0.3
            time.sleep(0.1)
    finally:
        own_cluster.resume()
    wait_for(lambda status: status.mode == "connected")
    state.databases().reader.ask(lambda connection: None)


def test_a_viewer_that_may_not_sign_in_is_seen(project: Path, pg_database: DatabaseConfig) -> None:
    configure(project, pg_database)
    viewer = pg_database.replace(user="nobody-here")
    envfile.set_values(project / ".env.tradekeep", {"DATABASE_VIEWER_URL": viewer.url()})
    found = wait_for(lambda status: status.mode == "down")
    assert found.error is not None
    assert found.error.error_type == "auth"
    assert state.databases().writer.refusal() is None
    assert state.databases().reader.refusal() is not None


def test_the_bundled_server_is_started_again_whenever_it_is_killed(
    project: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "WAKE_EVERY_S", 0.5)
    configure(project, embedded.start(home=home).admin_config)
    for _ in range(2):
        wait_for(lambda status: status.mode == "connected")
        pid = embedded.status(home=home).pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        found = wait_for(lambda status: status.mode != "connected")
        assert found.error is not None
        assert found.error.kind == "service.bundled_stopped"
        assert "server/log" in " ".join(found.error.recovery_steps)
        assert "systemctl" not in " ".join(found.error.recovery_steps)
    wait_for(lambda status: status.mode == "connected")


def test_a_bundled_server_that_cannot_start_is_tried_again(
    project: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "WAKE_EVERY_S", 0.5)
    server = embedded.start(home=home)
    end_bundled(home)
    password = server.data_dir.parent / "password"
    kept = server.data_dir / "PG_VERSION"
    moved = kept.rename(kept.with_name("moved"))
    kept.write_text("9\n")
    configure(project, server.admin_config)
    found = wait_for(lambda status: status.error is not None and status.error.kind == "service.bundled_version")
    assert found.mode in ("connecting", "down")
    assert password.exists()
    moved.replace(kept)
    wait_for(lambda status: status.mode == "connected")
