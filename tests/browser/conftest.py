"""One Chromium a worker, one running app a module, one clean window a test."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, sync_playwright

from tests.browser.harness import App, Visitor, launch, serve


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The browser; a missing one skips, or fails where REQUIRE_BROWSER is set."""
    with sync_playwright() as playwright:
        try:
            browser = launch(playwright)
        except Error as missing:
            if os.environ.get("REQUIRE_BROWSER"):
                pytest.fail(f"REQUIRE_BROWSER is set and Chromium does not start: {missing.message.splitlines()[0]}")
            pytest.skip("no Chromium here")
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The app on empty folders, shared by the tests of a module."""
    with serve(tmp_path_factory.mktemp("app")) as running:
        yield running


@pytest.fixture
def start_app(tmp_path: Path) -> Iterator[Callable[..., App]]:
    """A function that starts an app of the test's own; takes what `serve` takes after the folder."""
    with ExitStack() as running:
        count = 0

        def start(**options: object) -> App:
            nonlocal count
            count += 1
            folder = tmp_path / f"app{count}"
            folder.mkdir()
            return running.enter_context(serve(folder, **options))  # type: ignore[arg-type]  # passed through

        yield start


@pytest.fixture
def window(chromium: Browser) -> Iterator[Callable[..., Visitor]]:
    """A function that opens a window on an app: `window(app, scheme="dark", width=390)`; clean at the test's end.

    `problems.clear()` on the visitor forgives what a test provoked.
    """
    with ExitStack() as open_contexts:
        visitors: list[Visitor] = []

        def enter(on: App, *, scheme: str = "light", width: int = 1440, height: int = 900) -> Visitor:
            context = chromium.new_context(
                viewport={"width": width, "height": height},
                color_scheme=scheme,  # type: ignore[arg-type]  # one of Playwright's literals
                reduced_motion="reduce",  # drawing every step of a fade is a quarter of the work
            )
            open_contexts.callback(context.close)
            context.set_default_timeout(20_000)
            visitors.append(Visitor.enter(context, on))
            return visitors[-1]

        yield enter
        for visitor in visitors:
            visitor.assert_clean()


@pytest.fixture
def page(window: Callable[..., Visitor], app: App) -> Visitor:
    """A window of 1440 px in the light scheme on the module's app."""
    return window(app)
