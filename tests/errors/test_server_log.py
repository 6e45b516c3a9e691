"""Servers that do not start: the reason is read from their log."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.embedded import programs
from core.errors import classify_log, match
from tests.servers import Cluster, give_to_server

Break = Callable[[Cluster, Path], None]


@pytest.fixture(scope="module")
def stopped(cluster: Cluster) -> Iterator[Cluster]:
    """A server that is not running; each test breaks a copy of its data folder."""
    with Cluster() as server:
        server.stop()
        yield server


def conf(*lines: str) -> Break:
    def change(cluster: Cluster, data: Path) -> None:
        with (data / "postgresql.conf").open("a") as file:
            file.write("\n".join(("", *lines, "")))

    return change


def write(name: str, content: str, mode: int = 0o600) -> Break:
    def change(cluster: Cluster, data: Path) -> None:
        (data / name).write_text(content)
        (data / name).chmod(mode)
        give_to_server(data / name)

    return change


def remove(name: str) -> Break:
    def change(cluster: Cluster, data: Path) -> None:
        path = data / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return change


def mode(bits: int) -> Break:
    return lambda cluster, data: data.chmod(bits)


def foreign_owner(cluster: Cluster, data: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    os.chown(data, 65534, 65534)
    data.chmod(0o700)


def damaged(cluster: Cluster, data: Path) -> None:
    path = data / "global" / "pg_control"
    content = bytearray(path.read_bytes())
    content[40:60] = b"\xff" * 20
    path.write_bytes(content)


def no_log(cluster: Cluster, data: Path) -> None:
    for path in (data / "pg_wal").iterdir():
        if path.is_file():
            path.unlink()


CASES: list[tuple[str, Break, str]] = [
    ("unknown_parameter", conf("no_such_parameter = 1"), "config.server_file"),
    ("bad_value", conf("work_mem = lots"), "config.server_file"),
    ("out_of_range", conf("max_connections = 99999999"), "config.server_file"),
    ("syntax", conf("= ="), "config.server_file"),
    ("archiving", conf("archive_mode = on", "wal_level = minimal", "max_wal_senders=0"), "config.server_file"),
    ("hba", write("pg_hba.conf", "host all all everywhere maybe\n"), "config.hba_file"),
    ("hba_missing", remove("pg_hba.conf"), "config.hba_file"),
    ("other_version", write("PG_VERSION", "12\n"), "config.data_version"),
    ("no_version", remove("PG_VERSION"), "config.data_folder"),
    ("no_conf", remove("postgresql.conf"), "config.data_folder"),
    ("mode", mode(0o755), "permission.data_folder"),
    ("owner", foreign_owner, "permission.data_folder"),
    ("library", conf("shared_preload_libraries = 'nosuchlibrary'"), "config.library"),
    ("locale", conf("lc_messages = 'xx_XX.UTF-8'"), "config.locale"),
    ("socket_too_long", conf(f"unix_socket_directories = '/tmp/{'x' * 120}'"), "config.socket_path"),
    ("socket_folder_missing", conf("unix_socket_directories = '/nowhere'"), "config.socket_path"),
    ("address", conf("listen_addresses = '203.0.113.1'"), "config.listen"),
    ("control_file_damaged", damaged, "resource.corrupt_cluster"),
    ("control_file_missing", remove("global/pg_control"), "resource.corrupt_cluster"),
    ("no_checkpoint", no_log, "resource.corrupt_cluster"),
    ("recovery_without_command", write("recovery.signal", ""), "config.recovery"),
    ("recovery_of_old_times", write("recovery.conf", ""), "config.recovery"),
    ("two_targets", conf("recovery_target_name = 'a'", "recovery_target_xid = '5'"), "config.recovery"),
    ("lock_file_empty", write("postmaster.pid", ""), "service.already_running"),
    ("lock_file_nonsense", write("postmaster.pid", "nonsense\n"), "service.already_running"),
    ("include_missing", conf("include 'nowhere.conf'"), "config.server_file"),
    ("no_global", remove("global"), "resource.corrupt_cluster"),
    ("listens_nowhere", conf("listen_addresses = 'no-such-host.invalid'"), "config.listen"),
    ("preload_of_nothing", conf("shared_preload_libraries = 'pg_stat_statement'"), "config.library"),
    ("senders", conf("wal_level = minimal"), "config.server_file"),
    ("reserved", conf("max_connections = 3", "superuser_reserved_connections = 3"), "config.server_file"),
    ("too_much_memory", conf("shared_buffers = 900GB", "huge_pages = off"), "resource.shared_memory"),
]  # fmt: skip


def start(cluster: Cluster, data: Path, **how: object) -> str:
    """What the server writes until it gives up, 10 s at most."""
    account = programs.run_as(programs.account_for_server()) if "as_root" not in how else {}
    try:
        done = subprocess.run(
            [cluster.binaries / "postgres", "-D", data], capture_output=True, text=True, timeout=10, cwd="/",
            check=False, **account | {"env": {"LC_ALL": "C", "PATH": os.defpath}},
        )  # fmt: skip
    except subprocess.TimeoutExpired as running:
        raise AssertionError(f"it started: {running.stderr!r}") from None
    return done.stdout + done.stderr


@pytest.fixture
def data(stopped: Cluster, tmp_path: Path) -> Iterator[Path]:
    """A copy of the data folder."""
    copy = stopped.folder / "copy"
    subprocess.run(["cp", "-a", stopped.data_dir, copy], check=True)
    yield copy
    shutil.rmtree(copy)


@pytest.mark.parametrize(("name", "broken", "kind"), CASES, ids=[case[0] for case in CASES])
def test_reason_is_found(stopped: Cluster, data: Path, name: str, broken: Break, kind: str) -> None:
    broken(stopped, data)
    log = start(stopped, data)
    assert classify_log(log).kind == kind, log


def test_port_that_is_taken(stopped: Cluster, data: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", stopped.port))
        other.listen()
        error = classify_log(start(stopped, data))
    assert error.kind == "service.address_in_use"
    assert error.facts["port"] == str(stopped.port)


def test_second_server_on_the_same_folder(cluster: Cluster) -> None:
    error = classify_log(start(cluster, cluster.data_dir))
    assert error.kind == "service.already_running"
    assert error.facts["path"] == str(cluster.data_dir)


def test_certificate_that_is_missing(data: Path, stopped: Cluster) -> None:
    """The text of a server with TLS, and that of one that was built without."""
    missing = 'FATAL:  could not load server certificate file "server.crt": No such file or directory'
    assert classify_log(missing).kind == "tls.server_files"
    open_key = 'FATAL:  private key file "server.key" has group or world access\nDETAIL:  File must have permissions'
    assert classify_log(open_key).kind == "tls.server_files"
    conf("ssl = on")(stopped, data)
    assert classify_log(start(stopped, data)).kind in ("tls.server_files", "config.server_file")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root can try to start a server as root")
def test_root_may_not_start_it(stopped: Cluster, data: Path) -> None:
    assert classify_log(start(stopped, data, as_root=True)).kind == "permission.root"


def test_only_the_last_start_counts(stopped: Cluster, data: Path) -> None:
    conf("no_such_parameter = 1")(stopped, data)
    first = start(stopped, data)
    shutil.copy(stopped.data_dir / "postgresql.conf", data / "postgresql.conf")
    mode(0o755)(stopped, data)
    assert classify_log(first + start(stopped, data)).kind == "permission.data_folder"


@pytest.mark.parametrize("text", ["", "nothing to see", "\0" * 10])
def test_unknown_reason_is_not_guessed(text: str) -> None:
    error = classify_log(text)
    assert error.kind == "service.start_failed"
    assert error.error_type == "service"


def test_path_of_the_data_folder_stands_in_the_steps(stopped: Cluster, data: Path) -> None:
    mode(0o755)(stopped, data)
    error = classify_log(start(stopped, data))
    assert any(str(data) in step for step in error.recovery_steps)


LOG_MESSAGES = [
    (rule["kind"], message, language)
    for rule in match.table()["log"]
    for message in rule.get("messages", ())
    for language in match.translations().get(message, {})
]


@pytest.mark.parametrize(("kind", "message", "language"), LOG_MESSAGES)
def test_reason_is_found_in_the_servers_language(kind: str, message: str, language: str) -> None:
    """PostgreSQL's own translation in a log between lines that say nothing."""
    said = re.sub(r"%(\d+\$)?l?[sdumX]", "17", match.translations()[message][language])
    log = f"2026-01-01 00:00:00 UTC [1] LOG:  x\n2026-01-01 00:00:00 UTC [1] FATAL:  {said}\nLOG:  y\n"
    error = classify_log(log)
    assert error.error_type == kind.partition(".")[0], error.kind
    assert error.kind == kind or message.startswith("Is another"), error.kind  # a port or a folder: both are taken


def test_log_that_goes_on_for_long_is_read_quickly() -> None:
    line = "2026-01-01 00:00:00 UTC [1] LOG:  Datenbanksystem ist bereit, »um« Verbindungen anzunehmen\n"
    started = time.perf_counter()
    assert classify_log(line * 50_000).kind == "service.start_failed"
    assert time.perf_counter() - started < 2
