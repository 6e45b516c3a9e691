"""The drills of several setups of one project at once: processes, threads, a rotation or other writers beside them."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from core import envfile
from core.errors import TradekeepError
from core.settings import load_settings
from core.setup import rotate, wizard
from tests.drills import drill
from tests.drills.project import LOCAL, OLD, Ended, Project, Silent, dropped, server, set_up
from tests.servers import Cluster

ALLOWED = "schema.provisioning_busy"


def _in_threads(act: Callable[[], bool | None], count: int) -> Callable[[], list[str]]:
    """Several threads of one process, as browser sessions are; what each came to."""

    def one(_: int) -> str:
        try:
            return "verified" if act() else "not verified"
        except TradekeepError as error:
            return f"{error.kind}: {error.message} {error.details}"[:400]

    def run() -> list[str]:
        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(one, range(count)))

    return run


def _came_to(ended: Ended) -> list[str]:
    if ended.how != "done":
        return [str(ended.value)]
    return ended.value if isinstance(ended.value, list) else ["verified" if ended.value else "not verified"]


@drill
def two_at_once(n: int = 50, cluster: Cluster | None = None) -> dict[str, Any]:
    """n rounds of 2 to 5 setups of one project at once: by turns processes, threads, both; a fresh server each time.

    In every fourth round passwords are rotated meanwhile, in every fifth other keys are written into the file.
    """
    counts: Counter[str] = Counter()
    problems: list[str] = []
    begun = time.monotonic()
    with server(cluster) as cluster:
        journey = set_up(cluster)
        for number in range(n):
            dropped(cluster)
            project = Project()
            actions: list[Callable[[], Any]] = _round(number, journey)
            if rotating := number % 4 == 3:  # something is there to be rotated
                project.run(journey)
                actions.append(lambda: bool(rotate.rotate(load_settings()).roles))
            if writing := number % 5 == 4:
                actions += [_writer(writer) for writer in range(2)]
            children = [project.begin(action) for action in actions]
            results = [line for child in children for line in _came_to(project.end(*child))]
            counts.update(line.partition(":")[0] for line in results)
            problems += [f"round {number}: {line}" for line in results if not line.startswith(("verified", ALLOWED))]
            problems += [f"round {number}: {line}" for line in project.strangers() + project.left()]
            problems += [f"round {number}: {line}" for line in _file(project, writing)]
            ended = project.run(journey)
            if ended.value is not True:
                problems.append(f"round {number}, afterwards: {ended.value}{' (rotated)' if rotating else ''}")
            project.remove()
    return {
        "ok": not problems,
        "n": n,
        "came_to": dict(counts),
        "problems": problems[:20],
        "problem_count": len(problems),
        "seconds": round(time.monotonic() - begun, 1),
    }


def _round(number: int, journey: Callable[[], bool | None]) -> list[Callable[[], Any]]:
    count = random.randint(2, 5)
    if number % 3 == 0:
        return [journey] * count
    if number % 3 == 1:
        return [_in_threads(journey, count)]
    return [journey, _in_threads(journey, max(1, count - 1))]


def _writer(writer: int) -> Callable[[], bool]:
    def write() -> bool:
        path = load_settings().env_local
        for number in range(10):
            envfile.set_values(path, {f"W{writer}_{number}": "x"})
        return True

    return write


def _file(project: Project, writing: bool) -> list[str]:
    values = envfile.values(project.local)
    missing = [f"W{w}_{k}" for w in range(2) for k in range(10) if f"W{w}_{k}" not in values] if writing else []
    found = [f"lost keys: {missing}"] if missing else []
    data = project.local.read_bytes()
    if not data.startswith(OLD) or (not writing and not LOCAL.fullmatch(data)):
        found.append("the file is not what was there plus the login")
    return found


@drill
def bundled_at_once(n: int = 5) -> dict[str, Any]:
    """n rounds of 2 to 4 setups of one new project with the bundled server at once, in processes."""
    from core import embedded

    def journey() -> bool:
        return wizard.set_up(load_settings(), Silent()).ready

    problems: list[str] = []
    for number in range(n):
        project = Project()
        children = [project.begin(journey) for _ in range(2 + number % 3)]
        results = [line for child in children for line in _came_to(project.end(*child))]
        problems += [f"round {number}: {line}" for line in results if not line.startswith(("verified", ALLOWED))]
        problems += [f"round {number}: {line}" for line in project.strangers() + project.left()]
        embedded.stop(home=project.home)
        project.remove()
    return {"ok": not problems, "n": n, "problems": problems}
