"""Where setups get stuck on this machine: steps, failures by type, recovery paths. Kept here, sent nowhere.

One line of JSON an event in setup-events.jsonl of TRADEKEEP_HOME: times, names of steps and types of errors; no host,
user, path or text.
"""

from __future__ import annotations

import json
import os
import statistics
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from core import private
from core.errors import KINDS, TradekeepError, classify
from core.progress import Journey

FILE = "setup-events.jsonl"
LARGEST_BYTES = 512 << 10
KEPT_LINES = 2000
STEPS = ("server", "login", "test", "roles", "config", "schema", "verify")
OUTCOMES = ("reached", "done", "failed")


@dataclass(frozen=True)
class Event:
    """One thing that happened in a setup. at: unix seconds; kind: of the error, "" where nothing failed."""

    at: float
    attempt: str
    step: str
    outcome: str
    kind: str = ""
    ms: float | None = None

    @property
    def error_type(self) -> str:
        """The type of the error."""
        return self.kind.partition(".")[0]


@dataclass(frozen=True)
class FunnelStep:
    """A step over all setups: how many reached it, finished it, failed in it at least once, and with what."""

    name: str
    reached: int
    done: int
    failed: int
    by_type: dict[str, int]
    median_ms: float | None


@dataclass(frozen=True)
class Recovery:
    """What was done next after failures of a type, how often, and how often the step was finished in the end."""

    error_type: str
    step: str
    then: str
    times: int
    helped: int


@dataclass(frozen=True)
class Funnel:
    """All setups that are known. completed: those whose verification passed."""

    begun: int
    completed: int
    steps: list[FunnelStep] = field(default_factory=list)
    recoveries: list[Recovery] = field(default_factory=list)

    @property
    def completion_pct(self) -> float | None:
        """Of a hundred setups that were begun, how many were completed; None where none was begun."""
        return 100 * self.completed / self.begun if self.begun else None


def record(home: Path, attempt: str, step: str, outcome: str, kind: str = "", ms: float | None = None) -> None:
    """Note an event, with the kind of its error. Never raises: a setup must not fail because it is counted."""
    line: dict[str, Any] = {"at": round(time.time(), 3), "attempt": attempt, "step": step, "outcome": outcome}
    if kind in KINDS:
        line["kind"] = kind
    if ms is not None:
        line["ms"] = round(ms, 1)
    with suppress(OSError, ValueError):
        private.folder(home)
        path = home / FILE
        # One write of one short line: two processes do not mix theirs.
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0), 0o600)
        with os.fdopen(handle, "ab", buffering=0) as file:
            file.write(json.dumps(line).encode() + b"\n")
            size = file.tell()
        if size > LARGEST_BYTES:
            _shorten(path)


def _shorten(path: Path) -> None:
    """Keep the newest lines only; what is written meanwhile by others may be lost."""
    with suppress(Timeout), FileLock(f"{path}.lock", timeout=0, mode=0o600):
        new = path.with_name(f"{FILE}.new")
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0), 0o600)
        with os.fdopen(handle, "wb") as file:
            file.writelines(path.read_bytes().splitlines(keepends=True)[-KEPT_LINES:])
        new.replace(path)


class Noted:
    """A journey whose steps are noted as one setup; for all the rest it is the journey that it is given."""

    def __init__(self, journey: Journey, home: Path) -> None:
        self._journey, self._home, self._attempt = journey, home, uuid.uuid4().hex[:12]

    def __call__(self, done: int, total: int, message: str) -> None:
        self._journey(done, total, message)

    def step(self, name: str) -> AbstractContextManager[Any]:
        """The journey's step of that name."""
        return self._noted(name)

    @contextmanager
    def _noted(self, name: str) -> Iterator[Any]:
        begin = time.perf_counter()
        record(self._home, self._attempt, name, "reached")
        outcome, kind = "failed", ""
        try:
            with self._journey.step(name) as step:
                yield step
            outcome = "failed" if getattr(step, "state", "done") == "failed" else "done"
        except Exception as exc:
            kind = (exc if isinstance(exc, TradekeepError) else classify(exc)).kind
            raise
        finally:
            ms = (time.perf_counter() - begin) * 1000
            record(self._home, self._attempt, name, outcome, kind, ms)


def events(home: Path, since: float | None = None) -> list[Event]:
    """What is known, oldest first; a line that cannot be read is left out."""
    try:
        lines = (home / FILE).read_bytes().splitlines()
    except OSError:
        return []
    found = [event for line in lines if (event := _event(line)) is not None]
    return [event for event in found if since is None or event.at >= since]


def _event(line: bytes) -> Event | None:
    try:
        body = json.loads(line)
        at, ms, kind = float(body["at"]), body.get("ms"), str(body.get("kind", ""))
        event = Event(at, str(body["attempt"]), str(body["step"]), str(body["outcome"]), kind, ms and float(ms))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    right = event.step in STEPS and event.outcome in OUTCOMES and (not kind or kind in KINDS)
    return event if right else None


def forget(home: Path) -> None:
    """Delete everything that is known. Raises what the file system refuses, as a TradekeepError."""
    try:
        (home / FILE).unlink(missing_ok=True)
    except OSError as exc:
        raise classify(exc) from None


def funnel(home: Path, since: float | None = None) -> Funnel:
    """All setups since a time (unix seconds), step by step."""
    attempts: dict[str, list[Event]] = {}
    for event in events(home, since):
        attempts.setdefault(event.attempt, []).append(event)
    steps = [_step(name, list(attempts.values())) for name in STEPS]
    completed = sum(any(e.step == "verify" and e.outcome == "done" for e in own) for own in attempts.values())
    return Funnel(len(attempts), completed, [step for step in steps if step.reached], _recoveries(attempts))


def _step(name: str, attempts: list[list[Event]]) -> FunnelStep:
    own = [[event for event in events if event.step == name] for events in attempts]
    failures = [event for events in own for event in events if event.outcome == "failed"]
    times = [event.ms for events in own for event in events if event.outcome == "done" and event.ms is not None]
    return FunnelStep(
        name=name,
        reached=sum(bool(events) for events in own),
        done=sum(any(event.outcome == "done" for event in events) for events in own),
        failed=sum(any(event.outcome == "failed" for event in events) for events in own),
        by_type=dict(Counter(event.error_type or "unexpected" for event in failures).most_common()),
        median_ms=statistics.median(times) if times else None,
    )


def _recoveries(attempts: dict[str, list[Event]]) -> list[Recovery]:
    """After each failure: which step came next, and whether the failed one was finished later."""
    times: Counter[tuple[str, str, str]] = Counter()
    helped: Counter[tuple[str, str, str]] = Counter()
    for own in attempts.values():
        for number, event in enumerate(own):
            if event.outcome != "failed":
                continue
            later = own[number + 1 :]
            path = (event.error_type or "unexpected", event.step, _then(event, later))
            times[path] += 1
            helped[path] += any(next_.step == event.step and next_.outcome == "done" for next_ in later)
    return [Recovery(*path, times=number, helped=helped[path]) for path, number in times.most_common()]


def _then(event: Event, later: list[Event]) -> str:
    if not later:
        return "gave up"
    return "tried again" if later[0].step == event.step else f"went to {later[0].step}"
