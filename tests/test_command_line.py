"""The command line as scripts use it: exit codes, one JSON object, secrets in no argument and in no output."""

from __future__ import annotations

import inspect
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from core import envfile
from core.commands import MODULES, app_for, env
from core.database import Database
from core.errors import KINDS, TradekeepError
from core.settings import DatabaseConfig
from tests import prepared
from tests.servers import Cluster

ROOT = Path(__file__).parent.parent


def run(*arguments: str, stdin: str = "", env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "PYTHONPATH": str(ROOT), **(env or {})}
    return prepared.run("core", *arguments, stdin=stdin, env=variables, cwd=Path.cwd())


def start(*arguments: str) -> subprocess.Popen[str]:
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-m", "core", *arguments],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=variables,
        # Tests that run in the background of a script would hand on that Ctrl-C is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip


def answer(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    lines = done.stdout.strip().splitlines()
    assert len(lines) == 1, done.stdout + done.stderr
    return json.loads(lines[0])


@pytest.fixture
def project(home: Path) -> Path:
    return Path.cwd()


def test_every_command_is_found_alone_and_in_the_help() -> None:
    group = typer.main.get_group(app_for([]))
    assert set(group.commands) == set(MODULES)
    for name, command in group.commands.items():
        callbacks = [each.callback for each in (command, *getattr(command, "commands", {}).values())]
        modules = {getattr(inspect.unwrap(each), "__module__", None) for each in callbacks if each}
        assert modules == {f"core.commands.{MODULES[name]}"}, name
    code = "import sys, typer, core.commands as c; print(*typer.main.get_group(c.app_for(sys.argv[1:])).commands)"
    done = subprocess.run([sys.executable, "-c", code, "check"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {"test", "check", "verify"}


def test_setup_on_the_bundled_server_and_again(project: Path) -> None:
    first = run("setup", "--embedded", "--yes", "--json")
    result = answer(first)
    assert first.returncode == 0, first.stderr
    assert result["ok"] is True
    assert result["setup"]["verified"] is True
    assert len(result["setup"]["schema"]["tables_created"]) == 36
    before = (project / ".env.local").read_bytes()
    second = answer(run("setup", "--embedded", "--yes", "--json"))
    assert second["setup"]["created"] == []
    assert len(second["setup"]["schema"]["tables_skipped"]) == 36
    assert (project / ".env.local").read_bytes() == before
    for command in ("check", "verify", "test"):
        done = run(command, "--json")
        assert done.returncode == 0, done.stderr
        assert answer(done)["ok"] is True
        times = re.findall(r'"(?:\w+_)?ms": ([\d.e-]+)', done.stdout)
        assert [text for text in times if float(text) > 0]
        assert [text for text in times if len(text.partition(".")[2]) > 3] == []
    password = envfile.values(project / ".env.local")["DATABASE_URL"].split(":")[2].split("@")[0]  # type: ignore[union-attr]
    assert password not in first.stdout + first.stderr

    (project / ".env.local").write_bytes(before.replace(password.encode(), b"another"))
    refused = run("check", "--json")
    assert answer(refused)["error"]["error_code"] == KINDS["auth.bundled_password"].code
    assert "sudo" not in refused.stdout
    somebody = re.sub(rb"postgresql://[^:]+:", b"postgresql://somebody:", before)
    (project / ".env.local").write_bytes(somebody)  # whom a setup would not mend
    assert answer(run("check", "--json"))["error"]["error_code"] == KINDS["auth.password"].code
    assert run("setup", "--embedded", "--yes", "--json").returncode == 0  # what it told
    assert (project / ".env.local").read_bytes() == before
    assert run("check", "--json").returncode == 0

    assert run("server", "stop").returncode == 0
    stopped, elsewhere = "service.bundled_stopped", "service.refused"
    other = "postgresql://u:p@127.0.0.1:1/d"  # nobody listens there either, and it is not the bundled server
    assert answer(run("test", "--json"))["test"]["error"]["kind"] == stopped
    assert answer(run("test", "--json", "--url", other))["test"]["error"]["kind"] == elsewhere
    assert answer(run("check", "--json"))["error"]["error_code"] == KINDS[stopped].code
    assert answer(run("setup", "--json", "--yes", "--url", other))["error"]["error_code"] == KINDS[elsewhere].code


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
    ("arguments", "said"),
    [
        (("nonsense",), "nonsense"),
        (("setup",), "--embedded or --url"),
        (("setup", "--embedded", "--url", "x"), "--embedded or --url"),
        (("test", "--no-such-option"), "--no-such-option"),
        (("test", "--url", ""), "--url"),
        (("setup", "--url", "  ", "--yes"), "--url"),
    ],
)
def test_wrong_usage_with_json_is_one_object_and_a_message(
    project: Path, arguments: tuple[str, ...], said: str
) -> None:
    done = run(*arguments, "--json")
    assert done.returncode == 2
    found = answer(done)
    assert found["ok"] is False
    assert set(found["error"]) == {"error", "message", "details", "retry_after", "error_code"}
    assert found["error"]["error_code"] == KINDS["config.usage"].code
    assert said.casefold() in found["error"]["message"].casefold()
    assert found["error"]["message"] in done.stderr


def test_wrong_usage_in_words_shows_no_password_and_leaves_stdout_empty(project: Path) -> None:
    done = run("check", "postgresql://u:S3cret-planted@h/db")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "python -m core COMMAND --help" in done.stderr
    assert "S3cret-planted" not in done.stderr
    assert run().returncode == 2


@pytest.mark.parametrize("as_json", [True, False], ids=["json", "words"])
def test_ctrl_c_ends_with_exit_code_1_and_no_traceback(project: Path, as_json: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        url = f"postgresql://u:p@127.0.0.1:{listener.getsockname()[1]}/db"
        process = start("test", "--url", url, *(["--json"] if as_json else []))
        connection, _ = listener.accept()  # and stay silent: the test of the connection waits now
        with connection:
            process.send_signal(signal.SIGINT)
            stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 1, stderr
    assert "Traceback" not in stderr
    assert KINDS["transient.interrupted"].title in stderr
    if as_json:
        assert json.loads(stdout)["error"]["error_code"] == KINDS["transient.interrupted"].code
    else:
        assert stdout == ""


def test_an_error_that_nobody_expected_is_told_in_the_one_shape(project: Path) -> None:
    done = run("env", "set", "KEY", "--json", stdin="\udcff", env={"PYTHONIOENCODING": "utf-8:strict"})
    assert done.returncode == 1
    assert answer(done)["error"]["error_code"] == KINDS["data.encoding"].code
    assert "Traceback" not in done.stderr


def test_help_names_no_type_for_a_switch() -> None:
    lines = CliRunner().invoke(app_for([]), ["setup", "--help"]).stdout.splitlines()
    assert [line for line in lines if "--yes" in line and "-y" in line]
    assert not [line for line in lines if "<bool>" in line and "--help" not in line]


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
    assert len(answer(run("migrate", "--json"))["migrate"]["tables_created"]) == 36
    assert answer(run("migrate", "--status", "--json"))["migrate"]["migration_needed"] is False
    owner = Database(pg_database)
    with owner.connect() as connection:
        connection.exec_driver_sql("DROP TABLE alembic_version")
    owner.dispose()
    refused = answer(run("migrate", "--json"))["error"]
    assert refused["error_code"] == KINDS["schema.unmanaged"].code
    stamped = answer(run("migrate", "--stamp", "--json"))["migrate"]
    assert "trading_rollups" not in stamped["missing"]  # the oldest revision with these tables: what follows runs again
    newest = answer(run("migrate", "--json"))["migrate"]
    assert newest["success"]
    assert answer(run("migrate", "--status", "--json"))["migrate"]["current_version"] == stamped["expected_version"]
    assert run("migrate", "--down", "--to", "base").returncode == 1
    down = answer(run("migrate", "--down", "--to", "base", "--yes", "--json"))
    assert down["migrate"]["current_version"] is None


def test_results_in_words_are_on_stdout_and_nothing_else(project: Path, migrated: DatabaseConfig) -> None:
    envfile.set_values(project / ".env.local", {"DATABASE_URL": migrated.url()})
    check = run("check")
    assert check.returncode == 0, check.stdout
    assert re.search(rf"^connected to .*/{migrated.database} in ", check.stdout, re.MULTILINE)
    assert "bundled server: absent (It was never started here.)" in check.stdout
    assert "schema at " in check.stdout
    verify = run("verify")
    assert "✓ " in verify.stdout
    again = run("migrate")
    assert again.stdout.startswith("0 tables created, 36 already there")
    for done in (check, verify, again):
        assert done.stdout.endswith(("OK\n", "Not OK: see above.\n"))
        assert done.stderr == ""
    assert "OK" not in run("migrate", "--sql").stdout.splitlines()


def test_setup_tells_progress_on_stderr_and_what_it_made_on_stdout(project: Path, own_cluster: Cluster) -> None:
    url = own_cluster.admin.replace(password=None).url()
    done = run("setup", "--url", url, "--stdin", "--yes", stdin=own_cluster.password)
    assert done.returncode == 0, done.stderr
    assert "roles: trading_owner, trading, trading_viewer" in done.stdout
    assert str(project / ".env.local") in done.stdout
    assert done.stdout.endswith("OK\n")
    assert "✓ Create the tables" in done.stderr
    assert "✓ Create the tables" not in done.stdout


@pytest.mark.parametrize(
    ("stdin", "value"),
    [
        ("a", "a"),
        ("a\n", "a"),
        ("a\r\n", "a"),
        ("\n", ""),
        (" a b ", " a b "),
        ("", None),
        ("a\nb", None),
        ("a\n\n", None),
    ],
)
def test_value_is_one_line_of_standard_input(monkeypatch: pytest.MonkeyPatch, stdin: str, value: str | None) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
    if value is not None:
        assert env._value("KEY") == value
        return
    with pytest.raises(TradekeepError) as raised:
        env._value("KEY")
    assert raised.value.kind == "config.env_value"


def test_env_set_refuses_several_lines_and_leaves_the_file_alone(project: Path) -> None:
    envfile.set_values(project / ".env.local", {"KEY": "old"})
    before = (project / ".env.local").read_bytes()
    done = run("env", "set", "KEY", "--json", stdin="first\nsecond\n")
    assert done.returncode == 1
    assert "2 lines" in answer(done)["error"]["message"]
    assert (project / ".env.local").read_bytes() == before
    assert run("env", "set", "KEY", stdin="\n").returncode == 0
    assert envfile.values(project / ".env.local") == {"KEY": ""}


def test_env_says_that_there_is_no_backup(project: Path) -> None:
    done = run("env", "backups")
    assert (done.returncode, done.stdout) == (0, "")
    assert "no backups" in done.stderr


def test_env_cuts_nothing_in_a_pipe(project: Path) -> None:
    host = ".".join(["a-very-long-name-of-a-host"] * 7)
    envfile.set_values(project / ".env.local", {"DATABASE_URL": f"postgresql://u:p@{host}:5432/a:smile:b"})
    row = next(line for line in run("env", env={"COLUMNS": "40"}).stdout.splitlines() if "DATABASE_URL" in line)
    assert row.split() == ["DATABASE_URL", f"postgresql://u:***@{host}:5432/a%3Asmile%3Ab", ".env.local"]


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
    assert [line.split(":")[0] for line in good.stdout.splitlines()[:3]] == ["✓ resolve", "✓ port", "· tls"]
    bad = run("test", "--url", pg_database.replace(port=1).url(), "--json")
    assert bad.returncode == 1
    assert answer(bad)["test"]["error_type"] == "service"
