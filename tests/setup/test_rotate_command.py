"""`rotate` and `env backups|restore` on the command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from core import envfile
from core.settings import load_settings
from core.setup import provision, wizard
from core.setup.provision import Provisioned
from tests.servers import Cluster
from tests.setup.test_provision import dropped
from tests.setup.test_rotate import assert_in_line
from tests.test_command_line import answer, run


@pytest.fixture
def made(home: Path, cluster: Cluster) -> Iterator[Provisioned]:
    """Three roles whose logins stand in the project's files."""
    dropped(cluster, "turned")
    result = provision.provision(cluster.admin, database="turned", bundled=False)
    wizard.write(wizard.configuration(load_settings(), result), load_settings())
    yield result
    dropped(cluster, "turned")


def test_rotation_asks_then_tells_what_to_do_next(made: Provisioned, cluster: Cluster) -> None:
    assert answer(run("rotate", "--json"))["error"]["error_code"] == "DB_168"
    assert load_settings().database == made.runtime
    done = run("rotate", "--role", "runtime", "--role", "viewer", "--yes", "--json")
    result = answer(done)["rotate"]
    assert (done.returncode, result["roles"]) == (0, ["turned", "turned_viewer"])
    assert "Restart your bots" in result["next"]
    assert_in_line(load_settings())
    for config in (load_settings().database, made.runtime):
        assert config is not None
        assert config.password is not None
        assert config.password.get_secret_value() not in done.stdout + done.stderr
    cluster.sql("ALTER ROLE turned PASSWORD 'lost'")
    assert answer(run("rotate", "--yes", "--json"))["error"]["error"] == "auth"
    assert cluster.admin.password is not None
    url = cluster.admin.replace(password=None).url()
    again = run("rotate", "--url", url, "--stdin", "--yes", stdin=cluster.admin.password.get_secret_value())
    assert (again.returncode, "OK" in again.stdout) == (0, True), again.stderr
    assert_in_line(load_settings())


def test_unknown_roles_and_half_an_administrator_are_refused(home: Path) -> None:
    assert run("rotate", "--role", "emperor", "--yes").returncode == 2
    assert run("rotate", "--stdin", "--yes").returncode == 2


def test_backups_show_their_difference_and_come_back_by_name(home: Path) -> None:
    for number in range(3):
        envfile.set_values(Path(".env.local"), {"A": str(number), "API_TOKEN": f"S3cret-planted-{number}"})
    shown = run("env", "backups", "--diff")
    assert "\n-A=2\n-API_TOKEN=***\n+A=1\n+API_TOKEN=***\n" in shown.stdout
    assert "S3cret" not in shown.stdout
    oldest = envfile.backups(Path(".env.local"))[-1].path
    assert list(answer(run("env", "backups", "--diff", "--json"))["env"])[-1] == str(oldest)
    restored = run("env", "restore", oldest.name)
    assert (restored.returncode, envfile.values(Path(".env.local"))["A"]) == (0, "0"), restored.stderr
    assert "core check" in restored.stdout
