"""What is found on this machine, what is said of ports that were asked for, and starting what is stopped."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from core import embedded
from core.errors import TradekeepError
from core.setup import discover
from tests.servers import Cluster, free_port, programs
from tests.setup.lineup import Lineup, blackhole, lineup

# As `nobody`, who sees neither other accounts' sockets nor their data; imported before the rights are dropped.
AS_NOBODY = """
import json, os, sys
from core.setup import discover
"x".encode("idna")
os.setgroups([]), os.setgid(65534), os.setuid(65534)
found = discover.servers(ports=json.loads(sys.argv[1]))
print(json.dumps([one.model_dump() for one in found]))
"""


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        yield int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def everybody() -> Iterator[Lineup]:
    """Every kind of listener at once."""
    if reason := programs.available():
        pytest.skip(reason)
    with lineup() as own:
        yield own


def _rows(found: list[discover.Server], own: Lineup) -> dict[str, list[tuple[str, str]]]:
    """Host and state of what was found at each port of the lineup."""
    return {name: [(one.host, one.state) for one in found if one.port == port] for name, port in own.ports.items()}


def _right(own: Lineup) -> dict[str, list[tuple[str, str]]]:
    rows = {name: [("localhost", state)] for name, state in own.states.items()}
    three = [("127.0.0.1", "accepting"), ("127.0.0.2", "accepting"), ("::1", "accepting")]
    return rows | {
        "four": three,
        "six": three,
        "two": three,
        "quiet": [(str(own.servers["quiet"].folder), "accepting")],
    }


def test_every_kind_of_listener_at_once_is_told_apart(everybody: Lineup) -> None:
    found = discover.servers(ports=sorted(set(everybody.ports.values())))
    assert _rows(found, everybody) == _right(everybody)
    pids = {one.pid: one for one in found if one.pid}
    for name, cluster in everybody.servers.items():
        one = pids[cluster.pid]
        assert one.data_dir == str(cluster.data_dir), name
        assert one.socket == f"{cluster.socket_dir}/.s.PGSQL.{cluster.port}", name
        assert one.found_by[-1] == "process", name
        assert (one.version or "").startswith("18"), name
    assert len(found) == len(set(everybody.ports.values())) + 2  # nothing is listed twice


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="needs root, to become somebody else")
def test_every_kind_of_listener_is_told_apart_without_rights(everybody: Lineup) -> None:
    ports = json.dumps(sorted(set(everybody.ports.values())))
    done = subprocess.run([sys.executable, "-c", AS_NOBODY, ports], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert _rows([discover.Server(**row) for row in json.loads(done.stdout)], everybody) == _right(everybody)


def test_servers_are_found_without_being_asked_for(everybody: Lineup) -> None:
    rows, right = _rows(discover.servers(), everybody), _right(everybody)
    for name in everybody.servers:
        assert rows[name] == right[name]
    assert rows["http"] == rows["silent"] == rows["closed"] == []


def test_each_port_that_was_asked_for_is_answered(home: Path, cluster: Cluster, silent_port: int) -> None:
    closed_port = free_port()
    found = discover.servers(hosts=["127.0.0.1"], ports=[cluster.port, silent_port, closed_port], timeout_s=0.5)
    assert [(one.host, one.port, one.state) for one in found] == [
        ("127.0.0.1", cluster.port, "accepting"),
        ("127.0.0.1", silent_port, "silent"),
        ("127.0.0.1", closed_port, "refused"),
    ]


def test_ports_that_nobody_asked_for_are_left_out_when_they_refuse(home: Path) -> None:
    assert "refused" not in {one.state for one in discover.servers(timeout_s=0.5)}


@pytest.mark.parametrize(
    ("host", "states"),
    [
        ("no-such-host.invalid", {"silent"}),
        ("192.0.2.1", {"silent", "refused"}),
        ("a" * 300, {"silent"}),
        ("\0", {"silent"}),
    ],
)
def test_host_that_cannot_be_reached_is_one_line_that_says_so(host: str, states: set[str]) -> None:
    begin = time.monotonic()
    (one,) = discover.servers(hosts=[host], timeout_s=0.3)
    assert (one.host, one.port) == (host, 5432)
    assert one.state in states
    assert one.detail
    assert time.monotonic() - begin < 5  # with much room for a busy machine
    assert [row.port for row in discover.servers(hosts=[host], ports=[1, 2], timeout_s=0.2)] == [1, 2]


def test_blackholed_port_is_silent_and_holds_nothing_up(cluster: Cluster) -> None:
    with blackhole() as port:
        found = {one.port: one.state for one in discover.servers(ports=[cluster.port, port], timeout_s=0.5)}
    assert found == {cluster.port: "accepting", port: "silent"}


def test_the_bundled_server_of_the_given_home_is_marked_and_listed_when_stopped(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if reason := embedded.available():
        pytest.skip(reason)
    port = embedded.start(home=home).port
    monkeypatch.setenv("TRADEKEEP_HOME", str(tmp_path / "another"))
    (running,) = [one for one in discover.servers(home=home) if one.port == port]
    assert running.state == "accepting"
    assert discover.BUNDLED in running.found_by
    embedded.stop(home=home)
    assert embedded.status(home=home).left_stopped
    (stopped,) = [one for one in discover.servers(home=home) if one.port == port]
    assert (stopped.state, stopped.found_by) == ("stopped", ["bundled server"])
    assert stopped.start_command == "python -m core server start"
    assert port not in [one.port for one in discover.servers()]
    (asked,) = discover.servers(home=home, hosts=["127.0.0.1"], ports=[port])
    assert asked.state == "stopped"
    assert discover.start(asked, home=home).state == "accepting"
    assert not embedded.status(home=home).left_stopped
    (again,) = discover.servers(home=home, ports=[port])
    assert again.state == "accepting"


def test_data_folder_that_is_stopped_is_started(own_cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    own_cluster.stop()
    monkeypatch.setenv("PGDATA", str(own_cluster.data_dir))
    monkeypatch.setattr("core.setup.discover.folder.programs_for", lambda major: own_cluster.binaries)
    (one,) = discover.servers(ports=[own_cluster.port])
    assert (one.state, one.found_by, one.version) == ("stopped", ["data folder"], "18")
    assert f"pg_ctl -D {own_cluster.data_dir}" in (one.start_command or "")
    if not one.may_start:
        pytest.skip("its programs could be changed by others than root")
    try:
        assert discover.start(one, timeout_s=20).state == "accepting"
        (running,) = discover.servers(ports=[own_cluster.port])
        assert running.state == "accepting"
        assert "process" in running.found_by
    finally:
        _end(running.pid if running else None)


def _end(pid: int | None) -> None:
    import signal

    import psutil

    if pid:
        process = psutil.Process(pid)
        process.send_signal(signal.SIGQUIT)
        psutil.wait_procs([process], 5)


def test_start_that_fails_says_why_from_the_log(own_cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    own_cluster.configure(conf=["shared_buffers = 'much'"])
    own_cluster.stop()
    monkeypatch.setenv("PGDATA", str(own_cluster.data_dir))
    monkeypatch.setattr("core.setup.discover.folder.programs_for", lambda major: own_cluster.binaries)
    (one,) = discover.servers(ports=[own_cluster.port])
    if not one.may_start:
        pytest.skip("its programs could be changed by others than root")
    with pytest.raises(TradekeepError) as refused:
        discover.start(one, timeout_s=10)
    assert refused.value.kind != "unexpected"
    assert "shared_buffers" in f"{refused.value.message} {refused.value.details}"


def test_server_that_this_user_may_not_start_is_refused_with_its_command() -> None:
    one = discover.Server(
        host="localhost", port=5432, state="stopped", start_command="sudo systemctl start postgresql-16"
    )
    with pytest.raises(TradekeepError) as refused:
        discover.start(one)
    assert refused.value.kind == "permission.start"
    assert "systemctl start postgresql-16" in refused.value.recovery_steps[0]


def test_sources_that_are_broken_take_nothing_else_away(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("pg_lsclusters", "docker", "podman", "brew", "systemctl"):
        program = tmp_path / name
        program.write_text("#!/bin/sh\necho '[{\"broken\": '; sleep 600\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (one,) = discover.servers(ports=[cluster.port])
    assert one.state == "accepting"
