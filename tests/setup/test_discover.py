"""What is found on this machine, and what is said of ports that were asked for."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from core import embedded
from core.setup import discover
from tests.servers import Cluster


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        yield int(listener.getsockname()[1])


@pytest.fixture
def closed_port() -> int:
    """A port where nothing listens."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        return int(listener.getsockname()[1])


def test_each_port_that_was_asked_for_is_answered(
    home: Path, cluster: Cluster, silent_port: int, closed_port: int
) -> None:
    found = discover.servers(hosts=["127.0.0.1"], ports=[cluster.port, silent_port, closed_port], timeout_s=0.5)
    assert [(one.port, one.state) for one in found] == [
        (cluster.port, "accepting"),
        (silent_port, "silent"),
        (closed_port, "refused"),
    ]


def test_ports_that_nobody_asked_for_are_left_out_when_they_refuse(home: Path) -> None:
    assert "refused" not in {one.state for one in discover.servers(timeout_s=0.5)}


def test_the_bundled_server_of_the_given_home_is_marked_and_listed_when_stopped(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if reason := embedded.available():
        pytest.skip(reason)
    port = embedded.start(home=home).port
    monkeypatch.setenv("TRADEKEEP_HOME", str(tmp_path / "another"))
    (running,) = [one for one in discover.servers(home=home) if one.port == port and one.socket is None]
    assert running.state == "accepting"
    assert discover.BUNDLED in running.found_by
    embedded.stop(home=home)
    (stopped,) = [one for one in discover.servers(home=home) if one.port == port]
    assert (stopped.state, stopped.found_by) == ("stopped", ["bundled server"])
    assert port not in [one.port for one in discover.servers()]
    assert discover.servers(home=home, hosts=["127.0.0.1"], ports=[port])[0].state == "stopped"
