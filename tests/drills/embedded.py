"""Drills of the bundled server: several processes start it at once, and some of them are killed meanwhile."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from core import embedded
from tests.drills import drill
from tests.servers import base_folder, wait_gone

STARTER = """
import hashlib, json, sys
from pathlib import Path
from core import embedded
server = embedded.start(home=Path(sys.argv[1]))
secret = hashlib.sha256(server.admin_config.password.get_secret_value().encode()).hexdigest()
print(json.dumps([server.pid, server.port, secret, str(server.data_dir)]))
"""
ROOT = Path(__file__).parent.parent.parent


def starter(home: Path) -> subprocess.Popen[str]:
    """A process that starts the home's server, prints what it got and ends."""
    command = [sys.executable, "-c", STARTER, str(home)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True, start_new_session=True)


def fresh_home() -> Path:
    """An empty folder in memory that a server's account may enter."""
    home = Path(tempfile.mkdtemp(prefix="drill-", dir=base_folder()))
    home.chmod(0o755)
    return home


def servers_of(home: Path) -> list[psutil.Process]:
    """Every living process of a PostgreSQL below the home, initdb included."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            inside = process.cwd().startswith(str(home)) or any(str(home) in word for word in process.cmdline())
            if process.name().startswith(("postgres", "initdb")) and inside:
                found.append(process)
    return found


@drill
def embedded_race(n: int = 20) -> dict[str, Any]:
    """n times: two processes start the server of one new home at once; both get the same one.

    In every second round a third process, which began first, is killed with SIGKILL at a random moment.
    """
    problems: list[str] = []
    longest_s = 0.0
    killed = 0
    for number in range(n):
        home = fresh_home()
        if number % 2:
            victim = starter(home)
            time.sleep(random.uniform(0.1, 1.0))
            victim.kill()
            victim.communicate()
            killed += 1
        begin = time.monotonic()
        pair = [starter(home), starter(home)]
        outputs = [process.communicate(timeout=120) for process in pair]
        longest_s = max(longest_s, time.monotonic() - begin)
        got = {out.strip() for out, _ in outputs}
        postmasters = [p for p in servers_of(home) if p.name() == "postgres" and (parent := p.parent()) is not None
                       and parent.name() != "postgres"]  # fmt: skip
        if len(got) != 1 or not all(got):
            problems.append(f"round {number}: {got} {[err[-300:] for _, err in outputs]}")
        elif len(postmasters) != 1 or postmasters[0].pid != json.loads(got.pop())[0]:
            problems.append(f"round {number}: {len(postmasters)} servers run")
        embedded.stop(home=home)
        left = wait_gone(servers_of(home))
        if left:
            problems.append(f"round {number}: {len(left)} processes stayed after stop")
        for process in left:
            process.kill()
        shutil.rmtree(home, ignore_errors=True)
    return {"ok": not problems, "n": n, "killed": killed, "longest_s": round(longest_s, 2), "problems": problems}
