"""How the server behind a connection came onto this machine: what its files are called and how it is reloaded."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from core.settings import DatabaseConfig
from core.settings.config import loopback
from core.setup import bundled

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
    if not (not host or host.startswith(("/", "@")) or loopback(host)):
        return provider(host)
    for tool in ("docker", "podman"):
        name = published(_output([tool, "ps", "--format", "{{json .}}"]), port)
        if name:
            return Installation(tool, name)
    if sys.platform == "win32":
        return windows(list(_windows_services()), port)
    if found := debian(_output(["pg_lsclusters", "--json"]), port):
        return found
    return running(_postmaster(port), "macos" if sys.platform == "darwin" else "linux")


def _output(command: list[str]) -> str:
    program = shutil.which(command[0])
    if program is None:
        return ""
    try:
        done = subprocess.run(  # noqa: S603  # fixed commands
            [program, *command[1:]], capture_output=True, text=True, timeout=ASK_S, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout if done.returncode == 0 else ""


def provider(host: str) -> Installation:
    """Who hosts a server of that name, and where its passwords are set."""
    for end, (name, advice) in PROVIDERS.items():
        if host.lower().endswith(end):
            return Installation("remote", name, advice=advice)
    return Installation("remote", host)


def published(output: str, port: int) -> str:
    """The container that publishes this port of the machine, from the lines of `docker ps --format '{{json .}}'`."""
    for line in output.splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and port in _ports(row.get("Ports")):
            names = row.get("Names")
            return str(names[0] if isinstance(names, list) and names else names or "")
    return ""


def _ports(ports: Any) -> set[int]:
    """Published ports of the machine: Docker writes them as text with ranges, podman as a list."""
    if isinstance(ports, list):
        rows = [row for row in ports if isinstance(row, dict)]
        return {
            int(row["host_port"]) + extra
            for row in rows
            if row.get("host_port")
            for extra in range(int(row.get("range") or 1))
        }
    found: set[int] = set()
    for first, last in re.findall(r":(\d+)(?:-(\d+))?->", str(ports or "")):
        found.update(range(int(first), int(last or first) + 1))
    return found


def debian(output: str, port: int) -> Installation | None:
    """The cluster of Debian's own tools on that port, from `pg_lsclusters --json`."""
    try:
        rows = json.loads(output or "[]")
    except ValueError:
        return None
    for row in rows if isinstance(rows, list) else []:
        if str(row.get("port")) != str(port):
            continue
        version, cluster = str(row["version"]), str(row["cluster"])
        folder = str(row.get("configdir") or f"/etc/postgresql/{version}/{cluster}")
        return Installation(
            "debian",
            cluster,
            version,
            hba_file=str((row.get("config") or {}).get("hba_file") or f"{folder}/pg_hba.conf"),
            data_dir=str(row.get("pgdata") or ""),
            account=_account(row.get("owneruid")),
            socket_dir=str(row.get("socketdir") or ""),
        )
    return None


def _account(number: Any) -> str:
    """The name of the account with that number."""
    try:
        import pwd  # not on Windows

        return pwd.getpwuid(int(number)).pw_name
    except (ImportError, KeyError, TypeError, ValueError):
        return "postgres"


def _postmaster(port: int) -> dict[str, Any] | None:
    """The server's main process on that port: exe, cmdline, username, cwd; None where it cannot be seen."""
    for process in psutil.process_iter(["name", "exe", "cmdline", "username", "ppid"]):
        info = process.info
        if not str(info.get("name") or "").startswith(("postgres", "postmaster")):
            continue
        try:
            listening = {one.laddr.port for one in process.net_connections("tcp") if one.status == psutil.CONN_LISTEN}
            if port in listening:
                return info | {"cwd": process.cwd()}
        except (psutil.Error, OSError):
            continue
    return None


def running(process: dict[str, Any] | None, system: str) -> Installation:
    """The installation of a running server, from its process; system is linux or macos."""
    if process is None:
        return Installation(system)
    words = [str(word) for word in process.get("cmdline") or []]
    data_dir = _after(words, "-D") or str(process.get("cwd") or "")
    named = next((word for word in words if word.startswith(("hba_file=", "--hba_file="))), "")
    hba = named.partition("=")[2] or (f"{data_dir}/pg_hba.conf" if data_dir else "")
    exe = str(process.get("exe") or (words[0] if words else ""))
    programs = exe.rpartition("/")[0]
    account = str(process.get("username") or "postgres")
    version = next(iter(re.findall(r"(?:/|@|pgsql-|postgresql-)(\d{2})(?:\.\d+)?/", f"{exe}/")), "")
    kind = system
    if "/Postgres.app/" in exe:
        kind = "postgres_app"
    elif "/Cellar/" in exe or "/homebrew/" in exe or "/opt/postgresql" in exe:
        kind = "homebrew"
    return Installation(kind, version=version, hba_file=hba, data_dir=data_dir, programs=programs, account=account)


def _after(words: Sequence[str], option: str) -> str:
    for number, word in enumerate(words):
        if word == option and number + 1 < len(words):
            return words[number + 1]
        if word.startswith(option) and word != option:
            return word[len(option) :]
    return ""


def _windows_services() -> Iterator[tuple[str, str]]:
    """Name and command of every Windows service of PostgreSQL."""
    for service in getattr(psutil, "win_service_iter", list)():
        try:
            if "postgres" in service.name().lower():
                yield service.name(), service.binpath()
        except (psutil.Error, OSError):
            continue


def windows(services: list[tuple[str, str]], port: int) -> Installation:
    """The service that serves the port, by the postgresql.conf of its data folder; the only one where there is one."""
    found = []
    for name, command in services:
        data = re.search(r'-D\s*(?:"([^"]+)"|(\S+))', command)
        exe = re.match(r'\s*(?:"([^"]+)"|(\S+))', command)
        data_dir = (data[1] or data[2]) if data else ""
        programs = re.split(r"[\\/](?=[^\\/]*$)", exe[1] or exe[2])[0] if exe else ""
        version = next(iter(re.findall(r"(\d+)$", name)), "")
        hba = f"{data_dir}\\pg_hba.conf" if data_dir else ""
        found.append(Installation("windows", name, version, hba, data_dir, programs, account=""))
    if len(found) > 1:
        found = [one for one in found if _configured_port(one.data_dir) == port] or found
    return found[0] if found else Installation("windows", account="")


def _configured_port(data_dir: str) -> int:
    try:
        text = Path(data_dir, "postgresql.conf").read_text("utf-8", "replace")
    except OSError:
        return 0
    numbers = re.findall(r"^\s*port\s*=?\s*(\d+)", text, re.M)
    return int(numbers[-1]) if numbers else 5432
