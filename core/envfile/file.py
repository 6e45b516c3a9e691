"""Env files on disk: written whole or not at all, private, backed up, one writer at a time."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from core.envfile.mask import difference
from core.envfile.text import changed, decoded, stumbling_blocks, values_of
from core.errors import TradekeepError

FOLDER = ".tradekeep-backups"
KEPT = 20
LARGEST_BYTES = 4 * 1024 * 1024
LOCK_TIMEOUT_S = 30.0
_STAMP = "%Y%m%dT%H%M%S.%fZ"
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)


@dataclass(frozen=True)
class Written:
    """What a write did: whether the file's text changed, and where the version before it is (None: there was none)."""

    changed: bool
    backup: Path | None = None


@dataclass(frozen=True)
class Backup:
    """One kept version of an env file."""

    path: Path
    taken_at: datetime
    size_bytes: int


@dataclass(frozen=True)
class _Present:
    """The file as it is now: where it really is, its bytes (None: absent), its mode and owner."""

    target: Path
    data: bytes | None
    mode: int
    owner: tuple[int, int] | None


def values(path: Path) -> dict[str, str]:
    """What python-dotenv reads from the file with interpolate=False; empty when there is no file."""
    data = _present(_named(path)).data
    return values_of(decoded(data)) if data else {}


def problems(path: Path) -> list[tuple[int, str]]:
    """Line number and reason of everything in the file that some reader of env files stumbles over."""
    data = _present(_named(path)).data
    return stumbling_blocks(decoded(data)) if data else []


def set_values(path: Path, values: Mapping[str, str | None]) -> Written:
    """Set keys of the file (None removes one) and leave every other byte; create it when it is absent.

    The file is afterwards readable by its owner only. Raises config.env_value, config.env_file, permission.file,
    and then the file is as it was.
    """
    return prepare(path, values).publish()


def preview(path: Path, values: Mapping[str, str | None]) -> str:
    """A unified difference of what `set_values` would do, all secrets masked; "" when it would change nothing."""
    path = _named(path)
    old = _present(path).data or b""
    return difference(old, changed(old, values, path), path.name)


def prepare(path: Path, values: Mapping[str, str | None]) -> Prepared:
    """Everything of a write but the last step: the new version lies on the disk, and `publish` puts it into place.

    Until `publish` or `discard` no other writer gets at the file. Usable in a `with` block, which discards what was
    not published. Raises like `set_values`.
    """
    path = _named(path)
    wanted = dict(values)
    return Prepared._begun(path, lambda old: changed(old, wanted, path))


def backups(path: Path) -> list[Backup]:
    """The kept versions of the file, newest first."""
    path = _named(path)
    found = []
    with _refusals(path), contextlib.suppress(FileNotFoundError, NotADirectoryError):
        for entry in os.scandir(path.parent / FOLDER):
            taken_at = _taken_at(path, entry.name)
            if taken_at and entry.is_file(follow_symlinks=False):
                size = entry.stat(follow_symlinks=False).st_size
                found.append(Backup(Path(entry.path), taken_at, size))
    return sorted(found, key=lambda backup: backup.path.name, reverse=True)


def restore(path: Path, backup: Path) -> Written:
    """Put a kept version back, byte for byte; the present one is backed up first. Raises config.env_file."""
    path, backup = _named(path), _named(backup)
    if backup.parent != path.parent / FOLDER or not _taken_at(path, backup.name):
        raise TradekeepError("config.env_file", "This is not a backup of the file.", path=path)
    data = _present(backup, follow=False).data
    if data is None:
        raise TradekeepError("config.env_file", "The backup does not exist any more.", path=backup)
    return Prepared._begun(path, lambda old: data).publish()


class Prepared:
    """A new version of an env file that waits to be published; made by `prepare`."""

    def __init__(self, path: Path, change: Callable[[bytes], bytes], lock: FileLock | None) -> None:
        self.path = path
        self.changed = lock is not None
        self.backup: Path | None = None
        self._change = change
        self._lock = lock
        self._present: _Present | None = None
        self._temporary: Path | None = None

    @classmethod
    def _begun(cls, path: Path, change: Callable[[bytes], bytes]) -> Prepared:
        with _refusals(path):
            present = _present(path)
            if present.data is not None and change(present.data) == present.data:
                _narrowed(present)
                return cls(path, change, None)
            lock = _locked(path, present)
            prepared = cls(path, change, lock)
            try:
                prepared._write()
            except BaseException:
                prepared.discard()
                raise
            return prepared

    def _write(self) -> None:
        """Write the new version and the backup of the present one; under the lock."""
        present = self._present = _present(self.path)
        _writable(self.path, present)
        _swept(present.target)
        self.changed = present.data is None or self._change(present.data) != present.data
        if not self.changed:
            return
        if present.data is not None:
            self.backup = _kept(self.path, present)
        name = f"{present.target.name}.tradekeep-{secrets.token_hex(8)}.tmp"
        self._temporary = present.target.parent / name
        _created(self._temporary, self._change(present.data or b""), present.mode, present.owner)

    def publish(self) -> Written:
        """Put the new version into place; what somebody else wrote meanwhile is kept. Raises like `set_values`."""
        if self._lock is None or self._present is None:
            return Written(False)
        with _refusals(self.path):
            try:
                now = _present(self.path)
                if self.changed and now.data != self._present.data:
                    self._forget()
                    self._write()
                if not self.changed or self._temporary is None:
                    return Written(False)
                os.replace(self._temporary, self._present.target)
                self._temporary = None
                _synced(self._present.target.parent)
                written = Written(True, self.backup)
                self.backup = None
                _pruned(self.path)
                return written
            finally:
                self.discard()

    def discard(self) -> None:
        """Leave the file as it is, remove what was prepared, and let other writers in. Safe to call twice."""
        self._forget()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _forget(self) -> None:
        for left in (self._temporary, self.backup):
            if left:
                with contextlib.suppress(OSError):
                    left.unlink()
        self._temporary = self.backup = None

    def __enter__(self) -> Prepared:
        return self

    def __exit__(self, *exc: object) -> None:
        self.discard()


def _named(path: Path) -> Path:
    """The absolute path. Raises config.env_file for one that no file can have."""
    if "\0" in str(path):
        shown = str(path).replace("\0", "␀")
        raise TradekeepError("config.env_file", "The path contains a NUL character.", path=shown)
    return Path(path).absolute()


def _refuse(path: Path, message: str) -> TradekeepError:
    return TradekeepError("config.env_file", message, path=path)


@contextlib.contextmanager
def _refusals(path: Path) -> Iterator[None]:
    """Translate what the file system refuses."""
    try:
        yield
    except FileNotFoundError as exc:
        raise TradekeepError("permission.file", "The folder does not exist.", details=str(exc), path=path) from exc
    except OSError as exc:
        full = exc.errno in (errno.ENOSPC, errno.EDQUOT if hasattr(errno, "EDQUOT") else errno.ENOSPC)
        kind = "resource.disk_full" if full else "permission.file"
        reason = "The disk is full" if full else f"The system refuses it: {exc.strerror or exc}"
        raise TradekeepError(kind, f"{reason}; the file was left as it was.", details=str(exc), path=path) from exc


def _present(path: Path, *, follow: bool = True) -> _Present:
    """The file as it is now. Raises config.env_file for what is no plain file of our own."""
    with _refusals(path):
        target = _followed(path) if follow else path
        try:
            found = os.lstat(target)
        except (FileNotFoundError, NotADirectoryError):
            return _Present(target, None, 0o600, _folder_owner(target.parent))
        if not stat.S_ISREG(found.st_mode):
            what = next((word for test, word in _WORDS if test(found.st_mode)), "no plain file")
            raise _refuse(path, f"It is {what}, not a file.")
        if found.st_size > LARGEST_BYTES:
            raise _refuse(path, f"It is larger than {LARGEST_BYTES // 1024 // 1024} MiB.")
        handle = os.open(target, os.O_RDONLY | _NO_FOLLOW | _NO_WAIT | getattr(os, "O_BINARY", 0))
        with open(handle, "rb") as stream:
            data = stream.read()
    owner = (found.st_uid, found.st_gid) if hasattr(os, "geteuid") else None
    return _Present(target, data, stat.S_IMODE(found.st_mode) & 0o600, owner)


_WORDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def _followed(path: Path) -> Path:
    """Where the bytes are: a symbolic link stays a link, and its target is written."""
    if not path.is_symlink():
        return path
    if hasattr(os, "geteuid") and os.lstat(path).st_uid not in (0, os.geteuid()):
        raise _refuse(path, "It is a symbolic link of another user, which could lead anywhere.")
    try:
        return path.resolve(strict=True)
    except (OSError, RuntimeError):
        raise _refuse(path, "It is a symbolic link that leads nowhere.") from None


def _folder_owner(folder: Path) -> tuple[int, int] | None:
    """Whose a new file shall be when root makes it: the folder's owner, who must be able to read it."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return None
    try:
        found = os.stat(folder)
    except FileNotFoundError:
        return None
    return found.st_uid, found.st_gid


def _writable(path: Path, present: _Present) -> None:
    if present.data is None or present.owner is None:
        return
    if os.geteuid() not in (0, present.owner[0]):
        raise TradekeepError("permission.file", "The file belongs to another user; it was left as it was.", path=path)
    if os.lstat(present.target).st_nlink > 1:
        raise _refuse(path, "It has a second name (a hard link), which would keep the old text. Remove one of them.")


def _narrowed(present: _Present) -> None:
    """Take the file from everybody but its owner, also when its text stays."""
    if sys.platform != "win32" and stat.S_IMODE(os.lstat(present.target).st_mode) & 0o177:
        os.chmod(present.target, present.mode)


def _locked(path: Path, present: _Present) -> FileLock:
    """The lock of this file's writers; it lies in the folder of backups, and a killed process loses it."""
    _writable(path, present)
    folder = _backup_folder(path)
    lock = FileLock(folder / f"{path.name}.lock", mode=0o600, thread_local=False, poll_interval=0.01)
    try:
        lock.acquire(timeout=LOCK_TIMEOUT_S)
    except Timeout:
        raise _refuse(path, "Another program has been writing it for 30 seconds. Try again.") from None
    with contextlib.suppress(OSError):
        os.chmod(lock.lock_file, 0o600)
        _given(Path(lock.lock_file), _folder_owner(path.parent))
    return lock


def _backup_folder(path: Path) -> Path:
    folder = path.parent / FOLDER
    owner = _folder_owner(path.parent)
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, 0o700)
        _given(folder, owner)
    if not stat.S_ISDIR(os.lstat(folder).st_mode):
        raise _refuse(path, f"{FOLDER} beside it is not a folder.")
    if stat.S_IMODE(os.lstat(folder).st_mode) != 0o700:
        os.chmod(folder, 0o700)
    with contextlib.suppress(FileExistsError):
        _created(folder / ".gitignore", b"*\n", 0o600, owner)
    return folder


def _given(path: Path, owner: tuple[int, int] | None) -> None:
    if owner and os.geteuid() == 0:
        os.chown(path, *owner, follow_symlinks=False)


def _created(path: Path, data: bytes, mode: int, owner: tuple[int, int] | None) -> None:
    """A new file with these bytes, private from its first moment and on the disk when this returns."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW | getattr(os, "O_BINARY", 0)
    handle = os.open(path, flags, 0o600)
    try:
        with open(handle, "wb") as stream:
            if owner and os.geteuid() == 0:
                os.fchown(stream.fileno(), *owner)
            elif owner and owner[1] != os.getegid():
                with contextlib.suppress(OSError):  # not a member of the group; at 0600 it has no say anyway
                    os.fchown(stream.fileno(), -1, owner[1])
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
            if sys.platform != "win32":
                os.fchmod(stream.fileno(), mode)
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise


def _synced(folder: Path) -> None:
    """Have the folder's entries on the disk; Windows knows no such thing."""
    if sys.platform == "win32":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _kept(path: Path, present: _Present) -> Path:
    """Keep the present version in the folder of backups."""
    folder = path.parent / FOLDER
    backup = folder / f"{path.name}.{datetime.now(UTC).strftime(_STAMP)}"
    _created(backup, present.data or b"", 0o600, _folder_owner(path.parent))
    _synced(folder)
    return backup


def _taken_at(path: Path, name: str) -> datetime | None:
    found = re.fullmatch(re.escape(path.name) + r"\.(\d{8}T\d{6}\.\d{6}Z)", name)
    return datetime.strptime(found[1], _STAMP).replace(tzinfo=UTC) if found else None


def _pruned(path: Path) -> None:
    for old in backups(path)[KEPT:]:
        with contextlib.suppress(OSError):
            old.path.unlink()


def _swept(target: Path) -> None:
    """Remove what killed writers left; under the lock nobody else's is there."""
    pattern = re.compile(re.escape(target.name) + r"\.tradekeep-[0-9a-f]{16}\.tmp")
    for name in os.listdir(target.parent):
        if pattern.fullmatch(name):
            (target.parent / name).unlink()
