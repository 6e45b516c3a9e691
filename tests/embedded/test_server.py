"""The bundled server's life: made, found, stopped, killed, moved, and started again."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import psycopg
import pytest

from core import embedded
from core.embedded import programs
from core.errors import TradekeepError
from tests.drills.embedded import ROOT, embedded_race, servers_of, starter
from tests.servers import wait_gone

COLD_START_S = 15  # measured 0.5-1.6; a deadline for a slow machine
WARM_START_S = 5  # measured 0.06

WAITS = """
import sys, time
from pathlib import Path
from core import embedded
print(embedded.start(home=Path(sys.argv[1])).pid, flush=True)
time.sleep(600)
"""


def rows(server: embedded.EmbeddedServer, *statements: str) -> list[tuple[object, ...]]:
    """The rows of the last statement, run as the server's superuser."""
    with psycopg.connect(**server.admin_config.libpq_params(), autocommit=True) as connection:
        for statement in statements:
            cursor = connection.execute(statement)  # type: ignore[arg-type]  # tests give plain text
        return cursor.fetchall() if cursor.description else []


def kill(pid: int) -> None:
    """SIGKILL, as the out-of-memory killer sends it; returns when the process is dead, its children may still end."""
    process = psutil.Process(pid)
    process.kill()
    wait_gone([process])


def test_start_makes_a_server_that_psql_can_sign_in_to(home: Path) -> None:
    begin = time.monotonic()
    server = embedded.start(home=home)
    assert time.monotonic() - begin < COLD_START_S
    config = server.admin_config
    assert config.password is not None
    environment = {"PGPASSWORD": config.password.get_secret_value()}
    command = [
        embedded.client("psql"),
        "-h",
        config.host,
        "-p",
        str(config.port),
        "-U",
        config.user,
        "-Atc",
        "SELECT 1",
    ]
    done = subprocess.run([*command, config.database], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr


def test_start_of_a_running_server_gives_the_same_one(home: Path) -> None:
    first = embedded.start(home=home)
    assert embedded.start(home=home) == first


def test_home_comes_from_the_settings(home: Path) -> None:
    server = embedded.start()
    assert server.data_dir == home / "server" / "data"
    assert embedded.status().pid == server.pid
    embedded.stop()
    assert embedded.status().state == "stopped"


def test_text_is_unicode_and_data_has_checksums(running: embedded.EmbeddedServer) -> None:
    found = rows(
        running,
        "SELECT pg_encoding_to_char(encoding), datlocprovider::text, datlocale, upper('é'), "
        "current_setting('data_checksums'), current_setting('TimeZone') "
        "FROM pg_database WHERE datname = 'template1'",
    )
    assert found == [("UTF8", "b", "C.UTF-8", "É", "on", "UTC")]


def test_statements_are_counted(running: embedded.EmbeddedServer) -> None:
    assert rows(running, "CREATE EXTENSION pg_stat_statements", "SELECT count(*) >= 0 FROM pg_stat_statements") == [
        (True,)
    ]


def test_server_listens_on_loopback_and_its_socket_only(running: embedded.EmbeddedServer) -> None:
    listening = [c for c in psutil.Process(running.pid).net_connections("tcp") if c.status == psutil.CONN_LISTEN]
    assert [c.laddr.ip for c in listening] == ["127.0.0.1"]
    assert running.socket_dir is not None
    config = running.admin_config.libpq_params() | {"host": str(running.socket_dir)}
    with psycopg.connect(**config) as connection:
        assert connection.execute("SELECT inet_server_addr()").fetchone() == (None,)


def test_stop_and_start_keep_port_password_and_rows(home: Path) -> None:
    first = embedded.start(home=home)
    rows(first, "CREATE TABLE kept (id int)", "INSERT INTO kept VALUES (7)")
    embedded.stop(home=home)
    assert embedded.status(home=home).state == "stopped"
    begin = time.monotonic()
    second = embedded.start(home=home)
    assert time.monotonic() - begin < WARM_START_S
    assert (second.port, second.admin_config) == (first.port, first.admin_config)
    assert second.pid != first.pid
    assert rows(second, "SELECT id FROM kept") == [(7,)]


def test_stop_ends_open_sessions_and_every_process(home: Path) -> None:
    server = embedded.start(home=home)
    connection = psycopg.connect(**server.admin_config.libpq_params())
    embedded.stop(home=home)
    with pytest.raises(psycopg.errors.AdminShutdown):
        connection.execute("SELECT 1")
    assert not wait_gone(servers_of(home), 2)
    embedded.stop(home=home)


def test_committed_rows_survive_a_kill(home: Path) -> None:
    server = embedded.start(home=home)
    rows(server, "CREATE TABLE kept (id int)")
    for number in range(3):
        rows(server, f"INSERT INTO kept VALUES ({number})")
        kill(server.pid)
        server = embedded.start(home=home)
        assert rows(server, "SELECT max(id), count(*) FROM kept") == [(number, number + 1)]


def test_killed_server_whose_parent_never_reaps_it_starts_again(home: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", WAITS, str(home)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        kill(pid)
        assert psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        assert embedded.start(home=home).pid != pid
    finally:
        parent.kill()
        parent.communicate()


def test_pid_file_that_names_another_program_does_not_block(home: Path) -> None:
    server = embedded.start(home=home)
    pid_file = server.data_dir / "postmaster.pid"
    content = pid_file.read_text()
    embedded.stop(home=home)
    account = programs.owner_of(server.data_dir)
    other = subprocess.Popen(["sleep", "60"], **programs.run_as(account))
    try:
        pid_file.write_text(content.replace(str(server.pid), str(other.pid), 1))
        assert embedded.status(home=home).state == "stopped"
        assert embedded.start(home=home).port == server.port
    finally:
        other.kill()
        other.wait()


def test_server_outlives_the_process_that_started_it(home: Path) -> None:
    process = starter(home)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # nobody is left in its session
    status = embedded.status(home=home)
    assert status.state == "running"
    assert output.startswith(f"[{status.pid}, {status.port}, ")


def test_threads_that_start_at_once_get_one_server(home: Path) -> None:
    with ThreadPoolExecutor(6) as pool:
        servers = list(pool.map(lambda _: embedded.start(home=home), range(6)))
    assert len({server.pid for server in servers}) == 1


def test_processes_that_start_at_once_get_one_server() -> None:
    result = embedded_race(2)
    assert result["ok"], result["problems"]


def test_kill_while_the_data_is_made_leaves_no_half_data(home: Path) -> None:
    process = starter(home)
    while not list(home.glob("server/new-*/data/base")):
        assert process.poll() is None, "it was ready before it could be killed"
        time.sleep(0.002)
    process.kill()
    process.communicate()
    assert embedded.status(home=home).state == "absent"
    assert rows(embedded.start(home=home), "SELECT 1") == [(1,)]
    wait_gone([process for process in servers_of(home) if process.name() == "initdb"])
    embedded.stop(home=home)
    embedded.start(home=home)
    assert sorted(path.name for path in (home / "server").iterdir()) == [
        "data",
        "log",
        "password",
        "run",
        "server.json",
    ]


@pytest.fixture
def taken(home: Path) -> Iterator[int]:
    """The port of a stopped server, on which something else listens now."""
    port = embedded.start(home=home).port
    embedded.stop(home=home)
    with socket.create_server(("127.0.0.1", port)):
        yield port


def test_taken_port_is_an_error_that_names_the_holder(home: Path, taken: int) -> None:
    with pytest.raises(TradekeepError) as caught:
        embedded.start(home=home)
    assert caught.value.kind == "service.port_taken"
    assert str(taken) in caught.value.title
    assert f"process {os.getpid()}" in caught.value.why


def test_server_moves_to_a_free_port_and_stays_there(home: Path, taken: int) -> None:
    moved = embedded.start(home=home, port=0)
    assert moved.port != taken
    assert rows(moved, "SELECT 1") == [(1,)]
    embedded.stop(home=home)
    assert embedded.start(home=home).port == moved.port


def test_running_server_moves_to_the_port_asked_for(home: Path) -> None:
    first = embedded.start(home=home)
    second = embedded.start(home=home, port=first.port - 1)
    assert (second.port, second.pid != first.pid) == (first.port - 1, True)


def test_port_is_kept_without_server_json(home: Path) -> None:
    port = embedded.start(home=home).port
    embedded.stop(home=home)
    (home / "server" / "server.json").unlink()
    assert embedded.start(home=home).port == port


def test_data_of_another_major_version_is_refused_and_kept(home: Path) -> None:
    server = embedded.start(home=home)
    embedded.stop(home=home)
    (server.data_dir / "PG_VERSION").write_text("17\n")
    with pytest.raises(TradekeepError) as caught:
        embedded.start(home=home)
    assert caught.value.kind == "service.bundled_version"
    assert (server.data_dir / "global").is_dir()


def test_missing_password_file_is_said(home: Path) -> None:
    server = embedded.start(home=home)
    (server.data_dir.parent / "password").unlink()
    with pytest.raises(TradekeepError) as caught:
        embedded.start(home=home)
    assert caught.value.kind == "service.bundled_password"


def test_bad_setting_is_an_error_with_the_log(home: Path) -> None:
    server = embedded.start(home=home)
    embedded.stop(home=home)
    with (server.data_dir / "postgresql.conf").open("a") as file:
        file.write("shared_buffers = 'plenty'\n")
    with pytest.raises(TradekeepError) as caught:
        embedded.start(home=home)
    assert "shared_buffers" in caught.value.details


def test_home_that_cannot_be_made_is_a_file_error(home: Path) -> None:
    (home / "file").write_text("")
    with pytest.raises(TradekeepError) as caught:
        embedded.start(home=home / "file" / "home")
    assert caught.value.kind == "permission.file"


def test_long_home_gets_a_short_socket_folder(home: Path) -> None:
    long = home / ("x" * 60) / ("y" * 60)
    long.mkdir(parents=True)
    server = embedded.start(home=long)
    assert server.socket_dir is not None
    try:
        assert len(str(server.socket_dir)) < 80
        assert server.socket_dir.stat().st_mode & 0o777 == 0o700
        with psycopg.connect(**server.admin_config.libpq_params() | {"host": str(server.socket_dir)}) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    finally:
        embedded.stop(home=long)
        shutil.rmtree(server.socket_dir)


def test_status_before_the_first_start_is_absent(home: Path) -> None:
    assert embedded.status(home=home).state == "absent"
    assert not list(home.iterdir())


def test_other_home_is_another_server(home: Path) -> None:
    (home / "a").mkdir()
    (home / "b").mkdir()
    first, second = embedded.start(home=home / "a"), embedded.start(home=home / "b")
    assert first.port != second.port
    embedded.stop(home=home / "a")
    assert embedded.status(home=home / "b").state == "running"
