"""What a port says: PostgreSQL in each of its states, other programs, and nothing at all."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import statistics
import time
from pathlib import Path

import pytest

from core.probe import certificate, probe, reach
from tests.conformance.failing_connections import closing, http, mysql, patient_http, redis, silent, ssh
from tests.conformance.lab import Lab, error_message, listener, refusing
from tests.servers import Cluster, free_port


@pytest.fixture(scope="module")
def lab(cluster: Cluster) -> object:
    with contextlib.ExitStack() as stack:
        yield Lab(stack)


def test_server_that_accepts_says_what_it_asks_for(cluster: Cluster) -> None:
    answer = probe("127.0.0.1", cluster.port)
    assert (answer.state, answer.auth_method, answer.tls) == ("accepting", "scram-sha-256", None)
    assert answer.address == "127.0.0.1"
    assert 0 < answer.ms < 1000
    assert probe("127.0.0.1", cluster.port, tls=True).tls is False


def test_socket_folder(cluster: Cluster) -> None:
    answer = probe(str(cluster.socket_dir), cluster.port, tls=True)
    assert (answer.state, answer.tls) == ("accepting", None)
    assert reach(str(cluster.socket_dir), cluster.port).ok
    assert probe(str(cluster.socket_dir), cluster.port + 1).state == "refused"


def test_every_address_of_a_host_is_tried(cluster: Cluster) -> None:
    """localhost is ::1 first where there is IPv6, and the server listens on 127.0.0.1 alone."""
    assert probe("localhost", cluster.port).state == "accepting"
    assert reach("localhost", cluster.port).address == "127.0.0.1"


def test_probe_leaves_no_error_in_the_servers_log(cluster: Cluster) -> None:
    before = len(cluster.log.read_text())
    probe("127.0.0.1", cluster.port, user="postgres")
    time.sleep(0.1)
    assert "FATAL" not in cluster.log.read_text()[before:]


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize(
    ("program", "state"),
    [(http, "not_postgres"), (patient_http, "not_postgres"), (mysql, "not_postgres"), (ssh, "not_postgres"),
     (redis, "not_postgres"), (silent, "silent"), (closing, "closed")],
    ids=lambda value: getattr(value, "__name__", value),
)  # fmt: skip
def test_other_programs(program: object, state: str, tls: bool) -> None:
    with listener(program) as port:  # type: ignore[arg-type]
        assert probe("127.0.0.1", port, tls=tls, timeout_s=0.6).state == state


def test_banner_is_shown() -> None:
    with listener(ssh) as port:
        assert probe("127.0.0.1", port, tls=True).banner.startswith("SSH-2.0")


@pytest.mark.parametrize(
    ("sqlstate", "text", "state"),
    [
        ("57P03", "the database system is starting up", "starting"),
        ("57P03", "das Datenbanksystem startet", "starting"),
        ("57P03", "das Datenbanksystem fährt herunter", "shutting_down"),
        ("57P03", "the database system is in recovery mode", "recovering"),
        ("57P03", "the database system is not yet accepting connections", "recovering"),
        ("57P03", "データベースシステムはシャットダウンしています", "shutting_down"),
        ("53300", "sorry, too many clients already", "too_many_connections"),
        ("28000", "no pg_hba.conf entry", "rejecting"),
        ("08P01", "no such database", "rejecting"),
    ],
)
def test_states_that_are_refusals(sqlstate: str, text: str, state: str) -> None:
    with listener(refusing(sqlstate, text)) as port:
        answer = probe("127.0.0.1", port)
        assert (answer.state, answer.sqlstate, answer.message) == (state, sqlstate, text)
        assert answer.severity == "FATAL"


def test_server_that_cannot_fork_answers_in_the_old_form() -> None:
    def old(client: socket.socket) -> None:
        client.recv(100)
        client.sendall(b"Ecould not fork new process for connection: Cannot allocate memory\n\0")

    with listener(old) as port:
        answer = probe("127.0.0.1", port)
        assert answer.state == "rejecting"
        assert "could not fork" in answer.message


@pytest.mark.parametrize("pieces", [1, 3, 50])
def test_answer_that_comes_in_pieces(pieces: int) -> None:
    def slow(client: socket.socket) -> None:
        client.recv(100)
        message = error_message("53300", "too many")
        size = -(-len(message) // pieces)
        for start in range(0, len(message), size):
            client.sendall(message[start : start + size])
            time.sleep(0.002)

    with listener(slow) as port:
        assert probe("127.0.0.1", port).state == "too_many_connections"


@pytest.mark.parametrize(
    "garbage", [b"R", b"R\0\0\0\x08", b"E\0\0\0\x01", b"R\xff\xff\xff\xff", b"\0" * 100, b"Z\0\0\0\x05I"]
)
def test_garbage_is_not_taken_for_an_answer(garbage: bytes) -> None:
    def answer(client: socket.socket) -> None:
        client.recv(100)
        client.sendall(garbage)

    with listener(answer) as port:
        assert probe("127.0.0.1", port, timeout_s=0.5).state in ("not_postgres", "closed", "accepting", "rejecting")


def test_real_states(lab: Lab) -> None:
    """A server that waits for its sessions before it ends, one that is stopped, and one that hangs."""
    server = lab.running()
    with contextlib.closing(server.connect()):
        assert server.pid
        os.kill(server.pid, signal.SIGTERM)
        time.sleep(0.1)
        assert probe("127.0.0.1", server.port).state == "shutting_down"
    server.stop()
    assert probe("127.0.0.1", server.port).state == "refused"
    server.start()
    server.suspend()
    started = time.monotonic()
    assert probe("127.0.0.1", server.port, timeout_s=0.3).state == "silent"
    assert time.monotonic() - started < 1.5
    assert reach("127.0.0.1", server.port).ok, "the kernel accepts for it"
    server.resume()


@pytest.mark.parametrize(
    ("user", "database", "state", "sqlstate"),
    [
        ("plain", "app", "accepting", None),
        ("ghost", "app", "accepting", "28000"),
        ("nohba", "app", "rejecting", "28000"),
    ],
)
def test_rejection_by_a_rule_is_told_from_an_unknown_user(
    lab: Lab, user: str, database: str, state: str, sqlstate: str | None
) -> None:
    answer = probe("127.0.0.1", lab.server.port, user=user, database=database)
    assert (answer.state, answer.sqlstate) == (state, sqlstate)


def test_nothing_there() -> None:
    assert probe("127.0.0.1", free_port()).state == "refused"
    assert probe("no-such-host.invalid", 5432).state == "unresolved"
    assert probe("127.0.0.1", 0).state == "unresolved"
    assert probe("127.0.0.1", 99999).state == "unresolved"
    assert probe("bad\0host", 5432).state == "unresolved"
    assert probe("x" * 300, 5432).state == "unresolved"
    assert reach("127.0.0.1", free_port()).state == "refused"
    assert not reach("no-such-host.invalid", 5432).ok


def test_packets_that_are_dropped_end_in_time() -> None:
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(contextlib.closing(socket.create_server(("127.0.0.1", 0), backlog=0)))
        for _ in range(4):
            client = stack.enter_context(contextlib.closing(socket.socket()))
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        time.sleep(0.05)
        started = time.monotonic()
        answer = reach("127.0.0.1", server.getsockname()[1], 0.25)
        assert answer.state == "timeout"
        assert 0.2 < time.monotonic() - started < 1


def test_reach_is_cheap(cluster: Cluster) -> None:
    times = [reach("127.0.0.1", cluster.port).ms for _ in range(50)]
    assert statistics.median(times) < 5


@pytest.mark.parametrize(
    ("shown", "root", "name", "code"),
    [
        ("server", "root", "localhost", 0),
        ("other", "root", "localhost", 62),
        ("other", "root", None, 0),
        ("old", "root", "localhost", 10),
        ("new", "root", "localhost", 9),
        ("server", "stranger", "localhost", 19),
    ],
)
def test_certificate(lab: Lab, shown: str, root: str, name: str | None, code: int) -> None:
    server = lab.showing(shown)
    found = certificate("127.0.0.1", server.port, root=Path(lab.certificates.path(root)), name=name)
    assert found.verify_code == code, found
    assert found.not_before
    assert found.not_after
    assert found.not_before < found.not_after
    assert ("db.example.com" if shown == "other" else "localhost") in found.names


def test_server_inside_tls(lab: Lab) -> None:
    server = lab.showing("server")
    answer = probe("127.0.0.1", server.port, user="plain", tls=True)
    assert (answer.state, answer.tls) == ("accepting", True)
    assert probe("127.0.0.1", server.port, user="tlsonly", tls=True).state == "accepting"
    assert probe("127.0.0.1", server.port, user="tlsonly").sqlstate == "28000"


def test_certificate_of_a_server_without_one(cluster: Cluster, tmp_path: Path) -> None:
    assert certificate("127.0.0.1", cluster.port).state == "no_tls"
    assert certificate("127.0.0.1", free_port()).state == "refused"
    (tmp_path / "x").write_text("garbage")
    assert certificate("127.0.0.1", cluster.port, root=tmp_path / "x").state == "unreadable_root"
    assert certificate("127.0.0.1", cluster.port, root=tmp_path / "nothing").state == "unreadable_root"
