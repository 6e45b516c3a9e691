"""Servers by their processes: a `postgres` whose parent is none, with what its command line and folder say."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psutil

from core.setup.discover import folder
from core.setup.discover.ask import said, text_of
from core.setup.discover.model import Sighting, data_key

SOURCE = "process"
VERSION_S = 0.3
NAMES = re.compile(r"(postgres|postmaster|edb-postgres)(\.exe)?", re.I)
# These are no servers: they print something, make a cluster, or serve one terminal.
_ONCE = ("--single", "--boot", "--check", "--version", "--describe-config", "--help", "-C", "-V")
_CONTAINER = re.compile(r"(?:docker|libpod|crio|cri-containerd|containerd|buildkit|lxc)[-/:]([0-9a-f]{12,64})")
_KUBERNETES = re.compile(r"/kubepods[^\n]*?([0-9a-f]{64})")


@dataclass(frozen=True)
class Options:
    """What a server's command line says; "" or None where it does not."""

    data_dir: str = ""
    port: int | None = None
    config_file: str = ""
    socket_dir: str = ""
    hba_file: str = ""


def parse(words: Sequence[str]) -> Options | None:
    """The options of a `postgres` command line, None where that is no server."""
    if any(word in _ONCE or word.startswith(("--single", "--boot", "--check")) for word in words[1:]):
        return None
    named: dict[str, str] = {}
    letters = {"-D": "data_directory", "-p": "port", "-k": "unix_socket_directories"}
    number = 1
    while number < len(words):
        word, following = words[number], words[number + 1] if number + 1 < len(words) else ""
        number += 1
        if word[:2] in letters:
            number += len(word) == 2
            named[letters[word[:2]]] = word[2:] or following
            continue
        if word.startswith("-c"):
            number += len(word) == 2
            word = word[2:] or following
        if "=" in word:
            name, _, value = word.lstrip("-").partition("=")
            named[name.replace("-", "_").lower()] = value
    return Options(
        named.get("data_directory", ""),
        folder.port_of(named),
        named.get("config_file", ""),
        next(iter(folder.socket_folders(named)), ""),
        named.get("hba_file", ""),
    )


def container_of(cgroup: str) -> str:
    """The container that a process is in, from /proc/PID/cgroup: 12 signs of its id, "" for none."""
    found = _CONTAINER.search(cgroup) or _KUBERNETES.search(cgroup)
    return found[1][:12] if found else ""


def sightings() -> list[Sighting]:
    """Every server's main process."""
    family: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        try:
            if NAMES.fullmatch(process.name()):
                family[process.pid] = process
        except (psutil.Error, OSError):
            continue
    found = []
    for process in family.values():
        try:
            if process.ppid() not in family and process.status() != psutil.STATUS_ZOMBIE:
                found.append(_sighting(process))
        except (psutil.Error, OSError, ValueError):
            continue
    return [one for one in found if one is not None]


def _sighting(process: psutil.Process) -> Sighting | None:
    words = _quietly(process.cmdline) or []
    options = parse(words)
    if options is None:
        return None
    uids = _quietly(process.uids) if hasattr(process, "uids") else None
    uid = uids.real if uids else None
    exe = _quietly(process.exe) or (words[0] if words else "")
    # Its own namespace, or at least another root: paths and ports there are not ours.
    inside = container_of(text_of(f"/proc/{process.pid}/cgroup"))
    if inside and inside != container_of(text_of("/proc/self/cgroup")):
        version = folder.version_in(exe)
        keys = (("pid", process.pid), ("container", inside))
        return Sighting(SOURCE, keys, running=True, version=version, uid=uid)
    data_dir = _quietly(process.cwd) or ""
    if not (data_dir and os.path.isfile(os.path.join(data_dir, "PG_VERSION"))):
        data_dir = options.data_dir if os.path.isabs(options.data_dir) else ""
    lock = folder.parse_lock(text_of(Path(data_dir, "postmaster.pid"))) if data_dir else None
    if lock is not None and lock.pid != process.pid:
        lock = None
    configured = folder.settings(data_dir, options.config_file) if data_dir or options.config_file else {}
    sockets = [lock.socket_dir if lock else "", options.socket_dir, *folder.socket_folders(configured)]
    hba_file = options.hba_file or configured.get("hba_file") or ("pg_hba.conf" if data_dir else "")
    return Sighting(
        SOURCE,
        (("pid", process.pid), *data_key(data_dir)),
        port=(lock.port if lock else None) or options.port or folder.port_of(configured),
        sockets=tuple(name for name in dict.fromkeys(sockets) if name),
        running=True,
        version=_program_version(exe) or (folder.version_of(data_dir) if data_dir else None) or folder.version_in(exe),
        uid=uid,
        worth=1,
        programs=os.path.dirname(exe),
        hba_file=os.path.join(data_dir, hba_file),
    )


@cache
def _program_version(exe: str) -> str | None:
    """What the program says of itself; it is run only where nobody but root and this user could have changed it."""
    try:
        entry = os.stat(exe)
    except (OSError, ValueError):
        return None
    if sys.platform != "win32" and (entry.st_uid not in (0, os.geteuid()) or entry.st_mode & 0o022):
        return None
    found = re.search(r"PostgreSQL\)\s+(\d+(?:\.\d+)*)", said([exe, "--version"], VERSION_S))
    return found[1] if found else None


def _quietly(question: Any) -> Any:
    """The answer about a process, None where this user may not know or it is gone."""
    try:
        return question()
    except (psutil.Error, OSError):
        return None
