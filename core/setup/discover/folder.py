"""What a data folder says of its server: version, port, sockets, who runs on it, and how it is started."""

from __future__ import annotations

import glob
import os
import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from core.setup.discover.ask import text_of
from core.setup.discover.model import Start, is_root

_SETTING = re.compile(r"^\s*(\w+)\s*(?:=|\s)\s*('(?:[^'\\]|''|\\.)*'|[^\s#]+)", re.M)
_PROGRAMS = (
    "/usr/lib/postgresql/{major}/bin", "/usr/lib/postgresql-{major}/bin", "/usr/lib/postgresql{major}/bin",
    "/usr/libexec/postgresql{major}", "/usr/pgsql-{major}/bin",
    "/opt/homebrew/opt/postgresql@{major}/bin", "/usr/local/opt/postgresql@{major}/bin",
    "/Applications/Postgres.app/Contents/Versions/{major}/bin", "/Library/PostgreSQL/{major}/bin",
    "/opt/PostgreSQL/{major}/bin", "C:/Program Files/PostgreSQL/{major}/bin",
    "/usr/local/pgsql/bin", "/usr/local/bin", "/usr/bin",
)  # fmt: skip


@dataclass(frozen=True)
class Lock:
    """postmaster.pid, or the lock file beside a socket. Source: PostgreSQL's src/include/utils/pidfile.h."""

    pid: int
    data_dir: str = ""
    port: int | None = None
    socket_dir: str = ""
    state: str = ""  # starting, ready, stopping, standby; "" where it does not say


def parse_lock(text: str) -> Lock | None:
    """The lines of postmaster.pid; None where it holds no process id (half-written, empty)."""
    lines = [line.strip() for line in text.splitlines()] + [""] * 8
    if not re.fullmatch(r"-?\d{1,10}", lines[0]) or int(lines[0]) == 0:
        return None
    port = int(lines[3]) if re.fullmatch(r"\d{1,5}", lines[3]) else None
    return Lock(abs(int(lines[0])), lines[1], port, lines[4], lines[7])


def parse_settings(text: str) -> dict[str, str]:
    """The settings in a postgresql.conf, the last of each name; no included files."""
    found = {}
    for name, value in _SETTING.findall(text):
        quoted = value.startswith("'")
        found[name.lower()] = value[1:-1].replace("''", "'").replace("\\'", "'") if quoted else value
    return found


def settings(data_dir: str, config_file: str = "") -> dict[str, str]:
    """What the server's files set, as far as this user may read them."""
    own = text_of(config_file or Path(data_dir, "postgresql.conf"))
    return parse_settings(own) | parse_settings(text_of(Path(data_dir, "postgresql.auto.conf")))


def port_of(found: dict[str, str]) -> int | None:
    """The port among the settings."""
    text = found.get("port", "")
    return int(text) if re.fullmatch(r"\d{1,5}", text) and 0 < int(text) < 65536 else None


def socket_folders(found: dict[str, str]) -> tuple[str, ...]:
    """The folders of the sockets among the settings."""
    names = [name.strip().strip('"') for name in found.get("unix_socket_directories", "").split(",")]
    return tuple(name for name in names if name.startswith(("/", "@")))


def version_of(data_dir: str) -> str | None:
    """The major version in PG_VERSION, None where it cannot be read."""
    text = text_of(Path(data_dir, "PG_VERSION"), 20).strip()
    return text if re.fullmatch(r"\d+(\.\d+)?", text) else None


def version_in(path: str) -> str | None:
    """The version that the path of a program or service names: /usr/lib/postgresql/15/bin/postgres, /usr/pgsql-16/bin.

    A folder of Homebrew's Cellar names it in full.
    """
    path = path.replace("\\", "/")
    full = re.search(r"/Cellar/postgresql(?:@\d+)?/(\d+(?:\.\d+)+)", path)
    if full:
        return full[1]
    found = re.search(r"(?i)(?:postgresql|pgsql|postgres|versions)(?:-x64)?[/@-]?(\d{2}|9\.\d)(?=[/.-]|$)", path)
    return found[1] if found else None


def programs_for(major: str | None) -> Path | None:
    """The folder of pg_ctl for that major version, None where no place that is usual has one."""
    file = "pg_ctl.exe" if sys.platform == "win32" else "pg_ctl"
    for pattern in _PROGRAMS:
        folder = Path(pattern.format(major=major or ""))
        if "{major}" in pattern and not major:
            continue
        if (folder / file).is_file():
            return folder
    return None


def start_of(data_dir: str, *, programs: str = "") -> Start | None:
    """The start of a data folder with pg_ctl, as its owner; None where the programs are not found."""
    folder = Path(programs) if programs else programs_for(version_of(data_dir))
    if folder is None:
        return None
    log = str(Path(data_dir, "server.log"))
    command = (str(folder / "pg_ctl"), "-D", data_dir, "-l", log, "start")
    shown = " ".join(f'"{word}"' if " " in word else word for word in command)
    if sys.platform == "win32":
        return Start(command=command, allowed=True, text=shown, log=log)
    shown = shlex.join(command)
    try:
        owner = os.stat(data_dir).st_uid
    except OSError:
        return Start(command=command, text=f"sudo -u postgres {shown}", log=log)
    if owner == os.geteuid() and owner != 0:
        return Start(command=command, allowed=True, text=shown, log=log)
    trusted = _only_root_writes(folder / "pg_ctl")
    return Start(
        command=command,
        allowed=is_root() and owner != 0 and trusted,
        account=owner,
        text=f"sudo -u {account(owner)} {shown}",
        log=log,
    )


def _only_root_writes(program: Path) -> bool:
    try:
        entry = program.stat()
    except OSError:
        return False
    return entry.st_uid == 0 and not entry.st_mode & 0o022


def account(uid: int) -> str:
    """The name of the account with that number, as sudo takes it."""
    try:
        import pwd  # not on Windows

        return pwd.getpwuid(uid).pw_name
    except (ImportError, KeyError):
        return f"#{uid}"


def expanded(patterns: tuple[str, ...]) -> list[str]:
    """The folders that exist among patterns with *."""
    return sorted(name for pattern in patterns for name in glob.glob(os.path.expanduser(pattern)))
