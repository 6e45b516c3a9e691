"""The process of the bundled server: made once, started, found again, and stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from core import private
from core.embedded.data import failure, run
from core.embedded.place import Place, make_private_folder
from core.embedded.programs import WINDOWS, Account, run_as
from core.errors import TradekeepError

READY_WITHIN_S = 30.0
STOPPED_WITHIN_S = 30.0
GONE_WITHIN_S = 5.0
POLL_S = 0.005
KEPT_LOGS = 10
_children: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True)
class Postmaster:
    """The running server's main process. state: starting, ready, stopping or standby."""

    pid: int
    port: int
    state: str


def postmaster(data_dir: Path) -> Postmaster | None:
    """The process that serves this data folder now, None when there is none."""
    try:
        lines = (data_dir / "postmaster.pid").read_text("utf-8", errors="replace").splitlines()
        pid, port = int(lines[0]), int(lines[3])
    except (FileNotFoundError, ValueError, IndexError):
        return None
    if not _serves(pid, data_dir):
        return None
    return Postmaster(pid, port, lines[7].strip() if len(lines) > 7 else "starting")


def _serves(pid: int, data_dir: Path) -> bool:
    """Whether the process is a living server of this data folder, and not one that took its number after a reboot."""
    if child := _children.get(pid):
        child.poll()  # a child that has ended stays a zombie until somebody asks
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE or not process.name().startswith("postgres"):
            return False
        return Path(process.cwd()) == data_dir.resolve()
    except psutil.AccessDenied:
        return True
    except psutil.NoSuchProcess:
        return False


def launch(place: Place, account: Account | None, *, program_folder: Path, socket_dir: Path | None) -> Postmaster:
    """Start the process and return when it accepts connections.

    It has its own session and files, so it outlives the app. After a kill its place is taken for a moment (by a
    zombie, or by processes that are still ending): it is tried again until it is free.
    Raises what the errors' table says about the log, else DB_012.
    """
    make_private_folder(place.log_dir, account)
    _forget_old_logs(place.log_dir)
    deadline = time.monotonic() + READY_WITHIN_S
    while True:
        release(place.data_dir, socket_dir)
        begin = time.time()
        process = _spawn(place, account, program_folder)
        found = _await_ready(place, process, deadline)
        if found:
            return found
        text = log_tail(place.log_dir, since=begin)
        taken = "lock file" in text or "shared memory block" in text
        if process.poll() is None or not taken or time.monotonic() > deadline:
            raise failure(text, log=str(place.log_dir))
        time.sleep(0.1)


def _spawn(place: Place, account: Account | None, program_folder: Path) -> subprocess.Popen[bytes]:
    command = [str(program_folder / "postgres"), "-D", str(place.data_dir)]
    detached: dict[str, Any] = {"start_new_session": True}
    if WINDOWS:  # pg_ctl gives up an administrator's rights, with which PostgreSQL refuses to run
        command = [str(program_folder / "pg_ctl"), "start", "-w", "-D", str(place.data_dir)]
        names = ("DETACHED_PROCESS", "CREATE_NEW_PROCESS_GROUP")  # which exist only there
        detached = {"creationflags": sum(getattr(subprocess, name) for name in names)}
    output = _output(place.log_dir)
    arguments = run_as(account) | detached
    try:
        if account:
            os.fchown(output, account.uid, account.gid)
        process = subprocess.Popen(  # noqa: S603  # our own program
            command, stdout=output, stderr=output, cwd=place.data_dir, **arguments
        )
    except OSError as error:
        raise TradekeepError("service.bundled_failed", details=str(error), log=str(place.log_dir)) from error
    finally:
        os.close(output)
    _children[process.pid] = process
    return process


def _output(log_dir: Path) -> int:
    """start.log, empty; links are not followed, because as root we write in a folder of the server's account."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0)
    if WINDOWS:
        return os.open(log_dir / "start.log", flags, 0o600)
    with private.opened(log_dir) as folder:
        return os.open("start.log", flags, 0o600, dir_fd=folder)


def _await_ready(place: Place, process: subprocess.Popen[bytes], deadline: float) -> Postmaster | None:
    """The server once it accepts connections; None when it ended, or is still not ready at the deadline."""
    while time.monotonic() < deadline:
        ended = process.poll() is not None
        found = postmaster(place.data_dir)
        if found and found.state == "ready":
            return found
        if ended and not (WINDOWS and found):
            return None
        time.sleep(POLL_S)
    return None


def wait_ready(place: Place) -> Postmaster | None:
    """A server that somebody else is starting, once it accepts connections; None when it ended or takes too long."""
    deadline = time.monotonic() + READY_WITHIN_S
    while (found := postmaster(place.data_dir)) and time.monotonic() < deadline:
        if found.state == "ready":
            return found
        time.sleep(POLL_S)
    return None


def release(data_dir: Path, socket_dir: Path | None) -> None:
    """Remove the lock files of a server that is gone, when its process id blocks a start.

    PostgreSQL takes over a lock file by itself, unless the process with that number exists: a zombie that nobody
    reaps, or after a reboot any other program. While one process of the old server lives the files stay, because
    two servers on one data folder destroy it.
    """
    file = data_dir / "postmaster.pid"
    try:
        pid = int(file.read_text("utf-8", errors="replace").splitlines()[0])
    except (FileNotFoundError, ValueError, IndexError):
        return
    if _serves(pid, data_dir):
        return
    if workers_gone(data_dir) and psutil.pid_exists(pid):
        for lock in (file, *(socket_dir.glob(".s.PGSQL.*.lock") if socket_dir else ())):
            lock.unlink(missing_ok=True)


def workers_gone(data_dir: Path) -> bool:
    """Whether every process of a killed server has ended, waited for a moment: until then they keep its port."""
    deadline = time.monotonic() + GONE_WITHIN_S
    while alive := _workers(data_dir):
        if time.monotonic() > deadline:
            break
        time.sleep(POLL_S)
    return not alive


def _workers(data_dir: Path) -> list[int]:
    """The living processes of a server on this data folder."""
    place = str(data_dir.resolve())
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if (
                process.name().startswith("postgres")
                and process.status() != psutil.STATUS_ZOMBIE
                and process.cwd() == place
            ):
                found.append(process.pid)
    return found


def halt(place: Place, *, account: Account | None, program_folder: Path) -> None:
    """Stop the server: sessions are ended, data is written out.

    If that hangs, it is stopped at once, and recovers at its next start.
    """
    found = postmaster(place.data_dir)
    if found is None:
        return
    if WINDOWS:
        run([program_folder / "pg_ctl", "stop", "-m", "fast", "-D", place.data_dir], account)
        return
    for how in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(found.pid, how)
        deadline = time.monotonic() + STOPPED_WITHIN_S
        while _serves(found.pid, place.data_dir):
            if time.monotonic() > deadline:
                break
            time.sleep(POLL_S)
        else:
            _children.pop(found.pid, None)
            return


def log_tail(log_dir: Path, *, since: float, size_bytes: int = 8000) -> str:
    """The end of what the server wrote after a time: first its output, then its log file."""
    pieces = []
    for file in (log_dir / "start.log", *sorted(log_dir.glob("postgresql-*.log"))[-1:]):
        with contextlib.suppress(OSError):
            if file.stat().st_mtime >= since - 1:
                pieces.append(file.read_text("utf-8", errors="replace")[-size_bytes:])
    return "\n".join(pieces)


def _forget_old_logs(log_dir: Path) -> None:
    for file in sorted(log_dir.glob("postgresql-*.log"))[:-KEPT_LOGS]:
        file.unlink(missing_ok=True)
