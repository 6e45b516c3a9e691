"""Answers to questions, shared by all sessions; the last good one is kept for when the database is away."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from core.database import Database
from core.errors import TradekeepError
from core.resilience import CONNECTION_TYPES

P = ParamSpec("P")
T = TypeVar("T")
ENTRIES = 512
AWAY = CONNECTION_TYPES | {"transient", "resource"}


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
    away the last good answer is given, and `oldest_stale` tells its age; without one the error is raised.
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
            with gate:  # one asks, the others wait for its answer
                fresh = _fresh(key, ttl)
                if fresh is not None:
                    return fresh.value
                try:
                    value = function(database, *args, **kwargs)
                except TradekeepError as error:
                    return _last_good(key, error).value
                _keep(key, value)
                return value

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


def _last_good(key: tuple[Any, ...], error: TradekeepError) -> _Entry:
    with _lock:
        entry = _entries.get(key)
    if entry is None or error.error_type not in AWAY:
        raise error
    age_s = time.monotonic() - entry.at
    _stale.age_s = max(age_s, getattr(_stale, "age_s", 0.0))
    return entry


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
