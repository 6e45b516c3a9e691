"""The process's own settings, databases, tasks and watcher: one registry, without Streamlit."""

from __future__ import annotations

import copy
import json
import logging
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from core import embedded, log, private
from core.database import Databases
from core.errors import TradekeepError, classify
from core.resilience import SERVER_TYPES
from core.settings import Settings, environment, load_settings
from core.settings.settings import FILES
from core.setup import bundled
from core.tasks import Tasks

if TYPE_CHECKING:
    from core.schema.migrate import SchemaVersion

logger = logging.getLogger(__name__)
CONNECTED_EVERY_S, SCHEMA_EVERY_S, DOWN_LONGEST_S, SHORTEST_S = 5.0, 60.0, 15.0, 0.25
LOOK_LONGEST_S = 15.0  # how long a look at a server that stays silent may take, and more
WAKE_EVERY_S = 10.0
SHOWN_CHARACTERS = 300


@dataclass(frozen=True)
class Status:
    """Where the process stands; made by the watcher, read by every page without waiting.

    mode: starting (nothing known yet), demo (no database was ever configured), misconfigured (the configuration
    cannot be read), connecting (first tries), connected, down.
    since: unix seconds of the last change of mode. reachable_at: unix seconds of the last answer. demo_data: invented
    rows were loaded into this database.
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
    demo_data: bool = False

    @property
    def ready(self) -> bool:
        """Whether pages can work with the real database."""
        schema = self.schema
        return self.mode == "connected" and schema is not None and schema.compatible and not schema.migration_needed


class _Watcher:
    """One watching thread, how it is told to look or to stop, and how many looks it has begun and ended."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.kick = threading.Event()
        self.looked = threading.Condition()
        self.begun = self.ended = 0
        self.schema_wanted = self.schema_read = 0  # the look for which somebody wants it, the latest that read it
        self.schema_at = 0.0
        self.thread = threading.Thread(target=_watch, args=(self,), name="watcher", daemon=True)

    def begin(self) -> None:
        with self.looked:
            self.kick.clear()
            self.begun += 1

    def end(self) -> None:
        with self.looked:
            self.ended = self.begun
            self.looked.notify_all()

    def look(self, timeout_s: float) -> None:
        """Have it look at everything; wait for the end of a look that begins after this call."""
        with self.looked:
            target = self.schema_wanted = self.begun + 1
            self.kick.set()
            self.looked.wait_for(lambda: self.ended >= target or self.stop.is_set(), timeout_s)

    def leave(self) -> None:
        """Have it end; a look that is under way still takes its time, and its answer counts no more."""
        with self.looked:
            self.stop.set()
            self.kick.set()
            self.looked.notify_all()


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
        self.watcher: _Watcher | None = None
        self.project_changes = 0
        self.wake_error: TradekeepError | None = None
        self.woken_at: float | None = None


_state = _State()


def settings() -> Settings:
    """The process's settings, read again when one of the env files has changed."""
    with _state.lock:
        marks = file_marks(_state.settings.project) if _state.settings else ()
        if _state.settings is None or marks != _state.marks:
            before = _state.settings
            _state.settings = load_settings(_state.project or _saved_project())
            _state.marks = marks  # from before: what was written while they were read counts as a change
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
    """Have the watcher look now; wait for the answer of a look that begins now for at most timeout_s."""
    _watcher().look(timeout_s)
    return _state.status


def use_project(folder: Path | str) -> Settings:
    """Work on another project folder from now on, and after a restart of the web app.

    Raises config.project for what is no folder, permission.file.
    """
    folder = _existing(folder)
    with _state.lock:
        home = settings().home
        try:
            private.folder(home)
            (home / "webapp.json").write_text(json.dumps({"project": str(folder)}), "utf-8")
        except OSError as exc:
            raise classify(exc) from None
        _state.project, _state.settings = folder, None
        _state.project_changes += 1
        _state.status, _state.woken_at, _state.wake_error = Status(), None, None
        _dispose()
        chosen = settings()
    refresh()
    return chosen


def _existing(folder: Path | str) -> Path:
    """The folder in full. Raises config.project for everything that is none, whatever the system says of it."""
    shown = str(folder).strip().replace("\0", "?")
    shown = shown if len(shown) <= SHOWN_CHARACTERS else f"{shown[:SHOWN_CHARACTERS]} ..."
    if shown in ("", "."):  # Path("") is "."
        raise TradekeepError("config.project", "No folder was named.")
    try:
        found = Path(folder).expanduser().resolve()
        if found.is_dir():
            return found
    except (OSError, ValueError, RuntimeError) as exc:  # too long; a NUL; a home that nobody has
        why = getattr(exc, "strerror", None) or exc
        raise TradekeepError("config.project", f"{shown} cannot be used: {why}", path=shown) from None
    raise TradekeepError("config.project", f"{shown} is not a folder", path=shown)


def start() -> None:
    """Start the watcher, once; returns at once."""
    _watcher()


def _watcher() -> _Watcher:
    with _state.lock:
        if _state.watcher is None or not _state.watcher.thread.is_alive():
            _state.watcher = _Watcher()
            _state.watcher.thread.start()
        return _state.watcher


def stop() -> None:
    """Stop the watcher and close every connection; what the bundled server does is its own affair."""
    with _state.lock:
        watcher, _state.watcher = _state.watcher, None
    if watcher is not None:
        watcher.leave()
        watcher.thread.join(2)
    with _state.lock:
        _state.settings, _state.project, _state.woken_at, _state.wake_error = None, None, None, None
        _dispose()
        _state.status = Status()


def file_marks(project: Path) -> tuple[object, ...]:
    """What changes when one of a project's env files changes: its time, identity, size or mode."""
    found: list[object] = []
    for name in FILES:
        try:
            stat = (project / name).stat()
            found.append((name, stat.st_mtime_ns, stat.st_ino, stat.st_size, stat.st_mode))
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
        return folder if folder.is_dir() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _dispose() -> None:
    if _state.databases is not None:
        _state.databases.dispose()
        _state.databases = None


def _watch(watcher: _Watcher) -> None:
    """Look again and again: often while trying, rarely while all is well."""
    logs_set = False
    while not watcher.stop.is_set():
        watcher.begin()
        pause_s, project = CONNECTED_EVERY_S, _state.project_changes
        try:
            configured = settings()
            if not logs_set:
                log.configure(configured.home / "logs", level=configured.log_level, echo_sql=configured.sql_echo)
                logs_set = True
            found = _examine(watcher, configured)
            pause_s = _pause_s(found, configured)
        except Exception as exc:  # the watcher must outlive whatever one round meets
            logger.exception("the watcher failed")
            found = replace(_state.status, mode="down", error=copy.copy(classify(exc)))
        with _state.lock:
            if watcher.stop.is_set():
                return
            if project == _state.project_changes:
                _publish(found)
            else:
                pause_s = 0.0  # it looked at the project of before
        watcher.end()
        if _wake(found):
            pause_s = 0.0
        watcher.kick.wait(pause_s)


def _publish(found: Status) -> None:
    if found.mode != _state.status.mode:
        logger.info("mode %s, was %s", found.mode, _state.status.mode, extra={"database": found.label})
    _state.status = found


def _pause_s(found: Status, configured: Settings) -> float:
    """How long to wait before the next look: doubling while the server is away, up to a limit."""
    if found.mode not in ("connecting", "down"):
        return CONNECTED_EVERY_S
    doublings = min(max(0, found.attempt - 1), 10)  # after hours of outage the power would be no float
    return min(max(SHORTEST_S, configured.retry_delay_s * 2**doublings), DOWN_LONGEST_S)


def _examine(watcher: _Watcher, configured: Settings) -> Status:
    """One look at configuration, server and schema; the start-up flow of retries is made of such looks."""
    before = _state.status

    def moved(mode: str) -> float:
        return before.since if before.mode == mode else time.time()

    if configured.database is None:
        if configured.error is not None:
            return Status(mode="misconfigured", error=configured.error, since=moved("misconfigured"))
        from core import demo  # not at the top: it loads numpy, and the server answers meanwhile

        demo.database(configured.home)  # here, so that no page waits while it is made
        return Status(mode="demo", since=moved("demo"))
    label = configured.database.label
    known = before if before.label == label else Status()
    try:
        latency_ms = _reached(databases(), known, configured)
        schema, invented = _schema(watcher, known)
        return Status(
            mode="connected",
            label=label,
            latency_ms=latency_ms,
            server_version=databases().writer.capabilities.version,
            schema=schema,
            since=moved("connected"),
            reachable_at=time.time(),
            demo_data=invented,
        )
    except TradekeepError as error:
        found = _away(error, known, configured)
        return replace(found, label=label, since=moved(found.mode))


def _reached(now: Databases, known: Status, configured: Settings) -> float:
    """How long the writer takes to answer, in ms, after every role that pages need has answered.

    While one does not, its pages are refused with its error until the next look, and do not wait for it themselves.
    """
    found = []
    for database in now.used_by_pages:
        try:
            found.append(database.ping(force=True))
        except TradekeepError as error:
            away = _away(error, known, configured)
            for told in (error, away.error or error):  # the second is clearer, but may be of a type that does not count
                database.trip(told, _pause_s(away, configured) + LOOK_LONGEST_S)
            raise
    return found[0]


def _away(error: TradekeepError, known: Status, configured: Settings) -> Status:
    """The status after a failed look: still connecting during the first tries, then down."""
    attempt = known.attempt + 1
    if _state.wake_error and error.error_type in SERVER_TYPES:
        error = _state.wake_error
    elif configured.database is not None:
        error = bundled.concerning(error, configured.database, configured.home)
    first = known.reachable_at is None and error.retryable and attempt < configured.retry_attempts
    mode = "connecting" if first else "down"
    return replace(known, mode=mode, error=copy.copy(error), attempt=attempt, latency_ms=None)


def _schema(watcher: _Watcher, known: Status) -> tuple[SchemaVersion, bool]:
    """Schema version, and whether demo data is loaded: read when asked, when the schema is not right, now and then."""
    from core.schema import migrate  # not at the top: with the models it is a third of all imports
    from core.services import demo_data

    now = time.monotonic()
    wanted = watcher.schema_wanted > watcher.schema_read
    schema, invented = known.schema, known.demo_data
    if schema is None or schema.migration_needed or wanted or now - watcher.schema_at > SCHEMA_EVERY_S:
        schema, invented = migrate.status(databases().writer), databases().writer.ask(demo_data.present)
        watcher.schema_read, watcher.schema_at = watcher.begun, now
    return schema, invented


def _wake(found: Status) -> bool:
    """Start the bundled server if the configuration points to it and it does not run; whether it runs now.

    Tried at most once in WAKE_EVERY_S. A failure is kept, because it tells more than that nobody answers.
    """
    if found.error is None or (found.error.error_type not in SERVER_TYPES and _state.wake_error is None):
        _state.wake_error = None
        return False
    now = time.monotonic()
    if _state.woken_at is not None and now - _state.woken_at < WAKE_EVERY_S:
        return False
    try:
        configured = settings()
        server = bundled.behind(configured.database, configured.home) if configured.database else None
        _state.wake_error = None
        if server is None or server.state != "stopped" or server.left_stopped:
            return False
        _state.woken_at = now
        embedded.start(home=configured.home)
    except Exception as exc:  # noqa: BLE001  # whatever it is, the watcher must outlive it
        error = classify(exc)
        _state.wake_error = copy.copy(error)
        logger.warning("the bundled server did not start: %s", error.message, extra={"code": error.error_code})
        return False
    logger.info("started the bundled server again")
    return True
