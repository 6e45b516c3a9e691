"""Servers that cases need beside the usual ones: Debian's, PgBouncer, a standby, a full disk, another network."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.embedded import programs
from tests.servers import Cluster, free_folder, free_port, give_to_server, system_binaries

NEW_NETWORK = 0x40000000  # CLONE_NEWNET; os.unshare came with Python 3.12
DEBIAN = 15


def needed(present: object, what: str) -> None:
    """Skip where something is not there, or fail where everything has to be."""
    if present:
        return
    if os.environ.get("REQUIRE_POSTGRES"):
        pytest.fail(f"REQUIRE_POSTGRES is set, but there is no {what}")
    pytest.skip(f"there is no {what}")


def debian_programs() -> Path:
    """The bin folder of Debian's PostgreSQL 15: an older server, with TLS, LDAP and its translations."""
    found = system_binaries().get(DEBIAN)
    needed(found, f"PostgreSQL {DEBIAN} of the system")
    assert found
    return found


@contextlib.contextmanager
def german() -> Iterator[Cluster]:
    """Debian's server, that speaks German and knows LDAP; the locale is compiled into a folder of its own."""
    needed(shutil.which("localedef"), "localedef")
    folder = free_folder("locale-")
    command = ["localedef", "-i", "de_DE", "-f", "UTF-8", str(folder / "de_DE.UTF-8")]
    needed(not subprocess.run(command, capture_output=True, check=False).returncode, "locale to compile")
    before = os.environ.get("LOCPATH")
    os.environ["LOCPATH"] = str(folder)
    rules = ("host all ldap_user 127.0.0.1/32 ldap ldapserver=127.0.0.1 ldapport=1 ldapprefix=cn=",)
    try:
        cluster = Cluster(binaries=debian_programs(), conf=("lc_messages = 'de_DE.UTF-8'",), hba=rules)
    finally:
        os.environ.pop("LOCPATH") if before is None else os.environ.update(LOCPATH=before)
    with cluster:
        yield cluster


@contextlib.contextmanager
def pgbouncer(*databases: str, users: dict[str, str], **settings: object) -> Iterator[int]:
    """The port of a PgBouncer. databases: its lines "name = host=...". users: passwords, of clients and servers."""
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    needed(program, "pgbouncer")
    folder, port = free_folder("bouncer-"), free_port()
    (folder / "users").write_text("".join(f'"{name}" "{secret}"\n' for name, secret in users.items()))
    given = {"auth_type": "plain", "auth_file": folder / "users", "listen_addr": "127.0.0.1", "listen_port": port}
    lines = ["[databases]", *databases, "[pgbouncer]", "unix_socket_dir =", f"logfile = {folder / 'log'}"]
    lines += [f"{name} = {value}" for name, value in (given | settings).items()]
    (folder / "ini").write_text("\n".join([*lines, ""]))
    for name in ("users", "ini"):
        give_to_server(folder / name)
    process = subprocess.Popen(
        [str(program), "-q", str(folder / "ini")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder,
        **programs.run_as(programs.account_for_server()),
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 5
        while process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.01)
        yield port
    finally:
        process.terminate()
        process.wait(5)


def only_root() -> None:
    """Skip where the test may not mount or change the network."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root on Linux can do this")


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """The folder as a file system of that size, in memory."""
    only_root()
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True, check=False
    )
    needed(not done.returncode, "right to mount a tmpfs")
    try:
        give_to_server(folder)
        folder.chmod(0o700)
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=False)


@contextlib.contextmanager
def server_on_a_small_disk(size: str) -> Iterator[Cluster]:
    """A server whose whole data folder lies on a volume of that size."""
    with Cluster() as cluster:
        cluster.stop()
        aside = cluster.folder / "aside"
        cluster.data_dir.rename(aside)
        with small_disk(cluster.data_dir, size):
            subprocess.run(["cp", "-a", f"{aside}/.", str(cluster.data_dir)], check=True)
            cluster.start()
            try:
                yield cluster
            finally:
                cluster.stop("immediate")


@contextlib.contextmanager
def standby_of(primary: Cluster) -> Iterator[Cluster]:
    """A hot standby that was made from a running server by pg_basebackup."""
    with Cluster() as standby:
        standby.stop()
        shutil.rmtree(standby.data_dir)
        subprocess.run(
            [
                primary.binaries / "pg_basebackup", "-D", standby.data_dir, "-c", "fast", "-X", "stream",
                "-d", f"host=127.0.0.1 port={primary.port} user=postgres",
            ],
            check=True, capture_output=True, **programs.run_as(programs.account_for_server())
            | {"env": {"PATH": os.defpath, "PGPASSWORD": primary.password}},
        )  # fmt: skip
        source = f"host=127.0.0.1 port={primary.port} user=postgres password={primary.password}"
        standby.configure(conf=(f"primary_conninfo = '{source}'",))
        standby.put("standby.signal", "")
        standby.password = primary.password
        standby.start()
        yield standby


def own_network(*routes: str) -> None:
    """Give this thread a network of its own, in which nothing but loopback and these routes exists."""
    only_root()
    needed(not ctypes.CDLL(None).unshare(NEW_NETWORK), "right to make a network namespace")
    for command in ("link set lo up", *(f"route add {route}" for route in routes)):
        done = subprocess.run(["ip", *command.split()], capture_output=True, check=False)
        needed(not done.returncode, f"`ip {command}`")
