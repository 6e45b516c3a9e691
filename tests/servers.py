"""Throwaway PostgreSQL servers for tests: real ones, made by copying a prepared data folder."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import psycopg

from core.embedded import programs

if TYPE_CHECKING:
    from core.settings import DatabaseConfig

ROOM_NEEDED_BYTES = 2 << 30
READY_WITHIN_S = 30
SETTINGS = (
    "fsync = off",  # commits still wait for the write, so that a killed server loses none
    "full_page_writes = off",
    "shared_buffers = 32MB",
    "dynamic_shared_memory_type = mmap",  # in the data folder, so that a killed server leaves nothing in /dev/shm
    "max_wal_size = 2GB",
    "timezone = 'UTC'",
    "log_line_prefix = '%m [%p] %q%u@%d '",
)
HBA = (
    "local all,replication all scram-sha-256",
    "host all,replication all 127.0.0.1/32 scram-sha-256",
    "host all,replication all ::1/128 scram-sha-256",
)
STOP_SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}


@cache
def base_folder() -> Path:
    """The folder of this test process's servers: in memory where there is room; the server's account may enter it."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > ROOM_NEEDED_BYTES
    folder = Path(tempfile.mkdtemp(prefix="tk-", dir=memory if roomy else None))
    folder.chmod(0o755)
    return folder


@cache
def bundled_programs() -> Path:
    """The bin folder of the bundled PostgreSQL, where the server's account can run it."""
    return programs.server_folder(programs.account_for_server())


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def free_folder(prefix: str = "f-") -> Path:
    """A new empty folder, in memory, owned by the account that servers run as."""
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=base_folder()))
    give_to_server(folder)
    return folder


def give_to_server(path: Path) -> None:
    """Make the account that servers run as the owner of a file or folder."""
    if account := programs.account_for_server():
        os.chown(path, account.uid, account.gid)


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return kept | {"LC_ALL": "C"}


def _run(*command: object) -> None:
    arguments = programs.run_as(programs.account_for_server()) | {"env": _environment()}
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, **arguments)
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stdout}{done.stderr}")


@cache
def _template(binaries: Path) -> tuple[Path, str]:
    """A data folder that was initialised once in this process, and its superuser's password."""
    folder = free_folder("template-")
    password = secrets.token_urlsafe(18)
    file = folder / "password"
    file.write_text(password)
    give_to_server(file)
    data = folder / "data"
    _run(
        binaries / "initdb", "-D", data, "-U", "postgres", f"--pwfile={file}", "--auth=scram-sha-256",
        "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions",
    )  # fmt: skip
    (data / "pg_hba.conf").write_text("")
    return data, password


class Cluster:
    """One PostgreSQL server on a random port of 127.0.0.1 and a unix socket; SCRAM everywhere.

    binaries: another bin folder (default: the bundled one). conf: lines added to postgresql.conf. hba: lines that
    stand before the usual ones in pg_hba.conf. It is started when it is made; use it as a context manager, or
    call `remove` at the end.
    """

    def __init__(
        self,
        *,
        binaries: Path | None = None,
        conf: Sequence[str] = (),
        hba: Sequence[str] = (),
        port: int | None = None,
    ) -> None:
        self.binaries = binaries or bundled_programs()
        self.folder = free_folder("c-")
        self.data_dir = self.folder / "data"
        self.socket_dir = self.folder
        self.log = self.folder / "log"
        self.port = port or free_port()
        template, self.password = _template(self.binaries)
        _run("cp", "-a", template, self.data_dir)
        self.configure(conf=conf, hba=hba)
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped: list[psutil.Process] = []
        self.start()

    # --- where it is

    @property
    def admin(self) -> DatabaseConfig:
        """The superuser's connection to database `postgres`, over TCP."""
        return self.config()

    def config(
        self,
        database: str = "postgres",
        *,
        user: str = "postgres",
        password: str | None = None,
        host: str = "127.0.0.1",
    ) -> DatabaseConfig:
        """A connection to this server; default: as the superuser."""
        from pydantic import SecretStr

        from core.settings import DatabaseConfig

        secret = SecretStr(self.password if password is None else password)
        return DatabaseConfig(host=host, port=self.port, database=database, user=user, password=secret)

    def connect(self, database: str = "postgres", **arguments: Any) -> psycopg.Connection[Any]:
        """A plain psycopg connection in autocommit, as the superuser unless other arguments are given."""
        defaults = {
            "host": "127.0.0.1", "port": self.port, "user": "postgres", "password": self.password,
            "connect_timeout": 5, "autocommit": True,
        }  # fmt: skip
        return psycopg.connect(dbname=database, **defaults | arguments)

    def sql(self, *statements: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run statements as the superuser, each for itself; the last one's rows."""
        rows: list[tuple[Any, ...]] = []
        with self.connect(database) as connection:
            for statement in statements:
                cursor = connection.execute(statement)  # type: ignore[arg-type]  # tests give plain text
                rows = cursor.fetchall() if cursor.description else []
        return rows

    # --- what it reads

    def configure(self, *, conf: Sequence[str] = (), hba: Sequence[str] = ()) -> None:
        """Write postgresql.conf and pg_hba.conf anew; a running server sees it after `reload` or a restart."""
        own = (
            "listen_addresses = '127.0.0.1'",
            f"port = {self.port}",
            f"unix_socket_directories = '{self.socket_dir}'",
        )
        self.put("postgresql.conf", "\n".join((*SETTINGS, *own, *conf, "")))
        self.put("pg_hba.conf", "\n".join((*hba, *HBA, "")))

    def put(self, name: str, content: str | bytes, mode: int = 0o600) -> Path:
        """A file in the data folder, owned by the server's account (a certificate's key, for instance)."""
        path = self.data_dir / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(mode)
        give_to_server(path)
        return path

    def reload(self) -> None:
        """Have the running server read its configuration again."""
        self.sql("SELECT pg_reload_conf()")
        time.sleep(0.1)  # the reload is asynchronous, and nothing tells when every process has done it

    # --- its life

    @property
    def pid(self) -> int | None:
        """The postmaster's process id, None when it does not run."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self, *, wait: bool = True) -> None:
        """Start the server, and return when it accepts connections (or at once).

        Raises RuntimeError with the log's end when it does not start.
        """
        deadline = time.monotonic() + READY_WITHIN_S
        arguments = programs.run_as(programs.account_for_server()) | {"env": _environment()}
        while True:
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(
                    [self.binaries / "postgres", "-D", self.data_dir],
                    stdout=log, stderr=log, start_new_session=True, cwd=self.data_dir, **arguments,
                )  # fmt: skip
            if not wait:
                return
            while self._process.poll() is None and time.monotonic() < deadline:
                if self._status() == "ready":
                    return
                time.sleep(0.002)
            tail = self.log.read_text(errors="replace")[-2000:]
            # After a kill the dying backends still hold the shared memory for a moment.
            if self._process.poll() is None or "shared memory block" not in tail or time.monotonic() > deadline:
                raise RuntimeError(f"the server did not start:\n{tail}")
            time.sleep(0.05)

    def _status(self) -> str:
        """Line 8 of postmaster.pid (starting, ready, stopping, standby), empty when it is not this process's."""
        try:
            lines = (self.data_dir / "postmaster.pid").read_text().splitlines()
        except OSError:
            return ""
        return lines[7].strip() if len(lines) > 7 and self._process and lines[0] == str(self._process.pid) else ""

    def stop(self, mode: str = "fast") -> None:
        """Shut the server down: smart (waits for clients), fast, or immediate (recovers at the next start)."""
        self.resume()
        if self._process and self._process.poll() is None:
            self._process.send_signal(STOP_SIGNALS[mode])
            self._process.wait(READY_WITHIN_S)

    def restart(self, mode: str = "fast") -> None:
        """Stop and start."""
        self.stop(mode)
        self.start()

    def kill(self) -> None:
        """SIGKILL to the postmaster, as the out-of-memory killer does it; returns when all its processes are gone."""
        self.resume()
        if self._process and self._process.poll() is None:
            family = self._family()
            self._process.kill()
            self._process.wait(READY_WITHIN_S)
            wait_gone(family[1:])

    def _family(self) -> list[psutil.Process]:
        """The postmaster, then its children."""
        if self.pid is None:
            return []
        postmaster = psutil.Process(self.pid)
        return [postmaster, *postmaster.children(recursive=True)]

    def suspend(self) -> None:
        """SIGSTOP: the server keeps its port and answers nothing, existing connections included."""
        for process in self._family():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()
                self._stopped.append(process)

    def resume(self) -> None:
        """SIGCONT after `suspend`."""
        for process in self._stopped:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()
        self._stopped.clear()

    def remove(self) -> None:
        """Stop the server at once and delete its files."""
        self.resume()
        family = self._family()
        if self._process and family:
            self._process.send_signal(signal.SIGQUIT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
        for process in wait_gone(family):
            process.kill()
        self._free_shared_memory()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _free_shared_memory(self) -> None:
        """A killed server leaves its System V segment, whose number stands in line 7 of postmaster.pid."""
        with contextlib.suppress(OSError, IndexError):
            number = (self.data_dir / "postmaster.pid").read_text().splitlines()[6].split()[1]
            subprocess.run(["ipcrm", "-m", number], capture_output=True, check=False)

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def wait_gone(processes: Sequence[psutil.Process], timeout_s: float = 5) -> list[psutil.Process]:
    """Wait until the processes have ended; those that still run then. A zombie that nobody reaps has ended."""

    def runs(process: psutil.Process) -> bool:
        try:
            return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    deadline = time.monotonic() + timeout_s
    while (alive := [process for process in processes if runs(process)]) and time.monotonic() < deadline:
        time.sleep(0.005)
    return alive


@contextlib.contextmanager
def new_database(cluster: Cluster, *, template: str | None = None) -> Iterator[str]:
    """The name of a database that exists as long as the block; a copy of `template` if one is named."""
    name = f"t_{secrets.token_hex(6)}"
    cluster.sql(f"CREATE DATABASE {name}" + (f" TEMPLATE {template} STRATEGY file_copy" if template else ""))
    try:
        yield name
    finally:
        if cluster.pid:
            cluster.sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def system_binaries() -> dict[int, Path]:
    """The bin folders of PostgreSQL servers installed by the system, by major version."""
    found: dict[int, Path] = {}
    for postgres in Path("/usr/lib/postgresql").glob("*/bin/postgres"):
        with contextlib.suppress(ValueError):
            found[int(postgres.parent.parent.name)] = postgres.parent
    return found


def end_bundled(home: Path) -> None:
    """End the home's bundled server as a reboot does: cleanly, but not as somebody who wants it stopped."""
    from core import embedded

    pid = embedded.status(home=home).pid
    assert pid is not None
    process = psutil.Process(pid)
    family = [process, *process.children()]
    process.send_signal(signal.SIGINT)
    assert not wait_gone(family, 10)
