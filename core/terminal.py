"""What the command line prints: results to stdout, progress and errors to stderr."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.table import Table

from core.errors import TradekeepError, explained
from core.format import duration
from core.setup.diagnose import ConnectionResult
from core.setup.verify import Verification
from core.setup.wizard import JOURNEY
from core.tasks import Step


class Terminal:
    """One command's output; as_json: nothing but one object on stdout. Also the Journey of a setup."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self._stdout = Console(highlight=False, markup=False, soft_wrap=True)
        self._stderr = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
        self._titles = dict(JOURNEY)

    def say(self, text: str) -> None:
        """A line for a person."""
        self._stderr.print(text)

    def out(self, text: str) -> None:
        """A line of the result itself, unless it comes as JSON."""
        if not self.as_json:
            self._stdout.print(text)

    def table(self, table: Table) -> None:
        """A table of the result, unless it comes as JSON."""
        if not self.as_json:
            self._stdout.print(table)

    def __call__(self, done: int, total: int, message: str) -> None:
        """Progress within a step; only where somebody can see it move."""
        if self._stderr.is_terminal and not self.as_json:
            self._stderr.print(f"  {done}/{total} {message}", end="\r")

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """One step of a journey: its title, what it came to, its time."""
        step, begin = Step(name, self._titles.get(name, name), "running"), time.perf_counter()
        try:
            yield step
        except BaseException:
            self.say(f"✗ {step.title}")
            raise
        mark = "✗" if step.state == "failed" else "✓"
        self.say(f"{mark} {step.title} ({duration(time.perf_counter() - begin)}): {step.message or 'done'}")

    def connection(self, result: ConnectionResult) -> None:
        """A connection test, a line a step, and the error with what to do."""
        for step in result.steps:
            mark = {True: "✓", False: "✗", None: "·"}[step.ok]
            time_text = f" ({duration(step.ms / 1000)})" if step.ms else ""
            self.say(f"{mark} {step.name}: {step.message}{time_text}")
        if result.error:
            self.say(f"\n{result.error['why']}\n{result.error['suggested_fix']}")
            for number, text in enumerate(result.error["recovery_steps"], start=1):
                self.say(f"  {number}. {text}")

    def verifications(self, lines: Sequence[Verification]) -> None:
        """A line a verification."""
        for line in lines:
            mark = {True: "✓", False: "✗", None: "·"}[line.ok]
            self.say(f"{mark} {line.name}: {line.message}" + (f" {line.fix}" if line.fix and not line.ok else ""))

    def failed(self, error: TradekeepError) -> None:
        """The error in the HTTP shape, or in words."""
        if self.as_json:
            self._stdout.print(json.dumps({"ok": False, "error": error.as_dict()}, ensure_ascii=False))
        else:
            self._stderr.print(explained(error))

    def result(self, name: str, ok: bool, value: Any) -> None:
        """The command's result under its own name."""
        if self.as_json:
            self._stdout.print(json.dumps({"ok": ok, name: value}, ensure_ascii=False, default=str))
        else:
            self.say("OK" if ok else "Not OK: see above.")
