"""Photograph the pages in their states into docs/pictures: light and dark at 1440 px, light as a phone of 390 px.

python -m scripts.pictures [name ...]     default: every picture

The app runs on temporary, empty folders and servers of its own, so the pictures show nobody's data.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from core import embedded
from tests.browser.harness import ROOT, App, Visitor, launch, serve
from tests.servers import Cluster

PICTURES = ROOT / "docs" / "pictures"
VIEWS = (("light", 1440, "light"), ("dark", 1440, "dark"), ("phone", 390, "light"))


def window(browser: Browser, app: App, width: int, scheme: str) -> Visitor:
    """A window of that width in that colour scheme."""
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme=scheme,  # type: ignore[arg-type]  # one of Playwright's literals
    )
    return Visitor.enter(context, app)


def photograph(browser: Browser, app: App, path: str, name: str) -> None:
    """Three pictures of what stands at path: `<name>-light.png`, `<name>-dark.png`, `<name>-phone.png`."""
    for view, width, scheme in VIEWS:
        visitor = window(browser, app, width, scheme).open(path)
        visitor.page.wait_for_timeout(1500)  # charts and tables draw after the run
        visitor.assert_clean()
        file = visitor.picture(PICTURES / f"{name}-{view}.png")
        print(file.relative_to(ROOT))
        visitor.page.context.close()


def nothing(visitor: Visitor) -> None:
    """The app as it was cloned."""


def wrong_password(visitor: Visitor) -> None:
    """Somebody's own server, and a password that is wrong."""
    with Cluster() as server:
        visitor.open("/setup").click("Use my server")
        visitor.fill("Host", "127.0.0.1").fill("Port", str(server.port)).click("Continue")
        visitor.fill("Password", "not-the-password").click("Test the connection")
        visitor.wait_for("What to do")


def local_server(visitor: Visitor) -> None:
    """A local PostgreSQL, set up and verified."""
    visitor.open("/setup").click("Start over")
    visitor.click("Start a local PostgreSQL")
    visitor.wait_for("verifications passed", timeout_s=120)


def demo_data(visitor: Visitor) -> None:
    """Demo data in that server's empty database."""
    visitor.open("/setup").click("Load demo data")
    visitor.page.get_by_role("dialog").get_by_role("button", name="Load it").click()
    visitor.wait_for("rows of demo data loaded", timeout_s=120)


# What to do first, then the pictures of the state that this leads to: name, path.
STATES: tuple[tuple[Callable[[Visitor], None], tuple[tuple[str, str], ...]], ...] = (
    (nothing, (
        ("overview", "/"), ("setup-start", "/setup"), ("explorer", "/explorer?table=trading_trades"),
        ("tables", "/explorer"), ("portfolio", "/portfolio"),
    )),
    (wrong_password, (("setup-error", "/setup"),)),
    (local_server, (("setup-done", "/setup"), ("schema", "/schema"), ("import", "/import"))),
    (demo_data, (("setup-demo-data", "/setup"),)),
)  # fmt: skip


def main(wanted: list[str]) -> None:
    """Bring the app into one state after the other and photograph what is wanted."""
    folder = Path(tempfile.mkdtemp())
    try:
        with sync_playwright() as playwright, serve(folder) as app:
            browser = launch(playwright)
            for prepare, pictures in STATES:
                visitor = window(browser, app, 1440, "light")
                prepare(visitor)
                visitor.page.context.close()
                for name, path in pictures:
                    if not wanted or name in wanted:
                        photograph(browser, app, path, name)
            browser.close()
    finally:
        place = embedded.status(home=folder / "home").data_dir
        embedded.stop(home=folder / "home")
        shutil.rmtree(folder, ignore_errors=True)
        if place is not None:
            shutil.rmtree(place.parent, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1:])
