"""The browser of a run: started once, when the first benchmark needs it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from playwright.sync_api import Browser, BrowserContext, sync_playwright

from tests.browser.harness import launch

_kept = ExitStack()
_browser: Browser | None = None


@contextmanager
def visitor() -> Iterator[BrowserContext]:
    """Somebody who was never here: windows of 1440 x 900, closed at the end.

    They share cookies, a cache and, where the host is the same, a process of the browser: what one draws by itself
    holds up the others.
    """
    global _browser
    if _browser is None:
        _browser = launch(_kept.enter_context(sync_playwright()))
        _kept.callback(_browser.close)
    with _browser.new_context(viewport={"width": 1440, "height": 900}) as context:
        yield context


def close_browser() -> None:
    """End the browser if it was started; the next visitor starts another."""
    global _browser
    _browser = None
    _kept.close()
