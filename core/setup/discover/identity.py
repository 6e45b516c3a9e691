"""Which process answers at an address: read from the titles of the server's processes while a login waits."""

from __future__ import annotations

import re
import socket
import struct

import psutil

from core.setup.discover.processes import NAMES

_USER = "tradekeep_probe"


def startup_message() -> bytes:
    """A StartupMessage of protocol 3.0."""
    body = f"user\0{_USER}\0database\0postgres\0\0".encode()
    return struct.pack(">II", len(body) + 8, 196608) + body


def behind(address: str, port: int, timeout_s: float) -> int | None:
    """The main process of the server at a TCP address, for those who may not see whose socket it is.

    While a client is asked for its password its process is called "postgres: USER DATABASE ADDRESS(PORT) ...", with
    the client's own port. Source: PostgreSQL's src/backend/utils/init/postinit.c, update_process_title.
    """
    try:
        with socket.create_connection((address, port), timeout=timeout_s) as connection:
            mine = connection.getsockname()[1]
            connection.sendall(startup_message())
            if connection.recv(1) != b"R":
                return None
            return _parent_of(f"({mine})")
    except (OSError, psutil.Error, UnicodeError):
        return None


def _parent_of(sign: str) -> int | None:
    for process in psutil.process_iter():
        try:
            if NAMES.fullmatch(process.name()) and re.search(
                rf" {_USER} .*{re.escape(sign)}", " ".join(process.cmdline())
            ):
                return process.ppid()
        except (psutil.Error, OSError):
            continue
    return None
