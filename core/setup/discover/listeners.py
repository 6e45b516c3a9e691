"""TCP ports that something listens on, whose they are, and where a client reaches them."""

from __future__ import annotations

import ipaddress
import struct
import sys
from dataclasses import dataclass

import psutil

from core.setup.discover.ask import text_of

_LISTEN = "0A"


@dataclass(frozen=True)
class Listener:
    """One listening address. pid: None where this user may not know it. uid: its owner, None where not known."""

    address: str
    port: int
    pid: int | None = None
    uid: int | None = None

    @property
    def reached_at(self) -> str:
        """The address to which a client on this machine connects."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.address, self.address)  # noqa: S104  # reads, binds none


def parse(text: str) -> list[Listener]:
    """The listeners in /proc/net/tcp or tcp6, with their owners. Source: the kernel's proc_net_tcp.txt."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) < 8 or words[3] != _LISTEN:
            continue
        try:
            address, port = words[1].split(":")
            found.append(Listener(_address(address), int(port, 16), uid=int(words[7])))
        except (ValueError, struct.error):
            continue
    return found


def _address(text: str) -> str:
    """The kernel writes addresses as words of its own byte order."""
    raw = bytes.fromhex(text)
    words = struct.unpack(f">{len(raw) // 4}I", raw)
    return plain(str(ipaddress.ip_address(struct.pack(f"={len(words)}I", *words))))


def plain(address: str) -> str:
    """An address as it is written usually: IPv4 that is mapped into IPv6 is IPv4."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    mapped = getattr(parsed, "ipv4_mapped", None)
    return str(mapped or parsed)


def listeners() -> list[Listener]:
    """Every listener of this machine that this user may see."""
    owners = {}
    if sys.platform == "linux":
        rows = parse(text_of("/proc/net/tcp", 8_000_000)) + parse(text_of("/proc/net/tcp6", 8_000_000))
        owners = {(row.address, row.port): row for row in rows}
    try:
        connections = psutil.net_connections("tcp")
    except (psutil.Error, OSError, RuntimeError):  # macOS tells root only
        connections = []
    for one in connections:
        if one.status == psutil.CONN_LISTEN and one.laddr:
            place = (plain(one.laddr.ip), one.laddr.port)
            known = owners.get(place)
            pid = one.pid or (known.pid if known else None)
            owners[place] = Listener(*place, pid, known.uid if known else None)
    if not connections:
        for row in _of_own_servers():
            owners.setdefault((row.address, row.port), row)
    return list(owners.values())


def _of_own_servers() -> list[Listener]:
    """The listeners of processes that this user may look into."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.name().lower().startswith(("postgres", "postmaster")):
                rows = process.net_connections("tcp")
                found += [Listener(plain(r.laddr.ip), r.laddr.port, process.pid) for r in rows if r.status == "LISTEN"]
        except (psutil.Error, OSError):
            continue
    return found
