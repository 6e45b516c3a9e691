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
from core.embedded.place import make_private_folder, write_private
from core.errors import TradekeepError
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


@AS_ROOT
@pytest.mark.parametrize("name", ["log", "data", "data/tradekeep.conf", "log/start.log"])
def test_link_of_the_servers_account_is_not_followed_by_root(home: Path, name: str) -> None:
    server = embedded.start(home=home)
    embedded.stop(home=home)
    place = server.data_dir.parent
    treasure = free_folder("treasure-")
    os.chown(treasure, 0, 0)
    treasure.chmod(0o755)
    (treasure / "file").write_text("kept")
    (place / name).rename(treasure / "moved")
    before = {path: path.lstat() for path in (treasure, treasure / "file")}
    planted = place / name
    planted.symlink_to(treasure / "file" if "/" in name else treasure / "moved" if name == "data" else treasure)
    account = place.stat()
    os.lchown(planted, account.st_uid, account.st_gid)
    if name == "data/tradekeep.conf":  # a file is replaced, not written through
        embedded.start(home=home)
        embedded.stop(home=home)
        assert not planted.is_symlink()
    else:
        with pytest.raises(TradekeepError) as caught:
            embedded.start(home=home)
        assert caught.value.error_type == "permission"
        assert "symbolic link" in caught.value.message + caught.value.details
    for path, then in before.items():
        now = path.lstat()
        assert (now.st_uid, now.st_gid, now.st_mode) == (then.st_uid, then.st_gid, then.st_mode)
    assert (treasure / "file").read_text() == "kept"


@AS_ROOT
def test_folder_below_a_link_of_another_account_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real" / "inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    make_private_folder(tmp_path / "link" / "inner")  # a link of our own leads where we want
    os.lchown(tmp_path / "link", 65534, 65534)
    for act in (
        lambda: make_private_folder(tmp_path / "link" / "inner"),
        lambda: make_private_folder(tmp_path / "link"),
        lambda: write_private(tmp_path / "link" / "inner" / "file", "text"),
    ):
        with pytest.raises(OSError, match="symbolic link"):
            act()
    assert not list((tmp_path / "real" / "inner").iterdir())


def test_lock_that_is_a_link_is_refused(home: Path) -> None:
    (home / "other").write_text("kept")
    (home / "server.lock").symlink_to(home / "other")
    with pytest.raises(TradekeepError) as caught:
        embedded.start(home=home)
    assert caught.value.kind == "permission.file"
    assert (home / "other").read_text() == "kept"


@pytest.mark.parametrize("place", ["home", "server"])
def test_file_in_the_place_of_a_folder_is_named(home: Path, place: str) -> None:
    file = home / "taken" if place == "home" else home / "taken" / "server"
    file.parent.mkdir(exist_ok=True)
    file.write_text("kept")
    file.chmod(0o644)
    found = embedded.status(home=home / "taken")
    assert (found.state, "ot a directory" in (found.reason or "")) == ("unavailable", True)
    with pytest.raises(TradekeepError) as caught:
        embedded.start(home=home / "taken")
    assert caught.value.kind == "permission.file"
    assert "ot a directory" in caught.value.message
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("kept", 0o644)


def test_folders_above_a_new_home_are_private(home: Path) -> None:
    before = os.umask(0)
    try:
        embedded.start(home=home / "a" / "b")
    finally:
        os.umask(before)
        embedded.stop(home=home / "a" / "b")
    assert {stat.S_IMODE((home / name).stat().st_mode) for name in ("a", "a/b")} == {0o700}
