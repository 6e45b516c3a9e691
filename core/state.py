"""The process's own settings, databases, tasks and watcher: one registry, without Streamlit."""

from __future__ import annotations

import json
import logging
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from core import embedded, log
from core.database import Databases
from core.errors import TradekeepError, classify
from core.settings import Settings, environment, load_settings
from core.tasks import Tasks

if TYPE_CHECKING:
    from core.schema.migrate import SchemaVersion

logger = logging.getLogger(__name__)
CONNECTED_EVERY_S, SCHEMA_EVERY_S, DOWN_LONGEST_S = 5.0, 60.0, 15.0


@dataclass(frozen=True)
class Status:
    """Where the process stands; made by the watcher, read by every page without waiting.

    mode: starting (nothing known yet), demo (no database was ever configured), misconfigured (the configuration
    cannot be read), connecting (first tries), connected, down.
    since: unix seconds of the last change of mode. reachable_at: unix seconds of the last answer.
    """

    mode: str = "starting"
    label: str = ""
    error: TradekeepError | None = None
    latency_ms: float | None = None
    server_version: str = ""
    schema: SchemaVersion | None = None
    attempt: int = 0
    since: float = field(default_factory=time.time)
    reachable_at: float | None = None

    @property
    def ready(self) -> bool:
        """Whether pages can work with the real database."""
        schema = self.schema
        return self.mode == "connected" and schema is not None and schema.compatible and not schema.migration_needed


class _State:
    """Everything that lives as long as the process."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.tasks = Tasks()
        self.status = Status()
        self.settings: Settings | None = None
        self.project: Path | None = None
        self.databases: Databases | None = None
        self.marks: tuple[object, ...] = ()
        self.kick = threading.Event()
        self.examined = threading.Condition()
        self.rounds = 0
        self.thread: threading.Thread | None = None
        self.stopping = False
        self.schema_at = 0.0
        self.woken: set[str] = set()


_state = _State()


def settings() -> Settings:
    """The process's settings, read again when one of the env files has changed."""
    with _state.lock:
        marks = _marks()
        if _state.settings is None or marks != _state.marks:
            before = _state.settings
            _state.settings = load_settings(_state.project or _saved_project())
            _state.marks = _marks()
            if before is None or _configuration(before) != _configuration(_state.settings):
                _dispose()
        return _state.settings


def databases() -> Databases:
    """The process's databases. Raises config.no_database, or why the configuration cannot be used."""
    with _state.lock:
        current = settings()
        if _state.databases is None:
            _state.databases = Databases.from_settings(current)
        return _state.databases


def tasks() -> Tasks:
    """The process's long tasks."""
    return _state.tasks


def status() -> Status:
    """The latest status; starts the watcher if nothing did so yet. Never waits."""
    start()
    return _state.status


def refresh(timeout_s: float = 0.0) -> Status:
    """Have the watcher look now; wait for its answer for at most timeout_s."""
    start()
    with _state.examined:
        target = _state.rounds + 1
        _state.schema_at = 0.0
        _state.kick.set()
        _state.examined.wait_for(lambda: _state.rounds >= target, timeout_s)
    return _state.status


def use_project(folder: Path) -> Settings:
    """Work on another project folder from now on, and after a restart of the web app. Raises permission.file."""
    folder = folder.expanduser().resolve()
    if not folder.is_dir():
        raise TradekeepError("config.project", f"{folder} is not a folder", path=folder)
    with _state.lock:
        home = settings().home
        try:
            home.mkdir(parents=True, exist_ok=True, mode=0o700)
            (home / "webapp.json").write_text(json.dumps({"project": str(folder)}), "utf-8")
        except OSError as exc:
            raise classify(exc) from None
        _state.project, _state.settings = folder, None
        _dispose()
        chosen = settings()
    refresh()
    return chosen


def start() -> None:
    """Start the watcher, once; returns at once."""
    with _state.lock:
        if _state.thread is not None and _state.thread.is_alive():
            return
        _state.stopping = False
        _state.thread = threading.Thread(target=_watch, name="watcher", daemon=True)
        _state.thread.start()


def stop() -> None:
    """Stop the watcher and close every connection; what the bundled server does is its own affair."""
    _state.stopping = True
    _state.kick.set()
    if _state.thread is not None:
        _state.thread.join(2)
    with _state.lock:
        _state.thread, _state.settings, _state.project = None, None, None
        _state.woken.clear()
        _dispose()
        _state.status = Status()


def _marks() -> tuple[object, ...]:
    """What changes when an env file changes."""
    if _state.settings is None:
        return ()
    found: list[object] = []
    for name in (".env.tradekeep", ".env.local", ".env"):
        try:
            stat = (_state.settings.project / name).stat()
            found.append((name, stat.st_mtime_ns, stat.st_ino, stat.st_size))
        except OSError:
            found.append((name, None))
    return tuple(found)


def _configuration(of: Settings) -> tuple[str | None, ...]:
    return tuple(config.fingerprint() if config else None for config in (of.database, of.owner, of.viewer))


def _saved_project() -> Path | None:
    """The folder chosen on the Setup page, unless the environment names one."""
    if environment().get("TRADEKEEP_PROJECT"):
        return None
    given = load_settings()
    try:
        folder = Path(json.loads((given.home / "webapp.json").read_text("utf-8"))["project"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return folder if folder.is_dir() else None


def _dispose() -> None:
    if _state.databases is not None:
        _state.databases.dispose()
        _state.databases = None


def _watch() -> None:
    """Look again and again: often while trying, rarely while all is well."""
    configured = settings()
    log.configure(configured.home / "logs", level=configured.log_level, echo_sql=configured.sql_echo)
    while not _state.stopping:
        _state.kick.clear()
        try:
            found = _examine()
        except Exception as exc:  # the watcher must outlive whatever one round meets
            logger.exception("the watcher failed")
            found = replace(_state.status, mode="down", error=classify(exc))
        if found.mode != _state.status.mode:
            logger.info("mode %s, was %s", found.mode, _state.status.mode, extra={"database": found.label})
        _state.status = found
        with _state.examined:
            _state.rounds += 1
            _state.examined.notify_all()
        _state.kick.wait(_pause_s(found))


def _pause_s(found: Status) -> float:
    if found.mode in ("connecting", "down"):
        delay = settings().retry_delay_s * 2 ** max(0, found.attempt - 1)
        return min(delay, DOWN_LONGEST_S)
    return CONNECTED_EVERY_S


def _examine() -> Status:
    """One look at configuration, server and schema; the start-up flow of retries is made of such looks."""
    # Not at the top: with the models these are a third of all imports, and the server answers meanwhile.
    from core import demo
    from core.schema import migrate

    before, configured = _state.status, settings()

    def moved(mode: str) -> float:
        return before.since if before.mode == mode else time.time()

    if configured.database is None:
        if configured.error is not None:
            return Status(mode="misconfigured", error=configured.error, since=moved("misconfigured"))
        demo.database(configured.home)  # here, so that no page waits while it is made
        return Status(mode="demo", since=moved("demo"))
    label = configured.database.label
    known = before if before.label == label else Status()
    try:
        _wake(configured)
        writer = databases().writer
        latency_ms = writer.ping(force=True)
        schema, now = known.schema, time.monotonic()
        if schema is None or schema.migration_needed or now - _state.schema_at > SCHEMA_EVERY_S:
            schema, _state.schema_at = migrate.status(writer), now
        return Status(
            mode="connected",
            label=label,
            latency_ms=latency_ms,
            server_version=writer.capabilities.version,
            schema=schema,
            since=moved("connected"),
            reachable_at=time.time(),
        )
    except TradekeepError as error:
        attempt = known.attempt + 1
        first = known.reachable_at is None and error.retryable and attempt < configured.retry_attempts
        mode = "connecting" if first else "down"
        return replace(known, mode=mode, label=label, error=error, attempt=attempt, latency_ms=None, since=moved(mode))


def _wake(configured: Settings) -> None:
    """Start the bundled server if the configuration points to it and it does not run: once a configuration."""
    config = configured.database
    if config is None or config.fingerprint() in _state.woken:
        return
    _state.woken.add(config.fingerprint())
    found = embedded.status(home=configured.home)
    if found.state == "stopped" and found.port == config.port and config.host in ("127.0.0.1", "localhost"):
        embedded.start(home=configured.home)
