"""What the drills of setups share: a project in memory, children that may be killed, and what must hold afterwards."""

from __future__ import annotations

import os
import pickle
import random
import re
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
from psycopg import sql

from core import envfile
from core.errors import TradekeepError
from core.settings import load_settings
from core.setup import wizard
from tests.servers import Cluster, base_folder

HUNG_S = 180.0
OLD = b"# the platform's\nOTHER=1\n"
_URL = rb"postgresql://%s:[\w-]{32}@127\.0\.0\.1:\d+/%s\n"


def _version(old: bytes, logins: dict[bytes, bytes]) -> re.Pattern[bytes]:
    """A whole new version of a file; a version with KEY_NEXT is the one of a rotation that is under way."""

    def line(key: bytes, user: bytes) -> bytes:
        return key + b"=" + _URL % (user, b"trading")

    now = b"".join(line(key, user) for key, user in logins.items())
    coming = b"".join(b"(?:%s)?" % line(key + b"_NEXT", user) for key, user in logins.items())
    return re.compile(re.escape(old) + now + b"(?P<coming>" + coming + b")")


LOCAL = _version(OLD, {b"DATABASE_URL": b"trading"})
OURS = _version(b"", {b"DATABASE_OWNER_URL": b"trading_owner", b"DATABASE_VIEWER_URL": b"trading_viewer"})
SECRET = re.compile(rb"postgres\w*://[^:\s]+:[^@\s]+@|SCRAM-SHA-256\$")
KEPT = re.compile(
    r"project/\.env\.(local|tradekeep)|home/logins/\w+\.env"
    r"|(project|home/logins)/\.tradekeep-backups/\.?[\w.]+\.\d{8}T\d{6}\.\d{6}Z"
)
IGNORED = ("data",)  # of the bundled server: verifiers stand in its catalog


class Silent:
    """A journey that nobody watches; ends the process before the step `until`, as if that were all."""

    def __init__(self, until: str = "") -> None:
        self._until = until

    def __call__(self, done: int, total: int, message: str) -> None:
        """Nothing."""

    @contextmanager
    def step(self, name: str) -> Iterator[Any]:
        if name == self._until:
            raise _Enough
        yield SimpleNamespace(state="running", message="")


class _Enough(BaseException):
    """The part of the journey that is wanted is over."""


@dataclass(frozen=True)
class Ended:
    """How a child ended: done, failed or killed; what it returned, or its error in words; how long it ran."""

    how: str
    value: Any = None
    seconds: float = 0.0


class Project:
    """A platform's folder with an env file, its own home and its own folder for temporary files, in memory."""

    def __init__(self, old: bytes = OLD) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="project-", dir=base_folder()))
        self.folder.chmod(0o755)
        self.path, self.home, self.temporary = (self.folder / name for name in ("project", "home", "tmp"))
        for each in (self.path, self.home, self.temporary):
            each.mkdir()
        self.local, self.ours = self.path / ".env.local", self.path / ".env.tradekeep"
        self.old = old
        self.local.write_bytes(old)

    def begin(self, action: Callable[[], Any]) -> tuple[int, Path]:
        """A child process that works in this project; its id, and the file that will hold its answer."""
        answer = Path(tempfile.mktemp(prefix="answer-", dir=base_folder()))
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.environ.update(TRADEKEEP_HOME=str(self.home), TMPDIR=str(self.temporary), HOME=str(self.folder))
                tempfile.tempdir = None
                os.chdir(self.path)
                begin = time.monotonic()
                try:
                    ended = Ended("done", action())
                except _Enough:
                    ended = Ended("done")
                except TradekeepError as error:
                    ended = Ended("failed", f"{error.kind}: {error.message} {error.details}"[:600])
                except BaseException as error:
                    ended = Ended("failed", f"{error!r}"[:600])
                ended = Ended(ended.how, ended.value, time.monotonic() - begin)
                answer.write_bytes(pickle.dumps(ended))
                status = 0
            finally:
                os._exit(status)
        return child, answer

    @staticmethod
    def end(child: int, answer: Path) -> Ended:
        """Wait for it; one that hangs is killed."""
        deadline = time.monotonic() + HUNG_S
        while os.waitpid(child, os.WNOHANG) == (0, 0):
            if time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return Ended("failed", f"it hung for {HUNG_S:g} s")
            time.sleep(0.002)
        try:
            return pickle.loads(answer.read_bytes())
        except OSError:
            return Ended("killed")
        finally:
            answer.unlink(missing_ok=True)

    def run(self, action: Callable[[], Any]) -> Ended:
        """What a child made of it."""
        return self.end(*self.begin(action))

    def killed(self, action: Callable[[], Any], moments: Moments) -> bool:
        """Kill a child at one of the moments; whether it was still at work."""
        child, answer = self.begin(action)
        time.sleep(moments.next_s())
        os.kill(child, signal.SIGKILL)  # a zombie takes it too: nobody else waits for it
        return moments.heed(self.end(child, answer))

    def left(self) -> list[str]:
        """Temporary files, and secrets anywhere but where they belong."""
        found = []
        for place, folders, names in os.walk(self.folder):
            folders[:] = [name for name in folders if name not in IGNORED]
            for name in names:
                path = Path(place) / name
                inside = str(path.relative_to(self.folder))
                if name.endswith(".tmp") or inside.startswith("tmp/"):
                    found.append(f"temporary file {inside}")
                elif not path.is_file() or path.is_symlink():
                    continue
                elif not KEPT.fullmatch(inside) and path.stat().st_size < 1 << 20 and SECRET.search(path.read_bytes()):
                    found.append(f"secret in {inside}")
        return found

    def torn(self) -> list[str]:
        """Env files and backups that are neither an old nor a new version as a whole."""
        found = []
        for path, new in ((self.local, LOCAL), (self.ours, OURS)):
            old = self.old if path == self.local else None
            data = path.read_bytes() if path.exists() else None
            whole = new.fullmatch(data or b"")
            if data != old and not (whole and not whole["coming"]):
                found.append(f"{path.name}: {len(data or b'')} bytes that are neither the old nor the new version")
            for backup in envfile.backups(path):
                kept = backup.path.read_bytes()
                if kept != old and not new.fullmatch(kept):
                    found.append(f"backup of {path.name}: torn")
        return found

    def strangers(self) -> list[str]:
        """Roles whose password in the files is not the server's; asked by psycopg with the very text of the file."""
        values = envfile.values(self.local) | envfile.values(self.ours)
        found = []
        for key, user in (("DATABASE_URL", ""), ("DATABASE_OWNER_URL", "_owner"), ("DATABASE_VIEWER_URL", "_viewer")):
            try:
                with psycopg.connect(values[key], connect_timeout=5) as connection:
                    row = connection.execute("SELECT current_user::text").fetchone()
                if row != (f"trading{user}",):
                    found.append(f"{key} signs in as {row}")
            except (KeyError, psycopg.Error) as error:
                found.append(f"{key}: {error!r}")
        return found

    def remove(self) -> None:
        """Delete its folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


def server(given: Cluster | None) -> AbstractContextManager[Cluster]:
    """The given server, or one of the drill's own."""
    return nullcontext(given) if given else Cluster()


def set_up(cluster: Cluster, until: str = "") -> Callable[[], bool | None]:
    """The whole journey on that server, or its part before a step; whether everything was verified."""

    def act() -> bool | None:
        return wizard.set_up(load_settings(), Silent(until), admin=cluster.admin).ready

    return act


def dropped(cluster: Cluster) -> None:
    """Take away what a setup made; sessions of killed programs included."""
    cluster.sql(
        "DROP DATABASE IF EXISTS trading WITH (FORCE)",
        *(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(name)).as_string(None)
          for name in ("trading", "trading_viewer", "trading_owner")),
    )  # fmt: skip


class Moments:
    """Random moments within work that takes about that long; shorter ones after work that was over before its kill."""

    def __init__(self, typical_s: float) -> None:
        self._typical_s = typical_s

    def next_s(self) -> float:
        """The next moment."""
        return random.uniform(0.0, 0.9 * self._typical_s)

    def heed(self, ended: Ended) -> bool:
        """Whether the kill landed; a load of the machine that is over makes everything quicker."""
        if ended.how != "killed":
            self._typical_s = min(self._typical_s, ended.seconds)
        return ended.how == "killed"
