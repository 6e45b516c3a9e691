"""Folders and files that are nobody else's, and ways into folders that somebody else could swap for a link."""

from __future__ import annotations

import errno
import os
import secrets
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

SYSTEM_FOLDER = Path("/var/lib/tradekeep")  # root's home: other accounts must pass through it, and see nothing
WINDOWS = sys.platform == "win32"
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)


def folder(path: Path) -> Path:
    """Make a folder and every missing one above it, each 0700 whatever the umask; what exists is left as it is.

    Raises OSError.
    """
    missing = []
    at = path
    while not at.exists() and not at.is_symlink():
        missing.append(at)
        at = at.parent
    for each in reversed(missing):
        try:
            each.mkdir(mode=0o700)
        except FileExistsError:  # another process was faster
            continue
        narrow(each, 0o755 if each == SYSTEM_FOLDER else 0o700)
    if not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "Not a directory", str(path))
    return path


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file that was not there, 0600, open to be written; nothing stays of it if the block fails. Raises OSError."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    try:
        with os.fdopen(handle, "wb") as out:
            yield out
    except BaseException:
        path.unlink(missing_ok=True)
        raise


@contextmanager
def passing_file(folder_of: Path, kept_s: float) -> Iterator[tuple[Path, BinaryIO]]:
    """As new_file, under a random name in a folder of ours, from which files go that are older than kept_s."""
    for old in folder(folder_of).iterdir():
        with suppress(OSError):
            if time.time() - old.stat().st_mtime >= kept_s:
                old.unlink()
    path = folder_of / secrets.token_hex(16)
    with new_file(path) as out:
        yield path, out


def narrow(path: Path, mode: int = 0o700, owner: tuple[int, int] | None = None) -> None:
    """Give a folder its mode, and as root its owner (uid, gid); never what a link leads to. Raises OSError."""
    if WINDOWS:  # permissions are ACLs there, inherited from the user's own folder
        return
    with opened(path) as handle:
        if owner:
            os.fchown(handle, *owner)
        os.fchmod(handle, mode)


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """A handle of a folder, for dir_fd; raises OSError where the folder is a symbolic link.

    As root every step of the path is looked at: a link of another account could lead anywhere. Not for Windows.
    """
    handle = _walked(path.absolute()) if os.geteuid() == 0 else _entered(path, None, str(path))
    try:
        yield handle
    finally:
        os.close(handle)


def _walked(path: Path) -> int:
    handle = os.open(path.anchor, _FOLDER)
    for number, part in enumerate(path.parts[1:], 2):
        shown = os.path.join(*path.parts[:number])
        try:
            follow = number < len(path.parts) and _is_own_link(part, handle)
            below = os.open(part, _FOLDER, dir_fd=handle) if follow else _entered(part, handle, shown)
        except OSError as error:
            error.filename = shown
            raise
        finally:
            os.close(handle)
        handle = below
    return handle


def _is_own_link(name: str, handle: int) -> bool:
    found = os.lstat(name, dir_fd=handle)
    return stat.S_ISLNK(found.st_mode) and found.st_uid == os.geteuid()


def _entered(name: str | Path, handle: int | None, shown: str) -> int:
    try:
        return os.open(name, _FOLDER | _NO_LINK, dir_fd=handle)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK, errno.ENOTDIR) and stat.S_ISLNK(
            os.lstat(name, dir_fd=handle).st_mode
        ):
            raise OSError(errno.ELOOP, "It is a symbolic link, which could lead anywhere", shown) from None
        raise
