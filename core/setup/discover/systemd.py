"""Servers that systemd runs: Debian's instances, the RPMs' postgresql-16.service, hand-made units."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from core.setup.discover import folder
from core.setup.discover.ask import said
from core.setup.discover.model import DEFAULT_PORT, Sighting, data_key, with_rights
from core.setup.discover.processes import parse as parse_words

SOURCE = "systemd"
PATTERNS = ("postgresql*.service", "postgres*.service", "edb-as-*.service", "rh-postgresql*.service")
_SHOWN = "Id,LoadState,ActiveState,SubState,MainPID,ExecStart,Environment,Result"
_STARTS = re.compile(r"argv\[\]=([^;]*);")
_NOT_SERVERS = re.compile(r"(exporter|backup|pgbouncer|pgagent|@\.service|-setup)")


def parse_names(text: str) -> list[str]:
    """The services in what `systemctl list-unit-files` or `list-units` prints; templates are none."""
    names = [line.split()[0].lstrip("●*") or line.split()[1] for line in text.splitlines() if line.split()]
    return [name for name in dict.fromkeys(names) if name.endswith(".service") and not _NOT_SERVERS.search(name)]


def parse(text: str) -> list[Sighting]:
    """The servers in what `systemctl show` prints: a block a unit, with an empty line between."""
    found = []
    for block in re.split(r"\n\s*\n", text.strip()):
        lines = [line.partition("=") for line in block.splitlines()]
        unit = {name.strip(): value for name, sign, value in lines if sign}
        one = _unit(unit)
        if one is not None:
            found.append(one)
    return found


def _unit(unit: dict[str, str]) -> Sighting | None:
    name = unit.get("Id", "")
    started = _STARTS.search(unit.get("ExecStart", ""))
    # Debian's postgresql.service starts nothing itself.
    if not name or unit.get("LoadState", "loaded") != "loaded" or (started and started[1].split()[:1] == ["/bin/true"]):
        return None
    variables = dict(word.split("=", 1) for word in _words(unit.get("Environment", "")) if "=" in word)
    words = [_expanded(word, variables) for word in _words(started[1] if started else "")]
    options = parse_words(words)
    data_dir = (options.data_dir if options else "") or variables.get("PGDATA", "")
    settings = folder.settings(data_dir) if data_dir else {}
    port = (options.port if options else None) or folder.port_of({"port": variables.get("PGPORT", "")})
    active = unit.get("ActiveState", "")
    short = name.removesuffix(".service")
    instance = re.fullmatch(r"postgresql@([\d.]+)-(.+)", short)
    keys: tuple[tuple[str, object], ...] = (("cluster", f"{instance[1]}/{instance[2]}"),) if instance else ()
    pid = unit.get("MainPID", "0")
    keys += (("pid", int(pid)),) if pid.isdigit() and pid != "0" and active == "active" else ()
    detail = f"service {short}"
    if active == "failed":
        detail += f" failed; why: journalctl -u {short} -n 50"
    elif data_dir and Path(data_dir).is_dir() and not any(_inside(data_dir)):
        detail += " has no data yet; make it first with the setup program of the package"
    return Sighting(
        SOURCE,
        keys + data_key(data_dir) or (("unit", short),),
        port=port or folder.port_of(settings) or (None if instance else DEFAULT_PORT),
        sockets=folder.socket_folders(settings),
        running={"active": True, "inactive": False, "failed": False}.get(active),
        version=(folder.version_of(data_dir) if data_dir else None) or (instance[1] if instance else None)
        or folder.version_in(short + ".") or folder.version_in(words[0] if words else ""),
        detail=detail,
        start=with_rights(("systemctl", "start", short)),
        worth=2,
    )  # fmt: skip


def _inside(data_dir: str) -> list[Path]:
    try:
        return list(Path(data_dir).iterdir())
    except OSError:
        return [Path(data_dir)]  # closed to this user: nothing is known


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def _expanded(word: str, variables: dict[str, str]) -> str:
    return re.sub(r"\$\{?(\w+)\}?", lambda found: variables.get(found[1], found[0]), word)


def sightings(timeout_s: float) -> list[Sighting]:
    """Every unit, running or not."""
    names = parse_names(
        said(["systemctl", "list-unit-files", "--no-legend", "--no-pager", *PATTERNS], timeout_s / 2)
        + said(["systemctl", "list-units", "--all", "--plain", "--no-legend", "--no-pager", *PATTERNS], timeout_s / 2)
    )
    if not names:
        return []
    return parse(said(["systemctl", "show", "--no-pager", f"--property={_SHOWN}", *names], timeout_s / 2))
