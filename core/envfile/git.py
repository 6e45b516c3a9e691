"""Whether git would pick up a file that holds secrets."""

from __future__ import annotations

import subprocess
from pathlib import Path


def gitignored(path: Path) -> bool | None:
    """True when git ignores the file, False when it would be committed (or is), None outside a repository.

    None also where git is not installed or does not answer within 2 s.
    """
    path = Path(path).absolute()
    if not any((folder / ".git").exists() for folder in path.parents):
        return None
    # The repository's own settings are not trusted to name programs: fsmonitor is the one that a look-up would run.
    command = [
        "git",
        "-c",
        "safe.directory=*",
        "-c",
        "core.fsmonitor=false",
        "check-ignore",
        "--quiet",
        "--",
        path.name,
    ]
    try:
        done = subprocess.run(  # noqa: S603  # a fixed command; the name is one argument after --
            command, cwd=path.parent, capture_output=True, timeout=2, check=False
        )
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return {0: True, 1: False}.get(done.returncode)
