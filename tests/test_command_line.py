"""The command line as scripts use it: exit codes, one JSON object, secrets in no argument and in no output."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core import envfile
from core.errors import KINDS
from core.settings import DatabaseConfig
from tests.servers import Cluster

ROOT = Path(__file__).parent.parent


def run(*arguments: str, stdin: str = "", env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "PYTHONPATH": str(ROOT), **(env or {})}
    return subprocess.run(
        [sys.executable, "-m", "core", *arguments],
        input=stdin, env=variables, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def answer(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    lines = done.stdout.strip().splitlines()
    assert len(lines) == 1, done.stdout + done.stderr
    return json.loads(lines[0])


@pytest.fixture
def project(home: Path) -> Path:
    return Path.cwd()


def test_setup_on_the_bundled_server_and_again(project: Path) -> None:
    first = run("setup", "--embedded", "--yes", "--json")
    result = answer(first)
    assert first.returncode == 0, first.stderr
    assert result["ok"] is True
    assert result["setup"]["verified"] is True
    assert len(result["setup"]["schema"]["tables_created"]) == 34
    before = (project / ".env.local").read_bytes()
    second = answer(run("setup", "--embedded", "--yes", "--json"))
    assert second["setup"]["created"] == []
    assert len(second["setup"]["schema"]["tables_skipped"]) == 34
    assert (project / ".env.local").read_bytes() == before
    for command in ("check", "verify", "test"):
        done = run(command, "--json")
        assert done.returncode == 0, done.stderr
        assert answer(done)["ok"] is True
    password = envfile.values(project / ".env.local")["DATABASE_URL"].split(":")[2].split("@")[0]  # type: ignore[union-attr]
    assert password not in first.stdout + first.stderr


def test_setup_on_a_server_reads_the_password_from_standard_input(project: Path, own_cluster: Cluster) -> None:
    url = own_cluster.admin.replace(password=None).url()
    refused = run("setup", "--url", url, "--stdin", "--yes", "--json", stdin="wrong\n")
    assert refused.returncode == 1
    assert answer(refused)["error"]["error"] == "auth"
    done = run("setup", "--url", url, "--stdin", "--yes", "--json", "--database", "bots", stdin=own_cluster.password)
    assert done.returncode == 0, done.stderr
    assert answer(done)["setup"]["runtime"] == "bots"
    again = run(
        "setup", "--url", url, "--yes", "--json", "--database", "bots",
        env={"TRADEKEEP_ADMIN_PASSWORD": own_cluster.password},
    )  # fmt: skip
    assert answer(again)["setup"]["kept"] == ["role bots_owner", "role bots", "role bots_viewer", "database bots"]


def test_setup_without_yes_asks_and_changes_nothing(project: Path, own_cluster: Cluster) -> None:
    done = run("setup", "--url", own_cluster.admin.url(), "--json")
    assert done.returncode == 1
    assert answer(done)["error"]["error_code"] == KINDS["config.not_confirmed"].code
    assert list(project.iterdir()) == []


@pytest.mark.parametrize(
    "arguments", [(), ("nonsense",), ("setup",), ("setup", "--embedded", "--url", "x"), ("test", "--no-such-option")]
)
def test_wrong_usage_is_exit_code_2(project: Path, arguments: tuple[str, ...]) -> None:
    assert run(*arguments).returncode == 2


def test_without_a_configuration_everything_says_what_to_do(project: Path) -> None:
    for command in ("check", "verify", "migrate", "test"):
        done = run(command, "--json")
        assert done.returncode == 1
        assert answer(done)["error"]["error_code"] == KINDS["config.no_database"].code
    words = run("check").stderr
    assert "python -m core setup --embedded --yes" in words


def test_migrate_up_status_sql_down(project: Path, pg_database: DatabaseConfig) -> None:
    envfile.set_values(project / ".env.local", {"DATABASE_URL": pg_database.url()})
    assert "CREATE TABLE trades" in answer(run("migrate", "--sql", "--json"))["migrate"]
    unready = run("check", "--json")
    assert unready.returncode == 1
    assert answer(unready)["check"]["schema"]["migration_needed"] is True
    assert len(answer(run("migrate", "--json"))["migrate"]["tables_created"]) == 34
    assert answer(run("migrate", "--status", "--json"))["migrate"]["migration_needed"] is False
    assert run("migrate", "--down", "--to", "base").returncode == 1
    down = answer(run("migrate", "--down", "--to", "base", "--yes", "--json"))
    assert down["migrate"]["current_version"] is None


def test_env_shows_masked_sets_and_restores(project: Path) -> None:
    url = "postgresql://u:S3cret-planted@127.0.0.1:5432/db"
    set_done = run("env", "set", "DATABASE_URL", stdin=url + "\n")
    assert set_done.returncode == 0, set_done.stderr
    shown = run("env", "--json")
    row = answer(shown)["env"]["DATABASE_URL"]
    assert row == {"value": "postgresql://u:***@127.0.0.1:5432/db", "source": ".env.local"}
    assert "S3cret-planted" not in set_done.stdout + set_done.stderr + shown.stdout + run("env", "show").stdout
    run("env", "set", "DATABASE_URL", "--remove")
    backups = answer(run("env", "backups", "--json"))["env"]
    assert len(backups) >= 1
    assert run("env", "restore", backups[0]).returncode == 0
    assert envfile.values(project / ".env.local")["DATABASE_URL"] == url


def test_a_test_of_a_connection_prints_every_step(project: Path, pg_database: DatabaseConfig) -> None:
    good = run("test", "--url", pg_database.url())
    assert good.returncode == 0
    assert [line.split(":")[0] for line in good.stderr.splitlines()[:3]] == ["✓ resolve", "✓ port", "· tls"]
    bad = run("test", "--url", pg_database.replace(port=1).url(), "--json")
    assert bad.returncode == 1
    assert answer(bad)["test"]["error_type"] == "service"
