"""The bundled server's password and files: known to their owner only."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from core import embedded
from core.log import redact
from tests.embedded.test_server import rows
from tests.servers import free_folder

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root's home is closed to the server's account")


def password_of(server: embedded.EmbeddedServer) -> str:
    assert server.admin_config.password is not None
    return server.admin_config.password.get_secret_value()


def modes_other_than_private(folder: Path) -> list[str]:
    """Files and folders that others may read, the folder included."""
    return [
        f"{stat.filemode(path.lstat().st_mode)} {path}"
        for path in (folder, *folder.rglob("*"))
        if path.lstat().st_mode & 0o077
    ]


@pytest.fixture
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """Another umask for one test."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077], indirect=True, ids=oct)
def test_files_are_private_under_any_umask(home: Path, umask: int) -> None:
    server = embedded.start(home=home)
    rows(server, "CREATE TABLE t (id int)", "CHECKPOINT")
    assert not modes_other_than_private(home / "server")
    assert not (home / "server.lock").stat().st_mode & 0o077
    embedded.stop(home=home)
    assert not modes_other_than_private(home / "server")


@pytest.mark.parametrize("where", ["tcp", "socket"])
def test_wrong_password_is_refused(running: embedded.EmbeddedServer, where: str) -> None:
    host = running.admin_config.host if where == "tcp" else str(running.socket_dir)
    wrong = running.admin_config.libpq_params() | {"host": host, "password": "wrong"}
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(**wrong)


def test_every_rule_asks_for_scram(running: embedded.EmbeddedServer) -> None:
    methods = {method for (method,) in rows(running, "SELECT auth_method FROM pg_hba_file_rules")}
    assert methods == {"scram-sha-256"}
    assert rows(running, "SELECT left(rolpassword, 14) FROM pg_authid WHERE rolname = 'postgres'") == [
        ("SCRAM-SHA-256$",)
    ]


def test_password_is_generated_and_long(home: Path) -> None:
    (home / "a").mkdir()
    (home / "b").mkdir()
    first, second = (password_of(embedded.start(home=home / name)) for name in "ab")
    assert first != second
    assert min(len(first), len(second)) >= 32


def test_password_is_in_no_file_but_its_own(home: Path) -> None:
    server = embedded.start(home=home)
    secret = password_of(server).encode()
    with pytest.raises(psycopg.Error):
        rows(server, f"ALTER ROLE nobody_here PASSWORD '{secret.decode()}'")
    rows(server, "CREATE EXTENSION pg_stat_statements")
    rows(server, f"CREATE ROLE somebody PASSWORD '{secret.decode()}'")
    assert rows(server, "SELECT query FROM pg_stat_statements WHERE query ILIKE '%CREATE ROLE%'") == []
    embedded.stop(home=home)
    files = [path for path in home.rglob("*") if path.is_file()]
    assert [path.name for path in files if secret in path.read_bytes()] == ["password"]


def test_password_is_in_no_process_list_or_environment(home: Path) -> None:
    seen: set[str] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            for process in psutil.process_iter():
                try:
                    if process.name().startswith(("postgres", "initdb")):
                        seen.update((*process.cmdline(), *process.environ().values()))
                except (psutil.Error, OSError):
                    continue

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        server = embedded.start(home=home)
    finally:
        done.set()
        watcher.join()
    assert any("initdb" in word for word in seen)
    assert not [word for word in seen if password_of(server) in word]


def test_server_does_not_inherit_the_environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://bot:not-for-the-server@db/trading")
    server = embedded.start(home=home)
    assert set(psutil.Process(server.pid).environ()) <= {"PATH", "LC_ALL", "PG_OOM_ADJUST_FILE"}


def test_password_is_redacted_everywhere_after_the_start(running: embedded.EmbeddedServer) -> None:
    secret = password_of(running)
    assert secret not in redact(f"could not sign in with {secret}")


def test_root_starts_the_server_as_an_account_without_rights(running: embedded.EmbeddedServer) -> None:
    assert psutil.Process(running.pid).uids().effective != 0
    assert running.data_dir.stat().st_uid == psutil.Process(running.pid).uids().effective


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in the place of /var/lib/tradekeep, of mode 0700 and root's."""
    folder = free_folder()
    os.chown(folder, 0, 0)
    for module in ("core.embedded", "core.embedded.programs", "core.embedded.place"):
        monkeypatch.setattr(f"{module}.SYSTEM_FOLDER", folder)
    return folder


@AS_ROOT
def test_home_in_the_system_place_keeps_its_data(system: Path) -> None:
    server = embedded.start(home=system)
    assert server.data_dir == system / "server" / "data"
    assert not modes_other_than_private(system / "server")
    embedded.stop(home=system)


@AS_ROOT
def test_closed_home_of_root_keeps_only_the_record(home: Path, system: Path) -> None:
    closed = home / "closed"
    closed.mkdir(mode=0o700)
    server = embedded.start(home=closed)
    assert server.data_dir.is_relative_to(system / "servers")
    assert sorted(path.name for path in closed.rglob("*")) == ["server", "server.json", "server.lock"]
    assert not modes_other_than_private(closed)
    assert not modes_other_than_private(server.data_dir.parent)
    assert embedded.status(home=closed).data_dir == server.data_dir
    embedded.stop(home=closed)
    (closed / "server" / "server.json").unlink()
    assert embedded.start(home=closed).admin_config == server.admin_config
    embedded.stop(home=closed)
