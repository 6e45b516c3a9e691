"""Every benchmark runs and prints its object; how fast anything is, nothing here judges."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import benchmarks
from tests.drills import drill

ROOT = Path(__file__).parent.parent.parent
ROWS = 5000
WITHIN_S = 300


@drill
def every_benchmark(n: int = 1, names: Sequence[str] = ()) -> dict[str, Any]:
    """Each benchmark, or those that are named, n times: figures with times of its own and of its floor."""
    command = [sys.executable, "-m", "benchmarks", *names, "--n", str(n), "--rows", str(ROWS), "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=WITHIN_S)
    if done.returncode:
        return {"ok": False, "n": n, "problems": [done.stderr[-2000:]]}
    found = json.loads(done.stdout)["benchmarks"]
    problems = [f"{row['name']}: no figures" for row in found if not row["figures"] or row["n"] != n]
    for row in found:
        for figure in row["figures"]:
            timed = figure["ms"]["median"] > 0 and figure["floor_ms"]["median"] > 0
            if not timed or (figure["met"] is None) != (figure["goal"] is None):
                problems.append(f"{row['name']}: {figure}")
    ran, wanted = [row["name"] for row in found], list(names or benchmarks())
    if ran != wanted:
        problems.append(f"ran {ran} of {wanted}")
    return {"ok": not problems, "n": n, "figures": sum(len(row["figures"]) for row in found), "problems": problems}
