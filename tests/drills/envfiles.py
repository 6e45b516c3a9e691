"""The drill of env files: a writer that is killed at every system call, one after the other."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core import envfile
from core.envfile import disk
from tests.drills import drill
from tests.servers import base_folder

OLD = b"# the platform's\nDATABASE_URL=postgresql://u:old-S3cret@h/db\nB=2\n"
URL = "postgresql://u:new-S3cret@h/db"
NEW = OLD.replace(b"old-", b"new-")
_TRACE_ME, _KILL, _SYSCALL = 0, 8, 24  # Source: ptrace(2)
LEFT = re.compile(r".*\.tradekeep-[0-9a-f]{16}\.tmp")


@dataclass(frozen=True)
class Scene:
    """A file in some state, what is done to it, and the bytes before and after (None: no file)."""

    name: str
    before: bytes | None
    after: bytes
    act: Callable[[Path], object]
    prepare: Callable[[Path], object] = lambda path: None
    named_only: bool = False


def _set(path: Path) -> None:
    envfile.set_values(path, {"DATABASE_URL": URL})


def _restore(path: Path) -> None:
    envfile.restore(path, envfile.backups(path)[0].path)


def _linked(path: Path) -> None:
    """The file is a symbolic link into another folder."""
    elsewhere = path.parent / "elsewhere"
    elsewhere.mkdir()
    path.rename(elsewhere / "target")
    path.symlink_to(elsewhere / "target")


def _wide_open(path: Path) -> None:
    path.chmod(0o644)


SCENES = (
    Scene("change", OLD, NEW, _set),
    Scene("create", None, f"DATABASE_URL={URL}\n".encode(), _set),
    Scene("second change", OLD, NEW, _set, lambda path: (envfile.set_values(path, {"C": "1"}), path.write_bytes(OLD))),
    Scene("symbolic link", OLD, NEW, _set, _linked),
    Scene("readable by all", OLD, NEW, _set, _wide_open),
    Scene("restore", NEW, OLD, _restore, lambda path: (path.write_bytes(OLD), _set(path))),
    Scene("no nameless files", OLD, NEW, _set, named_only=True),
)


def _ptrace(request: int, pid: int, data: int = 0) -> None:
    call = ctypes.CDLL(None, use_errno=True).ptrace
    call.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    if call(request, pid, None, data) < 0:
        raise OSError(ctypes.get_errno(), "ptrace")


def killed_at(stop: int, act: Callable[[], object]) -> bool:
    """Run act in a child, and kill it at the n-th stop: before its first system call, after it, and so on.

    Whether it was killed before it came to its end.
    """
    child = os.fork()
    if child == 0:
        _ptrace(_TRACE_ME, 0)
        os.kill(os.getpid(), signal.SIGSTOP)
        status = 1
        with contextlib.suppress(BaseException):
            act()
            status = 0
        os._exit(status)
    os.waitpid(child, 0)
    for _ in range(stop):
        _ptrace(_SYSCALL, child)
        status = os.waitpid(child, 0)[1]
        if os.WIFEXITED(status):
            if os.WEXITSTATUS(status):
                raise RuntimeError("the writer failed without being killed")
            return False
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


@contextlib.contextmanager
def _fresh(scene: Scene) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="env-", dir=base_folder()))
    path = folder / ".env.local"
    if scene.before is not None:
        path.write_bytes(scene.before)
        path.chmod(0o600)
    scene.prepare(path)
    kept = disk._nameless
    if scene.named_only:
        disk._nameless = lambda folder: None
    try:
        yield path
    finally:
        disk._nameless = kept
        shutil.rmtree(folder)


def _temporary(path: Path) -> list[Path]:
    return [found for found in path.parent.rglob("*") if LEFT.fullmatch(found.name)]


def _torn(scene: Scene, path: Path, again: bool) -> list[str]:
    data = path.read_bytes() if path.exists() else None
    found = []
    if data not in ((scene.after,) if again else (scene.before, scene.after)):
        found.append(f"{len(data or b'')} bytes that are neither the old nor the new version")
    found += [f"backup {b.path.name} is torn" for b in envfile.backups(path)
              if b.path.read_bytes() not in (scene.before, OLD, NEW, OLD + b"C=1\n")]  # fmt: skip
    if data is not None and again and path.stat().st_mode & 0o177:
        found.append("others may read it")
    return found


@drill
def kill_config(n: int = 200) -> dict[str, Any]:
    """At least n kills of a writer: at every stop before and after each of its system calls, in seven scenes.

    temporary_left: kills after which a temporary file with the new text lay there until the next write; where the
    system has files without a name that can be only between the last two calls.
    """
    if not sys.platform.startswith("linux"):
        return {"ok": True, "skipped": "ptrace is Linux's"}
    killed, completed, problems = 0, 0, list[str]()
    temporary: dict[str, int] = {}
    stride = 1 if n >= 200 else max(1, 2000 // n)
    for scene in SCENES:
        stop = 0
        temporary[scene.name] = 0
        while True:
            stop += stride
            with _fresh(scene) as path:
                landed = killed_at(stop, lambda scene=scene, path=path: scene.act(path))
                where = f"{scene.name}, stop {stop}"
                problems += [f"{where}: {line}" for line in _torn(scene, path, again=not landed)]
                temporary[scene.name] += bool(_temporary(path))
                killed += landed
                problems += [f"{where}, next write: {line}" for line in _after_next_write(scene, path)]
            if not landed:
                completed += 1
                break
    named = {name: count for name, count in temporary.items() if count and name != "no nameless files"}
    share = 100 * killed / max(1, killed + completed)
    return {
        "ok": not problems and killed >= min(n, 200) * 0.9 and all(count <= 2 for count in named.values()),
        "n": n,
        "killed": killed,
        "landed_before_completion_pct": round(share, 1),
        "temporary_left": temporary,
        "problems": problems[:20],
        "problem_count": len(problems),
    }


def _after_next_write(scene: Scene, path: Path) -> list[str]:
    """What is wrong after another program wrote something else: it cleans up, and adds to one of the two versions."""
    envfile.set_values(path, {"Z": "1"})
    found = [f"{left.name} is still there" for left in _temporary(path)]
    if path.read_bytes() not in ((scene.before or b"") + b"Z=1\n", scene.after + b"Z=1\n"):
        found.append("neither the old nor the new version with a line more")
    return found
