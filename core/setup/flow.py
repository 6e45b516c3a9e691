"""Where somebody stands in the setup: a draft that survives a reload, and the state of each of the seven steps."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from core.errors import TradekeepError
from core.settings import DatabaseConfig
from core.setup.diagnose import ConnectionResult
from core.setup.provision import Provisioned
from core.setup.verify import Verification, database_passed

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
TASKS = ("setup_local", "setup_start", "setup_change", "setup_test", "setup_roles", "setup_schema", "setup_verify")


# Told of what happens in a draft: its id, the step, reached, done or failed, and the error's kind.
Observer = Callable[[str, str, str, str], None]
_observers: list[Observer] = []


def observe(observer: Observer) -> None:
    """Have observer called with each step's outcome; it must be quick and must not raise."""
    if observer not in _observers:
        _observers.append(observer)


@dataclass
class Draft:
    """What was typed and found so far; in the process's memory only. Secrets are dropped after 15 quiet minutes."""

    way: str = ""  # "": what is configured, "choose": the two ways, "local": bundled server, "server": one's own
    at: str = ""  # the step that somebody went back to, "" for the first that is not done
    server: DatabaseConfig | None = None
    login: DatabaseConfig | None = None
    tested: ConnectionResult | None = None
    database: str = "trading"
    made: Provisioned | None = None  # with passwords, only until they stand in the files
    made_database: str = ""  # what `made` came to, for good
    written: bool = False
    verifications: list[Verification] = field(default_factory=list)
    verified: str = ""  # the label of the database that they are about
    verified_at: float | None = None  # unix seconds
    touched: float = field(default_factory=time.monotonic)
    kept_s: float = SECRET_KEPT_S
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    tests: int = 0
    _timer: threading.Timer | None = field(default=None, repr=False)

    def note(self, step: str, outcome: str, kind: str = "") -> None:
        """Tell those who count what happened in a step: reached, done, or failed with an error of that kind."""
        for observer in _observers:
            observer(self.id, step, outcome, kind)

    @contextmanager
    def noted(self, step: str) -> Iterator[None]:
        """Tell them that a step is reached, and how it ends."""
        self.note(step, "reached")
        try:
            yield
        except TradekeepError as error:
            self.note(step, "failed", error.kind)
            raise
        self.note(step, "done")

    def task(self, name: str) -> str:
        """The name of this draft's own task of that kind, so that nobody takes the result of another server."""
        return f"{name}:{self.id}.{self.tests}" if name == "setup_test" else f"{name}:{self.id}"

    def touch(self) -> None:
        """Note that somebody is at work; forget the secrets if nobody was for 15 minutes."""
        if time.monotonic() - self.touched > self.kept_s:
            self.forget_secrets()
        self.touched = time.monotonic()
        self._watch()

    def sign_in(self, login: DatabaseConfig) -> None:
        """Take a login for the next test; what an earlier one found no longer counts."""
        self.login, self.tested, self.at = login, None, ""
        self.tests += 1
        self.note("login", "done")
        self.touch()

    def choose(self, server: DatabaseConfig) -> None:
        """Take a server; a password that was typed for another one is not sent to it."""
        self.server, self.tested, self.at = server, None, ""
        self.note("server", "done")
        if self.login is not None:
            kept = self.login.password if same_server(self.login, server) else None
            if kept is None and self.login.password is not None:
                self.at = "login"
            self.login = server.replace(user=self.login.user, password=kept, database=self.login.database)
        self.tests += 1

    def take_tested(self, number: int, result: ConnectionResult) -> None:
        """Keep what the test of that number found, unless another one was begun since."""
        if number == self.tests:
            self.tested = result
            kind = str((result.error or {}).get("kind", ""))
            self.note("test", "done" if result.success else "failed", kind)

    def take_made(self, made: Provisioned) -> None:
        """Keep what provisioning made until it stands in the files."""
        self.made, self.made_database = made, made.runtime.database
        self.touch()

    def take_verified(self, lines: list[Verification], label: str) -> None:
        """Keep the verification of the database of that label, with its time."""
        self.verifications, self.verified, self.verified_at = lines, label, time.time()
        if self.way == "server":  # the local way notes its own steps
            self.note("verify", "done" if database_passed(lines) else "failed")

    def verifications_of(self, config: DatabaseConfig | None) -> list[Verification]:
        """What was verified, if it is about this database: the files may have changed since."""
        return self.verifications if config is not None and config.label == self.verified else []

    def settle(self) -> None:
        """The logins stand in the files: keep labels only."""
        self.written, self.at = True, ""
        tested = self.tested
        self.forget_secrets()
        self.tested = tested

    def forget_secrets(self) -> None:
        """Drop every password; what was not written yet is made again by whoever signs in again."""
        if self.login is not None and self.login.password is not None:
            self.login = self.login.replace(password=None)
            self.tested = None
        self.made = None
        if not self.written:
            self.made_database = ""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def _secret(self) -> bool:
        return self.made is not None or (self.login is not None and self.login.password is not None)

    def _watch(self) -> None:
        """Have the secrets dropped in time even if nobody comes back."""
        if self._secret and self._timer is None:
            left_s = max(0.01, self.touched + self.kept_s - time.monotonic())
            self._timer = threading.Timer(left_s, self._quiet)
            self._timer.daemon = True
            self._timer.start()

    def _quiet(self) -> None:
        self._timer = None
        if time.monotonic() - self.touched >= self.kept_s:
            self.forget_secrets()
        else:
            self._watch()


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
        old = _drafts.get(actor)
        _drafts[actor] = Draft()
    if old is not None:
        old.forget_secrets()
    return draft(actor)


def same_server(one: DatabaseConfig, other: DatabaseConfig) -> bool:
    """Whether both mean the same host and port."""
    return (one.host or "localhost", one.port_text or "5432") == (other.host or "localhost", other.port_text or "5432")


def view(of: Draft, *, configured: bool, mode: str, ready: bool, current: bool) -> str:
    """What the page shows: ways, steps, done, away, or looking while it is not known yet.

    configured: a database stands in the configuration. mode, ready: what the watcher says. current: it says that
    of this configuration, not of an earlier one.
    """
    if of.way == "choose":
        return "ways"
    if of.way == "server" and not of.written:
        return "steps"
    if not configured:
        return "ways"
    if not current:
        return "looking"
    if mode == "connected":
        return "done" if ready else "steps"
    return "away" if mode in ("connecting", "down") else "looking"


def steps(of: Draft, configured: DatabaseConfig | None, *, connected: bool, schema_ready: bool) -> list[StepState]:
    """The seven steps with their states, derived from the draft and from what is really there.

    configured: what the env files give; connected, schema_ready: what the watcher found with it.
    """
    real = configured if of.way != "server" or of.written else None
    done = {
        "server": of.server is not None or real is not None,
        "login": of.login is not None or real is not None,
        "test": (of.tested is not None and of.tested.success) or (real is not None and connected),
        "roles": bool(of.made_database) or (real is not None and connected),
        "config": of.written or real is not None,
        "schema": bool(real) and connected and schema_ready,
        "verify": database_passed(of.verifications_of(real)),
    }
    present = of.at or next((name for name in NAMES if not done[name]), "")
    summaries = _summaries(of, real)
    found = []
    for name, title in STEPS:
        failed = name == "test" and of.tested is not None and not of.tested.success
        failed = failed or (name == "verify" and bool(of.verifications_of(real)) and not done["verify"])
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
    database = of.made_database or (real.database if real else of.database)
    verified = of.verifications_of(real)
    return {
        "server": place,
        "login": f"as {login.user}" if login else "",
        "test": _tested(of),
        "roles": f"database {database}",
        "config": ".env.local",
        "verify": f"{sum(bool(line.ok) for line in verified)} of {len(verified)} passed" if verified else "",
    }
