"""Env files on disk: whole or unchanged, private, one writer at a time, whatever happens."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from core import envfile
from core.envfile import file as envfile_file
from core.errors import TradekeepError
from tests.core.envfiles import OLD, mode, names, refused

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions and signals")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / ".env.local"
    file.write_bytes(OLD)
    file.chmod(0o600)
    return file


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777])
def test_everything_is_private_under_any_umask(tmp_path: Path, umask: int) -> None:
    path = tmp_path / ".env.local"
    before = os.umask(umask)
    try:
        envfile.set_values(path, {"K": "1"})
        written = envfile.set_values(path, {"K": "2"})
    finally:
        os.umask(before)
    folder = tmp_path / ".tradekeep-backups"
    assert written.backup
    assert (mode(path), mode(written.backup), mode(folder)) == (0o600, 0o600, 0o700)
    assert all(mode(entry) == 0o600 for entry in folder.iterdir())
    assert (folder / ".gitignore").read_bytes() == b"*\n"


@pytest.mark.parametrize(("before", "after"), [(0o644, 0o600), (0o666, 0o600), (0o400, 0o400), (0o700, 0o600)])
def test_mode_is_narrowed_and_never_widened(path: Path, before: int, after: int) -> None:
    path.chmod(before)
    envfile.set_values(path, {"K": "1"})
    assert mode(path) == after


def test_unchanged_file_is_narrowed_but_not_written(path: Path) -> None:
    path.chmod(0o644)
    inode = path.stat().st_ino
    assert envfile.set_values(path, {"A": "1"}) == envfile.Written(False)
    assert (mode(path), path.stat().st_ino, envfile.backups(path)) == (0o600, inode, [])


def test_absent_file_is_created_without_a_backup(tmp_path: Path) -> None:
    path = tmp_path / ".env.local"
    assert envfile.values(path) == {}
    assert envfile.set_values(path, {"K": "1"}) == envfile.Written(True)
    assert path.read_bytes() == b"K=1\n"


def test_restore_gives_back_every_version(path: Path) -> None:
    versions = [path.read_bytes()]
    for number in range(3):
        envfile.set_values(path, {"K": str(number)})
        versions.append(path.read_bytes())
    kept = envfile.backups(path)
    assert [backup.path.read_bytes() for backup in kept] == versions[2::-1]
    assert [backup.size_bytes for backup in kept] == [len(version) for version in versions[2::-1]]
    written = envfile.restore(path, kept[-1].path)
    assert path.read_bytes() == OLD
    assert written.backup
    assert written.backup.read_bytes() == versions[-1]
    assert envfile.restore(path, kept[-1].path) == envfile.Written(False)
    path.unlink()
    envfile.restore(path, kept[0].path)
    assert path.read_bytes() == versions[2]


def test_restore_takes_only_backups_of_this_file(path: Path) -> None:
    other = path.parent / ".env"
    envfile.set_values(other, {"K": "1"})
    written = envfile.set_values(other, {"K": "2"})
    assert written.backup
    disguised = path.parent / ".tradekeep-backups" / ".env.local.20260101T000000.000000Z"
    disguised.symlink_to("/etc/passwd")
    for wrong in (written.backup, other, Path("/etc/passwd"), disguised, disguised.with_name(".env.local.x")):
        with refused(path, "config"):
            envfile.restore(path, wrong)


def test_only_the_newest_backups_are_kept(path: Path) -> None:
    for number in range(envfile_file.KEPT + 5):
        envfile.set_values(path, {"K": str(number)})
    kept = envfile.backups(path)
    assert len(kept) == envfile_file.KEPT
    assert b"K=23\n" in kept[0].path.read_bytes()


def test_symbolic_link_stays_and_its_target_is_written(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "project" / ".env.local"
    link.parent.mkdir()
    link.symlink_to(path)
    written = envfile.set_values(link, {"K": "1"})
    assert link.is_symlink()
    assert path.read_bytes() == OLD + b"K=1\n"
    assert written.backup
    assert written.backup.parent == link.parent / ".tradekeep-backups"
    assert names(link.parent) == [".env.local", ".tradekeep-backups"]
    assert names(tmp_path) == [".env.local", "project"]


def test_writers_at_once_lose_nothing(path: Path) -> None:
    children = []
    for writer in range(4):
        child = os.fork()
        if child == 0:
            try:
                for number in range(20):
                    envfile.set_values(path, {f"W{writer}_{number}": "x"})
            finally:
                os._exit(len(envfile.values(path)) < 20)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    found = envfile.values(path)
    assert len(found) == 82
    assert found["A"] == "1"


def test_threads_at_once_lose_nothing(path: Path) -> None:
    def write(writer: int) -> None:
        for number in range(5):
            envfile.set_values(path, {f"T{writer}_{number}": "x"})

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(envfile.values(path)) == 22


def test_prepared_version_is_published_or_leaves_no_trace(path: Path) -> None:
    with envfile.prepare(path, {"K": "1"}) as prepared:
        assert prepared.changed
        assert path.read_bytes() == OLD
    assert path.read_bytes() == OLD
    assert names(path.parent) == [".env.local", ".tradekeep-backups"]
    assert envfile.backups(path) == []
    with envfile.prepare(path, {"K": "1"}) as prepared:
        assert prepared.publish().changed
        assert prepared.publish() == envfile.Written(False)
    assert path.read_bytes() == OLD + b"K=1\n"
    assert not envfile.prepare(path, {"K": "1"}).changed


def test_two_files_of_one_folder_can_be_prepared_together(path: Path) -> None:
    other = path.with_name(".env.tradekeep")
    with envfile.prepare(path, {"K": "1"}) as first, envfile.prepare(other, {"K": "2"}) as second:
        first.publish()
        second.publish()
    assert (envfile.values(path)["K"], envfile.values(other)["K"]) == ("1", "2")


def test_other_writers_wait_until_a_prepared_version_is_published(path: Path) -> None:
    prepared = envfile.prepare(path, {"K": "1"})
    writer = threading.Thread(target=envfile.set_values, args=(path, {"L": "2"}))
    writer.start()
    writer.join(0.2)
    assert writer.is_alive()
    prepared.publish()
    writer.join(5)
    assert envfile.values(path) == {"A": "1", "DATABASE_URL": "old", "K": "1", "L": "2"}


def test_an_editors_change_between_prepare_and_publish_is_kept(path: Path) -> None:
    with envfile.prepare(path, {"DATABASE_URL": "new"}) as prepared:
        path.write_bytes(OLD + b"EDITED=1\n")
        written = prepared.publish()
    assert path.read_bytes() == b"A=1\nDATABASE_URL=new\nEDITED=1\n"
    assert written.backup
    assert written.backup.read_bytes() == OLD + b"EDITED=1\n"


def test_waiting_for_another_writer_ends_with_a_reason(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envfile_file, "LOCK_TIMEOUT_S", 0.1)
    with envfile.prepare(path, {"K": "1"}), refused_while_prepared(path):
        envfile.set_values(path, {"L": "1"})


@contextlib.contextmanager
def refused_while_prepared(path: Path) -> Iterator[None]:
    with pytest.raises(TradekeepError, match="Another program") as caught:
        yield
    assert caught.value.error_type == "config"
    assert path.read_bytes() == OLD


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", "-C", str(folder), *words], check=True, capture_output=True)


def test_gitignored_says_what_git_does(path: Path, tmp_path: Path) -> None:
    assert envfile.gitignored(path) is None
    git(tmp_path, "init")
    assert envfile.gitignored(path) is False
    (tmp_path / ".gitignore").write_text(".env.*\n")
    assert envfile.gitignored(path) is True
    assert envfile.gitignored(tmp_path / ".env") is False
    git(tmp_path, "add", "-f", ".env.local")
    assert envfile.gitignored(path) is False
    envfile.set_values(tmp_path / ".env", {"K": "1"})
    envfile.set_values(tmp_path / ".env", {"K": "2"})
    backup = envfile.backups(tmp_path / ".env")[0].path
    assert envfile.gitignored(backup) is True
