"""Files and backups on the Setup page: what a backup would change, restoring it, and new passwords."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from streamlit.testing.v1 import AppTest

from core import envfile, state
from core.settings import DatabaseConfig
from core.setup import flow
from core.ui.setup import files
from tests.servers import Cluster
from tests.ui.conftest import Open, words

Configured = Callable[[DatabaseConfig], None]


def labels(app: AppTest) -> list[str]:
    return [button.label for button in app.button]


def over(name: str) -> None:
    task = state.tasks().latest(flow.draft().task(name))
    assert task is not None
    assert task.wait(30)
    deadline = time.monotonic() + 10
    while task.running and time.monotonic() < deadline:
        time.sleep(0.01)


def test_a_backup_is_shown_masked_and_restored(visit: Open, configured: Configured, migrated, when) -> None:  # type: ignore[no-untyped-def]
    local = Path(".env.local")
    configured(migrated)
    envfile.set_values(local, {"SYMBOLS": "BTC", "API_TOKEN": "S3cret-planted-1"})
    envfile.set_values(local, {"SYMBOLS": "ETH"})
    when(lambda status: status.ready)
    app = visit("setup")
    assert "-SYMBOLS=ETH" in words(app)
    assert "+SYMBOLS=BTC" in words(app)
    assert "S3cret-planted-1" not in words(app)
    app.button(key="setup_restore_.env.local").click().run()
    app.button(key="setup_restore_yes").click().run()
    over(files.RESTORE)
    app.run()
    assert envfile.values(local)["SYMBOLS"] == "BTC"
    assert "the connection works" in words(app)
    assert not app.exception


def test_an_old_password_that_comes_back_is_said_so(
    visit: Open, configured: Configured, pg_database: DatabaseConfig, migrated, cluster: Cluster, when
) -> None:  # type: ignore[no-untyped-def]
    configured(migrated.replace(password="not-the-servers-1"))
    configured(migrated)
    when(lambda status: status.ready)
    app = visit("setup")
    app.button(key="setup_restore_.env.local").click().run()
    app.button(key="setup_restore_yes").click().run()
    over(files.RESTORE)
    when(lambda status: status.mode == "down")
    app.run()
    assert "does not work with it" in words(app)
    assert {"Change the connection", "Restore this backup"} <= set(labels(app))
    assert "not-the-servers-1" not in words(app)


def test_keeping_the_present_file_changes_nothing(visit: Open, configured: Configured, migrated, when) -> None:  # type: ignore[no-untyped-def]
    configured(migrated)
    envfile.set_values(Path(".env.local"), {"A": "1"})
    before = Path(".env.local").read_bytes()
    when(lambda status: status.ready)
    app = visit("setup")
    app.button(key="setup_restore_.env.local").click().run()
    app.button(key="setup_restore_no").click().run()
    assert "setup_restore_yes" not in [button.key for button in app.button]
    assert Path(".env.local").read_bytes() == before


def test_passwords_are_rotated_on_the_page(
    visit: Open, configured: Configured, migrated: DatabaseConfig, cluster: Cluster, when
) -> None:  # type: ignore[no-untyped-def]
    cluster.sql("DROP ROLE IF EXISTS spinner", "CREATE ROLE spinner SUPERUSER LOGIN PASSWORD 'first-password-1'")
    configured(migrated.replace(user="spinner", password="first-password-1"))
    when(lambda status: status.ready)
    app = visit("setup")
    app.button(key="setup_rotate").click().run()
    app.button(key="setup_rotate_yes").click().run()
    over(files.ROTATE)
    app.run()
    assert "New passwords work: spinner" in words(app)
    assert "Restart your bots" in words(app)
    assert "first-password-1" not in Path(".env.local").read_text()
    assert when(lambda status: status.ready).error is None
    state.stop()
    cluster.sql("DROP ROLE spinner")


def test_an_interrupted_rotation_is_finished_with_one_press(
    visit: Open, configured: Configured, migrated: DatabaseConfig, cluster: Cluster, when
) -> None:  # type: ignore[no-untyped-def]
    cluster.sql("DROP ROLE IF EXISTS halfway", "CREATE ROLE halfway SUPERUSER LOGIN PASSWORD 'second-password-2'")
    old = migrated.replace(user="halfway", password="first-password-1")
    new = old.replace(password="second-password-2")
    envfile.set_values(Path(".env.local"), {"DATABASE_URL": old.url(), "DATABASE_URL_NEXT": new.url()})
    when(lambda status: status.mode == "down")
    app = visit("setup")
    assert "interrupted" in words(app)
    app.button(key="setup_rotate_finish").click().run()
    over(files.ROTATE)
    app.run()
    assert set(envfile.values(Path(".env.local"))) == {"DATABASE_URL"}
    assert when(lambda status: status.ready).error is None
    state.stop()
    cluster.sql("DROP ROLE halfway")


def test_a_configuration_in_error_can_be_restored(visit: Open, configured: Configured, migrated, when) -> None:  # type: ignore[no-untyped-def]
    configured(migrated)
    envfile.set_values(Path(".env.local"), {"DATABASE_URL": "postgresql://u@h:1/db?nonsense=1"})
    when(lambda status: status.error is not None)
    app = visit("setup")
    app.button(key="setup_restore_.env.local").click().run()
    app.button(key="setup_restore_yes").click().run()
    over(files.RESTORE)
    assert when(lambda status: status.ready).label == migrated.label
