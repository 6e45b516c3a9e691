"""Each benchmark runs and prints its object; how fast anything is, no test asserts."""

from __future__ import annotations

import os

import pytest

from benchmarks import benchmarks
from benchmarks.__main__ import main
from benchmarks.big import COLUMNS, trades
from benchmarks.figures import Figure, Goal, in_turns
from benchmarks.servers import connected, load
from core.embedded import programs
from core.settings import DatabaseConfig
from tests.drills.measured import every_benchmark


def test_benchmarks_print_their_objects() -> None:
    if programs.available() and not os.environ.get("REQUIRE_POSTGRES"):
        pytest.skip(str(programs.available()))
    names = ["explore", "exports", "migrate"]  # `python -m tests.drills every_benchmark` runs them all
    assert set(names) < set(benchmarks())
    done = every_benchmark(1, names)
    assert done["problems"] == []
    assert done["figures"] > len(names)


MADE = """
    SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = CAST(%(table)s AS regclass)
    UNION SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
    WHERE indrelid = CAST(%(table)s AS regclass) ORDER BY 1, 2
"""


@pytest.mark.parametrize("table", ["trades", "trading_trades", "trading_bots"])
def test_a_load_leaves_keys_references_and_indexes_as_they_were(migrated: DatabaseConfig, table: str) -> None:
    with connected(migrated) as connection:
        before = connection.execute(MADE, {"table": table}).fetchall()
        load(connection, table, COLUMNS if table == "trades" else ["id"], trades(7) if table == "trades" else [])
        assert connection.execute(MADE, {"table": table}).fetchall() == before
        rows = connection.execute(f"SELECT count(*) FROM {table}").fetchall()
    assert len(before) > 2
    assert rows == [(7 if table == "trades" else 0,)]


def test_unknown_benchmark_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["nothing"])
    assert refused.value.code == 2
    assert "there are connect" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("goal", "met"),
    [
        (Goal("ratio", 2.0), True),
        (Goal("ratio", 1.9), False),
        (Goal("seconds", 0.2), True),
        (Goal("seconds", 0.19), False),
        (Goal("more", 0.1), True),
        (Goal("more", 0.09), False),
        (None, None),
    ],
)
def test_goal_is_judged_by_the_medians(goal: Goal | None, met: bool | None) -> None:
    figure = Figure("a", "b", [200.0, 1000.0, 150.0], [100.0, 90.0, 500.0], goal)
    assert figure.met is met
    assert figure.as_dict()["ratio"] == {"medians": 2.0, "min": 0.3, "max": 11.111}


def test_both_are_measured_in_turns_after_a_warm_up() -> None:
    calls: list[str] = []

    def noted(name: str) -> float:
        calls.append(name)
        return float(len(calls))

    assert in_turns(2, lambda: noted("own"), lambda: noted("floor")) == [[3.0, 6.0], [4.0, 5.0]]
    assert calls == ["own", "floor", "own", "floor", "floor", "own"]
