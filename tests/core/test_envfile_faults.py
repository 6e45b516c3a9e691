"""What must not be written is refused with a reason, and no fault or kill costs a byte of an env file."""

from __future__ import annotations

import os
import resource
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core import envfile
from core.envfile import disk
from core.errors import TradekeepError
from tests.core.envfiles import NOBODY, OLD, as_nobody, in_child, mode, names, refused

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions and signals")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / ".env.local"
    file.write_bytes(OLD)
    file.chmod(0o600)
    return file


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
    path.write_bytes(b"# " + b"x" * (disk.LARGEST_BYTES - 3) + b"\n")
    assert envfile.set_values(path, {"K": "1"}).changed
    path.write_bytes(b"#" * (disk.LARGEST_BYTES + 1))
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


@pytest.fixture
def marked() -> Iterator[Callable[[str, Path], None]]:
    """A function that sets an attribute by chattr; taken back at the end."""
    done: list[tuple[str, Path]] = []

    def mark(attribute: str, path: Path) -> None:
        if subprocess.run(["chattr", f"+{attribute}", path], capture_output=True, check=False).returncode:
            pytest.skip("this file system or account knows no chattr")
        done.append((attribute, path))

    yield mark
    for attribute, path in done:
        subprocess.run(["chattr", f"-{attribute}", path], check=True)


@pytest.mark.parametrize("attribute", ["i", "a"])
@pytest.mark.parametrize("on", ["file", "folder"])
def test_immutable_is_found_before_anything_is_prepared(
    path: Path, marked: Callable[[str, Path], None], attribute: str, on: str
) -> None:
    marked(attribute, path if on == "file" else path.parent)
    before = names(path.parent)
    with refused(path, "config"):
        envfile.prepare(path, {"K": "1"})
    assert names(path.parent) == before


def test_file_that_is_mounted_by_itself_is_refused(path: Path, tmp_path: Path) -> None:
    source = tmp_path / "with blank"
    source.write_bytes(OLD)
    odd = tmp_path / "mounted here"
    odd.touch()
    if subprocess.run(["mount", "--bind", source, odd], capture_output=True, check=False).returncode:
        pytest.skip("this account may not mount")
    try:
        with pytest.raises(TradekeepError, match="mounted by itself"):
            envfile.prepare(odd, {"K": "1"})
        assert odd.read_bytes() == OLD
    finally:
        subprocess.run(["umount", odd], check=True)


def test_read_only_file_system_is_refused(tmp_path: Path) -> None:
    disk_folder = tmp_path / "disk"
    disk_folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk_folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this account may not mount a small disk")
    try:
        path = disk_folder / ".env.local"
        path.write_bytes(OLD)
        path.chmod(0o600)
        subprocess.run(["mount", "-o", "remount,ro", str(disk_folder)], check=True)
        with refused(path, "permission"):
            envfile.set_values(path, {"K": "1"})
        assert names(disk_folder) == [".env.local"]
    finally:
        subprocess.run(["umount", str(disk_folder)], check=True)


def test_a_write_that_changes_nothing_still_cleans_up(path: Path) -> None:
    envfile.set_values(path, {"K": "1"})
    left = path.with_name(f".env.local.tradekeep-{'0' * 16}.tmp")
    left.write_text("K=S3cret\n")
    assert not envfile.set_values(path, {"K": "1"}).changed
    assert not left.exists()


def test_without_nameless_files_it_works_all_the_same(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "_nameless", lambda folder: None)
    written = envfile.set_values(path, {"K": "1"})
    assert path.read_bytes() == OLD + b"K=1\n"
    assert written.backup
    assert written.backup.read_bytes() == OLD
    with envfile.prepare(path, {"K": "2"}):
        pass
    assert names(path.parent) == [".env.local", ".tradekeep-backups"]


def test_nothing_lies_on_the_disk_while_a_version_is_prepared(path: Path) -> None:
    with envfile.prepare(path, {"K": "S3cret-to-come"}):
        everything = [entry.read_bytes() for entry in path.parent.rglob("*") if entry.is_file()]
        assert not [data for data in everything if b"S3cret-to-come" in data]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second account")
def test_folder_of_backups_of_another_user_is_refused(shared: Path) -> None:
    path = shared / ".env.local"
    path.write_bytes(OLD)
    os.chown(path, NOBODY, NOBODY)
    (shared / ".tradekeep-backups").mkdir(mode=0o777)

    def attempt() -> None:
        with refused(path, "permission"):
            envfile.set_values(path, {"K": "1"})

    assert as_nobody(attempt) == 0


SYSTEM_CALLS = ("open", "mkdir", "fsync", "link", "replace", "chmod", "fchmod", "unlink", "listdir", "lstat")


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


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs the names of open files")
def test_bytes_are_on_the_disk_before_the_rename_and_the_rename_before_the_end(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    fsync, replace = os.fsync, os.replace

    def synced(handle: int) -> None:
        folder, _, name = os.readlink(f"/proc/self/fd/{handle}").rpartition("/")
        calls.append(f"{Path(folder).name}/new" if name.startswith("#") else name)
        fsync(handle)

    def replaced(source: Path, target: Path) -> None:
        calls.append("rename")
        replace(source, target)

    envfile.set_values(path, {"A": "0"})
    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    written = envfile.set_values(path, {"K": "1"})
    assert written.backup
    folder = path.parent.name
    assert calls == [".tradekeep-backups/new", ".tradekeep-backups", f"{folder}/new", "rename", folder]


def test_folder_of_backups_must_be_a_folder(path: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / ".tradekeep-backups").symlink_to(elsewhere)
    with refused(path, "config"):
        envfile.set_values(path, {"K": "1"})
    assert names(elsewhere) == []


def test_path_with_nul_is_refused_by_everything(tmp_path: Path) -> None:
    path = tmp_path / ".e\0nv"
    for act in (
        lambda: envfile.set_values(path, {"K": "1"}),
        lambda: envfile.preview(path, {"K": "1"}),
        lambda: envfile.values(path),
        lambda: envfile.backups(path),
        lambda: envfile.restore(tmp_path / ".env", path),
    ):
        with pytest.raises(TradekeepError) as caught:
            act()
        assert caught.value.kind == "config.env_file"
    (tmp_path / ".git").mkdir()
    assert envfile.gitignored(path) is None


@pytest.mark.parametrize("values", [{"K": 5}, {"K": b"x"}, {"K": ["x"]}, {5: "x"}], ids=str)
def test_value_that_is_no_text_is_refused(path: Path, values: dict[Any, Any]) -> None:
    path.write_text("K=old\n")
    with refused(path, "config"):
        envfile.set_values(path, values)
    assert path.read_text() == "K=old\n"
