"""Run one drill: `python -m tests.drills NAME --n N` prints one JSON object and exits 0 when it is ok."""

from __future__ import annotations

import argparse
import json
import shutil
import sys

from tests.drills import drills
from tests.servers import base_folder


def main(arguments: list[str] | None = None) -> int:
    """Run the drill that is named on the command line."""
    known = drills()
    parser = argparse.ArgumentParser(prog="python -m tests.drills", description=__doc__)
    parser.add_argument("name", choices=sorted(known), metavar="NAME", help=", ".join(sorted(known)))
    parser.add_argument("--n", type=int, default=None, help="how often, or how many (default: the drill's own)")
    given = parser.parse_args(arguments)
    drill = known[given.name]
    try:
        result = drill() if given.n is None else drill(given.n)
    finally:
        shutil.rmtree(base_folder(), ignore_errors=True)
    print(json.dumps({"drill": given.name, **result}, default=str))
    return 0 if result["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
