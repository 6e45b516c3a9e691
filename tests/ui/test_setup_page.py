"""The Setup page in its states: nothing yet, configured without tables, done, away, a configuration in error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core import embedded, state
from core.settings import DatabaseConfig
from core.setup import flow
from core.tasks import Task
from tests.servers import Cluster, end_bundled
from tests.ui.conftest import Open, words

Configured = Callable[[DatabaseConfig], None]


@pytest.fixture
def bundled_here() -> None:
    """Skip where no bundled server can run."""
    if reason := embedded.available():
        pytest.skip(reason)


def test_nothing_configured_shows_the_two_ways_in(visit: Open, when) -> None:  # type: ignore[no-untyped-def]
    when(lambda status: status.mode == "demo")
    app = visit("setup")
    labels = [button.label for button in app.button]
    assert "Start a local PostgreSQL" in labels
    assert "Use my server" in labels


def test_a_database_without_tables_opens_at_their_step(visit: Open, configured: Configured, pg_database, when) -> None:  # type: ignore[no-untyped-def]
    configured(pg_database)
    when(lambda status: status.mode == "connected")
    app = visit("setup")
    assert "Create the tables" in [button.label for button in app.button]
    assert "Write the configuration" not in [button.label for button in app.button]


def test_a_ready_database_says_so_and_offers_to_verify(visit: Open, configured: Configured, migrated, when) -> None:  # type: ignore[no-untyped-def]
    configured(migrated)
    when(lambda status: status.ready)
    app = visit("setup")
    assert "works" in words(app)
    assert "One login serves bots" in words(app)
    assert "Owner and viewer stand" not in words(app)
    app.button(key="setup_verify_again").click().run()
    task = state.tasks().latest(flow.draft().task("setup_verify"))
    assert task is not None
    assert task.wait(30)
    app.run()
    assert "verifications passed" in words(app)


def test_an_unreachable_database_shows_the_error_and_the_ways_back(visit: Open, configured: Configured, when) -> None:  # type: ignore[no-untyped-def]
    configured(DatabaseConfig(host="127.0.0.1", port=1, user="u", database="d", password="S3cret-planted"))
    when(lambda status: status.mode == "down")
    app = visit("setup")
    labels = [button.label for button in app.button]
    assert {"Try again now", "Change the connection"} <= set(labels)
    assert "What to do" in words(app)
    assert "S3cret-planted" not in words(app)
    app.button(key="setup_reconnect").click().run()
    assert not app.exception
    assert app.text_input[0] is not None
    assert "Host" in [field.label for field in app.text_input]


def test_a_password_that_split_the_url_is_not_shown_in_the_form(visit: Open, project: Path, when) -> None:  # type: ignore[no-untyped-def]
    (project / ".env.local").write_text("DATABASE_URL=postgresql://u:S3cret/planted@h/db\n")
    when(lambda status: status.mode == "down")
    app = visit("setup")
    app.button(key="setup_reconnect").click().run()
    shown = [field.value for field in app.text_input] + [words(app)]
    assert "Host" in [field.label for field in app.text_input]
    assert not any("S3cret" in text or "planted" in text for text in shown)


def test_a_configuration_in_error_says_which(visit: Open, project: Path, when) -> None:  # type: ignore[no-untyped-def]
    (project / ".env.local").write_text("DATABASE_URL=postgresql://u:S3cret-planted@h:1/db?nonsense=1\n")
    when(lambda status: status.error is not None)
    app = visit("setup")
    assert '"nonsense" is not an option of PostgreSQL' in words(app).replace("\\", "")
    assert "S3cret-planted" not in words(app)


def test_the_flow_keeps_what_was_typed_when_a_step_fails(visit: Open, when) -> None:  # type: ignore[no-untyped-def]
    when(lambda status: status.mode == "demo")
    app = visit("setup")
    app.button(key="setup_use_server").click().run()
    host = next(field for field in app.text_input if field.label == "Host")
    port = next(field for field in app.text_input if field.label == "Port")
    host.input("127.0.0.1")
    port.input("1")
    next(button for button in app.button if button.label == "Continue").click().run()
    assert "What to do" in words(app)
    assert next(field for field in app.text_input if field.label == "Port").value == "1"


def button(app: AppTest, label: str):  # type: ignore[no-untyped-def]
    return next(one for one in app.button if one.label == label)


def field(app: AppTest, label: str):  # type: ignore[no-untyped-def]
    return next(one for one in app.text_input if one.label == label)


def labels(app: AppTest) -> list[str]:
    return [one.label for one in app.button]


def over(kind: str) -> Task:
    """The draft's task of that kind, ended."""
    task = state.tasks().latest(flow.draft().task(kind))
    assert task is not None
    assert task.wait(60)
    return task


def at_server(visit: Open) -> AppTest:
    """The page at the first step of one's own server."""
    flow.draft().way = "server"
    return visit("setup")


def signed_in(app: AppTest, cluster: Cluster, **typed: str) -> AppTest:
    """The page after the test of a sign-in."""
    field(app, "Host").input("127.0.0.1")
    field(app, "Port").input(str(cluster.port))
    button(app, "Continue").click().run()
    typed = {"User": "postgres", "Password": cluster.password} | typed
    for label, text in typed.items():
        field(app, label.replace("_", " ")).input(text)
    button(app, "Test the connection").click().run()
    over("setup_test")
    app = app.run()
    assert not app.exception
    return app


def test_a_production_url_is_never_replaced_by_the_away_screen(
    visit: Open, configured: Configured, home: Path, when, bundled_here: None
) -> None:  # type: ignore[no-untyped-def]
    embedded.start(home=home)
    embedded.stop(home=home)
    configured(DatabaseConfig(host="127.0.0.1", port=1, user="prod", database="prod", password="S3cret-planted"))
    when(lambda status: status.mode == "down")
    offered = labels(visit("setup"))
    assert "Try again now" in offered
    assert not {"Start the local PostgreSQL", "Repair the local setup"} & set(offered)


def test_the_away_screen_starts_the_bundled_server_and_touches_no_file(
    visit: Open, configured: Configured, home: Path, when, bundled_here: None
) -> None:  # type: ignore[no-untyped-def]
    admin = embedded.start(home=home).admin_config
    configured(admin)
    when(lambda status: status.mode == "connected")
    before = state.settings().env_local.read_bytes()
    end_bundled(home)
    when(lambda status: embedded.status(home=home).state == "running")  # the watcher starts what was not stopped
    embedded.stop(home=home)
    when(lambda status: status.mode == "down")
    button(visit("setup"), "Start the local PostgreSQL").click().run()
    over("setup_start")
    assert embedded.status(home=home).state == "running"
    when(lambda status: status.mode == "connected")
    assert state.settings().env_local.read_bytes() == before
    assert not state.settings().env_tradekeep.exists()


def test_wrong_logins_of_the_bundled_server_are_repaired(
    visit: Open, configured: Configured, home: Path, when, bundled_here: None
) -> None:  # type: ignore[no-untyped-def]
    port = embedded.start(home=home).port
    configured(DatabaseConfig(host="127.0.0.1", port=port, user="trading", database="trading", password="wr0ng-one"))
    when(lambda status: status.mode == "down")
    button(visit("setup"), "Repair the local setup").click().run()
    assert over("setup_local").state == "done"
    found = when(lambda status: status.ready)
    assert found.label == f"trading@127.0.0.1:{port}/trading"
    assert "works" in words(visit("setup"))


def test_the_local_way_asks_before_it_replaces_a_url(visit: Open, project: Path, when, bundled_here: None) -> None:  # type: ignore[no-untyped-def]
    text = "DATABASE_URL=postgresql://prod:S3cret-planted@prod.example.com/prod\n"
    (project / ".env.local").write_text(text)
    flow.draft().way = "choose"
    app = visit("setup")
    app.button(key="setup_start_local").click().run()
    said = words(app)
    assert "postgresql://prod:***@prod.example.com/prod" in said
    assert str(project / ".env.local") in said
    assert state.tasks().latest(flow.draft().task("setup_local")) is None
    app.button(key="setup_replace_no").click().run()
    assert (project / ".env.local").read_text() == text
    assert state.tasks().latest(flow.draft().task("setup_local")) is None
    assert "setup_replace_yes" not in [one.key for one in app.button]


def test_a_server_that_did_not_answer_can_be_corrected(visit: Open, cluster: Cluster) -> None:
    app = at_server(visit)
    field(app, "Host").input("127.0.0.1")
    field(app, "Port").input("1")
    button(app, "Continue").click().run()
    assert "What to do" in words(app)
    assert field(app, "Port").value == "1"
    assert flow.draft().server is None
    field(app, "Port").input(str(cluster.port))
    button(app, "Continue").click().run()
    assert "Database to sign in to" in [one.label for one in app.text_input]


@pytest.mark.parametrize("mode", ["allow", "disable", "verify-full"])
def test_every_sslmode_can_be_pasted(visit: Open, mode: str) -> None:
    app = at_server(visit)
    field(app, "Connection string").input(f"postgresql://u:S3cret-planted@h.example/d?sslmode={mode}")
    button(app, "Fill in").click().run()
    assert not app.exception
    assert next(one for one in app.selectbox if one.label == "Encryption (sslmode)").value == mode
    assert field(app, "Host").value == "h.example"


def test_what_cannot_be_pasted_leaves_the_form(visit: Open) -> None:
    app = at_server(visit)
    field(app, "Connection string").input("postgresql://u:S3cret-planted@h:1/db?nonsense=1")
    button(app, "Fill in").click().run()
    assert "What to do" in words(app)
    assert {"Host", "Port"} <= {one.label for one in app.text_input}
    assert "S3cret-planted" not in words(app)


@pytest.mark.parametrize("port", ["abc", "70000", "0", "", "٣٤٥", "-1"])
def test_a_bad_port_is_called_a_port(visit: Open, port: str) -> None:
    app = at_server(visit)
    field(app, "Port").input(port)
    button(app, "Continue").click().run()
    assert "This is not a port" in words(app)
    assert "DB_900" not in words(app)


def test_start_over_takes_nothing_along(visit: Open, cluster: Cluster) -> None:
    app = signed_in(at_server(visit), cluster)
    assert "Create role trading_owner" in words(app).replace("\\", "")
    button(app, "Start over").click().run()
    flow.draft().way = "server"
    app.run()
    assert flow.draft().login is None
    assert "Create role trading_owner" not in words(app).replace("\\", "")
    assert "Host" in [one.label for one in app.text_input]


def test_a_wrong_password_leads_back_to_the_sign_in(visit: Open, cluster: Cluster) -> None:
    app = signed_in(at_server(visit), cluster, Password="wr0ng-one")
    primary = [one.label for one in app.button if one.proto.type == "primary"]
    assert primary == ["Change the sign-in"]
    button(app, "Change the sign-in").click().run()
    field(app, "User").input("somebody")
    button(app, "Test the connection").click().run()
    login = flow.draft().login
    assert login is not None
    assert (login.user, login.password) == ("somebody", None)


def test_a_failure_of_encryption_leads_back_to_the_server(visit: Open, cluster: Cluster) -> None:
    app = at_server(visit)
    next(one for one in app.selectbox if one.label == "Encryption (sslmode)").set_value("require")
    app = signed_in(app, cluster)
    button(app, "Change the server").click().run()
    assert field(app, "Port").value == str(cluster.port)


def test_a_server_that_stopped_before_the_roles_is_tried_again(visit: Open, own_cluster: Cluster) -> None:
    app = signed_in(at_server(visit), own_cluster)
    own_cluster.stop()
    app = app.run()
    assert "Create roles and database" not in labels(app)
    own_cluster.start()
    button(app, "Try again").click().run()
    assert "Create roles and database" in labels(app)


def test_an_empty_user_is_refused(visit: Open, cluster: Cluster) -> None:
    app = at_server(visit)
    field(app, "Host").input("127.0.0.1")
    field(app, "Port").input(str(cluster.port))
    button(app, "Continue").click().run()
    field(app, "User").input("  ")
    button(app, "Test the connection").click().run()
    assert "The field User is empty" in words(app)


def test_postgres_own_database_is_not_taken_as_it_is(visit: Open, cluster: Cluster) -> None:
    app = signed_in(at_server(visit), cluster)
    assert "one of PostgreSQL's own databases" in words(app)
    assert "Use this login as it is" not in labels(app)


def test_a_superuser_for_everything_must_be_meant(visit: Open, cluster: Cluster, pg_database: DatabaseConfig) -> None:
    app = signed_in(at_server(visit), cluster, Database_to_sign_in_to=pg_database.database)
    assert app.button(key="setup_adopt").disabled
    app.checkbox(key="setup_adopt_superuser").check().run()
    assert not app.button(key="setup_adopt").disabled


def test_a_refusal_goes_with_the_name_that_caused_it(visit: Open, cluster: Cluster) -> None:
    app = signed_in(at_server(visit), cluster)
    app.text_input(key="setup_database").input("postgres").run()
    assert "What to do" in words(app)
    app.text_input(key="setup_database").input("trading2").run()
    assert "What to do" not in words(app)
    assert "Create database trading2" in words(app)


@pytest.mark.parametrize("typed", ["", " ", "/no/such/folder", "x" * 300, "~nobody-here/x"])
def test_a_project_folder_that_cannot_be_is_refused(visit: Open, project: Path, typed: str) -> None:
    app = visit("setup")
    app.text_input(key="setup_project").input(typed)
    app.button(key="setup_project_use").click().run()
    assert not app.exception
    assert "The project folder cannot be used" in words(app)
    assert state.settings().project == project


def test_another_project_never_shows_the_old_one(
    visit: Open, configured: Configured, migrated, when, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    configured(migrated)
    when(lambda status: status.ready)
    app = visit("setup")
    app.button(key="setup_verify_again").click().run()
    over("setup_verify")
    assert "verifications passed" in words(app.run())
    app.text_input(key="setup_project").input(str(tmp_path))
    app.button(key="setup_project_use").click().run()
    assert "Start a local PostgreSQL" in labels(app)
    assert "verifications passed" not in words(app)
    assert migrated.label not in words(app).replace("\\", "")


def test_a_stopped_server_after_the_journey_is_away(
    visit: Open, configured: Configured, own_cluster: Cluster, when
) -> None:  # type: ignore[no-untyped-def]
    configured(own_cluster.admin)
    when(lambda status: status.mode == "connected")
    draft = flow.draft()
    draft.way, draft.written, draft.made_database = "server", True, "postgres"
    own_cluster.stop()
    when(lambda status: status.mode == "down")
    app = visit("setup")
    assert "Try again now" in labels(app)
    assert "6 Create the tables" not in words(app)
