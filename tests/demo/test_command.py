"""`python -m core demo` and `coverage`: exit codes, and one JSON object."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from core import envfile
from core.commands import app_for
from core.database import Database
from core.repositories import unit_of_work
from core.settings import DatabaseConfig
from core.setup import coverage


@dataclass
class Done:
    """How a command ended."""

    returncode: int
    stdout: str


def run(*words: str) -> Done:
    """A command within this process: starting one takes longer than most of these need."""
    found = CliRunner().invoke(app_for(words), list(words))
    return Done(found.exit_code, found.stdout)


def answer(done: Done) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture
def project(home: Path, migrated: DatabaseConfig) -> Path:
    envfile.set_values(Path.cwd() / ".env.local", {"DATABASE_URL": migrated.url()})
    return Path.cwd()


def test_demo_data_from_the_command_line(project: Path) -> None:
    before = answer(run("demo", "status", "--json"))
    assert before == {"ok": True, "demo": {"loaded": False, "loadable": True, "occupied": []}}
    refused = run("demo", "load", "--json")
    assert refused.returncode == 1
    assert answer(refused)["error"]["error_code"] == "DB_168"
    done = run("demo", "load", "--yes", "--json")
    assert done.returncode == 0
    loaded = answer(done)["demo"]
    assert loaded["total"] == sum(loaded["rows"].values()) > 30_000
    status = answer(run("demo", "status", "--json"))["demo"]
    assert (status["loaded"], status["loadable"], status["rows"]) == (True, False, loaded["rows"])
    again = run("demo", "load", "--yes", "--json")
    assert (again.returncode, answer(again)["error"]["error_code"]) == (1, "DB_215")
    gone = answer(run("demo", "remove", "--yes", "--json"))["demo"]
    assert (gone["total"], gone["kept"]) == (loaded["total"], [])
    assert "could be loaded" in run("demo", "status").stdout


def test_coverage_from_the_command_line(project: Path, migrated: DatabaseConfig) -> None:
    nothing = run("coverage")
    assert nothing.returncode == 1
    assert "No coin is followed yet" in nothing.stdout
    assert run("verify").returncode == 0
    envfile.set_values(project / ".env.tradekeep", {"TRACKED_SYMBOLS": "BTC/USDT"})
    verified = run("verify", "--json")
    assert verified.returncode == 1
    lines = [line for line in answer(verified)["verify"] if line["area"] == "coins"]
    assert [(line["name"], line["ok"]) for line in lines] == [("Coin BTC/USDT", None)]
    db = Database(migrated)
    values = {"open": 2, "high": 4, "low": 1, "close": 3, "volume": 10}
    old = datetime.now(UTC) - timedelta(days=2)
    with unit_of_work(db) as unit:
        unit.candles.upsert([{"symbol": "ETH/USDT", "timeframe": "1h", "open_time": old, **values}])
    db.dispose()
    found = answer(run("coverage", "--json"))["coverage"]
    assert [(coin["symbol"], coin["ok"]) for coin in found["coins"]] == [("BTC/USDT", None), ("ETH/USDT", False)]
    assert found["ok"] is False
    table = run("coverage").stdout
    assert "ETH/USDT" in table
    assert coverage.TRACE.capitalize() in table
