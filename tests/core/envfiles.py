"""What the tests of env files share."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.errors import TradekeepError

OLD = b"A=1\nDATABASE_URL=old\n"
NOBODY = 65534


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


def as_nobody(action: Callable[[], object]) -> int:
    def run() -> None:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        action()

    return in_child(run)
