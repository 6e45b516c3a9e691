"""What a command writes for others: files that are whole or not there, and rows through a pipe."""

from __future__ import annotations

import io
import os
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from core import private
from core.errors import TradekeepError


@contextmanager
def replaced(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the path's place at the end of the block, with the old one's rights; not if the block fails.

    Until then it lies beside it under a name that nobody can guess. A pipe or a device stays and is written into.
    Raises config.usage for a folder, OSError.
    """
    if path.is_dir():
        raise TradekeepError("config.usage", f"{path} is a folder; give the name of a file in it.")
    if path.exists() and not path.is_file():
        with path.open("wb") as out:
            yield out
        return
    if not path.parent.is_dir():
        raise TradekeepError("config.usage", f"There is no folder {path.parent}.")
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o666 & ~_umask()
    part = path.with_name(f".tradekeep-{secrets.token_hex(8)}.part")
    with private.new_file(part) as out:
        yield out
        out.close()
        part.chmod(mode)
        part.replace(path)


def _umask() -> int:
    found = os.umask(0o077)
    os.umask(found)
    return found


class Gone(Exception):
    """Whoever read our standard output has ended."""


class Pipe(io.RawIOBase):
    """Standard output, for rows. Raises Gone where nobody reads it any more, as `head` does after its lines."""

    def writable(self) -> bool:
        return True

    def write(self, piece: Any) -> int:
        try:
            return sys.stdout.buffer.write(piece)
        except BrokenPipeError:
            raise self._gone() from None

    def flush(self) -> None:
        try:
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            raise self._gone() from None

    def _gone(self) -> Gone:
        # What is left in the buffer has nowhere to go, and Python would say so at its end.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Gone()
