"""The process's state follows what is really there: env files, the server, the schema."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core import embedded, envfile, state
from core.database import Database
from core.errors import TradekeepError
from core.schema import migrate
from core.settings import DatabaseConfig
from core.state import Status
from tests.servers import Cluster


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
    embedded.stop(home=home)
    configure(project, server.admin_config)
    wait_for(lambda status: status.mode == "connected")
    assert embedded.status(home=home).state == "running"


def test_another_project_folder_is_kept_over_a_restart(project: Path, tmp_path: Path, home: Path) -> None:
    chosen = state.use_project(tmp_path)
    assert chosen.project == tmp_path.resolve()
    state.stop()
    assert state.settings().project == tmp_path.resolve()
    with pytest.raises(TradekeepError) as caught:
        state.use_project(tmp_path / "missing")
    assert caught.value.kind == "config.project"
