"""The system's own programs, each asked with a deadline."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from core.settings import environment

SHORTEST_S = 0.05


def said(command: Sequence[str], timeout_s: float, *, fail_ok: bool = False) -> str:
    """What the program prints; "" where it is not installed, fails, or takes too long (it is killed then).

    It answers in English whatever the user's language. fail_ok: take what it prints though its exit code is not 0.
    """
    program = shutil.which(command[0])
    if program is None:
        return ""
    variables = {**environment(), "LC_ALL": "C", "LANGUAGE": "C"}
    alone = {"start_new_session": True} if sys.platform != "win32" else {}
    try:
        process = subprocess.Popen(  # noqa: S603  # our own fixed commands
            [program, *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=variables,
            **alone,  # type: ignore[call-overload]
        )
    except OSError:
        return ""
    try:
        output, _ = process.communicate(timeout=max(timeout_s, SHORTEST_S))
    except subprocess.TimeoutExpired:
        _kill(process)
        return ""
    if process.returncode and not fail_ok:
        return ""
    return str(output.decode("utf-8", "replace"))


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End it and what it started: a grandchild that keeps the pipe open would keep us waiting."""
    try:
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    except OSError:
        pass
    if process.stdout:
        process.stdout.close()
    try:
        process.wait(1)
    except subprocess.TimeoutExpired:  # it hangs in the kernel, and goes when that lets it
        return


def text_of(path: str | Path, limit: int = 200_000) -> str:
    """The file's text, "" where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(limit).decode("utf-8", "replace")
    except (OSError, ValueError):
        return ""
