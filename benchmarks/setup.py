"""The first full setup on the bundled server, against PostgreSQL's own tools."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks import benchmark
from benchmarks.figures import Figure, Goal, in_turns, timed
from benchmarks.folders import ROOT, environment_of, fresh_folder, journey, settings_of
from core.embedded import client, programs
from core.setup import wizard
from tests.servers import free_port, give_to_server

FLOOR = "initdb, pg_ctl start and createdb of the same programs, as processes"
GOAL = Goal("seconds", 10)


@benchmark(n=3)
def setup(n: int) -> list[Figure]:
    """The first full setup on the bundled server: server, roles, files, all tables, verification; on the disk."""
    account = programs.account_for_server()
    programs.server_folder(account)  # copies the programs, once a machine, where the account cannot read ours
    command, function, tools = in_turns(
        n, *(lambda way=way: _in_fresh_folder(way) for way in (_command, _function, _tools))
    )
    return [
        Figure("python -m core setup --embedded --yes", FLOOR, command, tools, GOAL),
        Figure("core.setup.wizard.set_up", FLOOR, function, tools, GOAL),
    ]


def _in_fresh_folder(work: Any) -> float:
    """Milliseconds of work(folder); what it leaves is removed after the time was taken."""
    with fresh_folder() as folder, ExitStack() as after:
        return timed(lambda: work(folder, after))()


def _command(folder: Path, _after: ExitStack) -> None:
    command = [sys.executable, "-m", "core", "setup", "--embedded", "--yes", "--json"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment_of(folder), capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["setup"]["verified"]


def _function(folder: Path, _after: ExitStack) -> None:
    assert wizard.set_up(settings_of(folder), journey()).ready


def _tools(folder: Path, after: ExitStack) -> None:
    """A server with a password and an empty database, as somebody makes it by hand."""
    account = programs.account_for_server()
    tools = programs.server_folder(account)
    place = folder / "tools"
    place.mkdir(mode=0o700)
    password = place / "password"
    password.write_text("benchmark-pw-1", "utf-8")
    give_to_server(place)
    give_to_server(password)
    arguments = programs.run_as(account)
    data, port = place / "data", str(free_port())

    def run(*words: object) -> None:
        environment = dict(arguments["env"] or os.environ) | {"PGPASSWORD": "benchmark-pw-1"}
        done = subprocess.run(
            [str(word) for word in words], **arguments | {"env": environment, "cwd": place},
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr.decode()

    run(
        tools / "initdb", "-D", data, "-U", "postgres", f"--pwfile={password}", "--auth=scram-sha-256",
        "--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-locale",
    )  # fmt: skip
    options = f"-c port={port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={place}"
    run(tools / "pg_ctl", "-D", data, "-w", "-l", place / "log", "-o", options, "start")
    after.callback(run, tools / "pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")
    run(tools / client("createdb").name, "-h", "127.0.0.1", "-p", port, "-U", "postgres", "trading")
