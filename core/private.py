"""Folders that are nobody else's."""

from __future__ import annotations

from pathlib import Path


def folder(path: Path) -> Path:
    """Make a folder and every missing one above it, each 0700 whatever the umask; what exists is left as it is.

    Raises OSError.
    """
    missing = []
    at = path
    while not at.exists():
        missing.append(at)
        at = at.parent
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)
        each.chmod(0o700)
    if not path.is_dir():
        raise NotADirectoryError(20, "Not a directory", str(path))
    return path
