"""Unix sockets of servers: where they are, and which process is behind one."""

from __future__ import annotations

import re
import socket
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

from core.setup.discover import folder
from core.setup.discover.ask import text_of

FOLDERS = ("/var/run/postgresql", "/run/postgresql", "/tmp")  # noqa: S108  # where libpq's builds look
_NAME = re.compile(r"(.*)/\.s\.PGSQL\.(\d{1,5})")
_LISTENING = 0x10000  # __SO_ACCEPTCON
_LOCAL_PEERPID = (0, 0x002)  # macOS's sys/un.h: SOL_LOCAL, LOCAL_PEERPID


def parse(text: str) -> list[tuple[str, int]]:
    """Folder and port of every server's socket in /proc/net/unix that listens; abstract ones begin with @."""
    found = []
    for line in text.splitlines()[1:]:
        words = line.split(None, 7)
        if len(words) < 8:
            continue
        match = _NAME.fullmatch(words[7].strip())
        try:
            listening = int(words[3], 16) & _LISTENING
        except ValueError:
            continue
        if match and listening:
            found.append((match[1], int(match[2])))
    return found


def sockets(more: Iterable[str] = ()) -> list[tuple[str, int]]:
    """Folder and port of every socket of a server: those in the usual folders and in `more`, and what Linux lists."""
    found = []
    for name in (*FOLDERS, *more):
        if name.startswith("@"):
            continue
        try:
            place = Path(name).resolve()
            rows = [_NAME.fullmatch(str(path)) for path in place.glob(".s.PGSQL.*")]
        except (OSError, RuntimeError, ValueError):
            continue
        found += [(row[1], int(row[2])) for row in rows if row]
    if sys.platform == "linux":
        for name, port in parse(text_of("/proc/net/unix", 8_000_000)):
            found.append((name if name.startswith("@") else _resolved(name), port))
    return list(dict.fromkeys(found))


def _resolved(name: str) -> str:
    try:
        return str(Path(name).resolve())
    except (OSError, RuntimeError):
        return name


def holder(place: str, port: int) -> int | None:
    """The process that listens on a socket: the system tells whoever connects; else its lock file may."""
    path = f"{place}/.s.PGSQL.{port}"
    if not hasattr(socket, "AF_UNIX"):
        return None
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(0.2)
            connection.connect("\0" + path[1:] if path.startswith("@") else path)
            if hasattr(socket, "SO_PEERCRED"):
                raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
                return struct.unpack("3i", raw)[0] or None  # 0: of another namespace
            if sys.platform == "darwin":
                return struct.unpack("i", connection.getsockopt(*_LOCAL_PEERPID, 4))[0] or None
    except (OSError, struct.error, ValueError):
        pass
    lock = folder.parse_lock(text_of(f"{path}.lock")) if not path.startswith("@") else None
    return lock.pid if lock else None
