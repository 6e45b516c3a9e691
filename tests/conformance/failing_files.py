"""Failures on the client's side: SQLite, files, programs, sockets, TLS, validation and migrations."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import resource
import socket
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from core.settings import DatabaseConfig
from tests.conformance import machines
from tests.conformance.failing_clients import Form, plain
from tests.conformance.failing_connections import silent
from tests.conformance.lab import Failure, Lab, listener, raised
from tests.servers import free_folder, free_port

Provoked = tuple[BaseException | str, DatabaseConfig | None]


def lite(act: Callable[[sqlite3.Connection, Path], Any], *, setup: str = "CREATE TABLE t (n INTEGER)") -> Any:
    """What SQLite says to a file with one table."""

    def provoke(lab: Lab) -> Provoked:
        path = Path(tempfile.mkdtemp(dir=free_folder("lite-"))) / "a.sqlite"
        with contextlib.closing(sqlite3.connect(path, timeout=0)) as connection:
            connection.executescript(setup)
            return raised(lambda: act(connection, path)), None

    return provoke


def lite_busy(connection: sqlite3.Connection, path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO t VALUES (1)")


def lite_full(connection: sqlite3.Connection, path: Path) -> None:
    """On a file system without room."""
    with machines.small_disk(path.parent / "small", "100k") as folder:
        small = sqlite3.connect(folder / "b.sqlite")
        with contextlib.closing(small):
            small.execute("CREATE TABLE t (b)")
            small.execute("INSERT INTO t VALUES (zeroblob(500000))")
            small.commit()


def lite_cut(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute(
        "CREATE TABLE big AS WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM c LIMIT 5000) SELECT n FROM c"
    )
    connection.commit()
    os.truncate(path, 8192)
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("SELECT count(*), sum(n) FROM big").fetchall()


def lite_interrupted(connection: sqlite3.Connection, path: Path) -> None:
    connection.set_progress_handler(lambda: 1, 100)
    connection.execute(
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM c) SELECT count(*) FROM c"
    ).fetchall()


def lite_thread(connection: sqlite3.Connection, path: Path) -> None:
    found: list[BaseException] = []
    thread = threading.Thread(target=lambda: found.append(raised(lambda: connection.execute("SELECT 1"))))
    thread.start()
    thread.join()
    raise found[0]


def many_files() -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 5, limits[1]))
    files = []
    try:
        for _ in range(50):
            files.append(open("/dev/null"))  # noqa: SIM115 - left open on purpose
    finally:
        for file in files:
            file.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def full_disk() -> None:
    Path("/dev/full").write_bytes(b"x" * 100_000)


def small_file() -> None:
    """A file that may not grow: the limit raises EFBIG, where its signal is ignored as Python does."""
    with tempfile.TemporaryDirectory() as folder:
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        try:
            Path(folder, "x").write_bytes(b"x" * 5000)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def broken_pipe() -> None:
    here, there = socket.socketpair()
    there.close()
    with here:
        for _ in range(3):
            here.sendall(b"x" * 100)


def port_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.socket() as two:
        two.bind(one.getsockname())


def socket_timeout(lab: Lab) -> Provoked:
    port = lab.stack.enter_context(listener(silent))
    with socket.create_connection(("127.0.0.1", port), timeout=0.1) as client:
        return raised(lambda: client.recv(1)), None


def tls_to(name: str, certificate: str, **options: Any) -> Callable[[Lab], Provoked]:
    """Python's own TLS to the server that shows this certificate."""

    def provoke(lab: Lab) -> Provoked:
        cluster = lab.showing(certificate)
        context = ssl.create_default_context(cafile=lab.certificates.path(options.get("root", "root")))

        def shake() -> None:
            with socket.create_connection(("127.0.0.1", cluster.port), timeout=5) as client:
                client.sendall(bytes.fromhex("0000000804d2162f"))
                client.recv(1)
                context.wrap_socket(client, server_hostname=name).close()

        return raised(shake), None

    return provoke


def async_timeout() -> None:
    async def wait() -> None:
        await asyncio.wait_for(asyncio.sleep(5), 0.01)

    asyncio.run(wait())


def async_cancelled() -> None:
    async def cancel() -> None:
        task = asyncio.ensure_future(asyncio.sleep(5))
        await asyncio.sleep(0)
        task.cancel()
        await task

    asyncio.run(cancel())


def async_refused() -> None:
    asyncio.run(asyncio.open_connection("127.0.0.1", free_port()))  # type: ignore[arg-type]


def alembic(act: Callable[[Any, Any], Any]) -> Callable[[Lab], Provoked]:
    """What Alembic says in a folder with two revisions on one base."""

    def provoke(lab: Lab) -> Provoked:
        from alembic import command
        from alembic.config import Config

        folder = free_folder("alembic-")
        config = Config(stdout=open(os.devnull, "w"))  # noqa: SIM115 - Alembic closes nothing
        config.set_main_option("script_location", str(folder / "m"))
        config.set_main_option("sqlalchemy.url", f"sqlite:///{folder}/a.sqlite")
        (folder / "m" / "versions").mkdir(parents=True)
        (folder / "m" / "env.py").write_text(
            "from alembic import context\nimport sqlalchemy as sa\n"
            "e = sa.create_engine(context.config.get_main_option('sqlalchemy.url'))\n"
            "with e.connect() as c:\n    context.configure(connection=c)\n"
            "    with context.begin_transaction(): context.run_migrations()\n"
        )
        (folder / "m" / "script.py.mako").write_text("")
        for name, down in (("a1", None), ("b1", "a1"), ("b2", "a1")):
            (folder / "m" / "versions" / f"{name}.py").write_text(
                f"revision = {name!r}\ndown_revision = {down!r}\nbranch_labels = depends_on = None\n"
                "def upgrade(): pass\ndef downgrade(): pass\n"
            )
        return raised(lambda: act(command, config)), None

    return provoke


FAILURES = [
    Failure("lite_locked", lite(lite_busy), "transient.lock"),
    Failure("lite_full", lite(lite_full), "resource.disk_full"),
    Failure("lite_cut", lite(lite_cut), "resource.corrupt"),
    Failure("lite_interrupted", lite(lite_interrupted), "transient.cancelled"),
    Failure("lite_other_thread", lite(lite_thread), "config.program"),
    Failure(
        "lite_read_only",
        lite(lambda c, p: c.execute("PRAGMA query_only = 1") and c.execute("DELETE FROM t")),
        "permission.read_only_file",
    ),
    Failure("lite_no_folder", lite(lambda c, p: sqlite3.connect(p / "x")), "config.sqlite_file"),
    Failure("lite_several", lite(lambda c, p: c.execute("SELECT 1; SELECT 2")), "config.program"),
    Failure("lite_bindings", lite(lambda c, p: c.execute("SELECT ?, ?", [1])), "config.program"),
    Failure("lite_type", lite(lambda c, p: c.execute("SELECT ?", [object()])), "data.adapt"),
    Failure("lite_huge", lite(lambda c, p: c.execute("INSERT INTO t VALUES (?)", [2**70])), "data.out_of_range"),
    Failure("lite_too_big", lite(lambda c, p: c.execute("SELECT zeroblob(2000000000)").fetchall()), "resource.limit"),
    Failure(
        "lite_strict",
        lite(lambda c, p: c.execute("INSERT INTO t VALUES ('x')"), setup="CREATE TABLE t (n INTEGER) STRICT"),
        "data.malformed",
    ),
    Failure(
        "lite_foreign_key",
        lite(
            lambda c, p: c.execute("PRAGMA foreign_keys = 1") and c.execute("INSERT INTO u VALUES (9)"),
            setup="CREATE TABLE t (n INTEGER PRIMARY KEY); CREATE TABLE u (n REFERENCES t)",
        ),
        "data.foreign_key",
    ),
    Failure(
        "lite_trigger",
        lite(
            lambda c, p: c.execute("INSERT INTO t VALUES (1)"),
            setup="CREATE TABLE t (n); CREATE TRIGGER x BEFORE INSERT ON t BEGIN SELECT RAISE(ABORT, 'no'); END",
        ),
        "data.rule",
    ),
    Failure("lite_json", lite(lambda c, p: c.execute("SELECT json('{')").fetchall()), "data.json"),
    Failure(
        "lite_in_transaction", lite(lambda c, p: c.execute("BEGIN") and c.execute("BEGIN")), "config.transaction_state"
    ),
    Failure("lite_no_transaction", lite(lambda c, p: c.execute("COMMIT")), "config.transaction_state"),
    Failure("lite_no_savepoint", lite(lambda c, p: c.execute("ROLLBACK TO x")), "config.transaction_state"),
    Failure("lite_vacuum", lite(lambda c, p: c.execute("BEGIN") and c.execute("VACUUM")), "config.in_transaction"),
    Failure("lite_values", lite(lambda c, p: c.execute("INSERT INTO t VALUES (1, 2)")), "schema.syntax"),
    Failure(
        "lite_overflow",
        lite(lambda c, p: c.execute("SELECT abs(-9223372036854775808)").fetchall()),
        "data.out_of_range",
    ),
    Failure("file_missing", plain(lambda: Path("/no/such/file").read_text()), "config.file_missing"),
    Failure("file_folder", plain(lambda: Path("/").read_text()), "permission.file"),
    Failure("file_not_folder", plain(lambda: Path("/etc/passwd/x").read_text()), "permission.file"),
    Failure("file_full", plain(full_disk), "resource.disk_full"),
    Failure("file_limit", plain(small_file), "resource.disk_full"),
    Failure("file_many", plain(many_files), "resource.files"),
    Failure("file_long_name", plain(lambda: Path("/tmp/" + "x" * 300).write_text("")), "unexpected"),
    Failure("file_nul", plain(lambda: Path("/tmp/\0").write_text("")), "data.nul"),
    Failure("file_not_empty", plain(lambda: os.rmdir("/usr")), "unexpected"),
    Failure("file_busy", plain(lambda: os.rename("/dev/shm", "/dev/shm2")), "unexpected"),
    Failure("file_other_disk", plain(lambda: os.link("/proc/version", "/tmp/version")), "unexpected"),
    Failure("file_decode", plain(lambda: b"\xff\xfe".decode("utf-8")), "data.encoding"),
    Failure("program_missing", plain(lambda: subprocess.run(["no-such-program"], check=True)), "config.file_missing"),
    Failure("program_not_allowed", plain(lambda: subprocess.run(["/etc/passwd"], check=True)), "permission.file"),
    Failure(
        "program_failed", plain(lambda: subprocess.run([sys.executable, "-c", "exit(3)"], check=True)), "unexpected"
    ),
    Failure(
        "program_slow", plain(lambda: subprocess.run(["sleep", "5"], timeout=0.05, check=False)), "transient.program"
    ),
    Failure(
        "net_refused_by_python", plain(lambda: socket.create_connection(("127.0.0.1", free_port()))), "service.refused"
    ),
    Failure("net_timeout_in_python", socket_timeout, "network.timeout"),
    Failure(
        "net_unknown_in_python",
        plain(lambda: socket.create_connection(("no-such-host.invalid", 1))),
        "network.unresolved",
    ),
    Failure("net_bad_service", plain(lambda: socket.getaddrinfo("127.0.0.1", "no-such-service")), "network.unresolved"),
    Failure("net_label", plain(lambda: socket.getaddrinfo("a" * 80 + ".com", 1)), "network.unresolved"),
    Failure("net_broken_pipe", plain(broken_pipe), "network.reset"),
    Failure("net_port_taken", plain(port_taken), "service.address_in_use"),
    Failure("net_address", plain(lambda: socket.create_server(("203.0.113.9", 0))), "network.unreachable"),
    Failure("net_async_refused", plain(async_refused), "service.refused"),
    Failure("net_async_timeout", plain(async_timeout), "network.timeout"),
    Failure("net_async_cancelled", plain(async_cancelled), "transient.cancelled"),
    Failure("ssl_python_expired", tls_to("localhost", "old"), "tls.expired"),
    Failure("ssl_python_future", tls_to("localhost", "new"), "tls.not_yet_valid"),
    Failure("ssl_python_host", tls_to("localhost", "other"), "tls.wrong_host"),
    Failure("ssl_python_ca", tls_to("localhost", "server", root="stranger"), "tls.unknown_ca"),
    Failure(
        "ssl_python_file", plain(lambda: ssl.create_default_context(cafile="/etc/hostname")), "tls.root_unreadable"
    ),
    Failure(
        "ssl_python_root_missing", plain(lambda: ssl.create_default_context(cafile="/none")), "config.file_missing"
    ),
    Failure("ssl_python_ciphers", plain(lambda: ssl.create_default_context().set_ciphers("nonsense")), "tls.versions"),
    Failure("text_json", plain(lambda: json.loads("{'a': 1}")), "data.json"),
    Failure("text_decimal", plain(lambda: Decimal("1,5")), "data.malformed"),
    Failure("text_uuid", plain(lambda: uuid.UUID("x")), "unexpected"),
    Failure("text_division", plain(lambda: 1 / 0), "unexpected"),
    Failure("text_form", plain(lambda: Form(port=99999)), "config.invalid"),
    Failure("text_form_missing", plain(lambda: Form.model_validate({})), "config.invalid"),
    Failure("memory", plain(lambda: bytearray(1 << 60)), "resource.memory"),
    Failure("interrupted", plain(lambda: (_ for _ in ()).throw(KeyboardInterrupt())), "transient.interrupted"),
    Failure("import_driver", plain(lambda: sa.create_engine("postgresql+asyncpg://u@h/d")), "config.driver"),
    Failure("alembic_unknown", alembic(lambda c, f: c.upgrade(f, "zz")), "schema.revision"),
    Failure("alembic_two_heads", alembic(lambda c, f: c.upgrade(f, "head")), "schema.migrations"),
    Failure("alembic_stamp_unknown", alembic(lambda c, f: c.stamp(f, "zz")), "schema.revision"),
    Failure("alembic_downgrade", alembic(lambda c, f: c.downgrade(f, "-3")), "schema.migrations"),
    Failure(
        "alembic_not_current", alembic(lambda c, f: c.revision(f, head="a1", autogenerate=True)), "schema.migrations"
    ),
    Failure(
        "os_quota",
        plain(lambda: (_ for _ in ()).throw(OSError(errno.EDQUOT, "Disk quota exceeded"))),
        "resource.disk_full",
    ),
]
