"""The drill of passwords: any of them comes through role, env file, four kinds of readers, to a login."""

from __future__ import annotations

import contextlib
import ctypes
import json
import random
import re
import shutil
import subprocess
import tempfile
import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import dotenv
import psycopg
from psycopg import sql

from core.settings import DatabaseConfig, load_settings
from core.setup import wizard
from core.setup.provision import Provisioned
from tests.drills import drill
from tests.drills.project import server
from tests.servers import Cluster, base_folder

Reader = Callable[[Path], str]
KEY = "DATABASE_URL"
TRICKY = "@:/?#[]%&=+ '\"\\$`!{}|<>^~*;,()-_.\t"
PLAIN = (
    "${HOME}", "$(id)", "`id`", "%41%zz", " leading", "trailing ", "a'b\"c", "\\n\\", "#", "=", "x" * 200,
)  # fmt: skip
SCRIPTS = (
    "p\u00e4ssw\u00f6rd", "\u043f\u0430\u0440\u043e\u043b\u044c", "\u5bc6\u7801", "\U0001f511", "e\u0301", "\u00a0",
    "\u2028", "\ufeff",
)  # fmt: skip
# Source: dotenv's LINE expression, the same in its versions 16 to 18.
_NODE_LINE = re.compile(
    r"""^\s*(?:export\s+)?([\w.-]+)(?:\s*=\s*?|:\s+?)(\s*'(?:\\'|[^'])*'|\s*"(?:\\"|[^"])*"|\s*`(?:\\`|[^`])*`|[^#\r\n]+)?"""
    r"\s*(?:#.*)?$",
    re.M,
)
_NODE = """
const dotenv = require('dotenv'), fs = require('fs');
require('readline').createInterface({input: process.stdin}).on('line', path =>
  console.log(JSON.stringify(dotenv.parse(fs.readFileSync(path)))));
"""


def passwords() -> Iterator[str]:
    """1 to 200 characters: every printable ASCII one, what files and shells trip over, and every other script."""
    yield from TRICKY
    yield from (f"{c}{c}" for c in TRICKY)
    yield from PLAIN
    yield from SCRIPTS
    while True:
        kind = random.random()
        if kind < 0.4:
            letters = [chr(random.randint(33, 126)) for _ in range(random.randint(1, 200))]
        elif kind < 0.7:
            letters = [random.choice(TRICKY + "aB1 ") for _ in range(random.randint(1, 60))]
        else:
            letters = [_letter() for _ in range(random.randint(1, 200))]
        yield "".join(letters)


def _letter() -> str:
    while True:
        letter = chr(
            random.choice((random.randint(32, 0x24F), random.randint(0x370, 0x9FFF), random.randint(0, 0x1FFFF)))
        )
        if unicodedata.category(letter) not in ("Cs", "Cn", "Cc", "Co"):
            return letter


def by_python(path: Path) -> str:
    """python-dotenv, as bots use it: with its expansion of ${...}."""
    return dotenv.dotenv_values(path)[KEY] or ""


def by_rules_of_node(path: Path) -> str:
    """What node's dotenv does, by its own expression."""
    found = ""
    for key, value in _NODE_LINE.findall(path.read_text("utf-8").replace("\r\n", "\n").replace("\r", "\n")):
        if key == KEY:
            value = value.strip()
            found = re.sub(r"(?ms)^(['\"`])(.*)\1$", r"\2", value)
            if value.startswith('"'):
                found = found.replace("\\n", "\n").replace("\\r", "\r")
    return found


def _stream(command: list[str]) -> Reader:
    """A reader that lives in a process: a path a line to it, the values as one line of JSON from it."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")

    def read(path: Path) -> str:
        assert process.stdin
        assert process.stdout
        process.stdin.write(f"{path}\n")
        process.stdin.flush()
        return str(json.loads(process.stdout.readline())[KEY])

    read.end = process  # type: ignore[attr-defined]
    return read


def by_bash(path: Path) -> str:
    """bash's `source`, in an environment of its own."""
    script = 'set -a; . "$1"; printf %s "$DATABASE_URL"'
    done = subprocess.run(["bash", "-c", script, "bash", path], capture_output=True, check=True, env={})
    return done.stdout.decode()


def systemd() -> Reader | None:
    """systemd's own parser of EnvironmentFile=, from its library; None where that is not installed."""
    for library in sorted(Path("/usr/lib").rglob("libsystemd-shared-*.so")):
        with contextlib.suppress(OSError, AttributeError):
            load = ctypes.CDLL(str(library)).load_env_file
            load.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.POINTER(ctypes.POINTER(ctypes.c_char_p))]

            def read(path: Path, load: Any = load) -> str:
                found = ctypes.POINTER(ctypes.c_char_p)()
                if load(None, str(path).encode(), ctypes.byref(found)) < 0:
                    return "systemd refused the file"
                values = {}
                for number in range(1000):
                    if not found or found[number] is None:
                        break
                    key, _, value = found[number].decode().partition("=")
                    values[key] = value
                return values.get(KEY, "")

            return read
    return None


def readers(stack: ExitStack) -> tuple[dict[str, Reader], list[str]]:
    """Every reader that there is on this machine by name, and what is missing."""
    found: dict[str, Reader] = {"python-dotenv": by_python, "node dotenv by its rules": by_rules_of_node}
    missing = []
    if shutil.which("bash"):
        found["bash"] = by_bash
    else:
        missing.append("bash")
    if (
        shutil.which("node")
        and subprocess.run(["node", "-e", "require('dotenv')"], capture_output=True).returncode == 0
    ):
        found["node dotenv"] = node = _stream(["node", "-e", _NODE])
        stack.callback(node.end.communicate)  # type: ignore[attr-defined]
    else:
        missing.append("node dotenv (npm install dotenv, NODE_PATH)")
    if read := systemd():
        found["systemd"] = read
    else:
        missing.append("systemd (libsystemd-shared)")
    return found, missing


@drill
def password_round_trip(n: int = 1000, cluster: Cluster | None = None) -> dict[str, Any]:
    """n passwords: set on a role, written into .env.local, read by every reader, and a login with what each read."""
    begin = time.monotonic()
    logins, problems = 0, list[str]()
    agreed: Counter[str] = Counter()
    project = Path(tempfile.mkdtemp(prefix="passwords-", dir=base_folder()))
    with server(cluster) as cluster, ExitStack() as stack:
        cluster.sql("DROP ROLE IF EXISTS anypw", "CREATE ROLE anypw LOGIN")
        found, missing = readers(stack)
        names = list(found)
        for number, password in zip(range(n), passwords(), strict=False):
            config = cluster.config(user="anypw", password=password)
            _set_password(cluster, password)
            _write(project, config)
            read = {name: reader(project / ".env.local") for name, reader in found.items()}
            agreed.update(name for name, url in read.items() if url == config.url())
            problems += [f"{name} reads password {number} differently" for name in names if read[name] != config.url()]
            try:
                with psycopg.connect(read[names[number % len(names)]], connect_timeout=5) as connection:
                    logins += connection.execute("SELECT current_user::text").fetchone() == ("anypw",)
            except psycopg.Error as error:
                problems.append(f"password {number}: {error.sqlstate} {type(error).__name__}")
    shutil.rmtree(project)
    return {
        "ok": not problems and logins == n,
        "n": n,
        "logins": logins,
        "agreed": dict(agreed),
        "missing_readers": missing,
        "problems": problems[:20],
        "problem_count": len(problems),
        "seconds": round(time.monotonic() - begin, 1),
    }


def _write(project: Path, config: DatabaseConfig) -> None:
    settings = load_settings(project)
    wizard.write(wizard.configuration(settings, Provisioned(config, config, config)), settings)


def _set_password(cluster: Cluster, password: str) -> None:
    with cluster.connect() as connection:
        verifier = connection.pgconn.encrypt_password(password.encode(), b"anypw", b"scram-sha-256").decode()
        connection.execute(sql.SQL("ALTER ROLE anypw PASSWORD {}").format(sql.Literal(verifier)))
