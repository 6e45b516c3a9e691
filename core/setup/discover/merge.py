"""From sightings and answers to servers: one entry a server, however many sources saw it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field

from core.probe import Answer
from core.setup.discover import installed
from core.setup.discover.model import Server, Sighting, Start
from core.setup.discover.survey import PORTS, Place, Survey, addresses, default_port, is_local, listening_at

STATES = {
    "accepting": "accepting",
    "too_many_connections": "too_many_connections",
    "rejecting": "rejecting",
    "recovering": "recovering",
    "starting": "starting",
    "shutting_down": "shutting_down",
    "silent": "silent",
    "timeout": "silent",
    "unreachable": "silent",
    "unresolved": "silent",
    "not_postgres": "not_postgres",
    "closed": "not_postgres",
    "refused": "refused",
}
SPEAKS = frozenset({"accepting", "starting", "recovering", "shutting_down", "rejecting", "too_many_connections"})
ORDER = (
    "accepting", "starting", "recovering", "shutting_down", "rejecting", "too_many_connections", "stopped", "silent",
    "not_postgres", "refused",
)  # fmt: skip
_NOTHING = ("refused", "unreachable", "unresolved")


@dataclass
class Group:
    """All that was seen of one server."""

    sightings: list[Sighting] = field(default_factory=list)
    places: dict[Place, Answer] = field(default_factory=dict)

    @property
    def pid(self) -> int | None:
        return next((one.pid for one in self.sightings if one.pid and one.source == "process"), None)

    @property
    def contained(self) -> bool:
        return any(kind == "container" for one in self.sightings for kind, _ in one.keys)

    @property
    def ports(self) -> set[int]:
        return {one.port for one in self.sightings if one.port is not None}

    @property
    def running(self) -> bool | None:
        told = [one.running for one in self.sightings if one.running is not None]
        return True if self.pid or True in told else False if told else None


def merged(own: Survey) -> list[Server]:
    """The servers of a survey, best first."""
    groups = _groups(own.sightings)
    alone: list[Group] = []
    late: list[tuple[Place, Answer]] = []
    for place, answer in own.answers.items():
        if not _belongs_here(own, place):
            continue
        if answer.state in _NOTHING:
            late += [(place, answer)] if _is_socket(place) and answer.state == "unreachable" else []
            continue
        found = _group_of(own, place, answer, groups) or _like(own, place, answer, alone)
        if found is None:
            alone.append(found := Group())
        found.places[place] = answer
    for place, answer in late:  # a socket that this user may not open: of a server that is seen otherwise, or alone
        here = [one for one in [*groups, *alone] if any(port == place[1] for _, port in one.places)]
        if not here and place in own.asked:
            alone.append(Group([], {place: answer}))
    everyone = [*groups, *alone]
    servers = [one for group in everyone if (one := _server(own, group, everyone)) is not None]
    servers += _remote(own) + _refused(own, servers)
    return sorted(servers, key=lambda one: (ORDER.index(one.state), one.port, one.host))


def _is_socket(place: Place) -> bool:
    return place[0].startswith(("/", "@"))


def _belongs_here(own: Survey, place: Place) -> bool:
    """Whether the place is on this machine, or a container's address that was found on it."""
    remote = {host for host in own.hosts if not is_local(host)}
    return place[0] not in remote


def _groups(sightings: list[Sighting]) -> list[Group]:
    """The sightings that share a key, directly or through others."""
    groups: list[tuple[set[tuple[str, object]], Group]] = []
    for one in sightings:
        keys = set(one.keys) or {("only", id(one))}
        joined = [entry for entry in groups if entry[0] & keys]
        whole = Group([each for _, group in joined for each in group.sightings] + [one])
        for entry in joined:
            keys |= entry[0]
            groups.remove(entry)
        groups.append((keys, whole))
    return [group for _, group in groups]


def _group_of(own: Survey, place: Place, answer: Answer, groups: list[Group]) -> Group | None:
    """The server behind a place, by what the system says of it."""
    socket = _is_socket(place)
    rows = [] if socket else listening_at(own, place)
    pids = {row.pid for row in rows if row.pid} | ({own.holders[place]} if own.holders.get(place) else set())
    for group in groups:
        if group.pid in pids and group.pid:
            return group
    for group in groups:
        if not socket and any(_published(one, place) for one in group.sightings):
            return group
    if pids and any(group.pid for group in groups) and not any(row.uid == 0 for row in rows):
        return None  # the process is known, and none of the servers
    uids = {row.uid for row in rows if row.uid is not None}
    near = [
        group
        for group in groups
        if group.pid
        and not group.contained
        and (not uids or any(one.uid in uids for one in group.sightings))
        and not (group.ports - {place[1]})
        and not any(port != place[1] for _, port in group.places)
    ]
    exact = [group for group in near if place[1] in group.ports]
    if len(exact) == 1 or (not exact and len(near) == 1 and uids):
        return (exact or near)[0]
    # Where processes are hidden a service that runs, or is not known to be stopped, has its own port.
    if exact or answer.state not in SPEAKS:
        return None
    quiet = [one for one in groups if place[1] in one.ports and not one.pid and one.running is not False]
    quiet = [one for one in quiet if not one.contained]
    sure = [one for one in quiet if one.running] or quiet
    return sure[0] if len(sure) == 1 else None


def _published(one: Sighting, place: Place) -> bool:
    if one.port != place[1] or not one.running or not any(kind == "container" for kind, _ in one.keys):
        return False
    every = {"0.0.0.0": ("127.0.0.1",), "::": ("::1",)}  # noqa: S104  # reads, binds none
    return any(place[0] in every.get(address, (address,)) for address in one.addresses)


def _like(own: Survey, place: Place, answer: Answer, alone: list[Group]) -> Group | None:
    """A server without a name that answers on the same port in the same way, unless they are known to be two."""
    for group in alone:
        for other, known in group.places.items():
            if other[1] == place[1] and _sign(known) == _sign(answer) and not _apart(own, other, place):
                return group
    return None


def _sign(answer: Answer) -> tuple[object, ...]:
    return answer.state, answer.banner


def _apart(own: Survey, one: Place, other: Place) -> bool:
    pids = [
        own.holders.get(place) or next((row.pid for row in listening_at(own, place) if row.pid), None)
        for place in (one, other)
    ]
    if all(pids):
        return pids[0] != pids[1]
    # One process takes the same way in at every address; two of different accounts are two.
    uids = [{row.uid for row in listening_at(own, place)} for place in (one, other) if not _is_socket(place)]
    return len(uids) == 2 and all(uids) and uids[0] != uids[1]


def _server(own: Survey, group: Group, everyone: list[Group]) -> Server | None:
    """The entry of one group; None where there is nothing to say of it."""
    if not _asked_for(own, group):
        return None
    first = sorted(group.sightings, key=lambda one: -one.worth)
    if group.places:
        place = min(group.places, key=lambda one: _preference(own, one, group.places[one]))
        answer = group.places[place]
        state, detail = _state(group, answer), _detail(group, place, answer)
        if not group.sightings and state in ("silent", "not_postgres") and not _noticed(own, group, state):
            return None  # some other program's port
        host = place[0] if _is_socket(place) else _shown_host(own, place, group, everyone)
    else:
        known = next((one for one in first if one.port is not None), None)
        unanswered = _unanswered(group)
        if known is None or unanswered is None or not own.wants(known.port) or _superseded(group, everyone):
            return None
        host = next((host for host in own.hosts if is_local(host)), "") or "localhost"
        place, state = (host, known.port or 0), unanswered
        detail = next((one.detail for one in first if one.detail), "")
        if state == "stopped" and any(port == place[1] for each in everyone for _, port in each.places):
            detail = f"{detail}; port {place[1]} is taken by something else now".lstrip("; ")
    start = next((one.start for one in first if one.start), None) if state == "stopped" else None
    how = ["socket" if _is_socket(each) else "port" for each in sorted(group.places, key=_is_socket)]
    return Server(
        host=host,
        port=place[1],
        socket=next((f"{where}/.s.PGSQL.{port}" for where, port in group.places if _is_socket((where, port))), None),
        state=state,
        version=_version(first),
        found_by=list(dict.fromkeys([*how, *(one.source for one in first)])),
        start_command=_command(start) if start else None,
        detail=detail,
        pid=group.pid,
        data_dir=next((one.data_dir for one in first if one.data_dir), None),
        may_start=bool(start and start.allowed),
        how=start,
    )


def _asked_for(own: Survey, group: Group) -> bool:
    """Not where ports of certain addresses were asked for, and this is a server at another one."""
    tcp = [place for place in group.places if not _is_socket(place)]
    covered = {address for host in own.hosts for address in addresses(host)}
    named = "localhost" in own.hosts or "" in own.hosts or own.ports is None
    return not tcp or named or any(place[0] in covered for place in tcp)


def _noticed(own: Survey, group: Group, state: str) -> bool:
    """Whether a port that is no server's for sure was asked for, or belongs to an account that runs servers."""
    covered = {address for host in own.hosts for address in addresses(host)}
    ports = PORTS if own.ports is None else own.ports
    return _of_an_account(own, group, state) or any(p[0] in covered and p[1] in ports for p in group.places)


def _of_an_account(own: Survey, group: Group, state: str) -> bool:
    """Whether a silent port belongs to an account that runs servers: one of them hangs."""
    uids = {one.uid for one in own.sightings if one.uid is not None}
    return state == "silent" and any(row.uid in uids for place in group.places for row in listening_at(own, place))


def _preference(own: Survey, place: Place, answer: Answer) -> tuple[object, ...]:
    """What speaks first, then TCP before sockets, and the address that was asked for first."""
    wanted = [address for host in own.hosts for address in addresses(host)]
    number = wanted.index(place[0]) if place[0] in wanted else len(wanted)
    state = STATES.get(answer.state, "silent")
    return (answer.state not in SPEAKS, _is_socket(place), number, ORDER.index(state))


def _state(group: Group, answer: Answer) -> str:
    if group.contained and answer.state in ("closed", "refused"):
        return "starting"  # the container's port is open, its server does not listen yet
    if answer.state == "unreachable":
        return "rejecting"  # only a socket that exists and may not be opened comes here
    return STATES.get(answer.state, "silent")


def _detail(group: Group, place: Place, answer: Answer) -> str:
    said = [] if answer.state == "accepting" else [answer.message]
    if answer.state == "unreachable":
        said = ["this user may not open its socket"]
    if answer.state in ("rejecting", "too_many_connections"):
        open_socket = next((one for one in group.places if _is_socket(one)), None)
        if open_socket and not _is_socket(place) and group.places[open_socket].state == "accepting":
            said.append(f"its socket in {open_socket[0]} accepts")
    said += [one.detail for one in sorted(group.sightings, key=lambda one: -one.worth) if one.detail][:1]
    return "; ".join(text for text in said if text)


def _unanswered(group: Group) -> str | None:
    """The state of a server of which no address answers; None where it is somebody else's business."""
    if group.pid:
        return None if group.contained and len(group.sightings) == 1 else "silent"
    container = next((one for one in group.sightings if any(kind == "container" for kind, _ in one.keys)), None)
    if container is not None and container.running:
        return "refused" if container.addresses == ("",) else "starting"
    return "stopped"


def _superseded(group: Group, everyone: list[Group]) -> bool:
    """Whether these are only programs, of a version that has a cluster."""
    if not all(one.source == installed.PROGRAMS for one in group.sightings):
        return False
    majors = {
        (one.version or "").partition(".")[0]
        for other in everyone
        if other is not group
        for one in other.sightings
        if one.source != installed.PROGRAMS and not other.contained
    }
    version = (group.sightings[0].version or "").partition(".")[0]
    return version in majors if version else bool(majors)


def _version(first: list[Sighting]) -> str | None:
    versions = [one.version for one in first if one.version]
    if not versions:
        return None
    major = versions[0].partition(".")[0]
    return max((one for one in versions if one.partition(".")[0] == major), key=len)


def _shown_host(own: Survey, place: Place, group: Group, everyone: list[Group]) -> str:
    """The host as it was asked for, unless another server answers under that name on the same port."""
    for host in own.hosts:
        names = addresses(host)
        others = (
            other
            for other in everyone
            if other is not group and any(each[0] in names and each[1] == place[1] for each in other.places)
        )
        if place[0] in names and next(others, None) is None:
            return host or "localhost"
    return place[0]


def _command(start: Start) -> str:
    return start.text or shlex.join(start.command)


def _remote(own: Survey) -> list[Server]:
    """The answers of other machines: each port that was asked for, else those that say something, or one for all."""
    found = []
    for host in dict.fromkeys(host for host in own.hosts if not is_local(host)):
        rows = [(place, answer) for place, answer in own.answers.items() if place[0] == host]
        telling = [row for row in rows if row[1].state not in (*_NOTHING, "timeout")]
        if own.ports is None:
            rows = telling or [row for row in rows if row[0][1] == default_port(own)]
        for (_, port), answer in rows:
            state = STATES.get(answer.state, "silent")
            detail = "" if state == "accepting" else f"{_WORDS.get(answer.state, '')}{answer.message}"
            found.append(Server(host=host, port=port, state=state, found_by=["port"], detail=detail))
    return found


_WORDS = {
    "unresolved": "the name has no address: ",
    "unreachable": "there is no way to it: ",
    "timeout": "it cannot be reached, or a firewall drops what is sent to it: ",
}


def _refused(own: Survey, servers: list[Server]) -> list[Server]:
    """The ports that were asked for and on which nothing answers, one for each host of this machine."""
    found = []
    # A stopped server, or one that has sockets only, explains why nothing answers by TCP.
    explained = {one.port for one in servers if one.state == "stopped" or one.host.startswith(("/", "@"))}
    known = {(one.host, one.port) for one in servers}
    for host in dict.fromkeys(host for host in own.hosts if is_local(host)):
        for port in own.ports or ():
            answers = [own.answers.get((address, port)) for address in addresses(host)]
            if (host or "localhost", port) in known or port in explained:
                continue
            told = [answer for answer in answers if answer is not None]
            if told and all(answer.state in _NOTHING for answer in told):
                first = told[0]
                shown = host or "localhost"
                found.append(Server(host=shown, port=port, state="refused", found_by=["port"], detail=first.message))
    return found
