"""Servers on macOS: Homebrew's services, Postgres.app, and EDB's installer."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from core.setup.discover import folder
from core.setup.discover.ask import said
from core.setup.discover.model import DEFAULT_PORT, Sighting, Start, data_key

BREW, APP = "Homebrew", "Postgres.app"
PREFIXES = ("/opt/homebrew", "/usr/local", "/home/linuxbrew/.linuxbrew")
APP_FOLDER = "/Applications/Postgres.app"
_FORMULA = re.compile(r"postgresql(?:@(\d+(?:\.\d+)?))?")


def parse(text: str, prefixes: Sequence[str] = PREFIXES) -> list[Sighting]:
    """The servers in what `brew services list --json` prints; its hints may stand around the list."""
    begin, end = text.find("["), text.rfind("]")
    try:
        rows = json.loads(text[begin : end + 1]) if begin >= 0 else []
    except ValueError:
        return []
    found = []
    for row in rows if isinstance(rows, list) else []:
        name = str(row.get("name") or "") if isinstance(row, dict) else ""
        formula = _FORMULA.fullmatch(name.rpartition("/")[2])
        if formula:
            status = str(row.get("status") or "")
            failed = status == "error" or bool(row.get("exit_code"))
            found.append(_formula(name, formula[1], status, failed, prefixes))
    return found


def _formula(name: str, version: str | None, status: str, failed: bool, prefixes: Sequence[str]) -> Sighting:
    short = name.rpartition("/")[2]
    folders = [f"{prefix}/var/{place}" for prefix in prefixes for place in (short, "postgres")]
    data_dir = next((place for place in folders if Path(place, "PG_VERSION").is_file()), "")
    # "started" means that launchd has it; whether it serves, its port says.
    running = {"none": False, "stopped": False, "error": False}.get(status)
    detail, log = f"service {name}", f"{prefixes[0]}/var/log/{short}.log"
    if failed and running is False:
        detail += f" failed; its log: {log}"
    return Sighting(
        BREW,
        data_key(data_dir) or (("formula", short),),
        port=folder.port_of(folder.settings(data_dir)) if data_dir else DEFAULT_PORT,
        running=running,
        version=(folder.version_of(data_dir) if data_dir else None) or version,
        detail=detail,
        start=Start(command=("brew", "services", "start", name), allowed=True, log=log),
        worth=3,
    )


def from_files(prefixes: Sequence[str] = PREFIXES) -> list[Sighting]:
    """The formulae that are installed, where brew takes too long to say so (it is seldom faster than a second)."""
    names = {Path(found).name for found in folder.expanded(tuple(f"{one}/opt/postgresql@*" for one in prefixes))}
    return [_formula(name, name.partition("@")[2], "", False, prefixes) for name in sorted(names)]


def app_versions(app: str = APP_FOLDER, support: str = "~/Library/Application Support/Postgres") -> list[Sighting]:
    """The servers of Postgres.app: a data folder each version; without any, the newest version that it brings."""
    start = Start(command=("open", "-a", "Postgres"), allowed=True)
    found = []
    for data_dir in folder.expanded((f"{support}/var-*",)):
        version = folder.version_of(data_dir) or data_dir.rpartition("-")[2]
        port = folder.port_of(folder.settings(data_dir)) or DEFAULT_PORT
        found.append(Sighting(APP, data_key(data_dir), port, version=version, detail=APP, start=start, worth=3))
    versions = [Path(path).name for path in folder.expanded((f"{app}/Contents/Versions/[0-9]*",))]
    if not found and versions:
        newest = max(versions, key=lambda name: [int(part) for part in re.findall(r"\d+", name)])
        detail = f"{APP}; open it and choose Initialize"
        found.append(Sighting(APP, (("app", app),), DEFAULT_PORT, version=newest, detail=detail, start=start, worth=3))
    return found


def sightings(timeout_s: float) -> list[Sighting]:
    """What Homebrew and Postgres.app know; Homebrew is asked on Linux too, where it is installed."""
    found = parse(said(["brew", "services", "list", "--json"], timeout_s, fail_ok=True)) or from_files()
    return [*found, *app_versions()] if sys.platform == "darwin" else found
