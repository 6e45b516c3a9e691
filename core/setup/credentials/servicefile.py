"""libpq's connection service files, read by its own rules."""

from __future__ import annotations

import stat
import sys
from dataclasses import dataclass, field
from pathlib import Path

from core.settings import environment
from core.settings.config import option_variables

LARGEST_BYTES = 10 << 20
LONGEST_LINE = 1023
# Where packages look when PGSYSCONFDIR names no other place.
SYSTEM_FOLDERS = ("/etc/postgresql-common", "/etc/sysconfig/pgsql", "/opt/homebrew/etc/postgresql", "/usr/local/etc")


@dataclass(frozen=True)
class Service:
    """One section of a service file: libpq's keywords, kept out of every repr; problem says why it cannot be used."""

    name: str
    line: int
    values: dict[str, str] = field(default_factory=dict, repr=False)
    problem: str = ""


@dataclass(frozen=True)
class ServiceFile:
    """A service file with its sections, and why it cannot be read."""

    path: Path
    services: tuple[Service, ...] = ()
    problem: str = ""


def places() -> list[Path]:
    """The user's file, then the system's: PGSERVICEFILE or ~/.pg_service.conf, PGSYSCONFDIR/pg_service.conf."""
    variables = environment()
    if named := variables.get("PGSERVICEFILE"):
        user = Path(named)
    elif sys.platform == "win32":
        user = Path(variables.get("APPDATA", str(Path.home()))) / "postgresql" / ".pg_service.conf"
    else:
        user = Path.home() / ".pg_service.conf"
    folders = [variables["PGSYSCONFDIR"]] if variables.get("PGSYSCONFDIR") else SYSTEM_FOLDERS
    return [user, *(Path(folder) / "pg_service.conf" for folder in folders)]


def read(path: Path) -> ServiceFile | None:
    """The sections of the file, None where there is none. Source: parseServiceFile in PostgreSQL's fe-connect.c."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            return ServiceFile(path, problem="it is no plain file")
        if found.st_size > LARGEST_BYTES:
            return ServiceFile(path, problem=f"it is larger than {LARGEST_BYTES >> 20} MiB")
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return ServiceFile(path, problem=error.strerror or "it cannot be read")
    return ServiceFile(path, tuple(_services(data)))


def _services(data: bytes) -> list[Service]:
    """Every section; of two with one name only the first counts, as libpq stops at its end."""
    found: dict[str, Service] = {}
    name: str | None = None
    for number, raw in enumerate(data.split(b"\n"), 1):
        line = raw.split(b"\0")[0].decode("utf-8", "surrogateescape").strip(" \t\r\n\f\v")
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            head = line[1:].partition("]")[0].encode("utf-8", "replace").decode()
            name = head if head not in found else None
            if name is not None:
                found[name] = Service(name, number)
        elif name is not None and not found[name].problem:
            found[name] = _with(found[name], line, number, long=len(raw) > LONGEST_LINE)
    return list(found.values())


def _with(service: Service, line: str, number: int, *, long: bool) -> Service:
    key, equals, value = line.partition("=")
    problem = ""
    if long:
        problem = f"line {number} is too long"
    elif line.startswith("ldap"):
        problem = f"line {number} asks an LDAP server, which is not asked here"
    elif not equals or key == "service" or key not in option_variables():
        problem = f"line {number} is none that PostgreSQL's programs understand"
    if problem:
        return Service(service.name, service.line, service.values, problem)
    return Service(service.name, service.line, {key: value} | service.values)


def values_of(name: str) -> dict[str, str] | None:
    """The keywords of a service, None where no file has it or its section cannot be used."""
    for path in places():
        found = read(path)
        for service in found.services if found else ():
            if service.name == name:
                return None if service.problem else service.values
    return None
