"""A person whose server is stopped: it is found, started on the page, and taken."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import expect

from core import embedded
from tests.browser.harness import App, Visitor

pytestmark = [pytest.mark.browser, pytest.mark.long]


@pytest.fixture
def stopped(start_app: Callable[..., App]) -> Iterator[tuple[App, int]]:
    """An app whose home has a bundled server that was stopped on purpose, and its port."""
    if reason := embedded.available():
        pytest.skip(reason)
    app = start_app()
    port = embedded.start(home=app.home).port
    embedded.stop(home=app.home)
    yield app, port
    place = embedded.status(home=app.home).data_dir
    embedded.stop(home=app.home)
    if place is not None:
        shutil.rmtree(place.parent, ignore_errors=True)


def test_stopped_server_is_started_on_the_page_and_taken(
    stopped: tuple[App, int], window: Callable[..., Visitor]
) -> None:
    app, port = stopped
    visitor = window(app).open("/setup").click("Use my server")
    _show_all(visitor)
    visitor.wait_for("Stopped")
    key = f"[class*=setup_start_localhost_{port}]"
    visitor.page.locator(f"{key} button").click()
    started = visitor.page.locator(f".st-key-setup_use_localhost_{port} button")
    expect(started).to_have_count(1, timeout=30_000)
    assert embedded.status(home=app.home).state == "running"
    visitor.settle()
    _show_all(visitor)
    started.click()
    visitor.settle()
    expect(visitor.page.get_by_text("2 Sign in")).to_be_visible()
    visitor.wait_for(f"localhost:{port}")
    visitor.assert_clean()


def _show_all(visitor: Visitor) -> None:
    """Open the rest of the list, where this machine has many servers."""
    visitor.wait_for("Found on this machine")
    rest = visitor.page.get_by_test_id("stExpander").filter(has_text=" more").locator("summary")
    if rest.count():
        rest.first.click()
        visitor.settle()
