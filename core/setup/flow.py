"""Where somebody stands in the setup: a draft that survives a reload, and the state of each of the seven steps."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from core.settings import DatabaseConfig
from core.setup.diagnose import ConnectionResult
from core.setup.provision import Provisioned
from core.setup.verify import Verification, passed

STEPS = (
    ("server", "Server"),
    ("login", "Sign in"),
    ("test", "Test the connection"),
    ("roles", "Roles and database"),
    ("config", "Write the configuration"),
    ("schema", "Create the tables"),
    ("verify", "Verify"),
)
NAMES = tuple(name for name, _title in STEPS)
SECRET_KEPT_S = 900.0


@dataclass
class Draft:
    """What was typed and found so far; in the process's memory only. The password is dropped after 15 minutes."""

    way: str = ""  # "": nothing chosen yet, "local": bundled server, "server": one's own
    at: str = ""  # the step that somebody went back to, "" for the first that is not done
    server: DatabaseConfig | None = None
    login: DatabaseConfig | None = None
    tested: ConnectionResult | None = None
    database: str = "trading"
    made: Provisioned | None = None
    written: bool = False
    verifications: list[Verification] = field(default_factory=list)
    touched: float = field(default_factory=time.monotonic)

    def touch(self) -> None:
        """Note that somebody is at work; forget the login if nobody was for 15 minutes."""
        now = time.monotonic()
        if now - self.touched > SECRET_KEPT_S:
            self.forget_secrets()
        self.touched = now

    def forget_secrets(self) -> None:
        """Drop the admin's password; what was made with it stays."""
        if self.login is not None and self.login.password is not None:
            self.login = self.login.replace(password=None)
            self.tested = None


@dataclass(frozen=True)
class StepState:
    """One step: state is done, now, waiting or failed; summary what it came to."""

    name: str
    title: str
    state: str
    summary: str = ""


_drafts: dict[str, Draft] = {}
_lock = threading.Lock()


def draft(actor: str = "local") -> Draft:
    """The draft of whoever acts; made on first use."""
    with _lock:
        found = _drafts.setdefault(actor, Draft())
    found.touch()
    return found


def start_over(actor: str = "local") -> Draft:
    """Forget the draft and begin a new one."""
    with _lock:
        _drafts[actor] = Draft()
        return _drafts[actor]


def steps(of: Draft, configured: DatabaseConfig | None, *, connected: bool, schema_ready: bool) -> list[StepState]:
    """The seven steps with their states, derived from the draft and from what is really there.

    configured: what the env files give; connected, schema_ready: what the watcher found with it.
    """
    real = configured if of.way == "" or of.written else None
    done = {
        "server": of.server is not None or real is not None,
        "login": of.login is not None or real is not None,
        "test": (of.tested is not None and of.tested.success) or (real is not None and connected),
        "roles": of.made is not None or (real is not None and connected),
        "config": of.written or real is not None,
        "schema": bool(real) and connected and schema_ready,
        "verify": passed(of.verifications),
    }
    present = of.at or next((name for name in NAMES if not done[name]), "")
    summaries = _summaries(of, real)
    found = []
    for name, title in STEPS:
        failed = name == "test" and of.tested is not None and not of.tested.success
        failed = failed or (name == "verify" and bool(of.verifications) and not done["verify"])
        if name == present:
            state = "failed" if failed else "now"
        elif done[name] and (not present or NAMES.index(name) < NAMES.index(present) or not of.at):
            state = "done"
        else:
            state = "waiting"
        found.append(StepState(name, title, state, summaries.get(name, "") if state in ("done", "failed") else ""))
    return found


def _tested(of: Draft) -> str:
    if of.tested is None:
        return "connected"
    if not of.tested.success:
        return "it failed"
    return f"PostgreSQL {of.tested.server.version}" if of.tested.server else "connected"


def _summaries(of: Draft, real: DatabaseConfig | None) -> dict[str, str]:
    shown = of.server or real
    login = of.login or real
    place = f"{shown.host or 'localhost'}:{shown.port_text or '5432'}" if shown else ""
    database = of.made.runtime.database if of.made else real.database if real else of.database
    return {
        "server": place,
        "login": f"as {login.user}" if login else "",
        "test": _tested(of),
        "roles": f"database {database}",
        "config": ".env.local",
        "verify": f"{sum(bool(line.ok) for line in of.verifications)} of {len(of.verifications)} passed"
        if of.verifications
        else "",
    }
