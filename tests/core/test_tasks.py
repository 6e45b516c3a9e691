"""Long work: one of a name at a time, progress, cancelling, failures with their class."""

from __future__ import annotations

import threading

from core.errors import TradekeepError
from core.tasks import KEPT, Progress, Tasks


def test_work_gives_its_result_and_its_steps() -> None:
    def work(progress: Progress) -> int:
        with progress.step("a") as step:
            progress(1, 2, "half of a")
            step.message = "a is over"
        with progress.step("b") as step:
            step.state = "skipped"
        return 7

    task = Tasks().start("x", "X", work, [("a", "Step a"), ("b", "Step b")])
    assert task.wait(5)
    assert (task.state, task.result, task.share) == ("done", 7, 1.0)
    assert [(s.state, s.message) for s in task.steps] == [("done", "a is over"), ("skipped", "")]
    assert all(s.ms is not None for s in task.steps)


def test_a_second_start_gives_the_running_one() -> None:
    tasks, go = Tasks(), threading.Event()
    first = tasks.start("x", "X", lambda progress: go.wait(5))
    second = tasks.start("x", "X", lambda progress: None)
    other = tasks.start("y", "Y", lambda progress: None)
    assert second is first
    assert other is not first
    go.set()
    assert first.wait(5)
    third = tasks.start("x", "X", lambda progress: None)
    assert third is not first
    assert tasks.latest("x") is third


def test_a_running_task_is_never_forgotten() -> None:
    tasks, go = Tasks(), threading.Event()
    first = tasks.start("x", "X", lambda progress: go.wait(5))
    others = [tasks.start(f"y{number}", "Y", lambda progress: None) for number in range(KEPT + 2)]
    assert all(task.wait(5) for task in others)
    assert tasks.start("z", "Z", lambda progress: None) is tasks.latest("z")
    assert tasks.latest("x") is first
    assert tasks.start("x", "X", lambda progress: None) is first
    assert (tasks.latest("y0"), tasks.latest("y5")) == (None, others[5])
    go.set()
    assert first.wait(5)


def test_a_failure_is_classified_and_stays_on_its_step() -> None:
    def work(progress: Progress) -> None:
        with progress.step("a"):
            raise TradekeepError("config.no_database")

    task = Tasks().start("x", "X", work, [("a", "A"), ("b", "B")])
    assert task.wait(5)
    assert task.state == "failed"
    assert task.error is not None
    assert task.error.kind == "config.no_database"
    assert [s.state for s in task.steps] == ["failed", "waiting"]


def test_a_failure_of_our_own_becomes_unexpected_without_a_trace() -> None:
    def work(progress: Progress) -> None:
        raise ZeroDivisionError("division by zero")

    task = Tasks().start("x", "X", work)
    assert task.wait(5)
    assert task.error is not None
    assert task.error.error_type == "unexpected"


def test_cancelling_ends_the_work_at_its_next_report() -> None:
    begun = threading.Event()

    def work(progress: Progress) -> None:
        for n in range(1_000_000):
            begun.set()
            progress(n, 1_000_000, "on and on")
            threading.Event().wait(0.001)

    task = Tasks().start("x", "X", work)
    assert begun.wait(5)
    task.cancel()
    assert task.wait(5)
    assert task.state == "cancelled"
    assert task.error is None


def test_forgetting_leaves_what_runs() -> None:
    tasks, go = Tasks(), threading.Event()
    running = tasks.start("x", "X", lambda progress: go.wait(5))
    tasks.forget("x")
    assert tasks.latest("x") is running
    go.set()
    assert running.wait(5)
    tasks.forget("x")
    assert tasks.latest("x") is None


def test_a_kept_failure_holds_no_frames() -> None:
    def work(progress: Progress) -> None:
        password = "in-a-frame"  # what must not be kept
        try:
            raise ValueError(len(password))
        except ValueError as exc:
            raise TradekeepError("config.no_database") from exc

    task = Tasks().start("x", "X", work)
    assert task.wait(5)
    assert task.error is not None
    assert (task.error.__traceback__, task.error.__context__, task.error.__cause__) == (None, None, None)
