"""Files and tables that mean harm on the Import page: nothing in them is asked for, drawn as markup, or written to."""

from __future__ import annotations

import csv
import io
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from core.settings import DatabaseConfig
from tests.browser.explored import EVILS, Listener, listening
from tests.browser.harness import App, Visitor
from tests.servers import Cluster

pytestmark = pytest.mark.browser
# What leads to the table `trades`; a hostile name stands beside each.
AT_FAULT = (len(EVILS) - 1) // 2  # one of them is empty; every second row is wrong
KNOWN = ("executed_at", "symbol", "action", "quantity", "price", "currency", "order_id", "strategy")


@pytest.fixture
def connected(start_app: Callable[..., App], migrated: DatabaseConfig) -> App:
    return start_app(env={"DATABASE_URL": migrated.url()})


def evils(listener: Listener) -> list[str]:
    return [evil.format(url=listener.url, host=listener.host) for evil in EVILS if evil]


def rows_of(texts: list[str]) -> list[list[str]]:
    """A row for each text, every second one at fault because of it."""
    return [
        [
            f"2024-01-01T00:00:{n:02}Z", f"BTC {text}"[:200], text if n % 2 else "BUY", "1", "7", "USDT", f"o{n}", text,
            *([text] * len(texts)),
        ]
        for n, text in enumerate(texts)
    ]  # fmt: skip


def names_of(texts: list[str]) -> list[str]:
    # A heading that holds a bare number is none: it would be the first row.
    return [*KNOWN, *(f"{text} x" if text[1:2].isdigit() else text for text in texts)]


def csv_of(listener: Listener) -> bytes:
    texts = evils(listener)
    out = io.StringIO(newline="")
    csv.writer(out).writerows([names_of(texts), *rows_of(texts)])
    return out.getvalue().encode()


def sqlite_of(listener: Listener, path: Path) -> bytes:
    texts = evils(listener)[:4]
    columns = ", ".join('"' + name.replace('"', '""') + '"' for name in names_of(texts))
    marks = ", ".join("?" * len(names_of(texts)))
    with sqlite3.connect(path) as connection:
        for table in (f"![x]({listener.url}/table.png)", f"<img src={listener.url}/img>", "../../x"):
            name = '"' + table.replace('"', '""') + '"'
            connection.execute(f"CREATE TABLE {name} ({columns})")
            connection.executemany(f"INSERT INTO {name} VALUES ({marks})", rows_of(texts))
    connection.close()
    return path.read_bytes()


def files(app: App) -> set[Path]:
    """Everything below and beside the app's folders, but not what Chromium and the log make."""
    return {path for path in app.home.parent.parent.rglob("*") if path.is_file() and path.name != "app.log"}


def harmless(person: Visitor) -> None:
    """No element of the page comes from data: no image, no link, no script of anybody else's."""
    main = person.page.get_by_test_id("stMain")
    expect(main.locator("img, script:not([src='/keys.js']), iframe, svg[onload], object, embed")).to_have_count(0)
    foreign = main.locator("a[href^='http'], a[href^='javascript'], a[href^='data']")
    assert [link for link in foreign.all() if not (link.get_attribute("href") or "").startswith(person.app.url)] == []


def test_a_file_that_means_harm_causes_no_request(
    connected: App, window: Callable[..., Visitor], tmp_path: Path
) -> None:
    with listening() as listener:
        person = window(connected).open("/import")
        person.wait_for("Upload a file")
        before = files(connected)
        image = f"![x]({listener.url}/name.png).csv"
        for name in ("../../x.csv", f"<img src={listener.url}/name>.csv"):
            person.upload(name, b"a,b\n1,2\n")
            person.wait_for("CSV · 8 B")
            harmless(person)
        person.upload(image, csv_of(listener))
        person.wait_for("Columns: 8 of 29 are known")
        harmless(person)
        assert {path.parent for path in files(connected) - before} == {connected.home / "imports"}
        # The rows at fault, with their values, and the file's name beside them.
        person.click("Import into trades")
        person.wait_for(f"{AT_FAULT} at fault", timeout_s=60)
        person.page.get_by_test_id("stDataFrame").last.wait_for()
        harmless(person)
        listed = list(csv.DictReader(io.StringIO(person.download("Download the rows at fault").decode())))
        assert len(listed) == AT_FAULT
        assert not [row for row in listed if row["value"].startswith(("=", "+", "-", "@", "\t"))]
        assert {path.parent for path in files(connected) - before} == {connected.home / "imports"}
        person.page.wait_for_timeout(300)
        assert listener.calls == 0


def test_a_database_that_means_harm_causes_no_request(
    connected: App, window: Callable[..., Visitor], cluster: Cluster, migrated: DatabaseConfig, tmp_path: Path
) -> None:
    """Names of a SQLite file's tables and columns, and those of the table that is written into."""
    with listening() as listener:
        image = f"![x]({listener.url}/image.png)"
        cluster.sql(
            f'CREATE TABLE "{image}" (id int PRIMARY KEY, "{image}" text NOT NULL UNIQUE, note text,'
            f' "<img src={listener.url}/img>" text NOT NULL)',
            database=migrated.database,
        )
        person = window(connected, scheme="dark", width=390).open("/import")
        person.wait_for("Upload a file")
        person.upload(f"![x]({listener.url}/name.png).sqlite", sqlite_of(listener, tmp_path / "x.sqlite"))
        person.wait_for("Columns: 8 of 12 are known")
        harmless(person)
        table = person.page.get_by_role("combobox", name="Into the table")
        table.click()
        table.fill("image.png")
        harmless(person)
        table.press("Enter")
        person.settle().wait_for("needs")
        harmless(person)
        ours = person.page.locator("[data-testid=stTooltipHoverTarget]:not([data-testid=stElementToolbar] *)")
        told = [one for one in ours.all() if one.is_visible()]
        assert told
        for one in told:
            one.hover()
            person.page.wait_for_timeout(200)
            expect(person.page.get_by_test_id("stTooltipContent").locator("img, a, script")).to_have_count(0)
        person.page.get_by_role("textbox", name="the same for every row").first.fill("a")
        person.page.keyboard.press("Tab")
        person.settle()
        harmless(person)
        person.page.wait_for_timeout(300)
        assert listener.calls == 0
