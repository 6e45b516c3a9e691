"""What an env file is on the disk: whether it may be replaced, and new bytes that appear there whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.errors import TradekeepError

FOLDER = ".tradekeep-backups"
LARGEST_BYTES = 4 * 1024 * 1024
NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)
_BINARY = getattr(os, "O_BINARY", 0)
_TEMPORARY = ".tradekeep-{}.tmp"
_LEFT = re.compile(r".*\.tradekeep-[0-9a-f]{16}\.tmp", re.S)
# Source: linux/fs.h, FS_IOC_GETFLAGS, FS_IMMUTABLE_FL, FS_APPEND_FL; what `chattr` sets.
_GET_FLAGS, _IMMUTABLE, _APPEND = 0x80086601, 0x10, 0x20
_WORDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


@dataclass(frozen=True)
class Present:
    """The file as it is now: where it really is, its bytes (None: absent), its mode and owner."""

    target: Path
    data: bytes | None
    mode: int
    owner: tuple[int, int] | None


def named(path: Path) -> Path:
    """The absolute path. Raises config.env_file for one that no file can have."""
    if "\0" in str(path):
        shown = str(path).replace("\0", "␀")
        raise TradekeepError("config.env_file", "The path contains a NUL character.", path=shown)
    return Path(path).absolute()


def refusal(path: Path, message: str) -> TradekeepError:
    """The error that says why this file is left as it is."""
    return TradekeepError("config.env_file", message, path=path)


@contextlib.contextmanager
def refusals(path: Path) -> Iterator[None]:
    """Translate what the file system refuses."""
    try:
        yield
    except FileNotFoundError as exc:
        raise TradekeepError("permission.file", "The folder does not exist.", details=str(exc), path=path) from exc
    except OSError as exc:
        full = exc.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
        kind = "resource.disk_full" if full else "permission.file"
        reason = "The disk is full" if full else f"The system refuses it: {exc.strerror or exc}"
        raise TradekeepError(kind, f"{reason}; the file was left as it was.", details=str(exc), path=path) from exc


def present(path: Path, *, follow: bool = True) -> Present:
    """The file as it is now. Raises config.env_file for what is no plain file of our own."""
    with refusals(path):
        target = _followed(path) if follow else path
        try:
            found = os.lstat(target)
        except (FileNotFoundError, NotADirectoryError):
            return Present(target, None, 0o600, folder_owner(target.parent))
        if not stat.S_ISREG(found.st_mode):
            what = next((word for test, word in _WORDS if test(found.st_mode)), "no plain file")
            raise refusal(path, f"It is {what}, not a file.")
        if found.st_size > LARGEST_BYTES:
            raise refusal(path, f"It is larger than {LARGEST_BYTES // 1024 // 1024} MiB.")
        handle = os.open(target, os.O_RDONLY | NO_FOLLOW | _NO_WAIT | _BINARY)
        with open(handle, "rb") as stream:
            data = stream.read()
    owner = (found.st_uid, found.st_gid) if hasattr(os, "geteuid") else None
    return Present(target, data, stat.S_IMODE(found.st_mode) & 0o600, owner)


def _followed(path: Path) -> Path:
    """Where the bytes are: a symbolic link stays a link, and its target is written."""
    if not path.is_symlink():
        return path
    if hasattr(os, "geteuid") and os.lstat(path).st_uid not in (0, os.geteuid()):
        raise refusal(path, "It is a symbolic link of another user, which could lead anywhere.")
    try:
        return path.resolve(strict=True)
    except (OSError, RuntimeError):
        raise refusal(path, "It is a symbolic link that leads nowhere.") from None


def folder_owner(folder: Path) -> tuple[int, int] | None:
    """Whose a new file shall be when root makes it: the folder's owner, who must be able to read it."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return None
    try:
        found = os.stat(folder)
    except FileNotFoundError:
        return None
    return found.st_uid, found.st_gid


def check_replaceable(path: Path, found: Present) -> None:
    """Refuse a file that another one cannot be put in the place of, before anything depends on that."""
    if reason := _locked_by_attribute(found.target.parent):
        raise refusal(path, f"Its folder is marked {reason}: see lsattr -d {found.target.parent}")
    if found.data is None or found.owner is None:
        return
    if os.geteuid() not in (0, found.owner[0]):
        raise TradekeepError("permission.file", "The file belongs to another user; it was left as it was.", path=path)
    if os.lstat(found.target).st_nlink > 1:
        raise refusal(path, "It has a second name (a hard link), which would keep the old text. Remove one of them.")
    if reason := _locked_by_attribute(found.target):
        raise refusal(path, f"It is marked {reason}: see lsattr {found.target}")
    if _is_mount(found.target):
        raise refusal(path, "It is mounted by itself, as into a container, so it cannot be replaced. Mount its folder.")


def _locked_by_attribute(path: Path) -> str:
    """ "immutable" or "append-only" where an attribute of the file system keeps it from being replaced, else ""."""
    if not sys.platform.startswith("linux"):
        return ""
    import fcntl  # there is none on Windows

    try:
        handle = os.open(path, os.O_RDONLY | _NO_WAIT)
    except OSError:
        return ""  # opening it for the real work says why
    try:
        flags = int.from_bytes(fcntl.ioctl(handle, _GET_FLAGS, b"\0" * 8)[:4], sys.byteorder)
    except OSError:
        return ""  # a file system without attributes
    finally:
        os.close(handle)
    return "immutable" if flags & _IMMUTABLE else "append-only" if flags & _APPEND else ""


def _is_mount(path: Path) -> bool:
    """Whether the file is a mount point. Source: proc(5), /proc/self/mountinfo, fifth field."""
    try:
        text = Path("/proc/self/mountinfo").read_bytes()
    except OSError:
        return False
    wanted = re.sub(rb"[ \t\n\\]", lambda match: b"\\%03o" % match[0][0], os.fsencode(os.path.realpath(path)))
    return any(line.split(b" ", 5)[4:5] == [wanted] for line in text.splitlines())


def backup_folder(path: Path) -> Path:
    """The folder of the file's backups, made where it is missing: private, and ignored by git."""
    folder = path.parent / FOLDER
    owner = folder_owner(path.parent)
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, 0o700)
        given(folder, owner)
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode):
        raise refusal(path, f"{FOLDER} beside it is not a folder.")
    if hasattr(os, "geteuid") and found.st_uid not in (os.geteuid(), owner[0] if owner else os.geteuid()):
        raise TradekeepError("permission.file", f"{FOLDER} beside it belongs to another user.", path=path)
    if stat.S_IMODE(found.st_mode) != 0o700:
        os.chmod(folder, 0o700)
    if not (folder / ".gitignore").exists():
        with contextlib.suppress(FileExistsError), Fresh(folder / ".gitignore", b"*\n", 0o600, owner) as ignore:
            ignore.create()
    return folder


def given(path: Path, owner: tuple[int, int] | None) -> None:
    """As root: leave a file to whose it should be."""
    if owner and os.geteuid() == 0:
        os.chown(path, *owner, follow_symlinks=False)


class Fresh:
    """New bytes for a path: private, on the disk already, and there only as a whole after `create` or `replace`.

    Where the system knows files without a name (Linux), a process that is killed before that leaves nothing behind;
    elsewhere a temporary file, which the next writer removes. In a `with` block what was not put in place is dropped.
    """

    def __init__(self, path: Path, data: bytes, mode: int, owner: tuple[int, int] | None) -> None:
        self._path, self._data, self._mode, self._owner = path, data, mode, owner
        self._temporary: Path | None = None
        self._handle = _nameless(path.parent)
        try:
            if self._handle is None:
                self._write_named()
            else:
                _filled(self._handle, data, mode, owner)
        except BaseException:
            self.drop()
            raise

    def create(self) -> None:
        """Give the bytes their name. Raises FileExistsError where there is a file of that name."""
        if not self._linked(self._path):
            os.link(self._named(), self._path)
        self.drop()

    def replace(self) -> None:
        """Put the bytes into the place of what is there, in one step."""
        os.replace(self._named(), self._path)
        self._temporary = None
        self.drop()

    def drop(self) -> None:
        """Forget the bytes; safe to call again, and after `create` or `replace`."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
        if self._temporary is not None:
            with contextlib.suppress(OSError):
                self._temporary.unlink()
            self._temporary = None

    def _linked(self, to: Path) -> bool:
        """Give the nameless file a name; False where the system does not let us."""
        if self._handle is None:
            return False
        try:  # a folder's handle makes Python call linkat, which follows /proc's link; the path is absolute anyway
            os.link(f"/proc/self/fd/{self._handle}", to, src_dir_fd=self._handle, follow_symlinks=True)
        except FileExistsError:
            raise
        except OSError:
            return False
        return True

    def _named(self) -> Path:
        """The bytes under a temporary name: the last step before they are put in place."""
        if self._temporary is None:
            name = self._path.with_name(self._path.name + _TEMPORARY.format(secrets.token_hex(8)))
            if self._linked(name):
                self._temporary = name
            else:
                self._write_named()
        assert self._temporary is not None
        return self._temporary

    def _write_named(self) -> None:
        name = self._path.with_name(self._path.name + _TEMPORARY.format(secrets.token_hex(8)))
        handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_FOLLOW | _BINARY, 0o600)
        self._temporary = name
        try:
            _filled(handle, self._data, self._mode, self._owner)
        finally:
            os.close(handle)

    def __enter__(self) -> Fresh:
        return self

    def __exit__(self, *exc: object) -> None:
        self.drop()


def _nameless(folder: Path) -> int | None:
    """A handle of a new file without a name, None where there is no such thing."""
    kind = getattr(os, "O_TMPFILE", 0)
    if not kind or not os.path.isdir("/proc/self/fd"):
        return None
    try:
        return os.open(folder, os.O_WRONLY | kind, 0o600)
    except OSError as exc:
        if exc.errno in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
            return None
        raise


def _filled(handle: int, data: bytes, mode: int, owner: tuple[int, int] | None) -> None:
    """Write everything, and have it on the disk when this returns."""
    if owner and os.geteuid() == 0:
        os.fchown(handle, *owner)
    elif owner and owner[1] != os.getegid():
        with contextlib.suppress(OSError):  # not a member of the group; at 0600 it has no say anyway
            os.fchown(handle, -1, owner[1])
    with open(handle, "wb", closefd=False) as stream:
        stream.write(data)
    if sys.platform != "win32":
        os.fchmod(handle, mode)
    os.fsync(handle)


def synced(folder: Path) -> None:
    """Have the folder's entries on the disk; Windows knows no such thing."""
    if sys.platform == "win32":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def leftovers(*folders: Path) -> list[Path]:
    """Temporary files, of writers that were killed or are at work."""
    found: list[Path] = []
    for folder in folders:
        with contextlib.suppress(FileNotFoundError):
            found += [folder / name for name in os.listdir(folder) if _LEFT.fullmatch(name)]
    return found
