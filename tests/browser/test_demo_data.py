"""Somebody loads demo data into an empty database, sees it labelled everywhere, and takes it away again."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from core import envfile
from core.settings import DatabaseConfig
from tests.browser.harness import App, Visitor

pytestmark = pytest.mark.browser


@pytest.mark.long
def test_demo_data_comes_and_goes(
    migrated: DatabaseConfig, start_app: Callable[..., App], window: Callable[..., Visitor]
) -> None:
    app = start_app()
    envfile.set_values(app.project / ".env.local", {"DATABASE_URL": migrated.url()})
    visitor = window(app).open("/setup")
    visitor.wait_for("No coin is followed yet", timeout_s=60)
    visitor.click("Load demo data")
    visitor.wait_for("Bots that read this database")
    visitor.page.get_by_role("dialog").get_by_role("button", name="Load it").click()
    visitor.wait_for("rows of demo data loaded", timeout_s=60)
    visitor.wait_for("Remove them before your bots trade")
    visitor.wait_for("of 7 coins are covered")
    other = window(app, width=390).open("/")
    other.wait_for("Invented rows were loaded")
    expect(other.page.get_by_test_id("stMain").get_by_text("Demo data", exact=True).first).to_be_visible()
    other.wait_for("Open positions")
    visitor.click("Remove demo data")
    visitor.page.get_by_role("dialog").wait_for()
    button = visitor.page.get_by_role("button", name="Remove it")
    expect(button).to_be_disabled()
    box = visitor.page.get_by_role("dialog").get_by_role("textbox")
    box.fill(migrated.database)
    box.press("Enter")
    expect(button).to_be_enabled()
    button.click()
    visitor.wait_for("rows of demo data removed", timeout_s=60)
    visitor.wait_for("This database is empty")
    visitor.go("Overview").wait_for("Let your bots write")
    expect(visitor.page.get_by_text("Invented rows")).to_have_count(0)
