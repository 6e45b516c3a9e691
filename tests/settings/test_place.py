"""Which project is meant, and that the place of an older configuration never mixes with a new one."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.settings import load_settings
from tests.settings.test_settings import project, write

__all__ = ["project"]  # a fixture


@pytest.mark.parametrize("name", [".env.local", ".env", "environment"])
def test_place_of_an_older_configuration_does_not_complete_a_url(
    project: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    old = {
        "PGHOST": "old", "PGHOSTADDR": "10.9.9.9", "PGPORT": "1", "PGUSER": "old", "PGDATABASE": "old",
        "PGPASSWORD": "old-password", "PGSERVICE": "old", "PGPASSFILE": "/old", "PGSSLMODE": "require",
        "PGCHANNELBINDING": "require",
    }  # fmt: skip
    text = "".join(f"{key}={value}\n" for key, value in old.items())
    if name == "environment":
        for key, value in old.items():
            monkeypatch.setenv(key, value)
    else:
        write(project, name, text)
    url = "DATABASE_URL=postgresql://new@h/new\n"
    write(project, ".env.local", text + url if name == ".env.local" else url)
    loaded = load_settings(project)
    assert loaded.database
    assert loaded.database.libpq_params() == {
        "host": "h", "user": "new", "dbname": "new", "sslmode": "require", "channel_binding": "require",
    }  # fmt: skip


def test_url_without_a_host_takes_the_place_from_the_variables(project: Path) -> None:
    write(project, ".env", "PGHOST=h\nPGUSER=bot\nPGPASSWORD=p-w-9\n")
    for user, password in (("", "p-w-9"), ("bot@", "p-w-9"), ("eve@", None)):
        write(project, ".env.local", f"DATABASE_URL=postgresql://{user}/trading\n")
        loaded = load_settings(project).database
        assert loaded
        assert (loaded.host, loaded.database) == ("h", "trading")
        assert (loaded.password.get_secret_value() if loaded.password else None) == password


@pytest.mark.parametrize("name", ["~nosuchuser-xyz", "a\0b"])
def test_folder_that_cannot_be_is_an_issue(project: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(project)
    loaded = load_settings(Path(name))
    assert loaded.project == project
    assert loaded.source_of("TRADEKEEP_PROJECT") == "default"
    (issue,) = loaded.issues()
    assert (issue.severity, issue.component) == ("error", "TRADEKEEP_PROJECT")
    if "\0" not in name:
        monkeypatch.setenv("TRADEKEEP_PROJECT", name)
        monkeypatch.setenv("TRADEKEEP_HOME", name)
        found = {(issue.severity, issue.component) for issue in load_settings().issues()}
        assert found == {("error", "TRADEKEEP_PROJECT"), ("error", "TRADEKEEP_HOME")}


def test_source_of_the_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings(project).shown()["TRADEKEEP_PROJECT"] == {"value": str(project), "source": "argument"}
    monkeypatch.setenv("TRADEKEEP_PROJECT", str(project))
    assert load_settings().shown()["TRADEKEEP_PROJECT"] == {"value": str(project), "source": "environment"}
    monkeypatch.delenv("TRADEKEEP_PROJECT")
    assert load_settings().shown()["TRADEKEEP_PROJECT"]["source"] == "default"
