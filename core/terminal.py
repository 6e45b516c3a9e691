"""What the command line prints: results to stdout, progress and errors to stderr."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from core.errors import TradekeepError, explained
from core.format import duration
from core.tasks import Step

if TYPE_CHECKING:  # which load much that most commands do not need
    from core.setup.diagnose import ConnectionResult
    from core.setup.verify import Verification

UNLIMITED = 100_000


class Terminal:
    """One command's output; as_json: nothing but one object on stdout. Also the Journey of a setup."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        # Into a file or a pipe nothing is cut at the width of a terminal that is not there.
        width = None if sys.stdout.isatty() else UNLIMITED
        self._stdout = Console(width=width, highlight=False, markup=False, emoji=False, soft_wrap=True)
        self._stderr = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)

    def say(self, text: str) -> None:
        """A line for a person, which is no result: progress, a question."""
        self._stderr.print(text)

    def line(self, text: str) -> None:
        """A line of the result in words; beside JSON it goes to stderr."""
        (self._stderr if self.as_json else self._stdout).print(text)

    def verdict(self, ok: bool) -> None:
        """The last line of a result."""
        self.line("OK" if ok else "Not OK: see above.")

    def out(self, text: str) -> None:
        """The result itself where it is text for another program (SQL, paths), unless it comes as JSON."""
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
        from core.setup.wizard import JOURNEY  # only a setup has steps, and it has loaded this already

        step, begin = Step(name, dict(JOURNEY).get(name, name), "running"), time.perf_counter()
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
            self.line(f"{mark} {step.name}: {step.message}{time_text}")
        if result.error:
            self.line(f"\n{result.error['why']}\n{result.error['suggested_fix']}")
            for number, text in enumerate(result.error["recovery_steps"], start=1):
                self.line(f"  {number}. {text}")
            self.line(f"Help: {result.error['help']}")

    def verifications(self, lines: Sequence[Verification]) -> None:
        """A line a verification."""
        for line in lines:
            mark = {True: "✓", False: "✗", None: "·"}[line.ok]
            self.line(f"{mark} {line.name}: {line.message}" + (f" {line.fix}" if line.fix and not line.ok else ""))

    def failed(self, error: TradekeepError, *, beside_json: bool = False) -> None:
        """The error in words, or in the HTTP shape; beside_json: its message on stderr as well."""
        if not self.as_json:
            self._stderr.print(explained(error))
            return
        self._object({"ok": False, "error": error.as_dict()})
        if beside_json:
            self.say(error.message)

    def result(self, name: str, ok: bool, value: Any) -> None:
        """The command's result under its own name, where it is wanted as JSON; its words were printed before."""
        if self.as_json:
            self._object({"ok": ok, name: _rounded(value)})

    def _object(self, answer: dict[str, Any]) -> None:
        self._stdout.print(json.dumps(answer, ensure_ascii=False, default=str))


def _rounded(value: Any, name: str = "") -> Any:
    """The value with every time in it (ms, duration_ms ...) to the microsecond: more is noise of the clock."""
    if isinstance(value, dict):
        return {key: _rounded(inner, str(key)) for key, inner in value.items()}
    if isinstance(value, list):
        return [_rounded(inner) for inner in value]
    return round(value, 3) if isinstance(value, float) and (name == "ms" or name.endswith("_ms")) else value
