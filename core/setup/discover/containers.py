"""Servers in containers of Docker and podman, running or not, and the ports at which they are reached."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from core.setup.discover.ask import said
from core.setup.discover.listeners import plain
from core.setup.discover.model import DEFAULT_PORT, Sighting, Start

SOURCES = {"docker": "Docker", "podman": "Podman"}
_SERVER = re.compile(
    r"(postgres|postgis|postgresql|timescale|timescaledb(-ha)?|pgvector|pgvecto-rs|citus|spilo.*|paradedb|edb-postgres.*|"
    r"crunchy-postgres.*|pg_auto_failover|alloydbomni|orioledb|.*-postgres|postgres(ql)?-(?!(exporter|backup|operator)).*)"
)
_OTHER = re.compile(
    r"(exporter|backup|operator|pgadmin|postgrest|pgbouncer|adminer|repmgr-witness|client|meta|pgpool|postgres-mcp)"
)
# Their tags are PostgreSQL's own versions; others name theirs after "pg".
_TAGGED = ("postgres", "postgresql", "postgis")
_PUBLISHED = re.compile(r"(?:^|,\s*)(?:(\S*):)?(\d+)(?:-(\d+))?->(\d+)(?:-(\d+))?/tcp")
_INSPECT = "{{.Id}} {{json .HostConfig.PortBindings}} {{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"


def parse(text: str, tool: str = "docker") -> list[Sighting]:
    """The servers in what `docker ps -a --no-trunc --format '{{json .}}'` prints; podman's list of rows, too."""
    return [one for row in _rows(text) if (one := _container(row, tool)) is not None]


def _rows(text: str) -> Iterator[dict[str, Any]]:
    try:
        whole = json.loads(text)
        lines = whole if isinstance(whole, list) else [whole]
    except ValueError:
        lines = []
        for line in text.splitlines():
            try:
                lines.append(json.loads(line))
            except ValueError:
                continue  # a warning among the rows
    return (row for row in lines if isinstance(row, dict))


def _container(row: dict[str, Any], tool: str) -> Sighting | None:
    image, names = str(row.get("Image") or ""), row.get("Names") or row.get("Name") or ""
    name = str(names[0] if isinstance(names, list) and names else names).split(",")[0].lstrip("/")
    identity = str(row.get("ID") or row.get("Id") or name)
    published = list(parse_ports(row.get("Ports")))
    repository = image.partition("@")[0].rpartition("/")[2].partition(":")[0].lower()
    serves = bool(_SERVER.fullmatch(repository)) or any(inner == DEFAULT_PORT for _, _, inner in published)
    if not identity or not serves or _OTHER.search(repository):
        return None
    chosen = [one for one in published if one[2] == DEFAULT_PORT] or published
    state = str(row.get("State") or row.get("Status") or "").lower()
    running = state.startswith(("running", "up", "restarting", "paused", "removing"))
    frozen = "paused" in f"{state} {row.get('Status') or ''}".lower()
    words = (tool, "unpause" if frozen else "start", name or identity[:12])
    detail = f"container {name}, image {image}"
    if frozen:
        detail += f", paused; continue it with: {tool} unpause {name}"
    elif state.startswith("restarting"):
        detail += f", restarting again and again; why: {tool} logs {name}"
    return Sighting(
        SOURCES.get(tool, tool),
        (("container", identity[:12]),),
        port=chosen[0][1] if chosen else None,
        addresses=tuple(dict.fromkeys(address for address, port, _ in chosen if port == chosen[0][1])),
        running=running,
        version=version_of(image),
        detail=detail,
        start=Start(command=words, allowed=True, log=f"{tool} logs {name}"),
        worth=4,
        name=name,
    )


def parse_ports(ports: Any) -> Iterator[tuple[str, int, int]]:
    """Address and port of this machine, and the container's port, for every published TCP port."""
    if isinstance(ports, list):
        for row in ports:
            if isinstance(row, dict) and row.get("host_port") and row.get("protocol", "tcp") == "tcp":
                for extra in range(min(int(row.get("range") or 1), 1000)):
                    yield (
                        plain(str(row.get("host_ip") or "0.0.0.0")),  # noqa: S104  # reads, binds none
                        int(row["host_port"]) + extra,
                        int(row.get("container_port") or 0) + extra,
                    )
        return
    for address, first, last, inner, _ in _PUBLISHED.findall(str(ports or "")):
        host = plain(address.strip("[]") or "0.0.0.0")  # noqa: S104
        host = "::" if host in (":", "") else host
        for extra in range(min(int(last or first) - int(first) + 1, 1000)):
            yield host, int(first) + extra, int(inner) + extra


def version_of(image: str) -> str | None:
    """PostgreSQL's version in the tag of an image: postgres:16.4-alpine, pgvector/pgvector:pg17, ...:2.17.2-pg16."""
    path = image.partition("@")[0].lower()
    last = path.rpartition("/")[2]
    repository, _, tag = last.partition(":")
    named = re.search(r"(?<![a-z])pg-?(\d{1,2}(?:\.\d+)?)(?!\d)", f"{repository}:{tag}")
    if named:
        return named[1]
    own = re.match(r"v?(\d{1,2}(?:\.\d+)?)(?!\d)", tag)
    if own and repository in _TAGGED:
        return own[1]
    return next(iter(re.findall(r"postgres(?:ql)?-(\d{2})$", repository)), None)


def parse_inspected(text: str) -> dict[str, tuple[list[tuple[str, int, int]], list[str]]]:
    """Of each container: the ports that it publishes while it runs, and its own addresses; by 12 signs of its id."""
    found = {}
    for line in text.splitlines():
        words = re.match(r"\s*([0-9a-f]{12,64}) (\{.*\}|null)\s*(.*)", line)
        if not words:
            continue
        try:
            bindings = json.loads(words[2]) or {}
        except ValueError:
            continue
        ports = [
            (plain(str(one.get("HostIp") or "0.0.0.0")), int(one["HostPort"]), int(inner.partition("/")[0]))  # noqa: S104
            for inner, rows in bindings.items()
            if inner.endswith("/tcp")
            for one in rows or []
            if str(one.get("HostPort") or "").isdigit() and str(one["HostPort"]) != "0"
        ]
        found[words[1][:12]] = (ports, words[3].split())
    return found


def completed(found: list[Sighting], inspected: str) -> list[Sighting]:
    """The sightings with what `docker inspect` adds: the port of a stopped one, the address of one without a port."""
    known, result = parse_inspected(inspected), []
    for one in found:
        ports, addresses = known.get(str(one.keys[0][1]), ([], []))
        ports = [row for row in ports if row[2] == DEFAULT_PORT] or ports
        if one.port is None and ports:
            one = replace(one, port=ports[0][1], addresses=(ports[0][0],))
        elif one.port is None and one.running:
            detail = f"{one.detail}; it publishes no port: run it with -p 5432:5432 to reach it from here"
            # Only Linux routes to the containers themselves.
            reached = tuple(addresses) if sys.platform == "linux" else ()
            one = replace(one, port=DEFAULT_PORT, addresses=reached or ("",), detail=detail)
        elif one.port is None:
            one = replace(one, port=DEFAULT_PORT, addresses=("",))
        result.append(one)
    return result


def sightings(tool: str, timeout_s: float) -> list[Sighting]:
    """The containers of one tool; none where it is not installed, not running, or closed to this user."""
    found = parse(said([tool, "ps", "-a", "--no-trunc", "--format", "{{json .}}"], timeout_s * 0.6), tool)
    unknown = [str(one.keys[0][1]) for one in found if one.port is None]
    inspected = said([tool, "inspect", "--format", _INSPECT, *unknown], timeout_s * 0.4) if unknown else ""
    return completed(found, inspected)
