"""Run benchmarks: `python -m benchmarks [NAME ...] [--n N] [--rows N] [--json]`; all of them without a name."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
from typing import Any

import psutil

from benchmarks import benchmarks, big
from benchmarks.browser import close_browser
from benchmarks.folders import alone
from tests.servers import base_folder


def machine() -> dict[str, Any]:
    """What the figures were measured on, and how busy it was."""
    return {
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30),
        "system": platform.system(),
        "python": platform.python_version(),
        "load": round(psutil.getloadavg()[0], 2),
    }


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line names and print what was found; 0 whether or not the goals are met."""
    known = benchmarks()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known))
    parser.add_argument("--n", type=int, default=None, help="how often (default: each benchmark's own)")
    parser.add_argument("--rows", type=int, default=big.ROWS, help="rows of the big tables (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    given = parser.parse_args(arguments)
    if unknown := set(given.names) - set(known):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    big.set_rows(given.rows)
    found: dict[str, Any] = {"machine": machine(), "benchmarks": []}
    if not given.json:
        print(", ".join(f"{name} {value}" for name, value in found["machine"].items()))
    try:
        with alone():
            for name in given.names or known:
                one = known[name]
                n = given.n or one.n
                figures = one.measure(n)
                load = round(psutil.getloadavg()[0], 2)
                row = {"name": name, "n": n, "load": load, "figures": [figure.as_dict() for figure in figures]}
                found["benchmarks"].append(row)
                if not given.json:
                    print(f"\n{name} (n = {n}, load {load}): {one.sentence}")
                    print("\n".join(line for figure in figures for line in figure.lines()), flush=True)
    finally:
        close_browser()
        shutil.rmtree(base_folder(), ignore_errors=True)
    if given.json:
        print(json.dumps(found, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
