"""Drills of kill -9: in provisioning, in migrations, in the whole setup, in a rotation of passwords."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from core import embedded
from core.database import Database, Databases
from core.schema import migrate
from core.settings import load_settings, parse_connection
from core.setup import provision, rotate, verify, wizard
from tests.drills import drill
from tests.drills.project import Ended, Moments, Project, Silent, dropped, server, set_up
from tests.servers import Cluster

CALIBRATIONS = 3


class Tally:
    """What a drill of kills counts."""

    def __init__(self, n: int) -> None:
        self.n, self.killed, self.rounds, self.problems = n, 0, 0, list[str]()
        self._begun = time.monotonic()

    def note(self, landed: bool) -> None:
        """One more kill, before the work was complete or after."""
        self.rounds += 1
        self.killed += landed

    def expect(self, found: list[str], when: str) -> None:
        """What should be empty."""
        self.problems += [f"round {self.rounds}, {when}: {line}" for line in found]

    def expect_done(self, ended: Ended, when: str) -> None:
        """A run that should have come to a verified end."""
        if ended.how != "done" or ended.value is False:
            self.problems.append(f"round {self.rounds}, {when}: {ended.how} {ended.value}")

    def result(self, **more: Any) -> dict[str, Any]:
        """The drill's answer."""
        share = self.killed / max(1, self.rounds)
        return {
            "ok": not self.problems and (share >= 0.9 or self.n < 20),
            "n": self.n,
            "killed": self.killed,
            "landed_before_completion_pct": round(100 * share, 1),
            "problems": self.problems[:20],
            "problem_count": len(self.problems),
            "seconds": round(time.monotonic() - self._begun, 1),
            **more,
        }


def _typical_s(run: Callable[[], Ended], n: int) -> float:
    return min(run().seconds for _ in range(CALIBRATIONS if n > 10 else 1))


@drill
def kill_provisioning(n: int = 200, cluster: Cluster | None = None) -> dict[str, Any]:
    """n kills while roles, database and files are made; every second time the roles exist with lost passwords."""
    return _journeys(n, cluster, until="schema", forget=lambda number: number % 2 == 0)


@drill
def kill_setup(n: int = 200, cluster: Cluster | None = None) -> dict[str, Any]:
    """n kills in the whole journey on a server of one's own, from nothing to verified."""
    return _journeys(n, cluster, until="", forget=lambda number: True)


def _journeys(n: int, given: Cluster | None, *, until: str, forget: Callable[[int], bool]) -> dict[str, Any]:
    tally = Tally(n)
    with server(given) as cluster:

        def fresh() -> Ended:
            dropped(cluster)
            project = Project()
            ended = project.run(set_up(cluster, until))
            project.remove()
            tally.expect_done(ended, "calibration")
            return ended

        moments = Moments(_typical_s(fresh, n))
        while tally.killed < n and tally.rounds < 1.2 * n + 5:
            if forget(tally.rounds):
                dropped(cluster)
            project = Project()
            tally.note(project.killed(set_up(cluster, until), moments))
            tally.expect(project.torn() + project.left(), "after the kill")
            tally.expect_done(project.run(set_up(cluster)), "run again")
            tally.expect(project.torn() + project.left() + project.strangers(), "at the end")
            project.remove()
    return tally.result()


@drill
def kill_bundled_setup(n: int = 20) -> dict[str, Any]:
    """n kills in the whole journey on the bundled server: initdb, its start, its passwords included."""
    tally = Tally(n)

    def journey() -> bool:
        return wizard.set_up(load_settings(), Silent()).ready

    def once() -> Ended:
        project = Project()
        ended = project.run(journey)
        embedded.stop(home=project.home)
        project.remove()
        return ended

    moments = Moments(_typical_s(once, n))
    while tally.killed < n and tally.rounds < 1.2 * n + 5:
        project = Project()
        tally.note(project.killed(journey, moments))
        tally.expect(project.torn() + project.left(), "after the kill")
        tally.expect_done(project.run(journey), "run again")
        tally.expect(project.torn() + project.left() + project.strangers(), "at the end")
        embedded.stop(home=project.home)
        project.remove()
    return tally.result()


@drill
def kill_migration(n: int = 200, cluster: Cluster | None = None) -> dict[str, Any]:
    """n kills while the tables are made: all of them are there afterwards, or none, and the next run makes them."""
    tally = Tally(n)
    with server(cluster) as cluster:
        dropped(cluster)
        project = Project()
        tally.expect_done(project.run(set_up(cluster, "schema")), "before")

        def upgraded() -> bool:
            with Databases.from_settings(load_settings()) as databases:
                return wizard.create_tables(databases).success

        def checked() -> bool:
            with Databases.from_settings(load_settings()) as databases:
                return upgraded() and verify.passed(verify.verify(databases))

        def emptied() -> None:
            with Database(load_settings().owner or cluster.admin) as db:
                migrate.downgrade(db, "base")

        def once() -> Ended:
            ended = project.run(upgraded)
            tally.expect_done(project.run(emptied), "emptied")
            return ended

        moments = Moments(_typical_s(once, n))
        before = len(_tables(cluster))
        whole = 0
        while tally.killed < n and tally.rounds < 1.2 * n + 5:
            tally.note(project.killed(upgraded, moments))
            tables = len(_settled_tables(cluster))
            whole += tables > before
            if tables not in (before, before + len(migrate.expected_tables()) + (before == 0)):
                tally.expect([f"{tables} tables, neither none nor all"], "after the kill")
            tally.expect_done(project.run(checked), "run again")
            tally.expect(project.left() + project.strangers(), "at the end")
            tally.expect_done(project.run(emptied), "emptied")
        project.remove()
    return tally.result(committed_all_the_same=whole)


def _tables(cluster: Cluster) -> list[Any]:
    return cluster.sql(
        "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace",
        database="trading",
    )


def _settled_tables(cluster: Cluster) -> list[Any]:
    """After the killed program's own session has ended: its COMMIT may be under way."""
    deadline = time.monotonic() + 10
    theirs = "SELECT 1 FROM pg_stat_activity WHERE datname = 'trading' AND usename = 'trading_owner'"
    while cluster.sql(theirs) and time.monotonic() < deadline:
        time.sleep(0.01)
    return _tables(cluster)


@drill
def kill_rotation(n: int = 200, cluster: Cluster | None = None) -> dict[str, Any]:
    """n kills while the passwords of the three roles are rotated: none of them is ever written nowhere."""
    tally = Tally(n)
    with server(cluster) as cluster:
        dropped(cluster)
        project = Project()
        tally.expect_done(project.run(set_up(cluster)), "before")

        def rotated() -> int:
            return len(rotate.rotate(load_settings()).roles)

        def lost() -> list[str]:
            """Roles for which no connection string in the files works."""
            settings = load_settings()
            found = []
            values = [text for values in wizard.env_values(settings).values() for text in values.values()]
            logins = [parse_connection(text) for text in values if "://" in text]
            for user in ("trading_owner", "trading", "trading_viewer"):
                if not any(provision.works(login) for login in logins if login.user == user):
                    found.append(f"the password of {user} is written nowhere")
            return found

        moments = Moments(_typical_s(lambda: project.run(rotated), n))
        halves = 0
        while tally.killed < n and tally.rounds < 1.2 * n + 5:
            tally.note(project.killed(rotated, moments))
            ended = project.run(lost)
            tally.expect_done(ended, "after the kill")
            tally.expect(list(ended.value or ()) + project.left(), "after the kill")
            halves += bool(project.run(lambda: rotate.interrupted(load_settings())).value)
            # Every second time a setup repairs what is left, else the next rotation.
            again = set_up(cluster) if tally.rounds % 2 else rotated
            tally.expect_done(project.run(again), "run again")
            tally.expect(project.torn() + project.left() + project.strangers(), "at the end")
        project.remove()
    return tally.result(left_half_done=halves)
