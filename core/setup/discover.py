"""PostgreSQL servers on this machine: what listens, what each says of itself, and what is installed but stopped."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from core import embedded
from core.probe import Answer, probe

PORTS = tuple(range(5432, 5440))
SOCKET_FOLDERS = ("/var/run/postgresql", "/run/postgresql", "/tmp")  # noqa: S108  # where libpq's builds look
STATES = {
    "accepting": "accepting",
    "starting": "starting",
    "recovering": "recovering",
    "shutting_down": "shutting_down",
    "rejecting": "rejecting",
    "too_many_connections": "too_many_connections",
    "silent": "silent",
    "timeout": "silent",
    "not_postgres": "not_postgres",
    "closed": "not_postgres",
}

ORDER = (*dict.fromkeys(STATES.values()), "stopped", "refused")
BUNDLED = "bundled server"
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Server(BaseModel):
    """One server, or what sits where one was looked for; start_command only where it is stopped."""

    model_config = ConfigDict(frozen=True)
    host: str
    port: int
    socket: str | None = None
    state: str
    version: str | None = None
    found_by: list[str] = []
    start_command: str | None = None
    detail: str = ""


def servers(
    *,
    timeout_s: float = 1.0,
    hosts: Sequence[str] = ("localhost",),
    ports: Sequence[int] | None = None,
    home: Path | None = None,
) -> list[Server]:
    """Every server found, those that accept connections first; all places are asked at the same time.

    A port that refuses is left out, unless it was asked for in `ports`. An installed Debian cluster and the bundled
    server of `home` (default TRADEKEEP_HOME) are listed as "stopped" when they are down.
    """
    bundled = embedded.status(home=home)
    wanted = list(ports) if ports is not None else [*PORTS, *([bundled.port] if bundled.port else [])]
    places = [(host, port, "port") for host in hosts for port in dict.fromkeys(wanted)]
    if ports is None:
        places += [(str(path.parent), int(path.suffix[1:]), "socket") for path in _sockets()]
    clusters = _debian_clusters() if ports is None else []
    with ThreadPoolExecutor(max_workers=max(1, len(places)), thread_name_prefix="discover") as pool:
        answers = list(pool.map(lambda place: probe(place[0], place[1], timeout_s=timeout_s), places))
    found: dict[tuple[str, int], Server] = {}
    for (host, port, how), answer in zip(places, answers, strict=True):
        server = _server(host, port, how, answer, asked=ports is not None)
        if server is not None:
            found[host, port] = server
    for cluster in clusters:
        _merge(found, cluster)
    if bundled.port in wanted:
        _merge_bundled(found, bundled, hosts)
    return sorted(found.values(), key=lambda server: (ORDER.index(server.state), server.port, server.host))


def _server(host: str, port: int, how: str, answer: Answer, *, asked: bool) -> Server | None:
    state = STATES.get(answer.state)
    if state is None and asked:  # a host without a name or a way to it says as little as a silent one
        state = "refused" if answer.state == "refused" else "silent"
    if state is None:
        return None
    socket = f"{host}/.s.PGSQL.{port}" if how == "socket" else None
    return Server(host=host, port=port, socket=socket, state=state, found_by=[how], detail=answer.message or "")


def _merge_bundled(found: dict[tuple[str, int], Server], bundled: embedded.Status, hosts: Sequence[str]) -> None:
    """Mark the bundled server where it answers; list it as stopped where it does not and its port is free."""
    local = [host for host in hosts if host in LOOPBACK]
    if not local or bundled.port is None:
        return
    place = (local[0], bundled.port)
    known = found.get(place)
    if bundled.state in ("running", "starting") and known is not None:
        found[place] = known.model_copy(update={"version": bundled.version, "found_by": [*known.found_by, BUNDLED]})
    elif bundled.state == "stopped" and (known is None or known.state == "refused"):
        found[place] = Server(
            host=place[0],
            port=place[1],
            state="stopped",
            version=bundled.version,
            found_by=[BUNDLED],
            detail=bundled.reason or "",
        )


def _sockets() -> list[Path]:
    found: list[Path] = []
    for folder in dict.fromkeys(Path(name).resolve() for name in SOCKET_FOLDERS):
        try:
            found += [path for path in folder.glob(".s.PGSQL.*") if path.suffix[1:].isdigit()]
        except OSError:
            continue
    return found


def _debian_clusters() -> list[Server]:
    """Debian's own list of clusters; empty on other systems."""
    program = shutil.which("pg_lsclusters")
    if program is None:
        return []
    try:
        done = subprocess.run(  # noqa: S603  # a fixed command
            [program, "--json"], capture_output=True, text=True, timeout=2, check=True
        )
        rows = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return []
    return [
        Server(
            host="localhost",
            port=int(row["port"]),
            state="accepting" if row.get("running") else "stopped",
            version=str(row["version"]),
            found_by=["Debian cluster"],
            start_command=None if row.get("running") else f"sudo pg_ctlcluster {row['version']} {row['cluster']} start",
            detail=f"cluster {row['version']}/{row['cluster']}",
        )
        for row in rows
    ]


def _merge(found: dict[tuple[str, int], Server], cluster: Server) -> None:
    """Add what Debian knows to the server that answers on the cluster's port, or list the cluster as stopped."""
    known = found.get((cluster.host, cluster.port))
    if known is None:
        if cluster.state == "stopped":
            found[cluster.host, cluster.port] = cluster
        return
    if cluster.state == "stopped":
        return  # somebody else has its port
    changes = {"version": cluster.version, "found_by": [*known.found_by, *cluster.found_by], "detail": cluster.detail}
    found[cluster.host, cluster.port] = known.model_copy(update=changes)
