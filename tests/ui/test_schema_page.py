"""The Schema page in its states: empty, damaged, without its record, the demo."""

from __future__ import annotations

import pytest

from core import state
from core.database import Database
from core.schema import migrate
from core.settings import DatabaseConfig
from tests.ui.conftest import Open, words
from tests.ui.test_setup_page import Configured


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
    assert "All 36 tables are there" in words(app)


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
    assert "1 of 36 tables is missing, and 1 table lacks columns" in text
    assert "not ours" in text


def test_schema_page_makes_what_was_dropped(visit: Open, configured: Configured, migrated, when) -> None:  # type: ignore[no-untyped-def]
    database = Database(migrated)
    with database.connect() as connection:
        connection.exec_driver_sql("DROP TABLE telegram_settings")
        connection.exec_driver_sql("ALTER TABLE alerts DROP COLUMN source")
    database.dispose()
    configured(migrated)
    when(lambda status: status.mode == "connected")
    app = visit("schema")
    shown = app.dataframe[0].value
    assert list(shown.columns)[:2] == ["Table", "State"]
    assert list(shown["Table"])[:2] == ["telegram_settings", "alerts"]
    assert list(shown["State"])[:3] == ["✕ missing", "△ columns missing", "✓ present"]
    button = app.button(key="schema_upgrade_button")
    assert button.label == "Create what is missing"
    assert "ALTER TABLE alerts ADD COLUMN source" in words(app)
    button.click().run()
    task = state.tasks().latest("schema_upgrade")
    assert task is not None
    assert task.wait(30)
    app.run()
    assert "1 table created, 35 were already there." in app.success[0].value
    assert "All 36 tables are there" in words(app)


@pytest.mark.parametrize("page", ["schema", "setup"])
def test_a_lost_record_of_the_revision_is_offered_to_be_made_again(
    visit: Open,
    configured: Configured,
    migrated: DatabaseConfig,
    when,  # type: ignore[no-untyped-def]
    page: str,
) -> None:
    database = Database(migrated)
    with database.connect() as connection:
        connection.exec_driver_sql("DROP TABLE alembic_version")
    database.dispose()
    configured(migrated)
    when(lambda status: status.schema is not None and status.schema.matching is not None)
    app = visit(page)
    (button,) = [one for one in app.button if one.label.startswith("Record revision ")]
    assert not [one for one in app.button if one.label == "Create the tables"]
    assert "changes no table and no row" in words(app)
    button.click().run()
    task = state.tasks().latest(str(button.key).removesuffix("_record"))
    assert task is not None
    assert task.wait(30)
    when(lambda status: status.schema is not None and status.schema.current_version is not None)
    assert not [one for one in app.run().button if one.label.startswith("Record revision ")]


def test_schema_page_shows_the_demo_and_offers_no_change(visit: Open, when) -> None:  # type: ignore[no-untyped-def]
    when(lambda status: status.mode == "demo")
    app = visit("schema")
    assert "Demo data" in words(app)
    assert "schema_upgrade_button" not in [button.key for button in app.button]


def test_revisions_show_their_sql(visit: Open, configured: Configured, migrated, when) -> None:  # type: ignore[no-untyped-def]
    configured(migrated)
    when(lambda status: status.ready)
    app = visit("schema")
    assert [one.label.split()[1] for one in app.expander] == [one.id for one in migrate.revisions()]
    assert "CREATE TABLE" not in words(app)  # of closed ones nothing is sent
    app.session_state["schema_revision_0001"] = True
    assert "CREATE TABLE" in words(app.run())
