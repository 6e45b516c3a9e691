"""One person's way through the files: new passwords, then an old file that comes back and is repaired."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.browser.harness import App, Visitor
from tests.browser.test_setup import START, local_app
from tests.browser.test_two_at_once import signs_in, works

__all__ = ["local_app"]
pytestmark = pytest.mark.browser


def stays_open(person: Visitor, text: str) -> None:
    """What the work came to is still to be read when the page has come to rest."""
    person.settle().page.wait_for_timeout(1000)  # a fold that closes takes half a second
    assert person.page.get_by_text(text).first.is_visible()


@pytest.mark.long
def test_passwords_are_rotated_and_a_restored_one_is_repaired(local_app: App, window: Callable[..., Visitor]) -> None:
    person = window(local_app, width=390, scheme="dark").open("/setup")
    person.click(START)
    works(person)
    before = (local_app.project / ".env.local").read_text()
    person.page.get_by_text("Files and backups").click()
    person.settle()
    person.click("Rotate passwords")
    person.page.get_by_role("dialog").wait_for()
    person.click("Rotate")
    person.wait_for("New passwords work", timeout_s=60)
    stays_open(person, "New passwords work")
    signs_in(local_app)
    after = (local_app.project / ".env.local").read_text()
    assert before != after

    person.open("/setup")
    person.wait_for("differ in the password, which is not shown")
    person.click("Restore this backup")
    person.page.get_by_role("dialog").wait_for()
    person.click("Restore it")
    person.wait_for("does not work with it", timeout_s=60)
    stays_open(person, "does not work with it")
    restored = (local_app.project / ".env.local").read_text()
    assert before.strip() in restored  # the first password, which is no longer the server's
    person.click("Repair the local setup")
    works(person)
    signs_in(local_app)
