"""Services of PostgreSQL on Windows: the installer's postgresql-x64-16 and its like."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from typing import Any

import psutil

from core.setup.discover import folder
from core.setup.discover.model import DEFAULT_PORT, Sighting, Start, data_key, is_root

SOURCE = "Windows service"
_SERVER = re.compile(r"(postgresql|postgres|pgsql|edb-as)", re.I)
_NOT_SERVERS = re.compile(r"(pgagent|pgbouncer|exporter|apache)", re.I)


def parse(rows: Iterable[dict[str, Any]]) -> list[Sighting]:
    """The servers among services as psutil describes them (name, binpath, status, pid)."""
    found = []
    for row in rows:
        name, command = str(row.get("name") or ""), str(row.get("binpath") or "")
        serves = re.search(r"pg_ctl|postgres(\.exe)?\"?\s", command, re.I) and "runservice" in command
        if not (serves or _SERVER.match(name)) or _NOT_SERVERS.search(name):
            continue
        data = re.search(r'-D\s*(?:"([^"]+)"|(\S+))', command)
        data_dir = (data[1] or data[2]) if data else ""
        settings = folder.settings(data_dir) if data_dir else {}
        program = re.match(r'\s*(?:"([^"]+)"|(\S+))', command)
        programs = re.split(r"[\\/](?=[^\\/]*$)", program[1] or program[2])[0] if program else ""
        status, pid = str(row.get("status") or ""), row.get("pid")
        running = {"running": True, "start_pending": True, "stopped": False, "paused": None}.get(status)
        disabled = row.get("start_type") == "disabled"
        # pg_ctl is the service's process; the server is its child, and found by its data folder.
        keys = data_key(data_dir) or (("service", name),) + ((("pid", pid),) if pid else ())
        found.append(
            Sighting(
                SOURCE,
                keys,
                port=folder.port_of(settings) or DEFAULT_PORT,
                running=running,
                version=(folder.version_of(data_dir) if data_dir else None) or _version(name, command),
                detail=f"service {name}" + (", disabled" if disabled else ""),
                start=Start(command=("net", "start", name), allowed=is_root() and not disabled,
                            text=f'net start "{name}"' if " " in name else f"net start {name}"),
                worth=3,
                name=name,
                programs=programs,
                hba_file=settings.get("hba_file") or (f"{data_dir}\\pg_hba.conf" if data_dir else ""),
            )
        )  # fmt: skip
    return found


def _version(name: str, command: str) -> str | None:
    found = re.search(r"(?:x64|x86|postgresql|as)-?(\d{1,2}(?:\.\d)?)$", name)
    return found[1] if found else folder.version_in(command)


def sightings() -> list[Sighting]:
    """Every service of PostgreSQL; empty on other systems."""
    if sys.platform != "win32":
        return []
    rows = []
    for service in psutil.win_service_iter():
        try:
            if _SERVER.search(service.name()) or "postgres" in service.binpath().lower():
                rows.append(service.as_dict())
        except (psutil.Error, OSError):
            continue
    return parse(rows)
