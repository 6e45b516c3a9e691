"""Env files on disk: written whole or not at all, private, backed up, one writer at a time."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from core.envfile.disk import (
    FOLDER,
    Fresh,
    Present,
    backup_folder,
    check_replaceable,
    folder_owner,
    given,
    leftovers,
    named,
    present,
    refusal,
    refusals,
    synced,
)
from core.envfile.mask import difference
from core.envfile.text import changed, decoded, stumbling_blocks, unreadable, values_of

KEPT = 20
LOCK_TIMEOUT_S = 30.0
_STAMP = "%Y%m%dT%H%M%S.%fZ"


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


def values(path: Path) -> dict[str, str]:
    """What python-dotenv reads from the file with interpolate=False; empty when there is no file.

    Raises config.env_file for what is no text in UTF-8 or the like, permission.file.
    """
    path = named(path)
    data = present(path).data or b""
    if reason := unreadable(data):
        raise refusal(path, reason)
    return values_of(decoded(data))


def problems(path: Path) -> list[tuple[int, str]]:
    """Line number and reason of everything in the file that some reader of env files stumbles over."""
    data = present(named(path)).data or b""
    return [(1, reason)] if (reason := unreadable(data)) else stumbling_blocks(decoded(data))


def set_values(path: Path, values: Mapping[str, str | None]) -> Written:
    """Set keys of the file (None removes one) and leave every other byte; create it when it is absent.

    The file is afterwards readable by its owner only. Raises config.env_value, config.env_file, permission.file,
    and then the file is as it was.
    """
    return prepare(path, values).publish()


def preview(path: Path, values: Mapping[str, str | None]) -> str:
    """A unified difference of what `set_values` would do, all secrets masked; "" when it would change nothing."""
    path = named(path)
    old = present(path).data or b""
    return difference(old, changed(old, values, path), path.name)


def prepare(path: Path, values: Mapping[str, str | None]) -> Prepared:
    """Everything of a write but the last step: the new version lies on the disk, and `publish` puts it into place.

    Until `publish` or `discard` no other writer gets at the file. Usable in a `with` block, which discards what was
    not published. Raises like `set_values`.
    """
    path = named(path)
    wanted = dict(values)
    return Prepared._begun(path, lambda old: changed(old, wanted, path))


def backups(path: Path) -> list[Backup]:
    """The kept versions of the file, newest first."""
    path = named(path)
    found = []
    with refusals(path), contextlib.suppress(FileNotFoundError, NotADirectoryError):
        for entry in os.scandir(path.parent / FOLDER):
            taken_at = _taken_at(path, entry.name)
            if taken_at and entry.is_file(follow_symlinks=False):
                size = entry.stat(follow_symlinks=False).st_size
                found.append(Backup(Path(entry.path), taken_at, size))
    return sorted(found, key=lambda backup: backup.path.name, reverse=True)


def backups_folder(path: Path) -> Path:
    """Where the kept versions of the file are."""
    return named(path).parent / FOLDER


def restore(path: Path, backup: Path) -> Written:
    """Put a kept version back, byte for byte; the present one is backed up first. Raises config.env_file."""
    path = named(path)
    data = _of_backup(path, backup)
    return Prepared._begun(path, lambda old: data).publish()


def restore_preview(path: Path, backup: Path) -> str:
    """A unified difference of what `restore` would do, all secrets masked; "" when it would change nothing."""
    path = named(path)
    return difference(present(path).data or b"", _of_backup(path, backup), path.name)


def _of_backup(path: Path, backup: Path) -> bytes:
    backup = named(backup)
    if backup.parent != path.parent / FOLDER or not _taken_at(path, backup.name):
        raise refusal(path, "This is not one of its backups; they are listed by: python -m core env backups")
    data = present(backup, follow=False).data
    if data is None:
        raise refusal(backup, "The backup does not exist any more.")
    return data


class Prepared:
    """A new version of an env file that waits to be published; made by `prepare`."""

    def __init__(self, path: Path, change: Callable[[bytes], bytes], lock: FileLock | None) -> None:
        self.path = path
        self.changed = lock is not None
        self.backup: Path | None = None
        self._change = change
        self._lock = lock
        self._found: Present | None = None
        self._fresh: Fresh | None = None

    @classmethod
    def _begun(cls, path: Path, change: Callable[[bytes], bytes]) -> Prepared:
        with refusals(path):
            found = present(path)
            folders = found.target.parent, path.parent / FOLDER
            if found.data is not None and change(found.data) == found.data and not leftovers(*folders):
                _narrowed(found)
                return cls(path, change, None)
            lock = _locked(path, found)
            prepared = cls(path, change, lock)
            try:
                prepared._write()
            except BaseException:
                prepared.discard()
                raise
            return prepared

    def _write(self) -> None:
        """Write the new version and the backup of the present one; under the lock."""
        found = self._found = present(self.path)
        check_replaceable(self.path, found)
        for left in leftovers(found.target.parent, self.path.parent / FOLDER):
            left.unlink(missing_ok=True)  # of a killed writer: nobody else is at work under this lock
        new = self._change(found.data or b"")
        self.changed = found.data is None or new != found.data
        if not self.changed:
            _narrowed(found)
            return
        if found.data is not None:
            self.backup = _kept(self.path, found.data)
        self._fresh = Fresh(found.target, new, found.mode, found.owner)

    def publish(self) -> Written:
        """Put the new version into place; what somebody else wrote meanwhile is kept. Raises like `set_values`."""
        if self._lock is None or self._found is None:
            return Written(False)
        with refusals(self.path):
            try:
                now = present(self.path)
                if self.changed and now.data != self._found.data:
                    self._forget()
                    self._write()
                if not self.changed or self._fresh is None:
                    return Written(False)
                self._fresh.replace()
                written = Written(True, self.backup)
                self.backup = None
                synced(self._found.target.parent)
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
        if self._fresh is not None:
            self._fresh.drop()
        if self.backup is not None:
            with contextlib.suppress(OSError):
                self.backup.unlink()
        self._fresh = self.backup = None

    def __enter__(self) -> Prepared:
        return self

    def __exit__(self, *exc: object) -> None:
        self.discard()


def _narrowed(found: Present) -> None:
    """Take the file from everybody but its owner, also when its text stays."""
    if sys.platform != "win32" and stat.S_IMODE(os.lstat(found.target).st_mode) & 0o177:
        os.chmod(found.target, found.mode)


def _locked(path: Path, found: Present) -> FileLock:
    """The lock of this file's writers; it lies in the folder of backups, and a killed process loses it."""
    check_replaceable(path, found)
    folder = backup_folder(path)
    lock = FileLock(folder / f"{path.name}.lock", mode=0o600, thread_local=False, poll_interval=0.01)
    try:
        lock.acquire(timeout=LOCK_TIMEOUT_S)
    except Timeout:
        raise refusal(path, f"Another program has been writing it for {LOCK_TIMEOUT_S:g} seconds. Try again.") from None
    with contextlib.suppress(OSError):
        os.chmod(lock.lock_file, 0o600)
        given(Path(lock.lock_file), folder_owner(path.parent))
    return lock


def _kept(path: Path, data: bytes) -> Path:
    """Keep the present version in the folder of backups."""
    backup = path.parent / FOLDER / f"{path.name}.{datetime.now(UTC).strftime(_STAMP)}"
    with Fresh(backup, data, 0o600, folder_owner(path.parent)) as fresh:
        fresh.create()
    synced(backup.parent)
    return backup


def _taken_at(path: Path, name: str) -> datetime | None:
    found = re.fullmatch(re.escape(path.name) + r"\.(\d{8}T\d{6}\.\d{6}Z)", name)
    return datetime.strptime(found[1], _STAMP).replace(tzinfo=UTC) if found else None


def _pruned(path: Path) -> None:
    for old in backups(path)[KEPT:]:
        with contextlib.suppress(OSError):
            old.path.unlink()
