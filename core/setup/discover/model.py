"""What discovery gives: servers; and what its sources give: sightings, of which several may be of one server."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

BUNDLED = "bundled server"
DEFAULT_PORT = 5432


class Start(BaseModel):
    """How a stopped server is started. allowed: this user may do it; account: as whom root runs it."""

    model_config = ConfigDict(frozen=True)
    command: tuple[str, ...]
    allowed: bool = False
    account: int | None = None
    text: str = ""  # what a person types, where it is not the command itself
    log: str = ""


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
    pid: int | None = None
    data_dir: str | None = None
    may_start: bool = False
    how: Start | None = Field(default=None, exclude=True)


@dataclass(frozen=True)
class Sighting:
    """What one source knows of one server.

    keys: facts that no other server shares, ("pid", 17) or ("data", "/srv/pg"): by them sightings are one server.
    addresses: where it listens by TCP, as far as the source knows. sockets: folders of its socket files.
    running: None where the source does not know. worth: the higher one names version and start. name: of its cluster,
    container or service. programs, hba_file: their folder and the file with the sign-in rules, "" where not known.
    """

    source: str
    keys: tuple[tuple[str, object], ...] = ()
    port: int | None = None
    addresses: tuple[str, ...] = ()
    sockets: tuple[str, ...] = ()
    running: bool | None = None
    version: str | None = None
    detail: str = ""
    start: Start | None = None
    uid: int | None = None
    worth: int = 0
    name: str = ""
    programs: str = ""
    hba_file: str = ""

    @property
    def pid(self) -> int | None:
        """Its main process, if the source knows it."""
        return next((int(str(value)) for kind, value in self.keys if kind == "pid"), None)

    @property
    def data_dir(self) -> str:
        """Its data folder, "" where it is not known."""
        return next((str(value) for kind, value in self.keys if kind == "data"), "")


def data_key(folder: str) -> tuple[tuple[str, object], ...]:
    """The key of a data folder, whatever links lead to it."""
    return (("data", os.path.normcase(os.path.realpath(folder))),) if folder else ()


def is_root() -> bool:
    """Whether this process may start what belongs to others."""
    if sys.platform == "win32":
        import ctypes

        return bool(ctypes.windll.shell32.IsUserAnAdmin())
    return os.geteuid() == 0


def with_rights(command: Sequence[str], *, needs_root: bool = True) -> Start:
    """A start by a command that root runs: with sudo before it for everybody else."""
    words = tuple(command)
    if not needs_root or is_root() or sys.platform == "win32":
        return Start(command=words, allowed=not needs_root or is_root())
    return Start(command=words, text=" ".join(("sudo", *words)))
