"""Two windows, and two apps, on one project: nobody is confused, and all end on the same verified database."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from core.database import session
from tests.browser.harness import App, Visitor, serve
from tests.browser.test_setup import START, enter_server, local_app, login, sign_in
from tests.servers import Cluster

__all__ = ["local_app"]
pytestmark = [pytest.mark.browser, pytest.mark.long]


def press_together(name: str, *visitors: Visitor) -> None:
    """Press the button of this name in every window before any of them has drawn what follows."""
    buttons = [visitor.page.get_by_role("button", name=name, exact=True).first for visitor in visitors]
    for button in buttons:
        button.wait_for()
    for button in buttons:
        button.click(no_wait_after=True)


def works(visitor: Visitor) -> None:
    visitor.wait_for("verifications passed", timeout_s=90)
    visitor.wait_for("works")
    assert "What to do" not in visitor.text()


def signs_in(app: App) -> None:
    """Every login that stands in the files is the server's."""
    for file, key in (
        (".env.local", "DATABASE_URL"),
        (".env.tradekeep", "DATABASE_OWNER_URL"),
        (".env.tradekeep", "DATABASE_VIEWER_URL"),
    ):
        with session(login(app.project / file, key)) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_two_windows_press_start_at_once(local_app: App, window: Callable[..., Visitor]) -> None:
    one, other = window(local_app).open("/setup"), window(local_app).open("/setup")
    press_together(START, one, other)
    works(one)
    works(other)
    signs_in(local_app)


def test_two_apps_set_up_one_project_at_once(local_app: App, window: Callable[..., Visitor]) -> None:
    with serve(local_app.home.parent) as second:
        one, other = window(local_app).open("/setup"), window(second).open("/setup")
        press_together(START, one, other)
        works(one)
        works(other)
        signs_in(local_app)
        other.assert_clean()
        other.page.goto("about:blank")  # before its server ends: a lost connection is a message in the console


def test_a_second_window_starts_over_while_the_first_is_under_way(
    own_cluster: Cluster, start_app: Callable[..., App], window: Callable[..., Visitor]
) -> None:
    app = start_app()
    first, second = window(app), window(app)
    enter_server(first, own_cluster)
    sign_in(first, own_cluster.password)
    first.wait_for("Create roles and database")
    second.open("/setup").wait_for("Create roles and database")
    second.click("Start over").wait_for("Use my server")
    # What the first window shows is gone by now; its click finds the page as it is, and breaks nothing.
    first.page.get_by_role("button", name="Create roles and database", exact=True).click()
    first.settle().wait_for("Use my server")
    assert "What to do" not in first.text()
    enter_server(first, own_cluster)
    sign_in(first, own_cluster.password)
    first.click("Create roles and database").wait_for("Write the configuration")
    first.click("Write the configuration").wait_for("Create the tables")
    second.settle()
    press_together("Create the tables", first, second.open("/setup"))
    works(first)
    works(second)
    signs_in(app)


def test_going_back_finds_the_step_where_it_was(
    own_cluster: Cluster, start_app: Callable[..., App], window: Callable[..., Visitor]
) -> None:
    visitor = window(start_app())
    enter_server(visitor, own_cluster)
    sign_in(visitor, "Wr0ng-planted")
    visitor.wait_for("What to do")
    visitor.go("Overview").wait_for("Demo data")
    visitor.page.go_back()
    visitor.settle().wait_for("What to do")
    visitor.click("Change the sign-in")
    expect(visitor.page.get_by_label("User", exact=True)).to_have_value("postgres")
    visitor.go("Schema").page.go_back()
    visitor.settle()
    sign_in(visitor, own_cluster.password)
    visitor.wait_for("Create roles and database")
