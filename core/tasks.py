"""Long work with progress: threads that the app owns, so that a closed tab ends nothing."""

from __future__ import annotations

import contextlib
import copy
import logging
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from core.errors import TradekeepError, classify

logger = logging.getLogger(__name__)
KEPT = 20


class Cancelled(BaseException):
    """Raised inside the work at its next report after somebody cancelled it; no error handler swallows it."""


@dataclass
class Step:
    """One part of a task: state is waiting, running, done, skipped or failed; ms how long it took."""

    name: str
    title: str
    state: str = "waiting"
    message: str = ""
    ms: float | None = None
    begun: float = field(default=0.0, repr=False)


class Progress:
    """The work's side of a task: report what happens, step by step; raises Cancelled when it was cancelled."""

    def __init__(self, task: Task) -> None:
        self._task = task

    def __call__(self, done: int, total: int, message: str) -> None:
        """Report done of total within the present step."""
        self._task.done, self._task.total, self._task.message = done, total, message
        if self._task.cancel_requested.is_set():
            raise Cancelled

    @contextlib.contextmanager
    def step(self, name: str) -> Any:
        """Mark a step as running, then as done or failed; yields it, so that its message can be set."""
        step = next(s for s in self._task.steps if s.name == name)
        if self._task.cancel_requested.is_set():
            raise Cancelled
        step.state, step.begun = "running", time.perf_counter()
        self._task.done = self._task.total = 0
        self._task.message = ""
        try:
            yield step
        except BaseException:
            step.state = "failed"
            raise
        else:
            if step.state == "running":
                step.state = "done"
        finally:
            step.ms = (time.perf_counter() - step.begun) * 1000


@dataclass
class Task:
    """A piece of long work and where it stands: state is running, done, failed or cancelled."""

    name: str
    title: str
    steps: list[Step] = field(default_factory=list)
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    state: str = "running"
    done: int = 0
    total: int = 0
    message: str = ""
    result: Any = None
    error: TradekeepError | None = None
    started: float = field(default_factory=time.time)
    finished: float | None = None
    cancel_requested: threading.Event = field(default_factory=threading.Event, repr=False)
    over: threading.Event = field(default_factory=threading.Event, repr=False)

    @property
    def running(self) -> bool:
        """Whether the work still goes on."""
        return self.state == "running"

    @property
    def share(self) -> float:
        """How much is done, 0 to 1: finished steps, plus the share of the present one."""
        if not self.steps:
            return self.done / self.total if self.total else 0.0
        finished = sum(step.state in ("done", "skipped") for step in self.steps)
        return min(1.0, (finished + (self.done / self.total if self.total else 0.0)) / len(self.steps))

    def cancel(self) -> None:
        """Ask the work to stop at its next report."""
        self.cancel_requested.set()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the work is over; False if it still goes on after timeout_s."""
        return self.over.wait(timeout_s)


class Tasks:
    """The process's tasks: at most one of a name runs at a time; the newest few that ended are kept."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tasks: list[Task] = []

    def start(
        self, name: str, title: str, work: Callable[[Progress], Any], steps: list[tuple[str, str]] | None = None
    ) -> Task:
        """Run work(progress) in a thread of the app; a task of that name that still runs is returned instead."""
        with self._lock:
            running = next((task for task in self._tasks if task.name == name and task.running), None)
            if running:
                return running
            task = Task(name, title, [Step(n, t) for n, t in steps or []])
            ended = [one for one in self._tasks if not one.running]
            dropped = {one.id for one in ended[:-KEPT]}
            self._tasks = [*(one for one in self._tasks if one.id not in dropped), task]
        threading.Thread(target=_run, args=(task, work), name=f"task-{name}", daemon=True).start()
        return task

    def latest(self, name: str) -> Task | None:
        """The newest task of that name, running or ended."""
        with self._lock:
            return next((task for task in reversed(self._tasks) if task.name == name), None)

    def forget(self, name: str) -> None:
        """Drop the ended tasks of that name, so that the page starts afresh."""
        with self._lock:
            self._tasks = [task for task in self._tasks if task.name != name or task.running]


def _run(task: Task, work: Callable[[Progress], Any]) -> None:
    try:
        task.result = work(Progress(task))
        task.state = "done"
    except Cancelled:
        task.state = "cancelled"
    except Exception as exc:  # noqa: BLE001  # a thread's edge: whatever it is becomes one classified error
        # A copy: the original's traceback and causes hold frames, and those hold what the work was given.
        task.error = copy.copy(classify(exc))
        task.state = "failed"
        logger.warning("task %s failed: %s", task.name, task.error.message, extra={"code": task.error.error_code})
    finally:
        task.finished = time.time()
        task.over.set()
