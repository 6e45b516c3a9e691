"""The survey of a machine: every source and every address asked at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from core import embedded
from core.probe import Answer, probe
from core.settings.config import loopback, this_machine
from core.setup.discover import (
    containers,
    debian,
    identity,
    installed,
    listeners,
    macos,
    processes,
    sockets,
    systemd,
    windows,
)
from core.setup.discover.listeners import Listener
from core.setup.discover.model import BUNDLED, DEFAULT_PORT, Sighting, Start, data_key
from core.setup.discover.race import Race

PORTS = tuple(range(5432, 5440))
SPARE_S = 0.35  # for the sources that must have answered before their addresses can be asked
IDENTITY_S = 0.5
Place = tuple[str, int]  # a host's name or address, or a socket's folder; and a port


@dataclass
class Survey:
    """What was seen. answers: of each place; holders: the process behind a place, as far as it is known."""

    hosts: tuple[str, ...]
    ports: tuple[int, ...] | None
    timeout_s: float
    race: Race
    sightings: list[Sighting] = field(default_factory=list)
    listeners: list[Listener] = field(default_factory=list)
    answers: dict[Place, Answer] = field(default_factory=dict)
    holders: dict[Place, int] = field(default_factory=dict)
    asked: set[Place] = field(default_factory=set)

    @property
    def local(self) -> bool:
        """Whether one of the hosts is this machine."""
        return any(is_local(host) for host in self.hosts)

    def wants(self, port: int | None) -> bool:
        """Whether servers on this port are looked for."""
        return self.ports is None or port in self.ports

    def ask(self, place: Place) -> None:
        """Ask a place, once."""
        if place in self.asked or not self.wants(place[1]) or not place[0]:
            return
        self.asked.add(place)
        seconds = min(self.timeout_s, max(self.race.left_s - 0.02, 0.05))
        self.race.run(("answer", place), partial(_answer, place, seconds))
        if place[0].startswith(("/", "@")):
            self.race.run(("holder", place), partial(sockets.holder, *place))


def is_local(host: str) -> bool:
    """Whether a host is this machine: loopback, a socket's folder, or an address of its own."""
    return this_machine(host) or host in _own_addresses()


def _own_addresses() -> set[str]:
    try:
        rows = psutil.net_if_addrs().values()
    except (psutil.Error, OSError):
        return set()
    return {row.address.partition("%")[0] for addresses in rows for row in addresses}


def addresses(host: str) -> tuple[str, ...]:
    """The addresses at which a host is asked: both of this machine's for its name, others as they are written."""
    if not host or (loopback(host) and ":" not in host and not host[:1].isdigit()):
        return ("127.0.0.1", "::1")
    return (host,)


def survey(hosts: Sequence[str], ports: Sequence[int] | None, timeout_s: float, home: Path | None) -> Survey:
    """Ask everything, at most a third of a second longer than timeout_s."""
    race = Race(timeout_s + SPARE_S)
    own = Survey(tuple(hosts), None if ports is None else tuple(dict.fromkeys(ports)), timeout_s, race)
    for host in own.hosts:
        for port in PORTS if own.ports is None else own.ports:
            for address in addresses(host):
                own.ask((address, port))
    if own.local:
        sources: dict[str, Callable[[], Any]] = {
            "processes": _here,
            "bundled": partial(bundled, home),
            "debian": partial(debian.sightings, timeout_s),
            "systemd": partial(systemd.sightings, timeout_s),
            "windows": windows.sightings,
            "macos": partial(macos.sightings, timeout_s),
            "docker": partial(containers.sightings, "docker", timeout_s),
            "podman": partial(containers.sightings, "podman", timeout_s),
            "data": installed.data_folders,
            "programs": installed.programs,
        }
        for title, source in sources.items():
            race.run(title, source)
    for name, result in race.results():
        _take(own, name, result)
    now = "no answer in time"
    for kind, place in [name for name in race.pending if isinstance(name, tuple)]:
        if kind == "answer":
            own.answers[place] = Answer("timeout", message=now)
    return own


def _here() -> tuple[list[Sighting], list[Listener]]:
    """Processes and listeners together: one says whose ports the others are."""
    seen = processes.sightings()
    main = {one.pid for one in seen if one.pid}
    return seen, [replace(row, pid=_main_process(row.pid, main)) for row in listeners.listeners()]


def _main_process(pid: int | None, main: set[int]) -> int | None:
    """The server's main process for one of its children: one that is stopped while it begins still has the port."""
    try:
        parent = psutil.Process(pid).ppid() if pid and pid not in main else None
    except (psutil.Error, OSError):
        return pid
    return parent if parent in main else pid


def bundled(home: Path | None) -> list[Sighting]:
    """The home's bundled server, running or not."""
    found = embedded.status(home=home)
    if found.port is None or found.state in ("unavailable", "absent"):
        return []
    start = Start(command=("python", "-m", "core", "server", "start"), allowed=True)
    return [
        Sighting(
            BUNDLED,
            ((("pid", found.pid),) if found.pid else ()) + data_key(str(found.data_dir)),
            port=found.port,
            sockets=(str(found.socket_dir),) if found.socket_dir else (),
            running=found.state != "stopped",
            version=found.version,
            detail=found.reason or "",
            start=start,
            worth=9,
        )
    ]


def _answer(place: Place, seconds: float) -> Answer:
    begin = time.monotonic()
    found = probe(*place, timeout_s=seconds)
    left_s = seconds - (time.monotonic() - begin)
    if found.state == "rejecting" and found.sqlstate == "28000" and left_s > 0.05 and not place[0].startswith("/"):
        encrypted = probe(*place, timeout_s=left_s, tls=True)  # a server may refuse only what is in clear
        return encrypted if encrypted.state == "accepting" else found
    return found


def _take(own: Survey, name: object, result: Any) -> None:
    if result is None:
        if isinstance(name, tuple) and name[0] == "answer":
            own.answers[name[1]] = Answer("unreachable", message="it could not be asked")
        return
    if name == "processes":
        seen, own.listeners = result
        _take_sightings(own, seen)
        _ask_listeners(own)
        for place, answer in list(own.answers.items()):
            _identify(own, place, answer)
    elif isinstance(name, tuple) and name[0] == "answer":
        own.answers[name[1]] = result
        _identify(own, name[1], result)
    elif isinstance(name, tuple):
        own.holders[name[1]] = result
    else:
        _take_sightings(own, result)


def _take_sightings(own: Survey, seen: Iterable[Sighting]) -> None:
    """Ask the places that the sightings name."""
    own.sightings += seen
    folders = [name for one in own.sightings for name in one.sockets]
    for place in sockets.sockets(folders):
        own.ask(place)
    for one in own.sightings:
        if one.port is None or one.source == installed.PROGRAMS:
            continue
        for address in one.addresses or ("127.0.0.1", "::1"):
            own.ask((Listener(address, one.port).reached_at, one.port))


def _ask_listeners(own: Survey) -> None:
    """Ask every port that a server's process has, and those of its account where the process is not told."""
    pids = {one.pid for one in own.sightings if one.pid}
    uids = {one.uid for one in own.sightings if one.uid is not None}
    for listener in own.listeners:
        if listener.pid in pids or (listener.pid is None and listener.uid in uids):
            own.ask((listener.reached_at, listener.port))


def listening_at(own: Survey, place: Place) -> list[Listener]:
    """The listeners that take connections to a place: the address itself before one for all addresses."""
    here = [row for row in own.listeners if row.port == place[1]]
    exact = [row for row in here if row.address == place[0]]
    every = "::" if ":" in place[0] else "0.0.0.0"  # noqa: S104  # reads, binds none
    return exact or [row for row in here if row.address == every] or [row for row in here if row.address == "::"]


def _identify(own: Survey, place: Place, answer: Answer) -> None:
    """Ask for the process at an address where the system does not tell this user."""
    known = any(row.pid for row in listening_at(own, place)) or not own.listeners
    waits = answer.state == "accepting" and answer.auth_method not in (None, "none")
    name = ("holder", place)
    if known or not waits or place[0].startswith(("/", "@")) or not is_local(place[0]):
        return
    if place in own.holders or name in own.race.pending:
        return
    own.race.run(name, partial(identity.behind, *place, min(IDENTITY_S, max(own.race.left_s, 0.05))))


def default_port(own: Survey) -> int:
    """The port that stands for a host of which nothing answers."""
    return own.ports[0] if own.ports else DEFAULT_PORT
