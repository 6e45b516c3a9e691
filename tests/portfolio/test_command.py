"""`python -m core rollups` as scripts use it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from core import envfile
from core.database import Database
from core.settings import DatabaseConfig
from tests.portfolio.trips import BEGIN, bots, random_trips, trip, write
from tests.test_command_line import answer, run


def test_rollups_are_refreshed_compared_and_made_anew(home: Path, migrated: DatabaseConfig) -> None:
    envfile.set_values(Path.cwd() / ".env.local", {"DATABASE_URL": migrated.url()})
    database = Database(migrated)
    bots(database)
    write(database, random_trips(100))
    first = answer(run("rollups", "refresh", "--json"))
    assert (first["ok"], first["rollups"]["busy"]) == (True, False)
    assert first["rollups"]["days"] > 30
    write(database, [trip(BEGIN + timedelta(days=2))])
    status = answer(run("rollups", "--json"))["rollups"]
    assert (status["state"], status["changed_days"]) == ("ready", ["2026-03-03"])
    assert status["refreshed_at"] > "2026"
    right = run("rollups", "check", "--json")
    assert (right.returncode, answer(right)["rollups"]["differing_days"]) == (0, [])
    with database.connect() as connection:
        connection.exec_driver_sql(
            "UPDATE trading_rollups SET net_pnl = 0.1 WHERE level = 'day' AND day = '2026-03-05'"
        )
    wrong = run("rollups", "check")
    assert wrong.returncode == 1
    assert "not equal to the round trips: 2026-03-05; python -m core rollups rebuild" in wrong.stdout
    assert "every day summed" in run("rollups", "rebuild").stdout
    assert run("rollups", "check").returncode == 0
    database.dispose()


def test_an_unknown_action_is_refused() -> None:
    assert run("rollups", "nonsense").returncode == 2
