"""libpq's password file, read by its own rules to name the line that it would use."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from core.settings import environment

LARGEST_BYTES = 10 << 20
GROUP_AND_WORLD = 0o077


@dataclass(frozen=True)
class Line:
    """One line of the file: a field is None where it is the wildcard; its password is kept out of every repr."""

    number: int
    host: str | None
    port: str | None
    database: str | None
    user: str | None
    password: str = field(repr=False)

    def fits(self, host: str, port: str, database: str | None = None, user: str | None = None) -> bool:
        """Whether the line is for these; None of database and user is not compared."""
        wanted = ((self.host, host), (self.port, port), (self.database, database), (self.user, user))
        return all(own is None or given is None or own == given for own, given in wanted)


@dataclass(frozen=True)
class PassFile:
    """The file, its lines, and why libpq does not use it ("" where it does)."""

    path: Path
    lines: tuple[Line, ...] = ()
    problem: str = ""
    missing: bool = False

    def first(self, host: str, port: str, database: str, user: str) -> Line | None:
        """The line whose password libpq takes for this login."""
        found = next((line for line in self.lines if line.fits(pass_host(host), port, database, user)), None)
        return found if found is not None and found.password else None


def pass_host(host: str) -> str:
    """The host as the file has it: localhost for libpq's own default, which is a socket's folder on most systems."""
    return "localhost" if not host or host in ("/var/run/postgresql", "/run/postgresql") else host


def place() -> Path:
    """Where the file is: PGPASSFILE, else ~/.pgpass (on Windows in APPDATA)."""
    variables = environment()
    if named := variables.get("PGPASSFILE"):
        return Path(named)
    if sys.platform == "win32":
        return Path(variables.get("APPDATA", str(Path.home()))) / "postgresql" / "pgpass.conf"
    return Path.home() / ".pgpass"


def read(path: Path | None = None) -> PassFile:
    """The password file as libpq reads it. Source: passwordFromFile in PostgreSQL's fe-connect.c."""
    path = path or place()
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            return PassFile(path, problem="it is no plain file, so PostgreSQL's programs do not use it")
        if os.name != "nt" and found.st_mode & GROUP_AND_WORLD:
            return PassFile(
                path,
                problem=f"others may read it (mode {stat.S_IMODE(found.st_mode):04o}), so PostgreSQL's programs do not"
                f" use it; repair it with: chmod 600 {path}",
            )
        if found.st_size > LARGEST_BYTES:
            return PassFile(path, problem=f"it is larger than {LARGEST_BYTES >> 20} MiB")
        data = path.read_bytes()
    except FileNotFoundError:
        return PassFile(path, missing=True)
    except OSError as error:
        return PassFile(path, problem=error.strerror or "it cannot be read")
    return PassFile(path, tuple(_lines(data)))


def _lines(data: bytes) -> Iterator[Line]:
    for number, raw in enumerate(data.split(b"\n"), 1):
        text = raw.split(b"\0")[0].rstrip(b"\r\n").decode("utf-8", "surrogateescape")
        if raw.startswith(b"#") or not text:
            continue
        fields: list[str | None] = []
        at = 0
        for _ in range(4):
            value, at = _field(text, at)
            if at < 0:
                break
            fields.append(value)
        else:
            yield Line(number, fields[0], fields[1], fields[2], fields[3], _password(text[at:]))


def _field(text: str, at: int) -> tuple[str | None, int]:
    """One field that begins at `at` (None for the wildcard), and where the next one begins; -1 where none ends."""
    if text.startswith("*:", at):
        return None, at + 2
    value = ""
    while at < len(text):
        if text[at] == ":":
            return value, at + 1
        if text[at] == "\\":
            at += 1
        value += text[at : at + 1]
        at += 1
    return value, -1


def _password(text: str) -> str:
    """The last field up to a colon; a backslash keeps the sign after it."""
    value, at = "", 0
    while at < len(text) and text[at] != ":":
        if text[at] == "\\" and at + 1 < len(text):
            at += 1
        value += text[at]
        at += 1
    return value
