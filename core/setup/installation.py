"""How the server behind a connection came onto this machine: what its files are called and how it is reloaded."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.settings import DatabaseConfig
from core.settings.config import loopback, this_machine
from core.setup import bundled
from core.setup.discover import containers, debian, folder, processes, windows
from core.setup.discover.model import Sighting

ASK_S = 3.0
# Where a provider's own console sets passwords, by the end of the host's name. Sources: the providers' manuals.
PROVIDERS = {
    ".rds.amazonaws.com": ("Amazon RDS", "RDS console: your database, Modify, New master password"),
    ".database.azure.com": ("Azure", "Azure portal: your server, Overview, Reset password"),
    ".supabase.co": ("Supabase", "Supabase dashboard: Project settings, Database, Reset database password"),
    ".supabase.com": ("Supabase", "Supabase dashboard: Project settings, Database, Reset database password"),
    ".neon.tech": ("Neon", "Neon console: Branches, Roles, Reset password"),
    ".render.com": ("Render", "Render dashboard: your database, Credentials"),
    ".ondigitalocean.com": ("DigitalOcean", "control panel: Databases, Users & Databases, Reset password"),
    ".aivencloud.com": ("Aiven", "Aiven console: your service, Users, Reset password"),
    ".tsdb.cloud.timescale.com": ("Timescale", "Timescale console: your service, Operations, Reset password"),
    ".railway.app": ("Railway", "Railway dashboard: your database, Variables, Regenerate"),
    ".rlwy.net": ("Railway", "Railway dashboard: your database, Variables, Regenerate"),
    ".compute-1.amazonaws.com": ("Heroku", "terminal: heroku pg:credentials:rotate"),
    ".cockroachlabs.cloud": ("CockroachDB", "CockroachDB console: SQL users"),
    ".fly.dev": ("Fly.io", "terminal: fly postgres connect, then the command for psql"),
}


@dataclass(frozen=True)
class Installation:
    """One server: kind is bundled, remote, docker, podman, debian, linux, homebrew, postgres_app, macos or windows.

    name: its cluster, container, service or provider. hba_file, data_dir, programs: "" where they are not known.
    account: the system's account that it runs as. reload: what makes it read its files again.
    """

    kind: str
    name: str = ""
    version: str = ""
    hba_file: str = ""
    data_dir: str = ""
    programs: str = ""
    account: str = "postgres"
    socket_dir: str = ""
    advice: str = ""


def installation(config: DatabaseConfig, home: Path) -> Installation:
    """The installation of the server that the configuration points to; just the system where nothing more is known."""
    if bundled.behind(config, home) is not None:
        return Installation("bundled")
    host, port = config.host.split(",")[0], config.port or 5432
    if not this_machine(host):
        return provider(host)
    return serving(
        [
            *containers.sightings("docker", ASK_S),
            *containers.sightings("podman", ASK_S),
            *debian.sightings(ASK_S),
            *windows.sightings(),
            *processes.sightings(),
        ],
        port,
    )


def provider(host: str) -> Installation:
    """Who hosts a server of that name, and where its passwords are set."""
    for end, (name, advice) in PROVIDERS.items():
        if host.lower().endswith(end):
            return Installation("remote", name, advice=advice)
    return Installation("remote", host)


def serving(found: Sequence[Sighting], port: int, system: str = sys.platform) -> Installation:
    """The installation among what was found that serves the port; of several, one that runs.

    A service of Windows stands for every port where it is the only one: its configuration may be closed to this user.
    """
    here = [one for one in found if one.port == port and _reached(one)]
    services = [one for one in found if one.source == windows.SOURCE]
    ranked = sorted(here, key=lambda one: one.running is not True)
    chosen = next(iter(ranked), services[0] if len(services) == 1 else None)
    usual = {"win32": "windows", "darwin": "macos"}.get(system, "linux")
    if chosen is None:
        return Installation(usual, account="" if usual == "windows" else "postgres")
    return Installation(
        _KINDS.get(chosen.source) or _packaged(chosen.programs) or usual,
        chosen.name,
        (chosen.version or "").partition(".")[0],
        hba_file=chosen.hba_file,
        data_dir=chosen.data_dir,
        programs=chosen.programs,
        account=_account(chosen),
        socket_dir=next(iter(chosen.sockets), ""),
    )


_KINDS = {windows.SOURCE: "windows", debian.SOURCE: "debian"}
_KINDS |= {source: tool for tool, source in containers.SOURCES.items()}


def _reached(one: Sighting) -> bool:
    """Whether it is reached at loopback: a container is where it publishes its port, everything else by its port."""
    if one.source not in containers.SOURCES.values():
        return True
    every = ("0.0.0.0", "::")  # noqa: S104  # reads, binds none
    return any(address in every or loopback(address) for address in one.addresses)


def _packaged(programs: str) -> str:
    """Who brought the programs of a server to macOS, by their folder."""
    if "/Postgres.app/" in f"{programs}/":
        return "postgres_app"
    brewed = any(sign in f"{programs}/" for sign in ("/Cellar/", "/homebrew/", "/opt/postgresql@"))
    return "homebrew" if brewed else ""


def _account(one: Sighting) -> str:
    if one.source == windows.SOURCE:
        return ""
    return folder.account(one.uid) if one.uid is not None else "postgres"
