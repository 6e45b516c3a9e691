"""Data folders without a service, and programs without a cluster: what is installed but was never started by a tool."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from core.settings import environment
from core.setup.discover import folder
from core.setup.discover.model import DEFAULT_PORT, Sighting, Start, data_key, with_rights

DATA, PROGRAMS = "data folder", "installed programs"
DATA_FOLDERS = (
    "/var/lib/pgsql/data", "/var/lib/pgsql/*/data", "/var/lib/postgres/data", "/var/lib/postgresql/*/data",
    "/var/lib/postgresql/*/main", "/var/lib/postgresql/data", "/usr/local/pgsql/data", "/usr/local/var/postgres*",
    "/opt/homebrew/var/postgresql@*", "/usr/local/var/postgresql@*", "/Library/PostgreSQL/*/data",
    "/opt/PostgreSQL/*/data", "C:/Program Files/PostgreSQL/*/data", "~/pgdata", "~/postgres/data",
)  # fmt: skip
PROGRAM_FOLDERS = (
    "/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/libexec/postgresql*", "/usr/local/pgsql/bin",
    "/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin", "/Library/PostgreSQL/*/bin",
    "/opt/PostgreSQL/*/bin", "C:/Program Files/PostgreSQL/*/bin", "/usr/bin", "/usr/local/bin",
)  # fmt: skip


def data_folders() -> list[Sighting]:
    """Every data folder at a usual place, and that of PGDATA; whether it runs, its postmaster.pid says."""
    named = environment().get("PGDATA", "")
    places = [*folder.expanded(DATA_FOLDERS), *([named] if named else [])]
    return [one for place in dict.fromkeys(places) if (one := data_folder(place)) is not None]


def data_folder(place: str) -> Sighting | None:
    """The server of one data folder, None where there is none that this user can see."""
    version = folder.version_of(place)
    if version is None:
        return None
    settings = folder.settings(place)
    return Sighting(
        DATA,
        data_key(place),
        port=folder.port_of(settings) or DEFAULT_PORT,
        sockets=folder.socket_folders(settings),
        version=version,
        detail=f"data in {place}",
        start=folder.start_of(place),
        worth=1,
    )


def programs(patterns: tuple[str, ...] = PROGRAM_FOLDERS) -> list[Sighting]:
    """Every installed version of the server's programs: whether it has a cluster is for others to say."""
    file = "postgres.exe" if sys.platform == "win32" else "postgres"
    found: dict[str, Sighting] = {}
    for place in folder.expanded(patterns):
        if not Path(place, file).is_file():
            continue
        real = str(Path(place).resolve())
        version = folder.version_in(f"{real}/") or ""
        found.setdefault(version or real, _programs(real, version))
    return list(found.values())


def _programs(place: str, version: str) -> Sighting:
    debian = re.fullmatch(r"/usr/lib/postgresql/([\d.]+)/bin", place)
    redhat = re.fullmatch(r"/usr/pgsql-(\d+)/bin", place)
    if debian and Path("/usr/bin/pg_createcluster").exists():
        start = with_rights(("pg_createcluster", debian[1], "main", "--start"))
    elif redhat:
        setup = f"{place}/postgresql-{redhat[1]}-setup initdb && sudo systemctl enable --now postgresql-{redhat[1]}"
        start = Start(command=(), text=f"sudo {setup}")
    elif sys.platform == "win32":
        start = Start(command=(), text=f'"{place}\\initdb" -D "%LOCALAPPDATA%\\pgdata" -U postgres -W')
    else:
        start = Start(command=(), text=f"{place}/initdb -D ~/pgdata && {place}/pg_ctl -D ~/pgdata -l ~/pg.log start")
    detail = f"programs in {place}; they have no database cluster yet, the command makes and starts one"
    return Sighting(
        PROGRAMS,
        (("programs", place),),
        port=DEFAULT_PORT,
        running=False,
        version=version or None,
        detail=detail,
        start=start.model_copy(update={"allowed": False}),
    )
