"""The whole journey: what goes into which file, what happens when two set up at once, and what shadows a file."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from core import envfile
from core.database import Database, Databases
from core.errors import TradekeepError
from core.settings import load_settings
from core.setup import flow, provision, verify, wizard
from core.setup.diagnostics import diagnostics
from core.setup.wizard import Outcome
from tests.servers import Cluster


class Silent:
    """A journey that nobody watches."""

    def __call__(self, done: int, total: int, message: str) -> None:
        """Nothing."""

    @contextmanager
    def step(self, name: str) -> Iterator[Any]:
        yield SimpleNamespace(state="running", message="")


@pytest.fixture
def project(home: Path) -> Path:
    return Path.cwd()


def set_up(cluster: Cluster) -> Outcome:
    return wizard.set_up(load_settings(), Silent(), admin=cluster.admin)


def test_each_login_goes_into_its_file(project: Path, own_cluster: Cluster) -> None:
    (project / ".env.local").write_text("# mine\nOTHER=1\n")
    outcome = set_up(own_cluster)
    assert outcome.ready
    assert [path.name for path in outcome.written] == [".env.tradekeep", ".env.local"]
    local = (project / ".env.local").read_text()
    assert local.startswith("# mine\nOTHER=1\nDATABASE_URL=postgresql://trading:")
    assert set(envfile.values(project / ".env.local")) == {"OTHER", "DATABASE_URL"}
    assert set(envfile.values(project / ".env.tradekeep")) == {"DATABASE_OWNER_URL", "DATABASE_VIEWER_URL"}
    settings = load_settings()
    assert settings.database is not None
    databases = Databases.from_settings(settings)
    users = [database.capabilities.role for database in (databases.reader, databases.writer, databases.owner)]
    assert users == ["trading_viewer", "trading", "trading_owner"]
    databases.dispose()


def test_four_at_once_end_with_one_password_that_works(project: Path, own_cluster: Cluster) -> None:
    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(lambda _: set_up(own_cluster), range(4)))
    assert all(outcome.ready for outcome in outcomes)
    passwords = {outcome.provisioned.runtime.password for outcome in outcomes}
    assert len(passwords) == 1
    settings = load_settings()
    assert settings.database is not None
    assert settings.database.password in passwords
    database = Database(settings.database)
    database.ping()
    database.dispose()


def test_a_variable_of_the_environment_that_wins_is_reported(
    project: Path, own_cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://other@127.0.0.1:1/other")
    with pytest.raises(TradekeepError) as caught:
        set_up(own_cluster)
    assert caught.value.kind == "config.shadowed"
    assert "in the environment" in caught.value.why
    assert "was written" not in caught.value.why  # nothing was: it is found out before
    assert list(project.glob(".env*")) == []
    monkeypatch.delenv("DATABASE_URL")
    assert set_up(own_cluster).ready  # what was made is found and kept


def test_a_failed_step_leaves_the_files_as_they_were(project: Path, own_cluster: Cluster) -> None:
    (project / ".env.local").write_text("A=1\n")
    with pytest.raises(TradekeepError):
        wizard.set_up(load_settings(), Silent(), admin=own_cluster.admin.replace(password="wrong"))
    assert (project / ".env.local").read_text() == "A=1\n"
    assert not (project / ".env.tradekeep").exists()


def test_one_login_takes_the_other_two_out_of_our_file(project: Path, own_cluster: Cluster) -> None:
    set_up(own_cluster)
    settings = load_settings()
    assert settings.owner is not None
    outcome = wizard.finish(settings, Silent(), provision.adopt(settings.owner))
    assert outcome.ready
    assert envfile.values(project / ".env.tradekeep") == {}
    assert verify.passed(outcome.verifications)


def test_diagnostics_hold_everything_but_secrets(project: Path, own_cluster: Cluster) -> None:
    outcome = set_up(own_cluster)
    text = diagnostics(load_settings(), outcome.verifications)
    for part in ('"packages"', '"connections"', '"schema"', '"bundled_server"', "trading_owner"):
        assert part in text
    made = outcome.provisioned
    for config in (made.owner, made.runtime, made.viewer, own_cluster.admin):
        assert config.password is not None
        assert config.password.get_secret_value() not in text


def test_a_draft_forgets_the_password_after_a_while(own_cluster: Cluster) -> None:
    draft = flow.start_over()
    draft.login = own_cluster.admin
    draft.touch()
    assert draft.login.password is not None
    draft.touched -= flow.SECRET_KEPT_S + 1
    draft.touch()
    assert draft.login.password is None
    flow.start_over()


def test_a_second_project_on_the_bundled_server_gets_the_same_logins(project: Path, tmp_path: Path) -> None:
    first = wizard.set_up(load_settings(project), Silent())
    second = wizard.set_up(load_settings(tmp_path), Silent())
    assert second.ready
    assert second.provisioned.created == []
    assert envfile.values(tmp_path / ".env.local") == envfile.values(project / ".env.local")
    database = Database(first.provisioned.runtime)
    database.ping()
    database.dispose()


@pytest.mark.parametrize("obstacle", ["directory", "unterminated", "shadowed", "missing"])
def test_what_cannot_be_written_down_is_not_changed(
    project: Path, own_cluster: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, obstacle: str
) -> None:
    first = set_up(own_cluster)
    elsewhere = tmp_path / "other"
    if obstacle != "missing":
        elsewhere.mkdir()
    if obstacle == "directory":
        (elsewhere / ".env.local").mkdir()
    if obstacle == "unterminated":
        (elsewhere / ".env.local").write_text('A="oops\nDATABASE_URL=x\n')
    if obstacle == "shadowed":
        monkeypatch.setenv("DATABASE_URL", "postgresql://other@127.0.0.1:1/other")
    with pytest.raises(TradekeepError):
        wizard.set_up(load_settings(elsewhere), Silent(), admin=own_cluster.admin)
    assert not (elsewhere / ".env.tradekeep").exists()
    for config in (first.provisioned.owner, first.provisioned.runtime, first.provisioned.viewer):
        database = Database(config)
        database.ping()
        database.dispose()


def test_keys_of_an_earlier_configuration_go(project: Path, own_cluster: Cluster) -> None:
    (project / ".env.local").write_text(
        "PGHOSTADDR=10.9.9.9\nPGCHANNELBINDING=require\nPGAPPNAME=mine\nDATABASE_URL=postgresql://a@h:1/b\n"
    )
    outcome = set_up(own_cluster)
    assert outcome.ready
    assert set(envfile.values(project / ".env.local")) == {"PGAPPNAME", "DATABASE_URL"}
