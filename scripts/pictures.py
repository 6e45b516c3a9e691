"""Photograph pages of the app into docs/pictures: light and dark at 1440 px, light as a phone of 390 px.

python -m scripts.pictures [path ...]     default: every page of the sidebar

The app runs on temporary, empty folders, so the pictures show nobody's data.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, sync_playwright

from tests.browser.harness import ROOT, App, Visitor, launch, serve

PICTURES = ROOT / "docs" / "pictures"
VIEWS = (("light", 1440, "light"), ("dark", 1440, "dark"), ("phone", 390, "light"))


def photograph(browser: Browser, app: App, path: str, name: str) -> list[Path]:
    """Three pictures of what stands at path: `<name>-light.png`, `<name>-dark.png`, `<name>-phone.png`."""
    files = []
    for view, width, scheme in VIEWS:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,  # type: ignore[arg-type]  # one of Playwright's literals
        )
        visitor = Visitor.enter(context, app).open(path)
        visitor.page.wait_for_timeout(1200)  # charts and tables draw after the run
        visitor.assert_clean()
        files.append(visitor.picture(PICTURES / f"{name}-{view}.png"))
        context.close()
    return files


def paths(browser: Browser, app: App) -> list[str]:
    """The paths in the sidebar, from top to bottom."""
    page = browser.new_page()
    Visitor(page, app).open("/")
    links = page.get_by_test_id("stSidebarNavLink").all()
    found = [urlsplit(link.evaluate("e => e.href")).path for link in links]
    page.close()
    return found


def main(wanted: list[str]) -> None:
    """Photograph the wanted paths, or all."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright, serve(Path(folder)) as app:
        browser = launch(playwright)
        for path in wanted or paths(browser, app):
            for file in photograph(browser, app, path, path.strip("/") or "overview"):
                print(file.relative_to(ROOT))
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1:])
