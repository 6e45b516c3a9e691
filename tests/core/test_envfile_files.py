"""Env files on disk: whole or unchanged, private, one writer at a time, whatever happens."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core import envfile
from core.envfile import file as envfile_file
from core.errors import TradekeepError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions and signals")
OLD = b"A=1\nDATABASE_URL=old\n"
NOBODY = 65534


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / ".env.local"
    file.write_bytes(OLD)
    file.chmod(0o600)
    return file


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def in_child(action: Callable[[], object]) -> int:
    """The wait status of a child process that runs the action; 0 when it ends without an exception."""
    child = os.fork()
    if child == 0:
        try:
            action()
        except BaseException as error:
            os.write(2, f"{error!r}\n".encode())
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1]


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@contextlib.contextmanager
def refused(path: Path, *types: str) -> Iterator[None]:
    """The write fails with one of the types, and neither bytes nor mode nor neighbours change."""
    bytes_before, mode_before = path.read_bytes(), mode(path)
    with pytest.raises(TradekeepError) as caught:
        yield
    assert caught.value.error_type in types
    assert caught.value.message
    assert (path.read_bytes(), mode(path)) == (bytes_before, mode_before)
    assert [name for name in names(path.parent) if name.endswith(".tmp")] == []


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


@pytest.mark.parametrize(
    "shape", ["dangling", "loop", "fifo", "folder", "socket", "device", "hard link", "link to fifo"]
)
def test_what_is_no_plain_file_is_refused_at_once(path: Path, tmp_path: Path, shape: str) -> None:
    odd = tmp_path / "odd"
    if shape == "dangling":
        odd.symlink_to(tmp_path / "nowhere")
    elif shape == "loop":
        odd.symlink_to(odd)
    elif shape == "fifo":
        os.mkfifo(odd)
    elif shape == "folder":
        odd.mkdir()
    elif shape == "socket":
        os.mknod(odd, stat.S_IFSOCK | 0o600)
    elif shape == "device":
        odd.symlink_to("/dev/null")
    elif shape == "hard link":
        os.link(path, odd)
    else:
        os.mkfifo(tmp_path / "pipe")
        odd.symlink_to(tmp_path / "pipe")
    before = names(tmp_path)
    with refused(path, "config"):
        envfile.set_values(odd, {"K": "1"})
    assert names(tmp_path) == before


def test_too_large_file_is_refused_and_a_large_one_is_not(path: Path) -> None:
    path.write_bytes(b"# " + b"x" * (envfile_file.LARGEST_BYTES - 3) + b"\n")
    assert envfile.set_values(path, {"K": "1"}).changed
    path.write_bytes(b"#" * (envfile_file.LARGEST_BYTES + 1))
    with refused(path, "config"):
        envfile.set_values(path, {"K": "1"})


def test_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    path = tmp_path / "missing" / ".env"
    with pytest.raises(TradekeepError, match="folder does not exist") as caught:
        envfile.set_values(path, {"K": "1"})
    assert caught.value.error_type == "permission"
    assert envfile.values(path) == {}
    assert envfile.backups(path) == []


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that other accounts can reach; pytest's own are private."""
    with tempfile.TemporaryDirectory(prefix="tradekeep-test-") as name:
        folder = Path(name)
        folder.chmod(0o777)
        yield folder


def as_nobody(action: Callable[[], object]) -> int:
    def run() -> None:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        action()

    return in_child(run)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second account")
def test_file_of_another_user_is_refused(shared: Path) -> None:
    path = shared / ".env.local"
    path.write_bytes(OLD)
    path.chmod(0o666)

    def attempt() -> None:
        with refused(path, "permission"):
            envfile.set_values(path, {"K": "1"})

    assert as_nobody(attempt) == 0
    assert names(shared) == [".env.local"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second account")
@pytest.mark.parametrize("case", ["folder", "file", "link"])
def test_missing_rights_are_refused(shared: Path, case: str) -> None:
    path = shared / ".env.local"
    path.write_bytes(OLD)
    os.chown(path, NOBODY, NOBODY)
    if case == "folder":
        shared.chmod(0o555)
    elif case == "file":
        path.chmod(0o000)
    else:
        path.rename(shared / "target")
        path.symlink_to(shared / "target")  # a link of root to one's own file: allowed

    def attempt() -> None:
        with pytest.raises(TradekeepError) as caught:
            envfile.set_values(path, {"K": "1"})
        assert caught.value.error_type == "permission"

    assert (as_nobody(attempt) == 0) == (case != "link")
    assert (b"K=1" in path.read_bytes()) == (case == "link")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second account")
def test_root_leaves_files_to_their_owner(shared: Path) -> None:
    os.chown(shared, NOBODY, NOBODY)
    path = shared / ".env.local"
    envfile.set_values(path, {"K": "1"})
    envfile.set_values(path, {"K": "2"})
    everything = [path, shared / ".tradekeep-backups", *(shared / ".tradekeep-backups").iterdir()]
    assert {(entry.stat().st_uid, entry.stat().st_gid) for entry in everything} == {(NOBODY, NOBODY)}
    assert as_nobody(lambda: envfile.set_values(path, {"K": "3"})) == 0
    assert envfile.values(path) == {"K": "3"}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second account")
def test_link_of_another_user_is_refused_to_root(shared: Path) -> None:
    target = shared / "target"
    target.write_bytes(OLD)
    link = shared / ".env.local"
    link.symlink_to(target)
    os.chown(link, NOBODY, NOBODY, follow_symlinks=False)
    with refused(target, "config"):
        envfile.set_values(link, {"K": "1"})


def test_file_size_limit_leaves_the_old_file(path: Path) -> None:
    def attempt() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        with refused(path, "permission", "resource"):
            envfile.set_values(path, {"K": "x" * 5000})

    assert in_child(attempt) == 0
    assert envfile.backups(path) == []


def test_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this account may not mount a small disk")
    try:
        path = disk / ".env.local"
        path.write_bytes(OLD)
        with refused(path, "permission", "resource"):
            envfile.set_values(path, {"K": "x" * 100_000})
        assert envfile.set_values(path, {"K": "1"}).changed
    finally:
        subprocess.run(["umount", str(disk)], check=True)


SYSTEM_CALLS = ("open", "mkdir", "fsync", "replace", "chmod", "fchmod", "unlink", "listdir", "lstat")


def killed_at(number: int) -> None:
    """Have the process kill itself at its n-th system call of interest, counted over all kinds."""
    count = 0

    def counting(call: Callable[..., object]) -> Callable[..., object]:
        def counted(*given: object, **named: object) -> object:
            nonlocal count
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*given, **named)

        return counted

    for name in SYSTEM_CALLS:
        setattr(os, name, counting(getattr(os, name)))


def test_killed_writer_leaves_old_or_new_and_the_next_one_cleans_up(path: Path) -> None:
    new = OLD + b"K=1\n"
    killed = 0
    for number in range(1, 80):
        path.write_bytes(OLD)

        def write(number: int = number) -> None:
            killed_at(number)
            envfile.set_values(path, {"K": "1"})

        status = in_child(write)
        assert path.read_bytes() in (OLD, new), number
        assert mode(path) == 0o600
        if status == 0:
            break
        assert os.WTERMSIG(status) == signal.SIGKILL
        killed += 1
        path.write_bytes(OLD)
        assert envfile.set_values(path, {"K": "1"}).changed
        assert names(path.parent) == [".env.local", ".tradekeep-backups"], number
        for entry in list((path.parent / ".tradekeep-backups").iterdir()) if number % 2 else []:
            entry.unlink()
    assert 12 < killed < 79


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


def test_folder_of_backups_must_be_a_folder(path: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / ".tradekeep-backups").symlink_to(elsewhere)
    with refused(path, "config"):
        envfile.set_values(path, {"K": "1"})
    assert names(elsewhere) == []


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
