"""The two commands: rows of a file into a table, and a table's rows into a file."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest
from typer.testing import CliRunner, Result

from core import envfile
from core.commands import app_for
from core.services.alerts import local_operator
from core.settings import DatabaseConfig
from tests.browser.harness import ROOT
from tests.explore.test_import import GOOD, HEAD
from tests.explore.test_import_bots import freqtrade_file
from tests.servers import Cluster

__all__ = ["freqtrade_file"]
LOGGED = "SELECT details FROM webui_audit_logs WHERE action = 'export' AND resource_id = 'trades' ORDER BY id"
BAD = "2024-01-01T00:00:09Z,BTC/USDT,HODL,1,1,USDT,o9\n"


@pytest.fixture
def project(home: Path, migrated: DatabaseConfig) -> Path:
    envfile.set_values(Path.cwd() / ".env.local", {"DATABASE_URL": migrated.url()})
    return Path.cwd()


def core(*words: str, given: bytes = b"") -> Result:
    return CliRunner().invoke(app_for(words), list(words), input=given)


def as_json(*words: str, given: bytes = b"") -> dict[str, Any]:
    done = core(*words, "--json", given=given)
    found: dict[str, Any] = json.loads(done.stdout_bytes)
    assert (done.exit_code == 0) == found["ok"]
    return found


def test_there_and_back(project: Path, cluster: Cluster, migrated: DatabaseConfig) -> None:
    file = project / "trades.csv"
    file.write_text(HEAD.replace("currency", "quote asset") + GOOD + BAD)
    words = ("import", str(file), "trades", "--map", "quote asset=currency", "--set", "exchange=kraken")
    dry = as_json(*words, "--dry-run")["import"]
    found = as_json(*words, "--errors", str(project / "errors.csv"))["import"]
    for one in (dry, found):
        assert [one[key] for key in ("inserted", "updated", "skipped", "error_count")] == [4, 0, 0, 1]
    assert (found["errors"][0]["row"], found["dry_run"], dry["dry_run"]) == (5, False, True)
    assert "HODL" in (project / "errors.csv").read_text()
    out = project / "out.csv"
    said = core("export", "trades", str(out), "--where", "exchange=kraken", "--sort", "-executed_at")
    assert said.exit_code == 0, said.stderr
    assert len(out.read_text().splitlines()) == 5
    assert core("export", "trades", str(out)).exit_code == 1  # it exists
    packed = gzip.compress(out.read_bytes())
    again = as_json("import", "-", "trades", given=packed)["import"]
    assert [again["inserted"], again["updated"], again["skipped"]] == [0, 0, 4]
    assert as_json("export", "trades", str(project / "t.parquet"))["export"]["rows"] == 4
    assert parquet.read_table(project / "t.parquet").num_rows == 4
    plain = core("export", "trades", "-", "--columns", "symbol,price", "--where", "price > 50")
    assert len(plain.stdout.splitlines()) == 3
    by = {"by": local_operator()}
    assert [row[0] for row in cluster.sql(LOGGED, database=migrated.database)] == [
        {
            **by, "format": "csv", "rows": 4, "filters": [["exchange", "=", "kraken"]], "sort": ["executed_at desc"],
        },
        {**by, "format": "parquet", "rows": 4},
        {**by, "format": "csv", "rows": 2, "filters": [["price", ">", "50"]], "columns": ["symbol", "price"]},
    ]  # fmt: skip
    assert not list(project.glob(".*part"))


def test_a_bots_database_needs_no_table(project: Path, freqtrade_file: Path) -> None:
    found = as_json("import", str(freqtrade_file), "--bot", "mine")["import"]
    assert found["tables"]["trading_trades"]["inserted"] == 3
    assert all(one["ok"] for one in found["reconciled"])
    words = core("import", str(freqtrade_file), "--bot", "mine")
    assert "3 there already" in words.stdout
    assert "not carried over" in words.stdout


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("import", "missing.csv", "trades"), 1),
        (("import", "missing.csv", "nothing"), 1),
        (("import", "x", "trades", "--map", "nonsense"), 2),
        (("export", "nothing", "x.csv"), 1),
        (("export", "trades", "x.csv", "--where", "nonsense"), 1),
        (("export", "trades", "-", "--json"), 2),
    ],
)
def test_what_cannot_be_ends_with_a_reason(project: Path, words: tuple[str, ...], code: int) -> None:
    done = core(*words)
    assert done.exit_code == code
    assert "Traceback" not in done.output
    assert done.output.strip()
    assert not (project / "x.csv").exists()


def test_the_rows_at_fault_are_a_file_of_this_import(project: Path) -> None:
    errors, bad, good = project / "errors.csv", project / "bad.csv", project / "good.csv"
    bad.write_text(HEAD + BAD * 7)
    good.write_text(HEAD + GOOD)
    found = as_json("import", str(bad), "trades", "--errors", str(errors))
    assert (found["ok"], found["import"]["error_count"]) == (False, 7)  # nothing of it was good
    assert len(errors.read_text().splitlines()) == 8
    errors.chmod(0o640)
    assert as_json("import", str(good), "trades", "--errors", str(errors))["ok"]
    assert (len(errors.read_text().splitlines()), errors.stat().st_mode & 0o777) == (1, 0o640)
    assert "--errors FILE writes them all" in core("import", str(bad), "trades").stdout
    for nowhere in (project / "missing" / "e.csv", project):
        other = (HEAD + GOOD.replace("o1", "o9")).encode()
        assert core("import", "-", "trades", "--errors", str(nowhere), given=other).exit_code == 1
    assert as_json("import", str(good), "trades")["import"]["skipped"] == 4
    assert as_json("export", "trades", "left.csv")["export"]["rows"] == 4


def test_an_export_replaces_files_alone(project: Path) -> None:
    os.mkfifo(project / "pipe")
    (project / "victim").write_text("precious")
    (project / ".o.csv.part").symlink_to("victim")
    heard: list[bytes] = []
    reader = threading.Thread(target=lambda: heard.append((project / "pipe").read_bytes()))
    reader.start()
    assert core("export", "alerts", str(project / "pipe"), "--force").exit_code == 0
    reader.join(10)
    assert heard[0].startswith(b"id,")
    assert (project / "pipe").is_fifo()
    assert core("export", "alerts", str(project / "o.csv")).exit_code == 0
    assert (project / "victim").read_text() == "precious"
    assert not (project / "o.csv").is_symlink()
    for folder in (".", "", str(project)):
        done = core("export", "alerts", folder, "--force")
        assert (done.exit_code, "is a folder" in done.output) == (1, True)
    assert not list(project.glob(".tradekeep-*.part"))


def test_a_reader_that_has_enough_ends_an_export_quietly(
    project: Path, cluster: Cluster, migrated: DatabaseConfig
) -> None:
    cluster.sql(
        "INSERT INTO trades (symbol, action, quantity, price, currency, executed_at)"
        " SELECT 'B', 'BUY', 1, 1, 'USD', now() - n * interval '1 s' FROM generate_series(1, 20000) n",
        database=migrated.database,
    )
    command = [sys.executable, "-m", "core", "export", "trades", "-"]
    process = subprocess.Popen(
        command, cwd=project, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout
    assert process.stdout.readline().startswith(b"id,")
    process.stdout.close()
    assert process.stderr
    assert (process.wait(30), process.stderr.read()) == (0, b"")
    process.stderr.close()
    assert len(cluster.sql(LOGGED, database=migrated.database)) == 1
