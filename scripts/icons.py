"""Draw static/icon.png and static/icon-32.png from static/icon.svg with Chromium.

python -m scripts.icons
"""

from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.browser.harness import launch

STATIC = Path(__file__).parent.parent / "static"


def main() -> None:
    """Write both sizes, with a transparent background."""
    svg = (STATIC / "icon.svg").read_text("utf-8")
    with sync_playwright() as playwright:
        browser = launch(playwright)
        for size, name in ((256, "icon.png"), (32, "icon-32.png")):
            page = browser.new_page(viewport={"width": size, "height": size})
            page.set_content(
                f"<style>body{{margin:0}} svg{{display:block;width:{size}px;height:{size}px}}</style>{svg}"
            )
            page.screenshot(path=STATIC / name, omit_background=True)
        browser.close()


if __name__ == "__main__":
    main()
