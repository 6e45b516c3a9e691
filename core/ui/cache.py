"""Answers to questions, shared by all sessions; the last good one is kept for when the database is away."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from core import state
from core.database import Database
from core.errors import TradekeepError
from core.resilience import SERVER_TYPES
from core.settings import ConfigIssue, Settings

P = ParamSpec("P")
T = TypeVar("T")
ENTRIES = 512
AWAY = SERVER_TYPES | {"transient", "resource"}
OUTAGE = ("connecting", "down")
LOOK_S = 1.0  # how long the watcher is waited for, to say whether this is an outage
ISSUES_S = 2.0  # as long a change outside the env files (.gitignore) may go unnoticed
GLANCE_S = 0.1  # how often one who waits for another's answer looks whether there will be none


@dataclass
class _Entry:
    value: Any
    at: float


_entries: OrderedDict[tuple[Any, ...], _Entry] = OrderedDict()
_asking: dict[tuple[Any, ...], threading.Lock] = {}
_lock = threading.Lock()
_stale = threading.local()


def asked(*, ttl: float) -> Callable[[Callable[Concatenate[Any, P], T]], Callable[Concatenate[Database, P], T]]:
    """`cached` for a question(connection, ...): it is asked over the database's reader, retried once."""

    def wrap(question: Callable[Concatenate[Any, P], T]) -> Callable[Concatenate[Database, P], T]:
        def ask(database: Database, *args: P.args, **kwargs: P.kwargs) -> T:
            return database.ask(question, *args, **kwargs)

        return cached(ttl=ttl)(wraps(question)(ask))

    return wrap


def cached(*, ttl: float) -> Callable[[Callable[Concatenate[Database, P], T]], Callable[Concatenate[Database, P], T]]:
    """Wrap function(database, ...) so that it is called at most once in ttl seconds, for all sessions.

    The key holds the database's fingerprint, so another connection never sees these rows. While the database is
    away the last good answer is given, and `oldest_stale` tells its age; without one the error is raised. Nobody
    waits for a database that is known to be away, and an error of this role or of the question itself is raised.
    """

    def wrap(function: Callable[Concatenate[Database, P], T]) -> Callable[Concatenate[Database, P], T]:
        def call(database: Database, *args: P.args, **kwargs: P.kwargs) -> T:
            key: tuple[Any, ...] = (function.__module__, function.__qualname__, database.config.fingerprint(), args)
            key += tuple(sorted(kwargs.items()))
            fresh = _fresh(key, ttl)
            if fresh is not None:
                return fresh.value
            with _lock:
                gate = _asking.setdefault(key, threading.Lock())
            while not gate.acquire(timeout=GLANCE_S):  # one asks, the others wait for its answer
                if (refusal := database.refusal()) is not None:
                    return _last_good(key, database, refusal).value
            try:
                fresh = _fresh(key, ttl)
                if fresh is not None:
                    return fresh.value
                if (refusal := database.refusal()) is not None:
                    return _last_good(key, database, refusal).value
                try:
                    value = function(database, *args, **kwargs)
                except TradekeepError as error:
                    return _last_good(key, database, error).value
                _keep(key, value)
                return value
            finally:
                gate.release()

        return call

    return wrap


def _fresh(key: tuple[Any, ...], ttl: float) -> _Entry | None:
    with _lock:
        entry = _entries.get(key)
        return entry if entry and time.monotonic() - entry.at < ttl else None


def _keep(key: tuple[Any, ...], value: Any) -> None:
    with _lock:
        _entries[key] = _Entry(value, time.monotonic())
        _entries.move_to_end(key)
        while len(_entries) > ENTRIES:
            old, _entry = _entries.popitem(last=False)
            _asking.pop(old, None)


def _last_good(key: tuple[Any, ...], database: Database, error: TradekeepError) -> _Entry:
    with _lock:
        entry = _entries.get(key)
    if entry is None or error.error_type not in AWAY or not _is_away(database):
        raise error
    age_s = time.monotonic() - entry.at
    _stale.age_s = max(age_s, getattr(_stale, "age_s", 0.0))
    return entry


def _is_away(database: Database) -> bool:
    """Whether this is an outage, as the status says or is about to say: old data must not stand under "Connected"."""
    if state.status().mode in OUTAGE:
        return True
    if database.breaker.refusal() is not None:
        state.refresh()  # the page met it first
        return True
    return state.refresh(LOOK_S).mode in OUTAGE


def issues(settings: Settings) -> list[ConfigIssue]:
    """What is doubtful about the configuration; looked at again when an env file has changed, and now and then."""
    key = ("issues", settings.project, state.file_marks(settings.project))
    known = _fresh(key, ISSUES_S)
    if known is not None:
        return list(known.value)
    found = settings.issues()
    _keep(key, found)
    return found


def oldest_stale() -> float | None:
    """The age in seconds of the oldest answer that this run showed in place of a fresh one; None if none was."""
    return getattr(_stale, "age_s", None)


def begin_run() -> None:
    """Forget what an earlier run of this thread showed."""
    _stale.age_s = 0.0
    del _stale.age_s


def clear() -> None:
    """Forget every answer: after a write, or when somebody asks for fresh data."""
    with _lock:
        _entries.clear()
