"""TCP ports of 127.0.0.1: a free one, whether one is free, and who holds it."""

from __future__ import annotations

import contextlib
import secrets
import socket

import psutil

from core.embedded.programs import WINDOWS
from core.errors import TradekeepError

PORTS = range(15432, 32000)  # below the ports that systems give to outgoing connections


def free() -> int:
    """A TCP port of 127.0.0.1 on which nothing listens now."""
    for _ in range(100):
        port = secrets.choice(PORTS)
        if is_free(port):
            return port
    raise TradekeepError("service.port_taken", f"No port between {PORTS.start} and {PORTS.stop} is free.")


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1."""
    with socket.socket() as probe:
        if not WINDOWS:  # there it would mean to share the port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def holder(port: int) -> str:
    """Who listens on a port, in words, as far as this user may know."""
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    return "another program"
