"""Asking the port: within its time whatever the other side does, over several hosts, and without saying a secret."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable

import psycopg
import pytest
from pydantic import SecretStr

from core.errors import classify
from core.settings import DatabaseConfig
from tests.conformance.lab import listener
from tests.servers import Cluster, free_port

UNKNOWN = psycopg.OperationalError("what is this")
SECRET = "hunter2%20Secret+"


def dripping(client: socket.socket) -> None:
    """A byte of a long message every tenth of a second."""
    client.recv(100)
    for byte in b"E\0\0\x20\0" + b"x" * 100:
        client.sendall(bytes([byte]))
        time.sleep(0.1)


def silent(client: socket.socket) -> None:
    time.sleep(4)


def tls_then_silent(client: socket.socket) -> None:
    client.recv(8)
    client.sendall(b"S")
    time.sleep(4)


def config(*ports: int, **options: str) -> DatabaseConfig:
    return DatabaseConfig(
        host=",".join(["127.0.0.1"] * len(ports)), port_text=",".join(map(str, ports)), user="me", database="d",
        password=SecretStr(SECRET), options=options,
    )  # fmt: skip


@pytest.mark.parametrize("answer", [dripping, silent, tls_then_silent])
@pytest.mark.parametrize(
    "exc",
    [
        UNKNOWN,
        psycopg.OperationalError("SSL error: certificate verify failed"),
        psycopg.OperationalError('FATAL:  password authentication failed for user "me"'),
        psycopg.OperationalError('FATAL:  no pg_hba.conf entry for host "h", user "me", database "d", SSL encryption'),
    ],
    ids=["unknown", "verify", "password", "rule"],
)
def test_question_ends_in_its_time(answer: Callable[[socket.socket], None], exc: psycopg.Error) -> None:
    with listener(answer) as one, listener(answer) as two:
        started = time.perf_counter()
        error = classify(exc, config(one, two, one, sslmode="verify-full"), probe_timeout_s=0.4)
        assert (
            time.perf_counter() - started < 0.4 + 1
        )  # room for a slow machine; three hosts that are each waited for would take longer
    assert "hunter2" not in str(error.diagnostic_info())


def test_time_of_zero_asks_nothing() -> None:
    asked: list[int] = []
    with listener(lambda client: asked.append(1)) as port:
        assert classify(UNKNOWN, config(port), probe_timeout_s=0).kind == "unexpected"
    assert asked == []


def test_what_the_driver_said_of_one_host_is_not_overruled_by_another(cluster: Cluster) -> None:
    refused = psycopg.OperationalError("connection failed: Connection refused")
    hosts = DatabaseConfig(host="no-such-host.invalid,127.0.0.1", port_text=f"1,{free_port()}", user="me")
    assert classify(refused, hosts).kind == "service.refused"


@pytest.mark.parametrize("place", ["address", "socket"])
def test_config_without_a_password_is_enough(own_cluster: Cluster, place: str) -> None:
    host = "127.0.0.1" if place == "address" else str(own_cluster.socket_dir)
    asked = DatabaseConfig(host=host, port=own_cluster.port, user="me", database="d")
    assert classify(UNKNOWN, asked).kind == "unexpected"  # it answers, so the cause is another one
    own_cluster.stop()
    kind = classify(UNKNOWN, asked).kind
    assert kind == ("service.refused" if place == "address" else "service.socket_missing")


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ('pg_dump: error: connection to server failed: FATAL:  database "x" does not exist', "schema.missing_database"),
        ("pg_restore: error: could not write to file: No space left on device", "resource.disk_full"),
        ("something else", "unexpected"),
    ],
)  # fmt: skip
def test_program_that_failed_is_judged_by_what_it_said(said: str, kind: str) -> None:
    command = ["pg_dump", "--dbname", f"postgresql://u:{SECRET}@h/d"]
    error = classify(subprocess.CalledProcessError(1, command, stderr=said.encode()))
    assert error.kind == kind
    assert "hunter2" not in str(error.diagnostic_info())
