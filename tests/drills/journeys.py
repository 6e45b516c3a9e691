"""Journeys in the browser that take too long for the ordinary tests."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.drills import drill

ROOT = Path(__file__).parent.parent.parent
WITHIN_S = 900


@drill
def long_journeys(n: int = 1) -> dict[str, Any]:
    """n times every test that is marked `long`: those in two windows or apps, and those that vary another journey."""
    begin, problems = time.monotonic(), list[str]()
    for _ in range(n):
        command = [sys.executable, "-m", "pytest", "-m", "long", "tests/browser"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=WITHIN_S)
        if done.returncode:
            problems.append(done.stdout[-2000:] + done.stderr[-500:])
    return {"ok": not problems, "n": n, "problems": problems, "seconds": round(time.monotonic() - begin, 1)}
