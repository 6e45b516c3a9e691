"""Starting a server that was found stopped, and saying why where it does not come up."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core import embedded
from core.errors import TradekeepError, classify_log
from core.probe import probe
from core.settings import environment
from core.setup.discover.ask import text_of
from core.setup.discover.model import BUNDLED, Server

WITHIN_S = 60.0
_POLL_S = 0.1
_TAIL = 8000
# The server's own variables would lead it elsewhere; a secret of ours is none of its business.
_KEPT = ("PATH", "HOME", "USER", "LANG", "TMPDIR", "SYSTEMROOT", "XDG_RUNTIME_DIR", "DOCKER_HOST", "DOCKER_CONTEXT")
_UP = ("accepting", "rejecting", "too_many_connections")


def start(
    server: Server,
    *,
    home: Path | None = None,
    timeout_s: float = WITHIN_S,
    progress: Callable[[int, int, str], Any] | None = None,
) -> Server:
    """Start a stopped server and give it as it is then, accepting connections.

    Raises permission.start where this user may not, and what the table says of its log or of the command's output.
    """
    how = server.how
    if server.state != "stopped":
        return server
    if how is None or not server.may_start:
        raise TradekeepError("permission.start", command=server.start_command or "")
    if progress:
        progress(0, 2, "Starting the server")
    if BUNDLED in server.found_by:
        found = embedded.start(home=home)
        return server.model_copy(update={"state": "accepting", "port": found.port, "pid": found.pid} | _STARTED)
    begun, deadline = time.time(), time.monotonic() + timeout_s
    output, ok = _run(list(how.command), how.account, timeout_s)
    if not ok:
        raise classify_log(f"{output}\n{_log(how.log, begun)}")
    if progress:
        progress(1, 2, "Waiting until it accepts connections")
    place = server.host if server.socket is None else str(Path(server.socket).parent)
    while True:
        answer = probe(place, server.port, timeout_s=1.0)
        if answer.state in _UP:
            return server.model_copy(update={"state": answer.state} | _STARTED)
        if time.monotonic() > deadline:
            raise classify_log(f"{output}\n{_log(how.log, begun)}\n{answer.message}")
        time.sleep(_POLL_S)


_STARTED = {"start_command": None, "may_start": False, "how": None}


def _run(command: list[str], account: int | None, timeout_s: float) -> tuple[str, bool]:
    """What the command prints, and whether it went well. It writes to a file: a server keeps its output open."""
    variables = {name: value for name, value in environment().items() if name in _KEPT} | {"LC_ALL": "C"}
    other: dict[str, Any] = {}
    if account is not None and sys.platform != "win32" and account != os.geteuid():
        import pwd  # not on Windows

        other = {"user": account, "group": pwd.getpwuid(account).pw_gid, "extra_groups": []}
    with tempfile.TemporaryFile() as file:
        try:
            done = subprocess.run(  # noqa: S603  # the command that discovery made
                command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, timeout=timeout_s, check=False,
                cwd=tempfile.gettempdir() if sys.platform == "win32" else "/", env=variables, **other,
            )  # fmt: skip
            ok = done.returncode == 0
        except subprocess.TimeoutExpired:
            ok = False
        except OSError as error:
            return f"{command[0]}: {error.strerror or error}", False
        file.seek(0)
        return file.read()[-_TAIL:].decode("utf-8", "replace"), ok


def _log(log: str, begun: float) -> str:
    """The end of the server's log, if it was written since."""
    try:
        if log.startswith(("docker ", "podman ")):
            return _run([*log.split(), "--tail", "40"], None, 5)[0]
        if log and Path(log).stat().st_mtime >= begun - 1:
            return text_of(log, 10_000_000)[-_TAIL:]
    except OSError:
        pass
    return ""
