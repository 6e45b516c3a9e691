"""Servers and other listeners of every kind at once, for what discovery must tell apart."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field

from tests.servers import Cluster, free_port

ANYBODY_NOT = ("host all all 0.0.0.0/0 reject", "host all all ::0/0 reject")


@dataclass
class Lineup:
    """Ports by what sits there, and the state that is right; servers: those whose process is one of ours."""

    states: dict[str, str] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    servers: dict[str, Cluster] = field(default_factory=dict)

    def add(self, name: str, state: str, port: int) -> None:
        self.states[name], self.ports[name] = state, port


def _talk(listener: socket.socket, banner: bytes) -> None:
    """Say the banner at once to everybody; without one, answer like an HTTP server."""
    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                connection.sendall(banner) if banner else connection.recv(4096)
                if not banner:
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                connection.settimeout(1)
                connection.recv(4096)


def _program(stack: ExitStack, banner: bytes | None) -> int:
    """The port of a program that is no PostgreSQL; None: it takes connections and says nothing."""
    listener = stack.enter_context(closing(socket.create_server(("127.0.0.1", 0))))
    if banner is not None:
        threading.Thread(target=_talk, args=(listener, banner), daemon=True).start()
    return int(listener.getsockname()[1])


@contextmanager
def blackhole() -> Iterator[int]:
    """A port of 127.0.0.1 that drops every further connection: its queue is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(closing(socket.create_server(("127.0.0.1", 0), backlog=0)))
        port = int(listener.getsockname()[1])
        for _ in range(4):
            waiting = stack.enter_context(closing(socket.socket()))
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        yield port


def starting() -> Cluster:
    """A server that is fetching its first log file, and will be for a long time."""
    cluster = Cluster(conf=["restore_command = 'sleep 600; false'"])
    cluster.stop()
    cluster.put("standby.signal", "")
    cluster.start(wait=False)
    return cluster


def recovering() -> Cluster:
    """A standby that takes nobody in while it recovers."""
    cluster = Cluster(conf=["hot_standby = off"])
    cluster.stop()
    cluster.put("standby.signal", "")
    cluster.start(wait=False)
    return cluster


@contextmanager
def lineup() -> Iterator[Lineup]:
    """Every kind at once."""
    own = Lineup()
    with ExitStack() as stack:

        def server(name: str, state: str, cluster: Cluster) -> Cluster:
            stack.callback(cluster.remove)
            own.add(name, state, cluster.port)
            own.servers[name] = cluster
            return cluster

        server("accepting", "accepting", Cluster())
        server("starting", "starting", starting())
        server("recovering", "recovering", recovering())
        leaving = server("leaving", "shutting_down", Cluster())
        stack.enter_context(leaving.connect())
        leaving._process.terminate()  # type: ignore[union-attr]  # smart: it waits for the session
        server("rejecting", "rejecting", Cluster(hba=ANYBODY_NOT))
        full = server("full", "too_many_connections", Cluster(conf=[
            "max_connections = 3", "superuser_reserved_connections = 0", "max_wal_senders = 0",
        ]))  # fmt: skip
        for _ in range(3):
            stack.enter_context(full.connect())
        server("frozen", "silent", Cluster()).suspend()
        four = server("four", "accepting", Cluster())
        six = server("six", "accepting", Cluster(port=four.port, conf=["listen_addresses = '::1'"]))
        six.folder.chmod(0o755)
        server("two", "accepting", Cluster(port=four.port, conf=["listen_addresses = '127.0.0.2'"]))
        quiet = server("quiet", "accepting", Cluster(conf=["listen_addresses = ''"]))
        quiet.folder.chmod(0o755)
        own.add("silent", "silent", _program(stack, None))
        own.add("http", "not_postgres", _program(stack, b""))
        own.add("ssh", "not_postgres", _program(stack, b"SSH-2.0-OpenSSH_9.2p1\r\n"))
        own.add("closed", "refused", free_port())
        yield own
