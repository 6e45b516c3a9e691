"""The journeys of a person: a local PostgreSQL in one click, and one's own server with everything that goes wrong."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from core import embedded, envfile
from core.settings import DatabaseConfig, parse_connection
from tests.browser.harness import App, Visitor
from tests.servers import Cluster

pytestmark = pytest.mark.browser
START = "Start a local PostgreSQL"


def login(file: Path, key: str = "DATABASE_URL") -> DatabaseConfig:
    text = envfile.values(file)[key]
    assert text is not None
    return parse_connection(text)


def psql(config: DatabaseConfig, statement: str) -> subprocess.CompletedProcess[str]:
    """The real psql with exactly what stands in the file, the password in the environment."""
    assert config.password is not None
    variables = {
        "PGHOST": config.host, "PGPORT": str(config.port), "PGUSER": config.user, "PGDATABASE": config.database,
        "PGPASSWORD": config.password.get_secret_value(), "PATH": os.environ["PATH"],
    }  # fmt: skip
    return subprocess.run(
        [embedded.client("psql"), "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statement],
        env=variables, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip


@pytest.fixture
def local_app(start_app: Callable[..., App]) -> Iterator[App]:
    """An app whose bundled server, if it started one, is stopped and removed at the end."""
    app = start_app(fresh=True)
    yield app
    place = embedded.status(home=app.home).data_dir
    embedded.stop(home=app.home)
    if place is not None:
        shutil.rmtree(place.parent, ignore_errors=True)


def test_one_click_ends_on_a_verified_database(local_app: App, window: Callable[..., Visitor]) -> None:
    visitor = window(local_app).open("/setup")
    visitor.click(START)
    visitor.wait_for("verifications passed", timeout_s=90)
    visitor.wait_for("works")
    runtime = login(local_app.project / ".env.local")
    assert psql(runtime, "SELECT current_user").stdout.strip() == "trading"
    insert = "INSERT INTO telegram_settings (key, value) VALUES ('a', 'b') RETURNING key"
    assert psql(runtime, insert).stdout.split()[0] == "a"
    assert "permission denied" in psql(runtime, "CREATE TABLE mine (a int)").stderr
    viewer = login(local_app.project / ".env.tradekeep", "DATABASE_VIEWER_URL")
    assert psql(viewer, "SELECT value FROM telegram_settings").stdout.strip() == "b"
    assert "permission denied" in psql(viewer, "DELETE FROM telegram_settings").stderr
    for name in (".env.local", ".env.tradekeep"):
        assert stat.S_IMODE((local_app.project / name).stat().st_mode) == 0o600
    assert "OWNER" not in (local_app.project / ".env.local").read_text()

    # A reload and a second window find the same end.
    visitor.open("/setup").wait_for("works")
    other = window(local_app).open("/setup")
    other.wait_for("works")
    other.go("Schema").wait_for("All 36 tables are there")
    other.go("Overview").wait_for("Connected")
    for config in (runtime, viewer):
        assert config.password is not None
        assert config.password.get_secret_value() not in visitor.page.content() + local_app.log()


@pytest.mark.long
def test_the_work_survives_a_closed_tab(local_app: App, window: Callable[..., Visitor]) -> None:
    first = window(local_app).open("/setup")
    first.page.get_by_role("button", name=START).click()
    first.wait_for("Create the database and its roles")
    first.page.goto("about:blank")
    second = window(local_app).open("/setup")
    second.wait_for("verifications passed", timeout_s=90)
    assert psql(login(local_app.project / ".env.local"), "SELECT 1").returncode == 0


def enter_server(visitor: Visitor, cluster: Cluster) -> None:
    visitor.open("/setup").click("Use my server")
    visitor.wait_for("1 Server")
    visitor.fill("Host", "127.0.0.1").fill("Port", str(cluster.port)).click("Continue")
    visitor.wait_for("Database to sign in to")


def sign_in(visitor: Visitor, password: str, database: str = "postgres", user: str = "postgres") -> None:
    visitor.fill("User", user).fill("Password", password).fill("Database to sign in to", database)
    visitor.click("Test the connection")


def test_my_server_through_a_wrong_password_and_a_missing_database(
    own_cluster: Cluster, start_app: Callable[..., App], window: Callable[..., Visitor]
) -> None:
    app = start_app()
    visitor = window(app)
    enter_server(visitor, own_cluster)

    sign_in(visitor, "Wr0ng-planted")
    visitor.wait_for("What to do")
    assert "DB_" in visitor.text()
    visitor.click("Change the sign-in")
    assert visitor.page.get_by_label("User", exact=True).input_value() == "postgres"

    sign_in(visitor, own_cluster.password, database="nowhere")
    visitor.wait_for("What to do")
    assert "nowhere" in visitor.text()
    visitor.click("Change the sign-in")

    sign_in(visitor, own_cluster.password)
    visitor.wait_for("Create role trading_owner")
    visitor.click("Create roles and database")
    visitor.wait_for("Write the configuration", timeout_s=30)
    visitor.page.get_by_role("button", name="Write the configuration").wait_for()
    assert "+DATABASE_URL=postgresql://trading:***@" in visitor.text()
    assert not (app.project / ".env.local").exists()
    visitor.click("Write the configuration")
    visitor.page.get_by_role("button", name="Create the tables").click()
    visitor.wait_for("verifications passed", timeout_s=60)

    runtime = login(app.project / ".env.local")
    assert psql(runtime, "SELECT count(*) FROM trades").stdout.strip() == "0"
    assert "permission denied" in psql(runtime, "CREATE TABLE mine (a int)").stderr
    everything = visitor.page.content() + app.log() + "".join(p.read_text() for p in app.home.rglob("*.jsonl"))
    for secret in ("Wr0ng-planted", own_cluster.password, runtime.password and runtime.password.get_secret_value()):
        assert secret
        assert secret not in everything
    assert own_cluster.password not in "".join(p.read_text() for p in app.project.glob(".env*"))


def test_a_port_where_nothing_listens_stays_on_the_step(
    start_app: Callable[..., App], window: Callable[..., Visitor]
) -> None:
    visitor = window(start_app()).open("/setup").click("Use my server")
    visitor.fill("Host", "127.0.0.1").fill("Port", "1").click("Continue")
    visitor.wait_for("What to do")
    assert visitor.page.get_by_label("Port", exact=True).input_value() == "1"


def test_a_server_that_goes_away_and_comes_back(
    own_cluster: Cluster, start_app: Callable[..., App], window: Callable[..., Visitor]
) -> None:
    own_cluster.sql("CREATE DATABASE trading")
    app = start_app()
    envfile.set_values(app.project / ".env.local", {"DATABASE_URL": own_cluster.config("trading").url()})
    visitor = window(app).open("/")
    visitor.wait_for("Needs setup")
    visitor.go("Schema").click("Create the tables")
    visitor.wait_for("All 36 tables are there", timeout_s=60)
    own_cluster.stop()
    visitor.wait_for("Down", timeout_s=40)
    assert "All 36 tables are there" in visitor.text()
    visitor.wait_for("Last good data")
    own_cluster.start()
    visitor.wait_for("Connected", timeout_s=60)


def test_a_pasted_connection_string_fills_the_fields(
    own_cluster: Cluster, start_app: Callable[..., App], window: Callable[..., Visitor]
) -> None:
    visitor = window(start_app()).open("/setup").click("Use my server")
    visitor.page.get_by_text("Paste a connection string").click()
    visitor.fill("Connection string", own_cluster.admin.url())
    visitor.page.wait_for_timeout(500)  # a form takes up what was typed a moment after the field was left
    visitor.click("Fill in")
    expect(visitor.page.get_by_label("Port", exact=True)).to_have_value(str(own_cluster.port))
    visitor.click("Continue")
    visitor.click("Test the connection")
    visitor.wait_for("Create role trading_owner")


@pytest.mark.long
def test_one_login_for_everything(
    own_cluster: Cluster, start_app: Callable[..., App], window: Callable[..., Visitor]
) -> None:
    own_cluster.sql("CREATE ROLE hosted LOGIN PASSWORD 'hosted-pw-1'", "CREATE DATABASE hosted OWNER hosted")
    app = start_app()
    visitor = window(app)
    enter_server(visitor, own_cluster)
    sign_in(visitor, "hosted-pw-1", database="hosted", user="hosted")
    visitor.wait_for("may not create roles and databases")
    visitor.click("Use this login as it is")
    visitor.page.get_by_role("button", name="Write the configuration").click()
    visitor.page.get_by_role("button", name="Create the tables").click()
    visitor.wait_for("verifications passed", timeout_s=60)
    assert login(app.project / ".env.local").user == "hosted"
    assert "DATABASE_OWNER_URL" not in "".join(p.read_text() for p in app.project.glob(".env*"))


@pytest.mark.long
def test_the_project_folder_can_be_changed(
    start_app: Callable[..., App], window: Callable[..., Visitor], tmp_path: Path
) -> None:
    elsewhere = tmp_path / "my bots"
    elsewhere.mkdir()
    visitor = window(start_app(env={"TRADEKEEP_PROJECT": ""})).open("/setup")
    visitor.click("Change", exact=False)
    visitor.fill("Folder", "/no/such/folder").click("Use this folder")
    visitor.wait_for("is not a folder")
    visitor.fill("Folder", str(elsewhere)).click("Use this folder")
    visitor.wait_for(str(elsewhere))
    visitor.open("/setup").wait_for(str(elsewhere))


@pytest.mark.long
def test_a_mistyped_server_is_corrected_on_the_second_try(
    own_cluster: Cluster, start_app: Callable[..., App], window: Callable[..., Visitor]
) -> None:
    visitor = window(start_app()).open("/setup").click("Use my server")
    visitor.fill("Host", "127.0.0.1").fill("Port", "1").click("Continue")
    visitor.wait_for("What to do")
    visitor.fill("Port", "70000").click("Continue")
    visitor.wait_for("This is not a port")
    visitor.fill("Port", str(own_cluster.port)).click("Continue")
    visitor.wait_for("Database to sign in to")
    visitor.click("Start over")
    visitor.wait_for("Start a local PostgreSQL")


@pytest.mark.long
def test_the_local_way_asks_before_it_replaces_a_url(
    start_app: Callable[..., App], window: Callable[..., Visitor]
) -> None:
    app = start_app()
    text = "DATABASE_URL=postgresql://prod:S3cret-planted@127.0.0.1:1/prod?nonsense=1\n"
    (app.project / ".env.local").write_text(text)
    visitor = window(app).open("/setup")
    visitor.click(START)
    visitor.wait_for("Replace the present DATABASE_URL?")
    assert "S3cret-planted" not in visitor.page.content()
    visitor.click("Keep it")
    visitor.page.get_by_role("dialog").wait_for(state="detached")
    visitor.click(START)
    visitor.page.get_by_role("dialog").wait_for()
    visitor.page.keyboard.press("Escape")
    visitor.page.get_by_role("dialog").wait_for(state="detached")
    visitor.open("/setup")
    assert visitor.page.get_by_role("dialog").count() == 0
    assert (app.project / ".env.local").read_text() == text


def test_a_label_is_never_a_link(start_app: Callable[..., App], window: Callable[..., Visitor]) -> None:
    app = start_app()
    url = "postgresql://prod:S3cret-planted@www.example.invalid/prod"
    (app.project / ".env.local").write_text(f"DATABASE_URL={url}\n")
    visitor = window(app).open("/setup")
    visitor.wait_for("Try again now", timeout_s=60)  # what resolves the name may take its time to say that it cannot
    for path in ("/setup", "/"):
        visitor.open(path).wait_for("Connection and setup")
        assert visitor.page.locator("a[href^=mailto], a[href*='example']").count() == 0
        assert "prod@www.example.invalid" in visitor.page.locator("body").inner_text().replace("\u200b", "")
