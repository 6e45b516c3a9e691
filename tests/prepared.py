"""Python programs that begin with their modules loaded: what `python -m NAME` starts, a second of work sooner.

One process, which has loaded the modules and run nothing, forks for every program. Arguments, variables, folder,
streams, signals and exit code are the program's own. Its command line in the list of processes is not: a test that
looks there, or at what a program loads, starts Python itself.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import logging
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parent.parent
LIBRARIES = (
    "alembic.command", "filelock", "pandas", "plotly.graph_objects", "psutil", "psycopg", "pyarrow.parquet",
    "pydantic_settings", "rich.console", "sqlalchemy.dialects.postgresql.psycopg", "sqlalchemy.orm",
    "streamlit.web.bootstrap", "streamlit.web.cli", "typer", "uvicorn",
)  # fmt: skip
NOT_BEFORE = ("core.api", "core.ui.server")  # they note when the server began, and are the server
ORDER_BYTES = 128 << 10


class Program:
    """A running program; what tests use of subprocess.Popen."""

    def __init__(
        self,
        words: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        stdin: IO[bytes],
        out: IO[bytes],
        err: IO[bytes],
    ) -> None:
        self.returncode: int | None = None
        self._status, theirs = os.pipe()
        order = json.dumps({"words": list(words), "env": dict(env), "cwd": str(cwd)}).encode()
        connection = _nursery()
        socket.send_fds(connection, [order], [stdin.fileno(), out.fileno(), err.fileno(), theirs])
        os.close(theirs)
        self.pid = int(connection.recv(32))

    def poll(self) -> int | None:
        """The exit code, negative after a signal; None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once it ended. Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("program", timeout or 0)
            self.returncode = int(os.read(self._status, 32) or b"-9")
            os.close(self._status)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


def run(
    *words: str, stdin: str = "", env: Mapping[str, str], cwd: Path, timeout_s: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run `python -m WORDS` to its end and give what it wrote; its standard input is a file."""
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given.write(stdin.encode("utf-8", "surrogateescape"))
        given.seek(0)
        program = Program(words, env=env, cwd=cwd, stdin=given, out=out, err=err)
        try:
            code = program.wait(timeout_s)
        except subprocess.TimeoutExpired:
            program.kill()
            raise
        texts = []
        for each in (out, err):
            each.seek(0)
            texts.append(each.read().decode("utf-8", "surrogateescape"))
        return subprocess.CompletedProcess(words, code, *texts)


def end() -> None:
    """End the process that forks, once no program is wanted any more."""
    if _nursery.cache_info().currsize:
        _nursery().close()


@cache
def _nursery() -> socket.socket:
    """The way to the process that forks; it ends when this is closed."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    variables = os.environ | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    with theirs:
        command = [sys.executable, "-m", "tests.prepared", str(theirs.fileno())]
        subprocess.Popen(command, cwd=ROOT, env=variables, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
    return ours


def _own() -> Iterator[str]:
    for module in pkgutil.walk_packages([str(ROOT / "core")], "core."):
        if not module.name.endswith("__main__") and module.name not in NOT_BEFORE:
            yield module.name


def _fork_on_demand(orders: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Fork for every order; gives it in the new process, and None at the end of them in this one."""
    running: dict[int, int] = {}

    def ended(*_: object) -> None:
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                _report(running.pop(found[0], None), found[1])

    signal.signal(signal.SIGCHLD, ended)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        order, files, *_ = socket.recv_fds(orders, ORDER_BYTES, 4)
        if not order:
            return None
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])  # not before it stands in `running`
        pid = os.fork()
        if not pid:
            orders.close()
            for number in (*running.values(), files.pop()):
                os.close(number)
            return json.loads(order), files
        running[pid] = files.pop()
        for number in files:
            os.close(number)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
        orders.send(str(pid).encode())


def _report(pipe: int | None, status: int) -> None:
    if pipe is not None:
        with contextlib.suppress(OSError):
            os.write(pipe, str(os.waitstatus_to_exitcode(status)).encode())
        os.close(pipe)


def _become(order: dict[str, Any], files: list[int]) -> None:
    """Be the program, as `python -m` would have started it."""
    for number in (signal.SIGCHLD, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL if number == signal.SIGCHLD else signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
    for wanted, number in enumerate(files):
        os.dup2(number, wanted)
        os.close(number)
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    time.tzset()
    encoding, _, errors = order["env"].get("PYTHONIOENCODING", "utf-8:surrogateescape").partition(":")
    at_once = bool(order["env"].get("PYTHONUNBUFFERED"))
    sys.stdin = open(0, encoding=encoding, errors=errors or "strict", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", 1 if at_once else -1, encoding, errors or "strict", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", 1, encoding, "backslashreplace", closefd=False)  # noqa: SIM115
    sys.path[0] = order["cwd"]
    sys.argv = order["words"]
    runpy.run_module(order["words"][0], run_name="__main__", alter_sys=True)


def main() -> None:
    """Load the libraries, then fork for every order."""
    with socket.socket(fileno=int(sys.argv[1])) as orders:
        logging.disable(logging.WARNING)  # Streamlit misses its runtime
        for name in (*LIBRARIES, *_own()):
            importlib.import_module(name)
        logging.disable(logging.NOTSET)
        gc.freeze()  # what is not looked at for garbage stays shared with every program
        found = _fork_on_demand(orders)
    if found:
        _become(*found)


if __name__ == "__main__":
    main()
