"""The Setup page in its states: nothing yet, configured without tables, done, away, a configuration in error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from core import state
from core.database import Database
from core.schema import migrate
from core.settings import DatabaseConfig
from tests.ui.conftest import Open, words

Configured = Callable[[DatabaseConfig], None]


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
    app.button(key="setup_verify_again").click().run()
    task = state.tasks().latest("setup_verify")
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


def test_a_configuration_in_error_says_which(visit: Open, project: Path, when) -> None:  # type: ignore[no-untyped-def]
    (project / ".env.local").write_text("DATABASE_URL=postgresql://u:S3cret-planted@h:1/db?nonsense=1\n")
    when(lambda status: status.error is not None)
    app = visit("setup")
    assert "Option 1 after the" in words(app)
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


def test_schema_page_creates_the_tables(visit: Open, configured: Configured, pg_database, when) -> None:  # type: ignore[no-untyped-def]
    configured(pg_database)
    when(lambda status: status.mode == "connected")
    app = visit("schema")
    assert "none of the tables is there yet" in words(app)
    app.button(key="schema_upgrade_button").click().run()
    task = state.tasks().latest("schema_upgrade")
    assert task is not None
    assert task.wait(30)
    app.run()
    assert "All 34 tables are there" in words(app)


def test_schema_page_names_what_is_damaged(visit: Open, configured: Configured, migrated, when) -> None:  # type: ignore[no-untyped-def]
    database = Database(migrated)
    with database.connect() as connection:
        connection.exec_driver_sql("DROP TABLE telegram_settings")
        connection.exec_driver_sql("ALTER TABLE alerts DROP COLUMN source")
        connection.exec_driver_sql("CREATE TABLE theirs (a int)")
    database.dispose()
    configured(migrated)
    when(lambda status: status.mode == "connected")
    text = words(visit("schema"))
    assert "1 of 34 tables are missing, 1 lack columns" in text
    assert "not ours" in text


def test_schema_page_shows_the_demo_and_offers_no_change(visit: Open, when) -> None:  # type: ignore[no-untyped-def]
    when(lambda status: status.mode == "demo")
    app = visit("schema")
    assert "Demo data" in words(app)
    assert "schema_upgrade_button" not in [button.key for button in app.button]


def test_revisions_show_their_sql(visit: Open, configured: Configured, migrated, when) -> None:  # type: ignore[no-untyped-def]
    configured(migrated)
    when(lambda status: status.ready)
    assert migrate.revisions()
    assert "CREATE TABLE" in words(visit("schema"))
