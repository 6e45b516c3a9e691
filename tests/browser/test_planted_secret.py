"""Passwords that were typed, generated and rotated, looked for everywhere but in the files that are to hold them."""

from __future__ import annotations

import base64
import html
import json
import secrets
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import psutil
import pytest

from core import envfile
from core.settings import parse_connection
from tests import prepared
from tests.browser.harness import App, Visitor
from tests.browser.test_setup import enter_server
from tests.servers import Cluster

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[2]
FRAGMENT = 6
MEANT = {".env.local", ".env.tradekeep"}
KEYS = {".env.local": ["DATABASE_URL"], ".env.tradekeep": ["DATABASE_OWNER_URL", "DATABASE_VIEWER_URL"]}


def planted() -> str:
    """A password that every encoding changes, and that stands nowhere else."""
    return f"{secrets.token_hex(4)}&%=+\"<ü/{secrets.token_hex(4)}'\\@:{secrets.token_hex(4)}"


def disguises(secret: str) -> dict[str, bytes]:
    """Name -> what a secret may look like: whole, encoded, and each piece of it."""
    raw = secret.encode()
    found = {
        "raw": raw,
        "percent": quote(secret, safe="").encode(),
        "percent, plus": quote_plus(secret).encode(),
        "json": json.dumps(secret)[1:-1].encode(),
        "html": html.escape(secret).encode(),
        "repr": repr(secret)[1:-1].encode(),
        "hex": raw.hex().encode(),
    }
    for shift in range(3):  # what base64 makes of it at each place in a text, without the ends
        found[f"base64 at {shift}"] = base64.b64encode(b"\0" * shift + raw)[4 if shift else 0 : -4]
    for start in range(len(secret) - FRAGMENT + 1):
        found[f"from {start}"] = secret[start : start + FRAGMENT].encode()
    return found


@dataclass
class Hunt:
    """Everything that was seen, by where, and the passwords to look for."""

    secrets: dict[str, str] = field(default_factory=dict)
    seen: dict[str, list[bytes]] = field(default_factory=dict)

    def keep(self, where: str, what: str | bytes) -> None:
        self.seen.setdefault(where, []).append(what if isinstance(what, bytes) else what.encode("utf-8", "replace"))

    def hits(self) -> list[str]:
        """Where which secret stands, and how it looks there."""
        found = []
        for name, secret in self.secrets.items():
            needles = disguises(secret)
            for where, pieces in self.seen.items():
                whole = b"\n".join(pieces)
                found += [f"{name} ({how}) in {where}" for how, needle in needles.items() if needle in whole]
        return found


@contextmanager
def process_list_watched(hunt: Hunt) -> Iterator[None]:
    """Keep the command line of every process: a new one's at once, everybody's twice a second."""
    over = threading.Event()

    def look() -> None:
        seen: set[str] = set()
        known: set[int] = set()
        whole = 0.0
        while not over.is_set():
            if time.monotonic() > whole:
                known, whole = set(), time.monotonic() + 0.5
            now = set(psutil.pids())
            for pid in now - known:
                with suppress(psutil.Error):
                    line = " ".join(psutil.Process(pid).cmdline())
                    if line not in seen:
                        seen.add(line)
                        hunt.keep("process list", line)
            known = now
            time.sleep(0.01)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    yield
    over.set()
    thread.join(5)


def listen(visitor: Visitor, hunt: Hunt) -> None:
    """Keep what the browser gets and asks for; what it sends, by frames."""

    def payload(frame: Any) -> bytes:
        return frame if isinstance(frame, bytes) else str(frame).encode()

    def opened(socket: Any) -> None:
        socket.on("framereceived", lambda frame: hunt.keep("frames to the browser", payload(frame)))
        socket.on("framesent", lambda frame: hunt.keep("frames from the browser", payload(frame)))

    visitor.page.on("websocket", opened)
    visitor.page.on("request", lambda request: hunt.keep("addresses", request.url))
    visitor.page.on("console", lambda message: hunt.keep("console", message.text))


def command(app: App, *words: str, stdin: str = "", env: dict[str, str] | None = None) -> bytes:
    variables = {
        "TRADEKEEP_HOME": str(app.home), "TRADEKEEP_PROJECT": str(app.project), "PYTHONPATH": str(ROOT),
        "HOME": str(app.home.parent), "PATH": "/usr/bin:/bin",
    }  # fmt: skip
    done = prepared.run("core", *words, stdin=stdin, env=variables | (env or {}), cwd=app.project)
    return (done.stdout + done.stderr).encode("utf-8", "surrogateescape")


def logins(app: App) -> Iterator[tuple[str, str]]:
    """Each role's name and the password that the files hold for it."""
    for name, keys in KEYS.items():
        values = envfile.values(app.project / name)
        for key in keys:
            config = parse_connection(values[key] or "")
            assert config.password is not None
            yield config.user, config.password.get_secret_value()


def test_a_planted_secret_is_found_in_every_disguise() -> None:
    secret = planted()
    for how, needle in disguises(secret).items():
        hunt = Hunt({"it": secret})
        hunt.keep("there", b"before " + needle + b" after")
        assert any("in there" in hit for hit in hunt.hits()), how
    hunt = Hunt({"it": secret})
    hunt.keep("there", base64.b64encode(b"xy" + secret.encode() + b"z"))
    hunt.keep("elsewhere", "nothing to see")
    assert any("base64" in hit for hit in hunt.hits())
    assert not any("elsewhere" in hit for hit in hunt.hits())


@pytest.mark.long
def test_no_password_gets_anywhere_but_into_its_files(
    own_cluster: Cluster, start_app: Callable[..., App], window: Callable[..., Visitor]
) -> None:
    hunt = Hunt({"the administrator's": planted(), "a wrong one": planted()})
    right, wrong = hunt.secrets["the administrator's"], hunt.secrets["a wrong one"]
    own_cluster.configure(conf=["log_statement = 'all'", "log_min_messages = debug1", "log_connections = on"])
    own_cluster.reload()
    with own_cluster.connect() as connection:  # as a verifier: the server's own log is searched too
        verifier = connection.pgconn.encrypt_password(right.encode(), b"postgres", b"scram-sha-256")
        connection.execute(b"ALTER ROLE postgres PASSWORD '" + verifier + b"'")
    own_cluster.password = right
    app = start_app(env={"LOG_LEVEL": "DEBUG", "SQL_ECHO": "yes"})
    subprocess.run(["git", "init", "-q", app.project], check=True)
    with process_list_watched(hunt):
        visitor = window(app)
        listen(visitor, hunt)
        typed = _journey(visitor, own_cluster, right, wrong, hunt)
        _command_line(app, own_cluster, right, wrong, hunt)
    hunt.secrets |= {f"{role}'s": password for role, password in logins(app)}
    _keep_files(app, own_cluster, hunt)

    # What is typed goes to the server, in the frames that bring it there and in no other.
    sent = hunt.seen.pop("frames from the browser")
    carrying = [frame for frame in sent if right.encode() in frame or wrong.encode() in frame]
    assert 1 <= len(carrying) <= typed
    hunt.seen["other frames from the browser"] = [frame for frame in sent if frame not in carrying]
    assert {"frames to the browser", "addresses", "process list", "app.log", "server log", "page"} <= hunt.seen.keys()
    assert hunt.hits() == []


def _journey(visitor: Visitor, cluster: Cluster, right: str, wrong: str, hunt: Hunt) -> int:
    """Through the whole setup, by a wrong password; how often something was typed into a password field and sent."""

    def sign_in(password: str) -> None:
        visitor.fill("User", "postgres").fill("Password", password).fill("Database to sign in to", "postgres")
        visitor.click("Test the connection")

    enter_server(visitor, cluster)
    sign_in(wrong)
    visitor.wait_for("What to do")
    hunt.keep("page", visitor.page.content())
    visitor.click("Change the sign-in")
    hunt.keep("page", visitor.page.content())
    sign_in(right)
    visitor.wait_for("Create roles and database")
    hunt.keep("page", visitor.page.content())
    visitor.click("Create roles and database").wait_for("Write the configuration")
    hunt.keep("page", visitor.page.content())
    visitor.click("Write the configuration").wait_for("Create the tables")
    visitor.click("Create the tables").wait_for("verifications passed", timeout_s=60)
    hunt.keep("page", visitor.page.content())
    hunt.keep("diagnostics", visitor.download("Download diagnostics"))
    visitor.open("/setup").wait_for("works")
    for page in ("Overview", "Schema"):
        visitor.go(page)
        hunt.keep("page", visitor.page.content())
    hunt.keep("addresses", visitor.page.url)
    for path in ("/healthz", "/readyz", "/metrics"):
        hunt.keep("routes", visitor.app.request(path)[2])
    return 2 * 2  # leaving the field, and the form


def _command_line(app: App, cluster: Cluster, right: str, wrong: str, hunt: Hunt) -> None:
    url = f"postgresql://postgres@127.0.0.1:{cluster.port}/postgres"
    broken = f"postgresql://postgres:{wrong}@127.0.0.1:{cluster.port}/x?nonsense={wrong}"
    for words, stdin in (
        (["test", "--url", url, "--stdin"], wrong + "\n"),
        (["test", "--url", url, "--stdin", "--json"], right + "\n"),
        (["setup", "--url", url, "--stdin", "--yes"], right + "\n"),
        (["env", "--json"], ""),
        (["check", "--json"], ""),
        (["verify"], ""),
        (["env", "set", "PLANTED_PASSWORD"], right + "\n"),
        (["env", "set", "PLANTED_PASSWORD", "--remove"], ""),
        (["rotate", "--yes", "--json"], ""),
    ):
        hunt.keep("command line", command(app, *words, stdin=stdin))
    hunt.keep("command line", command(app, "check", env={"DATABASE_URL": broken}))


def _keep_files(app: App, cluster: Cluster, hunt: Hunt) -> None:
    folder = app.home.parent
    for path in folder.rglob("*"):
        kept_here = path.name in MEANT or {".tradekeep-backups", "logins", ".git"} & set(path.parts)
        if path.is_file() and not kept_here:
            hunt.keep("app.log" if path.name == "app.log" else str(path.relative_to(folder)), path.read_bytes())
    hunt.keep("server log", cluster.log.read_bytes())
    seen = cluster.sql("SELECT query FROM pg_stat_activity")
    hunt.keep("pg_stat_activity", repr(seen))
    status = subprocess.run(["git", "-C", app.project, "status", "--porcelain"], capture_output=True, check=True)
    hunt.keep("git status", status.stdout)
