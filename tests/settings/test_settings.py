"""load_settings: which source wins, what a bad value does, and the issues it finds."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core import envfile
from core.settings import VARIABLES, ConfigIssue, Settings, load_settings

URL = "postgresql://bot:Xk29vmQz@localhost:5433/trading"
REMOTE = "postgresql://bot:Xk29vmQz@db.example.com/trading"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRADEKEEP_HOME", str(tmp_path / "home"))
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def write(project: Path, name: str, text: str, mode: int = 0o600) -> Path:
    path = project / name
    path.write_text(text)
    path.chmod(mode)
    return path


def found(project: Path, severity: str | None = None) -> list[ConfigIssue]:
    return [issue for issue in load_settings(project).issues() if severity in (None, issue.severity)]


def user_of(loaded: Settings) -> str:
    assert loaded.database
    return loaded.database.user


def test_nothing_configured_is_no_issue(project: Path, tmp_path: Path) -> None:
    loaded = load_settings(project)
    assert (loaded.database, loaded.owner, loaded.viewer, loaded.error) == (None, None, None, None)
    assert not loaded.configured
    assert loaded.issues() == []
    assert (loaded.home, loaded.project) == (tmp_path / "home", project)
    assert (loaded.pool_size, loaded.max_overflow, loaded.connect_timeout_s) == (5, 10, 2.0)


def test_defaults_of_the_table_are_those_of_settings() -> None:
    for variable in VARIABLES:
        field = Settings.model_fields[variable.field]
        if not field.is_required() and variable.default is not None:
            assert field.default == variable.default, variable.name
            assert variable.read(variable.default_text) == variable.default


def test_table_names_every_variable_once_and_every_field_has_one() -> None:
    fields = {variable.field for variable in VARIABLES}
    assert len(fields) == len({variable.name for variable in VARIABLES}) == len(VARIABLES)
    assert set(Settings.model_fields) - fields == {"error", "sources", "found"}
    assert fields <= set(Settings.model_fields)


def test_sources_go_in_order(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = ["environment", ".env.tradekeep", ".env.local", ".env"]
    for name in reversed(order):
        url = f"postgresql://{name.strip('.')}@localhost/d"
        if name == "environment":
            monkeypatch.setenv("DATABASE_URL", url)
        else:
            write(project, name, f"DATABASE_URL={url}\n")
        loaded = load_settings(project)
        assert user_of(loaded) == name.strip(".")
        assert loaded.source_of("DATABASE_URL") == name
    assert load_settings(project).source_of("LOG_LEVEL") == "default"


def test_older_name_counts_after_the_own_one_of_the_same_source(project: Path) -> None:
    write(project, ".env", "DATABASE_URL=postgresql://weaker@/d\n")
    write(project, ".env.local", "DB_URL=postgresql://older@/d\n")
    assert user_of(load_settings(project)) == "older"
    write(project, ".env.local", "DB_URL=postgresql://older@/d\nDATABASE_URL=postgresql://own@/d\n")
    assert user_of(load_settings(project)) == "own"


def test_empty_value_is_no_value(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "")
    monkeypatch.setenv("DB_POOL_SIZE", " ")
    write(project, ".env.local", f"DATABASE_URL={URL}\n")
    loaded = load_settings(project)
    assert user_of(loaded) == "bot"
    assert loaded.pool_size == 5
    assert loaded.issues() == []


def test_values_are_not_expanded(project: Path) -> None:
    write(project, ".env.local", "DATABASE_URL='host=h user=u password=a${HOME}b'\n")
    loaded = load_settings(project)
    assert loaded.database
    assert loaded.database.libpq_params()["password"] == "a${HOME}b"


def test_project_comes_from_the_environment_or_the_current_folder(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(project, ".env.local", f"DATABASE_URL={URL}\n")
    monkeypatch.setenv("TRADEKEEP_PROJECT", str(project))
    assert user_of(load_settings()) == "bot"
    monkeypatch.delenv("TRADEKEEP_PROJECT")
    assert load_settings().project == Path.cwd()
    monkeypatch.chdir(project)
    assert user_of(load_settings()) == "bot"


def test_postgresql_variables_are_the_fallback(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(project, ".env", "PGHOST=h\nPGUSER=u\nPGPASSWORD='p w'\nPGSSLMODE=require\n")
    monkeypatch.setenv("PGPORT", "5433")
    loaded = load_settings(project)
    assert loaded.database
    assert loaded.database.libpq_params() == {
        "host": "h", "port": "5433", "user": "u", "password": "p w", "sslmode": "require",
    }  # fmt: skip
    assert loaded.configured
    write(project, ".env.local", f"DATABASE_URL={URL}\n")
    assert user_of(load_settings(project)) == "bot"


def test_lone_password_variable_configures_nothing(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "x")
    monkeypatch.setenv("PGSSLMODE", "require")
    assert not load_settings(project).configured


def test_options_in_keys_of_their_own_complete_the_url(project: Path) -> None:
    write(project, ".env.local", f"DATABASE_URL={REMOTE}?sslmode=verify-full\nPGSSLROOTCERT=/ca.pem\nPGSSLMODE=allow\n")
    write(project, ".env.tradekeep", "DATABASE_OWNER_URL=postgresql://o:Qx93jdue@db.example.com/trading\n"
          "DATABASE_VIEWER_URL=postgresql://v:Qx93jdue@other.example.com/trading\n")  # fmt: skip
    loaded = load_settings(project)
    assert loaded.database
    assert loaded.owner
    assert loaded.viewer
    assert loaded.database.options == {"sslmode": "verify-full", "sslrootcert": "/ca.pem"}
    assert loaded.owner.options == {"sslmode": "allow", "sslrootcert": "/ca.pem"}
    assert loaded.viewer.options == {}


def test_what_config_gives_for_a_file_comes_back_from_it(project: Path) -> None:
    write(project, ".env.local", f"DATABASE_URL={REMOTE}\n")
    config = load_settings(project).database
    assert config
    full = config.replace(password="p@/:# %", options={"sslmode": "verify-full", "sslrootcert": "/a b/ca.pem"})
    envfile.set_values(project / ".env.local", {"DATABASE_URL": full.url(), **full.extra_env()})
    again = load_settings(project).database
    assert again == full
    assert again.url() == full.url()


def test_testing_without_a_database_uses_sqlite_under_home(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADEKEEP_ENV", "test")
    loaded = load_settings(project)
    assert loaded.env == "testing"
    assert loaded.database
    assert loaded.database.backend == "sqlite"
    assert Path(loaded.database.database) == loaded.home / "testing.sqlite"
    monkeypatch.setenv("DATABASE_URL", URL)
    assert user_of(load_settings(project)) == "bot"


@pytest.mark.parametrize(
    ("name", "value", "field", "expected"),
    [
        ("DB_POOL_SIZE", "7", "pool_size", 7),
        ("DB_POOL_TIMEOUT_S", " 2.5 ", "pool_timeout_s", 2.5),
        ("SQL_ECHO", "Yes", "sql_echo", True),
        ("AUTO_REPAIR", "off", "auto_repair", False),
        ("LOG_LEVEL", "warn", "log_level", "WARNING"),
        ("TRADEKEEP_ENV", "PROD", "env", "production"),
        ("TRACKED_SYMBOLS", " BTC/USD, ETH/USD,,BTC/USD ", "tracked_symbols", ["BTC/USD", "ETH/USD"]),
    ],
)
def test_values_are_read(project: Path, name: str, value: str, field: str, expected: object) -> None:
    write(project, ".env.tradekeep", f"{name}='{value}'\n")
    assert getattr(load_settings(project), field) == expected


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("DB_POOL_SIZE", "many", "pool_size"),
        ("DB_POOL_SIZE", "0", "pool_size"),
        ("DB_POOL_SIZE", "1e9", "pool_size"),
        ("DB_POOL_TIMEOUT_S", "nan", "pool_timeout_s"),
        ("DB_RETRY_DELAY_S", "-1", "retry_delay_s"),
        ("DB_STATEMENT_TIMEOUT_S", "inf", "statement_timeout_s"),
        ("SQL_ECHO", "maybe", "sql_echo"),
        ("LOG_LEVEL", "loud", "log_level"),
        ("TRADEKEEP_ENV", "moon", "env"),
    ],
)
def test_bad_value_is_an_issue_and_the_default_counts(project: Path, name: str, value: str, field: str) -> None:
    write(project, ".env.tradekeep", f"{name}={value}\n")
    loaded = load_settings(project)
    assert getattr(loaded, field) == Settings.model_fields[field].default
    (issue,) = loaded.issues()
    assert (issue.severity, issue.component) == ("error", name)
    assert ".env.tradekeep" in issue.message
    assert issue.suggested_fix


def test_unreadable_url_is_an_error_without_its_secret(project: Path) -> None:
    write(
        project, ".env.local", "DATABASE_URL=postgresql://u:hunter2%@h/db\nDATABASE_OWNER_URL=mysql://u:hunter2@h/d\n"
    )
    loaded = load_settings(project)
    assert loaded.database is None
    assert loaded.configured
    assert loaded.error
    assert loaded.error.error_type == "config"
    assert "DATABASE_URL in .env.local cannot be used: The password" in loaded.error.message
    assert [issue.component for issue in loaded.issues() if issue.severity == "error"] == [
        "DATABASE_URL", "DATABASE_OWNER_URL",
    ]  # fmt: skip
    assert "hunter2" not in repr(loaded) + str(loaded.issues()) + str(loaded.error.diagnostic_info())


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    texts=st.lists(
        st.tuples(
            st.sampled_from([variable.name for variable in VARIABLES] + ["PGHOST", "PGSSLMODE", "PGPORT", "DB_URL"]),
            st.one_of(st.binary(max_size=20), st.sampled_from([URL.encode(), b"postgresql://%", b"sqlite://", b"-1"])),
        ),
        max_size=6,
    )
)
def test_no_file_makes_loading_fail(project: Path, texts: list[tuple[str, bytes]]) -> None:
    (project / ".env.local").write_bytes(b"\n".join(name.encode() + b"=" + value for name, value in texts))
    loaded = load_settings(project)
    assert isinstance(loaded.issues(), list)
    assert repr(loaded)


@pytest.mark.parametrize("kind", ["folder", "fifo", "dangling link"])
def test_odd_env_file_is_an_issue(project: Path, kind: str) -> None:
    path = project / ".env.local"
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to("nowhere")
    (issue,) = found(project, "error")
    assert issue.component == ".env.local"


@pytest.mark.parametrize(
    ("url", "env", "severity", "words"),
    [
        (REMOTE, "production", "error", "may fall back"),
        (REMOTE, "development", "warning", "may fall back"),
        (REMOTE + "?sslmode=require", "production", "error", "nobody checks"),
        (REMOTE + "?sslmode=verify-ca", "production", "error", "another name"),
        (REMOTE.replace("db.example.com", "10.0.0.5") + "?sslmode=disable", "production", "error", "not encrypted"),
        (REMOTE.replace("Xk29vmQz", "postgres") + "?sslmode=verify-full", "development", "error", "everybody tries"),
        (URL.replace("Xk29vmQz", "PASSWORD"), "development", "warning", "everybody tries"),
        (URL.replace("Xk29vmQz", "bot"), "development", "warning", "everybody tries"),
        ("sqlite:///x.db", "production", "error", "SQLite"),
        (URL.replace("bot", "postgres"), "development", "warning", "superuser"),
        ("postgresql://u:hunter/two@h/db", "development", "error", "piece of the password"),
        ("postgresql://u@localhost:70000/db", "development", "error", "65535"),
    ],
)
def test_risky_connection_is_an_issue(project: Path, url: str, env: str, severity: str, words: str) -> None:
    write(project, ".env.local", f"DATABASE_URL={url}\nTRADEKEEP_ENV={env}\n")
    issues = [issue for issue in found(project) if words in issue.message]
    assert [(issue.severity, issue.component) for issue in issues] == [(severity, "DATABASE_URL")]
    assert "Xk29vmQz" not in str(found(project))


@pytest.mark.parametrize(
    "url",
    [
        REMOTE + "?sslmode=verify-full",
        URL,
        "postgresql://bot:Xk29vmQz@[::1]/d",
        "postgresql://bot@%2Fvar%2Frun%2Fpostgresql/d",
        "postgresql://bot@127.0.0.1,localhost/d",
        "postgresql://bot@db/d?hostaddr=127.0.0.1",
    ],
)
def test_safe_connection_is_no_issue_in_production(project: Path, url: str) -> None:
    write(project, ".env.local", f"DATABASE_URL={url}\nTRADEKEEP_ENV=production\n")
    assert found(project) == []


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are ACLs there")
@pytest.mark.parametrize(("mode", "words"), [(0o644, "Everybody"), (0o640, "group"), (0o600, ""), (0o400, "")])
def test_file_that_others_read_is_an_issue(project: Path, mode: int, words: str) -> None:
    path = write(project, ".env.local", "A=1\n", mode)
    issues = found(project)
    assert [words in issue.message for issue in issues] == ([True] if words else [])
    if issues:
        subprocess.run(issues[0].suggested_fix.split(), check=True)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert found(project) == []


def test_shadowed_variable_is_an_issue_that_shows_no_value(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(project, ".env.local", f"DATABASE_URL={URL}\nLOG_LEVEL=INFO\n")
    write(project, ".env.tradekeep", "LOG_LEVEL=DEBUG\n")
    monkeypatch.setenv("DATABASE_URL", URL)
    assert [issue.component for issue in found(project, "warning")] == ["LOG_LEVEL"]
    monkeypatch.setenv("DATABASE_URL", URL.replace("Xk29vmQz", "Other8392"))
    shadowed = {issue.component: issue.message for issue in found(project, "warning")}
    assert shadowed["DATABASE_URL"].startswith(
        "DATABASE_URL in .env.local has no effect: DATABASE_URL in the environment"
    )
    assert "Other8392" not in str(shadowed)
    assert "Xk29vmQz" not in str(shadowed)


def test_environment_that_leads_the_bots_elsewhere_is_an_issue(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOSTADDR", "192.0.2.7")
    monkeypatch.setenv("PGHOST", "db.example")
    assert "PGHOSTADDR" not in [issue.component for issue in found(project, "error")]  # the connection is made of it
    write(project, ".env.local", f"DATABASE_URL={URL}\n")
    assert "PGHOSTADDR" in [issue.component for issue in found(project, "error")]


def test_secret_that_git_would_take_is_an_issue(project: Path) -> None:
    write(project, ".env.local", f"DATABASE_URL={URL}\n")
    assert found(project) == []
    subprocess.run(["git", "init", "-q", str(project)], check=True)
    (issue,) = found(project)
    assert "git does not ignore .env.local" in issue.message
    (project / ".gitignore").write_text(".env.local\n")
    assert found(project) == []


def test_owner_in_the_bots_file_is_an_issue(project: Path) -> None:
    write(project, ".env.local", f"DATABASE_OWNER_URL={URL}\n")
    assert ["which the bots read" in issue.message for issue in found(project)] == [True]
    (project / ".env.local").rename(project / ".env.tradekeep")
    assert found(project) == []


def test_unreadable_lines_are_issues_with_their_number(project: Path) -> None:
    write(project, ".env.local", "A=1\nB: 2\nC='x\n")
    issues = found(project)
    assert [(issue.severity, issue.message[:22]) for issue in issues] == [
        ("error", "Line 3 of .env.local o"),
        ("warning", "Line 2 of .env.local i"),
    ]


def test_home_is_the_users_data_folder_or_a_system_place_for_root(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRADEKEEP_HOME")
    home = load_settings(project).home
    if sys.platform.startswith("linux") and os.geteuid() == 0:
        assert home == Path("/var/lib/tradekeep")
    else:
        assert home.name == "tradekeep"
        assert home.is_relative_to(Path.home())
    monkeypatch.setenv("TRADEKEEP_HOME", "~/elsewhere")
    assert load_settings(project).home == Path.home() / "elsewhere"
