"""Clusters of Debian's and Ubuntu's own tools."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from core.setup.discover import folder
from core.setup.discover.ask import said
from core.setup.discover.model import Sighting, Start, data_key, with_rights

SOURCE = "Debian cluster"
CONFIG = Path("/etc/postgresql")


def parse(text: str) -> list[Sighting]:
    """The clusters in what `pg_lsclusters --json` prints; what cannot be understood is left out."""
    start = text.find("[")  # warnings of perl may stand before it
    try:
        rows = json.loads(text[start:]) if start >= 0 else []
    except ValueError:
        return []
    found = [_cluster(row) for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return [one for one in found if one is not None]


def _cluster(row: dict[str, Any]) -> Sighting | None:
    version, name = str(row.get("version") or ""), str(row.get("cluster") or "")
    if not version or not name:
        return None
    config = row.get("config") if isinstance(row.get("config"), dict) else {}
    sockets = folder.socket_folders({k: str(v) for k, v in (config or {}).items()})
    running = str(row.get("running") or "0") not in ("0", "false", "False")
    files = str(row.get("configdir") or CONFIG / version / name)
    owner = str(row.get("owneruid") or "")
    return Sighting(
        SOURCE,
        (("cluster", f"{version}/{name}"), *data_key(str(row.get("pgdata") or ""))),
        port=folder.port_of({"port": str(row.get("port") or "")}),
        sockets=sockets or tuple(filter(None, [str(row.get("socketdir") or "")])),
        running=running,
        version=version,
        detail=f"cluster {version}/{name}",
        start=_start(version, name, owner, str(row.get("logfile") or "")),
        uid=int(owner) if owner.isdecimal() else None,
        worth=3,
        name=name,
        hba_file=str((config or {}).get("hba_file") or f"{files}/pg_hba.conf"),
    )


def _start(version: str, name: str, owner: object, log: str) -> Start:
    """pg_ctlcluster starts it for root and for the cluster's owner."""
    mine = hasattr(os, "geteuid") and str(owner) == str(os.geteuid())
    start = with_rights(("pg_ctlcluster", version, name, "start"), needs_root=not mine)
    return start.model_copy(update={"log": log})


def from_files(config: Path = CONFIG) -> list[Sighting]:
    """The clusters by their configuration, where the tools do not answer; whether they run is not known."""
    found = []
    for file in sorted(config.glob("*/*/postgresql.conf")):
        version, name = file.parent.parent.name, file.parent.name
        settings = folder.settings("", str(file))
        found.append(
            Sighting(
                SOURCE,
                (("cluster", f"{version}/{name}"), *data_key(settings.get("data_directory", ""))),
                port=folder.port_of(settings),
                sockets=folder.socket_folders(settings),
                version=version,
                detail=f"cluster {version}/{name}",
                start=_start(version, name, None, f"/var/log/postgresql/postgresql-{version}-{name}.log"),
                worth=3,
                name=name,
                hba_file=settings.get("hba_file") or str(file.parent / "pg_hba.conf"),
            )
        )
    return found


def sightings(timeout_s: float) -> list[Sighting]:
    """Every cluster that the system knows."""
    return parse(said(["pg_lsclusters", "--json"], timeout_s, fail_ok=True)) or from_files()
