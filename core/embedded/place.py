"""Where the bundled server of a home keeps its files: private ones, in a folder that its account can reach."""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import json
import os
import re
import secrets
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import platformdirs

from core import private
from core.embedded.programs import SYSTEM_FOLDER, WINDOWS, Account, owner_of

LONGEST_SOCKET_PATH = 103 if sys.platform == "darwin" else 107  # bytes of sun_path without its NUL
SHORT_FOLDER = Path("/tmp")  # noqa: S108  # what is made there is private, or not used
SOCKET_NAME = "/.s.PGSQL.65535"
PLAIN_PATH = re.compile(r"[A-Za-z0-9/._+-]+")  # unix_socket_directories is a list with commas and quotes


@dataclass(frozen=True)
class Place:
    """The folders of one home's server: server.json is in `state`; data, log and password are in `folder`."""

    state: Path
    folder: Path

    @property
    def data_dir(self) -> Path:
        """PostgreSQL's data folder; it exists only when it is complete."""
        return self.folder / "data"

    @property
    def log_dir(self) -> Path:
        """The folder of the server's logs."""
        return self.folder / "log"

    @property
    def password_file(self) -> Path:
        """The superuser's password, readable only by its owner."""
        return self.folder / "password"

    @property
    def left_stopped_file(self) -> Path:
        """There while the server is stopped on purpose: nothing but a deliberate start may start it."""
        return self.state / "left-stopped"

    @property
    def exists(self) -> bool:
        """Whether there is data."""
        return (self.data_dir / "PG_VERSION").is_file()


@dataclass(frozen=True)
class Record:
    """What server.json keeps: facts about the server that hold while it is stopped, none of them secret."""

    port: int
    folder: str
    socket_dir: str
    version: str


def read_record(home: Path) -> Record | None:
    """The content of the home's server.json, None when there is none that can be understood."""
    try:
        row = json.loads((home / "server" / "server.json").read_text("utf-8"))
        return Record(int(row["port"]), str(row["folder"]), str(row["socket_dir"]), str(row["version"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def write_record(place: Place, record: Record) -> None:
    """Keep the facts in server.json, if they changed."""
    if read_record(place.state.parent) == record:
        return
    if place.state != place.folder:
        make_private_folder(place.state)
    write_private(place.state / "server.json", json.dumps(asdict(record), indent=2) + "\n", owner_of(place.state))


def known_place(home: Path) -> Place | None:
    """Where the home's server is, None when it has none. server.json may be lost: the data is what counts."""
    state = home / "server"
    record = read_record(home)
    named = [Path(record.folder)] if record and record.folder else []
    for folder in (*named, state, _folder_outside(home)):
        place = Place(state, folder)
        if place.exists:
            return place
    return None


def new_place(home: Path, account: Account | None) -> Place:
    """Where a new server belongs: in the home, unless the server's account may not pass there.

    Root's home is closed to it: then it is a folder below /var/lib that the home's path names.
    """
    state = home / "server"
    return Place(state, state if account is None or account.may_enter(home) else _folder_outside(home))


def _folder_outside(home: Path) -> Path:
    return SYSTEM_FOLDER / "servers" / hashlib.sha256(str(home.resolve()).encode()).hexdigest()[:16]


def make_private_folder(folder: Path, account: Account | None = None) -> None:
    """Make a folder, and those above it that do not exist, closed to everybody but their owner.

    Raises OSError, also for a symbolic link: root must not give away what the server's account points it to.
    """
    private.folder(folder)
    private.narrow(folder, owner=(account.uid, account.gid) if account else None)


def write_private(path: Path, text: str, account: Account | None = None) -> None:
    """Replace a file in one step by one that only its owner can read, whatever the umask. Raises OSError."""
    if WINDOWS:
        _replaced(path, text, None, None)
        return
    with private.opened(path.parent) as folder:
        _replaced(path, text, account, folder)


def _replaced(path: Path, text: str, account: Account | None, folder: int | None) -> None:
    """folder: a handle of the file's folder, in which the names are looked up; None takes them as paths."""
    target = path.name if folder is not None else str(path)
    draft = f"{target}-{secrets.token_hex(8)}.new"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    handle = os.open(draft, flags, 0o600, dir_fd=folder)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            if account:
                os.fchown(file.fileno(), account.uid, account.gid)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, target, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft, dir_fd=folder)
        raise


def sync_folder(folder: Path) -> None:
    """Have renames in the folder survive a power cut. Windows cannot, and does not need it."""
    if not WINDOWS:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def socket_folder(place: Place, account: Account | None) -> Path | None:
    """A private folder for the unix socket whose path is short enough; None on Windows, where TCP is enough."""
    if WINDOWS:
        return None
    name = hashlib.sha256(str(place.folder).encode()).hexdigest()[:12]
    runtime = [] if account else [Path(platformdirs.user_runtime_dir("tradekeep")) / name]
    owner = account.name if account else getpass.getuser()
    for folder in (place.folder / "run", *runtime, SHORT_FOLDER / f"tradekeep-{owner}-{name}"):
        if _socket_fits(folder) and _made_private(folder, account):
            return folder
    folder = Path(tempfile.mkdtemp(prefix="tk-", dir=SHORT_FOLDER))
    make_private_folder(folder, account)
    return folder


def _socket_fits(folder: Path) -> bool:
    path = f"{folder}{SOCKET_NAME}"
    return len(os.fsencode(path)) <= LONGEST_SOCKET_PATH and bool(PLAIN_PATH.fullmatch(path))


def _made_private(folder: Path, account: Account | None) -> bool:
    """Whether the folder is ours now; in a shared place somebody else may have taken its name."""
    try:
        if folder.is_symlink() or (folder.exists() and folder.stat().st_uid not in _ours(account)):
            return False
        make_private_folder(folder, account)
    except OSError:
        return False
    return True


def _ours(account: Account | None) -> set[int]:
    return {os.geteuid(), account.uid} if account else {os.geteuid()}
