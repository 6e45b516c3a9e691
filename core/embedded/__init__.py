"""The bundled PostgreSQL server: a real one, in the user's data folder, that outlives the app."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout
from pydantic import SecretStr

from core import private
from core.embedded import data, ports, server
from core.embedded.place import (
    Place,
    Record,
    known_place,
    make_private_folder,
    new_place,
    read_record,
    socket_folder,
    write_private,
    write_record,
)  # fmt: skip
from core.embedded.programs import (
    SYSTEM_FOLDER,
    Account,
    account_for_server,
    available,
    client,
    make_system_folder,
    owner_of,
    server_folder,
)  # fmt: skip
from core.errors import TradekeepError, classify
from core.settings import DatabaseConfig, load_settings

__all__ = ["EmbeddedServer", "Status", "available", "client", "start", "status", "stop"]

LOCK_WITHIN_S = 90.0
State = Literal["unavailable", "absent", "stopped", "starting", "running"]


@dataclass(frozen=True)
class EmbeddedServer:
    """A running bundled server. admin_config signs in as its superuser over TCP."""

    admin_config: DatabaseConfig
    port: int
    data_dir: Path
    socket_dir: Path | None
    version: str
    pid: int


@dataclass(frozen=True)
class Status:
    """What is known of a home's server without starting it; `reason` says in words why it does not run."""

    state: State
    reason: str | None = None
    port: int | None = None
    data_dir: Path | None = None
    socket_dir: Path | None = None
    log_dir: Path | None = None
    version: str | None = None
    pid: int | None = None
    left_stopped: bool = False  # somebody stopped it on purpose


def start(*, home: Path | None = None, port: int | None = None) -> EmbeddedServer:
    """The home's server, made and started where it is not running yet; the same one for callers at the same time.

    home: default TRADEKEEP_HOME. It keeps the port that it got when it was made, because DATABASE_URL points there;
    port moves it (0: to any free one). A server that was stopped on purpose counts as wanted again.
    Raises DB_010 (no programs), DB_011 (port taken), DB_012 to DB_015, DB_108 (home not writable), DB_110, and what
    the errors' table says about the server's log (disk full ...).
    """
    home = home or load_settings().home
    with _locked(home):
        place = known_place(home)
        account = owner_of(place.data_dir) if place else account_for_server()
        if account and home == SYSTEM_FOLDER:  # root's own home: its files are private, the way to them is open
            make_system_folder(home)
        place = place or new_place(home, account)
        place.left_stopped_file.unlink(missing_ok=True)
        record = read_record(home)
        found = server.wait_ready(place)
        if found is None and server.postmaster(place.data_dir):
            raise TradekeepError(
                "service.bundled_failed", "The server is still starting or recovering.", log=str(place.log_dir)
            )
        if found and port is not None and port != found.port:
            _halt(place, account)
            found = None
        if found is None:
            found, record = _launch(place, account, port=port, record=record)
        return EmbeddedServer(
            admin_config=_admin(place, found.port),
            port=found.port,
            data_dir=place.data_dir,
            socket_dir=Path(record.socket_dir) if record and record.socket_dir else None,
            version=record.version if record else "",
            pid=found.pid,
        )


def stop(*, home: Path | None = None) -> None:
    """Stop the home's server on purpose: it stays stopped until `start`; its data stays, too. Raises DB_015."""
    home = home or load_settings().home
    if not home.is_dir():
        return
    with _locked(home):
        if place := known_place(home):
            # Before it stops: a web app that watches it must not take it for one that ended by itself.
            if place.state != place.folder:
                make_private_folder(place.state)
            write_private(place.left_stopped_file, "", owner_of(place.state))
            _halt(place, owner_of(place.data_dir))


def status(*, home: Path | None = None) -> Status:
    """Whether the home has a server, whether it runs, and where. Changes nothing, and does not raise."""
    home = home or load_settings().home
    reason = available()
    try:
        place = known_place(home)
        if place is None:
            return Status("unavailable", reason) if reason else Status("absent", "It was never started here.")
        record = read_record(home)
        found = server.postmaster(place.data_dir)
    except PermissionError as error:
        return Status("unavailable", f"{error.filename} belongs to another user.")
    except OSError as error:  # a file, or a ring of links, where a folder belongs
        return Status("unavailable", f"{error.filename or home} cannot be read: {error.strerror or error}.")
    state: State = "stopped"
    if found and found.state in ("ready", "starting"):
        state, reason = ("running", None) if found.state == "ready" else ("starting", "It is starting or recovering.")
    elif reason:
        state = "unavailable"
    else:
        reason = "It is shutting down." if found else "It is stopped."
    left_stopped = state == "stopped" and place.left_stopped_file.exists()
    if left_stopped:
        reason = "It was stopped on purpose, and stays so until it is started."
    return Status(
        state=state,
        reason=reason,
        port=found.port if found else record.port if record else None,
        data_dir=place.data_dir,
        socket_dir=Path(record.socket_dir) if record and record.socket_dir else None,
        log_dir=place.log_dir,
        version=record.version if record else None,
        pid=found.pid if found else None,
        left_stopped=left_stopped,
    )


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """One caller at a time, over threads and processes. The lock ends with its process, however that ends."""
    file = home / "server.lock"
    try:
        private.folder(home)
        if file.is_symlink():
            raise OSError(errno.ELOOP, "It is a symbolic link, which could lead anywhere", str(file))
        lock = FileLock(file, timeout=LOCK_WITHIN_S, mode=0o600, poll_interval=0.02, preserve_lock_file=True)
        lock.acquire()
        if owner := owner_of(home):  # root must not lock the user out
            os.chown(file, owner.uid, owner.gid, follow_symlinks=False)
    except Timeout as error:
        raise TradekeepError("service.bundled_busy", path=str(file)) from error
    except OSError as error:
        raise _refused(error, home) from error
    try:
        yield
    except OSError as error:
        raise _refused(error, home) from error
    finally:
        lock.release()


def _refused(error: OSError, home: Path) -> TradekeepError:
    """What the file system refuses; a full disk and its like keep their own kind."""
    found = classify(error)
    if found.error_type == "resource":
        return found
    path = str(error.filename or home)
    reason = error.strerror or str(error)
    message = None if isinstance(error, PermissionError) else f"{path} cannot be used: {reason}."
    return TradekeepError("permission.file", message, path=path, details=str(error))


def _launch(
    place: Place, account: Account | None, *, port: int | None, record: Record | None
) -> tuple[server.Postmaster, Record]:
    """Start the server that is not running: make its data if there is none, on its port or the one asked for."""
    programs = server_folder(account)
    version = data.version_of(programs)
    if place.folder != place.state:
        make_system_folder(place.folder.parent)
    if not place.exists:
        make_private_folder(place.folder, account)
        data.create(place, account, program_folder=programs)
    data.check_version(place, version)
    kept = record.port if record else data.configured_port(place)
    wanted = port or (kept if kept and port is None else ports.free())
    if not ports.is_free(wanted) and server.workers_gone(place.data_dir) and not ports.is_free(wanted):
        raise TradekeepError("service.port_taken", port=wanted, holder=ports.holder(wanted))
    socket_dir = socket_folder(place, account)
    statements = data.bundles_statements(programs)
    data.configure(place, account, port=wanted, socket_dir=socket_dir, statements=statements)
    found = server.launch(place, account, program_folder=programs, socket_dir=socket_dir)
    elsewhere = str(place.folder) if place.folder != place.state else ""
    record = Record(found.port, elsewhere, str(socket_dir or ""), version)
    write_record(place, record)
    return found, record


def _halt(place: Place, account: Account | None) -> None:
    server.halt(place, account=account, program_folder=server_folder(account))


def _admin(place: Place, port: int) -> DatabaseConfig:
    return DatabaseConfig(
        host="127.0.0.1",
        port=port,
        database="postgres",
        user=data.SUPERUSER,
        password=SecretStr(data.password(place)),
    )
