"""Journeys through the Explorer: filter, page, share the link, resolve an alert, export and read the file back."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pyarrow.parquet as pq
import pytest
from playwright.sync_api import Locator, expect

from core.settings import DatabaseConfig
from tests.browser.explored import TRADES, Listener, configure, fill, listening, spoil
from tests.browser.harness import App, Visitor, serve
from tests.servers import Cluster, new_database

pytestmark = pytest.mark.browser
CHECKBOX_PX, HEADER_PX, ROW_PX = 15, 16, 33


@dataclass
class Explored:
    """An app on a filled database, and what to look into it with."""

    app: App
    config: DatabaseConfig
    cluster: Cluster
    listener: Listener

    def sql(self, statement: str) -> list[tuple[object, ...]]:
        return self.cluster.sql(statement, database=self.config.database)


@pytest.fixture(scope="module")
def explored(cluster: Cluster, _migrated_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Explored]:
    folder = tmp_path_factory.mktemp("explored")
    with listening() as listener, new_database(cluster, template=_migrated_template) as name:
        fill(cluster, name)
        spoil(cluster, name, listener)
        configure(folder, cluster.config(name))
        with serve(folder) as app:
            yield Explored(app, cluster.config(name), cluster, listener)


def column(visitor: Visitor, number: int) -> Locator:
    """The cells of a column; the grid is drawn on a canvas, and its cells can be read beside it."""
    grid = visitor.page.get_by_test_id("stDataFrame").last
    return grid.locator(f"[role=gridcell][aria-colindex='{number + 1}']")


def cells(visitor: Visitor, number: int, most: int = 8) -> list[str]:
    """The first texts of a column."""
    found = column(visitor, number)
    found.first.wait_for(state="attached")
    return found.all_inner_texts()[:most]


def click_row(visitor: Visitor, row: int) -> None:
    visitor.settle()
    box = visitor.page.get_by_test_id("stDataFrame").bounding_box()
    assert box
    visitor.page.mouse.click(box["x"] + CHECKBOX_PX, box["y"] + HEADER_PX + ROW_PX * (row + 1))
    visitor.settle()


def click_header(visitor: Visitor, label: str) -> None:
    visitor.page.get_by_test_id("stDataFrame").scroll_into_view_if_needed()
    box = visitor.page.get_by_test_id("stDataFrame").bounding_box()
    assert box
    widths = {"Executed": 60, "Symbol": 220}
    visitor.page.mouse.click(box["x"] + widths[label], box["y"] + HEADER_PX)
    visitor.settle()


def params(visitor: Visitor) -> dict[str, list[str]]:
    return parse_qs(urlsplit(visitor.page.url).query)


def test_from_the_list_to_a_filtered_page_that_a_second_browser_sees_too(
    explored: Explored, window: Callable[..., Visitor]
) -> None:
    person = window(explored.app).open("/explorer")
    person.wait_for("Connected")
    person.page.get_by_label("Find a table").fill("trades")
    person.settle()
    box = person.page.get_by_test_id("stDataFrame").bounding_box()
    assert box
    person.page.mouse.click(box["x"] + 40, box["y"] + HEADER_PX + ROW_PX)
    person.settle().wait_for("of ~1,234")
    assert params(person) == {"table": ["trades"]}

    person.click("Filter")
    person.page.get_by_role("button", name="ETH/USDT").click()
    person.settle().wait_for("symbol is ETH/USDT")
    assert person.page.get_by_label("Comparison").count() == 0  # the builder closed
    click_header(person, "Symbol")
    person.page.get_by_role("button", name="sorted by symbol ↑").click()
    expect(person.page.get_by_role("button", name="sorted by symbol")).to_have_count(0)
    person.settle()
    click_header(person, "Executed")
    person.wait_for("sorted by executed_at ↑")
    assert params(person)["sort"] == ["executed_at asc"]
    person.page.get_by_label("Rows a page").click()
    person.page.get_by_role("option", name="100 rows").click()
    person.settle()
    person.click("Next", exact=False)
    person.wait_for("Rows 101–200 of ~412")
    person.click("Count exactly", exact=False)
    person.wait_for("of 412")

    other = window(explored.app).open(person.page.url.removeprefix(explored.app.url))
    other.wait_for("Rows 101–200 of ~412")
    assert cells(other, 0) == cells(person, 0)
    assert set(cells(other, 1)) == {"ETH/USDT"}

    person.page.go_back()
    person.settle().wait_for("Rows 1–100 of 412")
    person.page.get_by_role("heading", name="Explorer").click()
    person.page.keyboard.press("ArrowRight")
    person.settle().wait_for("Rows 101–200")
    person.page.get_by_role("button", name="symbol is ETH/USDT").click()
    person.settle().wait_for("Rows 1–100 of ~1,234")


def test_pages_forth_and_back_are_the_table(explored: Explored, window: Callable[..., Visitor]) -> None:
    person = window(explored.app).open("/explorer?table=trades&time=utc")
    first = cells(person, 0)
    assert first[0] == "2026-02-21 10:00:00"
    scroller = person.page.locator(".dvn-scroller")
    scroller.evaluate("e => { e.scrollTop = 2000; e.scrollLeft = 50 }")
    person.click("Next", exact=False)
    person.wait_for("Rows 501–1,000")
    expect(column(person, 0).first).to_have_text("2026-01-31 14:00:00")  # a page begins at its top
    assert scroller.evaluate("e => [e.scrollTop, e.scrollLeft]") == [0, 50]
    person.click("Next", exact=False)
    person.wait_for(f"Rows 1,001–{TRADES:,} of ~{TRADES:,}")
    after = person.page.get_by_role("button", name="Next")
    expect(after).to_have_count(1)  # where a button before it went, the old and the new one stand there for a moment
    expect(after).to_be_disabled()
    person.click("Previous", exact=False)
    person.click("Previous", exact=False)
    person.wait_for("Rows 1–500")
    expect(column(person, 0).first).to_have_text(first[0])
    assert cells(person, 0) == first


def test_filters_are_typed_and_one_that_makes_no_sense_can_be_removed(
    explored: Explored, window: Callable[..., Visitor]
) -> None:
    person = window(explored.app).open("/explorer?table=trades&time=utc")
    person.click("Filter")
    person.page.get_by_label("Column", exact=True).last.click()
    person.page.get_by_role("option", name="executed_at").click()
    person.settle()
    person.page.get_by_label("Comparison").click()
    person.page.get_by_role("option", name="before").click()
    person.settle()
    person.page.get_by_label("Value").fill("2026-01-01 04:00")
    person.click("Add filter")
    person.wait_for("executed_at before 2026-01-01 04:00:00")
    person.wait_for("Rows 1–3 of 3")

    person.open("/explorer?table=trades&where=" + quote('["quantity",">","many"]'))
    person.wait_for("What to do")
    person.page.get_by_role("button", name="quantity more than many").click()
    person.settle().wait_for("Rows 1–500")
    person.open("/explorer?table=trades&after=x").click("Begin at the first page")
    person.wait_for("Rows 1–500")


def test_row_in_full_leads_to_its_relatives_and_back(explored: Explored, window: Callable[..., Visitor]) -> None:
    person = window(explored.app).open("/explorer?table=trading_trades")
    click_row(person, 0)
    drawer = person.page.get_by_role("dialog")
    expect(drawer.get_by_text("net_pnl")).to_be_visible()
    assert json.loads(params(person)["row"][0])[0] == "BTC/USDT"
    other = window(explored.app).open(person.page.url.removeprefix(explored.app.url))
    expect(other.page.get_by_role("dialog").get_by_text("net_pnl")).to_be_visible()
    drawer.get_by_role("link", name="trading_bots").click()
    person.settle().wait_for("id is 7")
    assert params(person) == {"table": ["trading_bots"], "where": ['["id","=",7]']}
    click_row(person, 0)
    expect(drawer.get_by_text("trading_trades · 5 rows")).to_be_visible()
    person.page.keyboard.press("Escape")
    person.settle()
    assert "row" not in params(person)
    for _ in range(3):
        person.page.go_back()
        person.settle()
    person.page.wait_for_url("**/explorer?table=trading_trades*")


def test_table_without_a_key_shows_exact_numbers_and_says_what_it_cannot(
    explored: Explored, window: Callable[..., Visitor]
) -> None:
    person = window(explored.app).open("/explorer?table=keyless")
    person.wait_for("This table has no key")
    assert sorted(cells(person, 1)) == ["12345678901234567890.123456789", "NaN"]
    click_row(person, 0)
    expect(person.page.get_by_role("dialog").get_by_text("12345678901234567890.123456789")).to_be_visible()


@pytest.mark.long
def test_opened_rows_are_the_same_after_their_address_and_after_going_back(
    explored: Explored, window: Callable[..., Visitor]
) -> None:
    person = window(explored.app).open("/explorer?table=listed")
    click_row(person, 0)
    drawer = person.page.get_by_role("dialog")
    expect(drawer.get_by_text("with a list for a key")).to_be_visible()
    person.open(person.page.url.removeprefix(explored.app.url))
    expect(drawer.get_by_text("with a list for a key")).to_be_visible()

    person.open("/explorer?table=keyless")
    for row, text in ((0, "12345678901234567890.123456789"), (1, "NaN")):
        click_row(person, row)
        expect(drawer.get_by_text(text)).to_be_visible()
        person.page.keyboard.press("Escape")
        drawer.wait_for(state="detached")
        person.settle()
    for _ in range(3):
        person.page.go_back()
        person.settle()
    expect(drawer.get_by_text("12345678901234567890.123456789")).to_be_visible()

    person.open("/explorer?table=alerts&show=" + quote('["message"]'))
    click_row(person, 0)
    person.wait_for("Show row")


def test_alerts_are_resolved_with_a_note(explored: Explored, window: Callable[..., Visitor]) -> None:
    person = window(explored.app).open("/explorer?table=alerts&where=" + quote('["alert_type","=","gap"]'))
    assert set(cells(person, 0)) == {"○ Info", "△ Warning", "✕ Critical"}
    click_row(person, 0)
    click_row(person, 1)
    person.click("Resolve 2 alerts")
    person.page.get_by_role("dialog").get_by_role("button", name="Resolve").click()
    person.wait_for("A note is needed")
    person.page.get_by_label("What was done?").fill("Restarted the feed")
    person.page.get_by_role("dialog").get_by_role("button", name="Resolve").click()
    person.wait_for("2 alerts resolved.")
    person.settle()
    assert [text.startswith("✓ Resolved by") for text in cells(person, 2)] == [True, True] + [False] * 4
    expect(person.page.get_by_role("button", name="Resolve", exact=True)).to_be_disabled()
    assert explored.sql("SELECT DISTINCT resolution FROM alerts WHERE resolved") == [("Restarted the feed",)]
    assert explored.sql("SELECT count(*) FROM webui_audit_logs WHERE action = 'alert.resolve'") == [(2,)]


def test_export_is_everything_that_matches(explored: Explored, window: Callable[..., Visitor], tmp_path: Path) -> None:
    person = window(explored.app).open("/explorer?table=trades&where=" + quote('["symbol","=","ETH/USDT"]'))
    person.click("Download")
    for format, ending in (("CSV", "csv"), ("Parquet", "parquet"), ("JSON lines", "jsonl")):
        person.page.get_by_role("radio", name=format).or_(person.page.get_by_role("button", name=format)).first.click()
        person.settle().click("Prepare the file")
        link = person.page.get_by_role("link", name=f".{ending}")
        link.wait_for()
        exported(explored, person, link, tmp_path)
    person.page.keyboard.press("Escape")
    person.settle().click("symbol is ETH/USDT", exact=False)
    person.settle().click("Download")
    person.wait_for("The last file is of another table, or of other filters, columns or order:")


def exported(explored: Explored, person: Visitor, link: Locator, tmp_path: Path) -> None:
    with person.page.expect_download() as download:
        link.click()
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    assert symbols(file) == ["ETH/USDT"] * 412
    token = (link.get_attribute("href") or "").rpartition("/")[2]
    status, headers, body = explored.app.request(f"/exports/{token}")
    assert (status, headers["Cache-Control"], body) == (200, "no-store", file.read_bytes())
    assert explored.app.request(f"/exports/{token[:-1]}")[0] == 404
    assert explored.app.request(f"/exports/{token}", "POST")[0] == 405


def symbols(file: Path) -> list[str]:
    if file.suffix == ".parquet":
        return list(pq.read_table(file)["symbol"].to_pylist())
    with file.open(newline="", encoding="utf-8") as lines:
        rows = csv.DictReader(lines) if file.suffix == ".csv" else map(json.loads, lines)
        return [row["symbol"] for row in rows]


@pytest.mark.long
def test_saved_view_comes_back_under_its_name(explored: Explored, window: Callable[..., Visitor]) -> None:
    name = f"![x]({explored.listener.url}/name.png)"
    person = window(explored.app).open("/explorer?table=trades&q=SOL")
    person.click("Views")
    person.page.get_by_label("Name").fill(name)
    person.click("Save this view")
    other = window(explored.app).open("/explorer")
    other.page.get_by_role("link", name=name).click()
    other.settle().wait_for("anywhere “SOL”")
    assert params(other) == {"table": ["trades"], "q": ["SOL"]}
    other.click("Views")
    other.click("Remove")
    expect(other.page.get_by_role("link", name=name)).to_have_count(0)
    assert explored.listener.calls == 0


def test_hostile_rows_and_names_cause_no_request(explored: Explored, window: Callable[..., Visitor]) -> None:
    evil = f"public.![x]({explored.listener.url}/table.png)"
    person = window(explored.app).open("/explorer")
    person.wait_for("Connected")
    person.open(f"/explorer?table={quote(evil)}").wait_for("Rows 1–")
    assert "<img src=" in "".join(cells(person, 1, 30))
    grid = person.page.get_by_test_id("stDataFrame")
    grid.hover()
    assert not person.page.get_by_label("Download as CSV").first.is_visible()
    for row in (0, 3):
        click_row(person, row)
        person.page.get_by_role("dialog").get_by_text("large").first.wait_for()
        person.page.wait_for_timeout(150)
        person.page.keyboard.press("Escape")
        person.page.get_by_role("dialog").wait_for(state="detached")
        person.settle()
    box = grid.bounding_box()
    assert box
    for row in range(3):  # cells that are looked at, and their overlays
        person.page.mouse.dblclick(box["x"] + 200, box["y"] + HEADER_PX + ROW_PX * (row + 1))
        person.page.wait_for_timeout(150)
        person.page.keyboard.press("Escape")
    where = quote(json.dumps(["note", "=", f"![x]({explored.listener.url}/image.png)"]))
    person.open(f"/explorer?table={quote(evil)}&where={where}&q={quote('<img src=x>![x](http://x/y.png)')}")
    person.wait_for("anywhere")
    for button in ("Filter", "Columns", "Views", "Download"):
        person.click(button)
        person.page.keyboard.press("Escape")
    person.open("/explorer?table=alerts").wait_for("Rows 1–")
    person.open(f"/explorer?table={quote('![x](' + explored.listener.url + '/none.png)')}").wait_for("What to do")
    assert explored.listener.calls == 0


def test_demo_is_read_only_and_fits_a_phone(app: App, window: Callable[..., Visitor]) -> None:
    person = window(app, width=390, height=844, scheme="dark").open("/explorer?table=alerts")
    person.wait_for("Demo data is read only")
    expect(person.page.get_by_role("button", name="Resolve", exact=True)).to_be_disabled()
    person.open("/explorer?table=trades").wait_for("Rows 1–500 of ~")
    click_row(person, 2)
    expect(person.page.get_by_role("dialog").get_by_text("fee_currency")).to_be_visible()
    links = person.page.get_by_role("dialog").get_by_test_id("stPageLink-NavLink")
    links.get_by_text("with the same symbol").first.wait_for()
    cut = "all => all.flatMap(a => [...a.children]).filter(e => e.scrollWidth > e.clientWidth + 1).length"
    assert links.evaluate_all(cut) == 0
    person.assert_clean()
    person.page.keyboard.press("Escape")
    person.settle().click("Download")
    person.click("Prepare the file")
    expect(person.page.get_by_role("link", name="demo-trades-")).to_be_visible()
