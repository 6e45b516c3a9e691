"""Journeys through the Portfolio: look, narrow, share the link, page, see a round trip on its candles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, quote, urlsplit

import pytest
import sqlalchemy as sa
from playwright.sync_api import Browser, Locator, expect

from core.database import Database
from core.models import Candle, Position
from core.portfolio import refresh
from core.settings import DatabaseConfig
from tests.browser.explored import EVILS, Listener, configure, listening
from tests.browser.harness import App, Visitor, serve
from tests.portfolio.trips import bots, trip, write
from tests.servers import Cluster, new_database

pytestmark = pytest.mark.browser
NOW = datetime.now(UTC).replace(minute=30, second=0, microsecond=0)
Window = Callable[..., Visitor]


@dataclass
class Traded:
    """An app on a database with 130 round trips, candles, and names that mean harm."""

    app: App
    config: DatabaseConfig
    listener: Listener


@pytest.fixture(scope="module")
def traded(cluster: Cluster, _migrated_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traded]:
    folder = tmp_path_factory.mktemp("traded")
    with listening() as listener, new_database(cluster, template=_migrated_template) as name:
        config = cluster.config(name)
        fill(config, [evil.format(url=listener.url, host=listener.host) for evil in EVILS])
        configure(folder, config)
        with serve(folder) as app:
            yield Traded(app, config, listener)


def fill(config: DatabaseConfig, evils: list[str]) -> None:
    """Round trips of two months in dollars, spoilt ones in another currency, and hourly candles of one symbol."""
    database = Database(config)
    bots(database)
    write(database, [
        trip(NOW - timedelta(days=n // 2, hours=1 + n % 2 * 9), "4" if n % 3 else "-5", hold_s=7200,
             symbol=("BTC/USDT", "ETH/USDT")[n % 2], bot_id=1 + n % 2, entry_logic_name="cross up",
             exit_logic_name="cross down")
        for n in range(130)
    ])  # fmt: skip
    write(database, [
        trip(NOW - timedelta(days=n, hours=2), "1", symbol=evil, strategy_name=evil, exit_reason=evil,
             entry_logic_name=evil, currency="EVIL")
        for n, evil in enumerate(evils)
    ])  # fmt: skip
    hour = timedelta(hours=1)
    begin = NOW.replace(minute=0)
    with database.connect() as connection:
        connection.execute(sa.insert(Candle), [
            {"symbol": symbol, "timeframe": "1h", "open_time": begin - n * hour, "open": 100 + n % 5, "high": 110,
             "low": 95, "close": 100 + n % 7, "volume": 1}
            for symbol in ("BTC/USDT", evils[0]) for n in range(24 * 70)
        ])  # fmt: skip
        connection.execute(sa.insert(Position), [
            {"symbol": symbol, "side": "LONG", "quantity": 1, "market_value": value, "unrealized_pnl": 1,
             "currency": "USDT", "status": "OPEN", "metadata_": {}}
            for symbol, value in (("BTC/USDT", 83), ("ADA/USDT", 17))
        ])  # fmt: skip
    refresh.refresh(database)
    database.dispose()


def params(visitor: Visitor) -> dict[str, list[str]]:
    return parse_qs(urlsplit(visitor.page.url).query)


def chosen(visitor: Visitor) -> list[str]:
    """What is chosen in range, currency and part."""
    visitor.page.locator("[aria-checked=true]").first.wait_for()
    return visitor.page.locator("[aria-checked=true]").all_inner_texts()


def switch(visitor: Visitor, name: str) -> None:
    """Press one of the options that stand side by side."""
    visitor.page.get_by_role("radio", name=name, exact=True).click()
    visitor.settle()


def newest(visitor: Visitor) -> Locator:
    """When the first round trip of the list was left."""
    return visitor.page.get_by_test_id("stDataFrame").locator("[role=gridcell][aria-colindex='2']").first


def choose(visitor: Visitor, name: str, option: str) -> None:
    """Take an option of a filter."""
    visitor.page.locator(f".st-key-portfolio_{name} input").first.click()
    visitor.page.get_by_role("option", name=option, exact=True).click()
    visitor.settle()


def drawn(visitor: Visitor, number: int) -> None:
    """Wait until as many charts are drawn, each with marks in it."""
    expect(visitor.page.locator("[data-testid=stVegaLiteChart] :is(svg, canvas)")).to_have_count(number)


@pytest.mark.parametrize(("scheme", "width"), [pytest.param("dark", 1440, marks=pytest.mark.long), ("light", 390)])
def test_demo_draws_every_part_within_the_policy(app: App, window: Window, scheme: str, width: int) -> None:
    visitor = window(app, scheme=scheme, width=width).open("/portfolio")
    visitor.wait_for("USDT net in 90 days, from")
    drawn(visitor, 6)
    for part, said, charts in (
        ("Symbols, strategies", "By strategy and exit reason", 2),
        ("Open positions", "open positions, unrealised", 3),
        ("Round trips", "Choose a row to see it on its candles.", 2),
        ("Candles", "exits with a profit", 3),
    ):
        switch(visitor, part)
        visitor.wait_for(said)
        drawn(visitor, charts)
        visitor.assert_clean()


@pytest.mark.long
def test_link_draws_the_same_picture_in_another_window(traded: Traded, window: Window) -> None:
    first = window(traded.app).open("/portfolio")
    first.wait_for("+124.00 USDT net in 90 days, from 130 round trips.")
    switch(first, "30 d")
    choose(first, "symbol", "ETH/USDT")
    switch(first, "Round trips")
    assert params(first) == {"range": ["30d"], "symbol": ["ETH/USDT"], "part": ["trips"]}
    said = first.page.get_by_role("heading", level=4).first.inner_text()
    since = NOW.date() - timedelta(days=29)
    closed = sum((NOW - timedelta(days=n, hours=10)).date() >= since for n in range(65))  # before ten: one less
    assert f"from {closed} round trips" in said
    second = window(traded.app).open(first.page.url.removeprefix(traded.app.url))
    second.wait_for(said)
    second.wait_for("Choose a row to see it on its candles.")
    for _ in range(100):  # a busy browser presses the switches one after the other
        if len(chosen(second)) == 3:
            break
        second.page.wait_for_timeout(100)
    assert chosen(second) == ["30 d", "USDT", "Round trips"]
    for visitor in (first, second):
        visitor.assert_clean()


def test_pages_of_round_trips_and_one_of_them_on_its_candles(traded: Traded, window: Window) -> None:
    visitor = window(traded.app).open("/portfolio?part=trips&symbol=BTC/USDT")
    grid = visitor.page.get_by_test_id("stDataFrame")
    grid.wait_for()
    first = newest(visitor).inner_text()
    visitor.click("Next", exact=False)
    assert "after" in params(visitor)
    expect(newest(visitor)).not_to_have_text(first)
    visitor.click("Previous", exact=False)
    expect(newest(visitor)).to_have_text(first)
    box = grid.bounding_box()
    assert box
    visitor.page.mouse.click(box["x"] + 15, box["y"] + 16 + 33 * 3)
    visitor.settle()
    visitor.wait_for("1h candles, average of 20 closes")
    visitor.wait_for("▲ Long entered")
    drawn(visitor, 3)
    assert params(visitor)["part"] == ["candles"]
    visitor.click("The whole range")
    assert params(visitor)["candles"] == ["BTC/USDT"]
    drawn(visitor, 3)
    visitor.assert_clean()


def test_axis_and_words_of_a_round_trip_are_in_the_zone_of_the_browser(
    traded: Traded, chromium: Browser, window: Window
) -> None:
    database = Database(traded.config)
    with database.connect() as connection:
        row = connection.execute(sa.text("SELECT max(id) AS id FROM trading_trades WHERE symbol = 'BTC/USDT'")).one()
    database.dispose()
    with chromium.new_context(timezone_id="Asia/Tokyo", viewport={"width": 1440, "height": 900}) as context:
        visitor = Visitor.enter(context, traded.app).open(f"/portfolio?part=candles&trip={row.id}")
        visitor.wait_for("Times in Asia/Tokyo; the range's days are UTC days.")
        drawn(visitor, 3)
        labels = visitor.page.get_by_test_id("stVegaLiteChart").last.locator("text").all_text_contents()
        visitor.assert_clean()
    assert "12:00" in labels
    assert not [label for label in labels if label.endswith(("AM", "PM"))]


@pytest.mark.long
@pytest.mark.parametrize(("width", "named"), [(1440, ["BTC/USDT", "ADA/USDT"]), (390, ["BTC/USDT"])])
def test_slices_are_named_where_there_is_room(traded: Traded, window: Window, width: int, named: list[str]) -> None:
    visitor = window(traded.app, width=width).open("/portfolio?part=positions")
    visitor.wait_for("2 open positions")
    drawn(visitor, 3)
    texts = visitor.page.get_by_test_id("stVegaLiteChart").last.locator("text")
    texts.first.wait_for(state="attached")
    found = {text.text_content(): text.get_attribute("opacity") for text in texts.all()}
    assert [name for name, opacity in found.items() if opacity != "0"] == named


def test_days_are_chosen_by_the_calendar(traded: Traded, window: Window) -> None:
    day = (NOW - timedelta(days=3)).date()
    visitor = window(traded.app).open(f"/portfolio?from={day}&to={day}")
    visitor.wait_for("in these days, from 2 round trips.")
    visitor.wait_for(f"{day} to {day}")
    switch(visitor, "7 d")
    assert params(visitor) == {"range": ["7d"]}
    visitor.assert_clean()


def test_names_that_mean_harm_cause_no_request(traded: Traded, window: Window) -> None:
    visitor = window(traded.app)
    for part in ("days", "split", "trips", "candles"):
        visitor.open(f"/portfolio?currency=EVIL&part={part}")
        visitor.wait_for("EVIL net in 90 days")
    evil = quote(EVILS[0].format(url=traded.listener.url, host=traded.listener.host))
    visitor.open(f"/portfolio?currency=EVIL&part=candles&candles={evil}&symbol={evil}")
    drawn(visitor, 3)
    for chart in visitor.page.get_by_test_id("stVegaLiteChart").all():
        box = chart.bounding_box()
        assert box
        for share in (0.3, 0.6, 0.95):
            visitor.page.mouse.move(box["x"] + box["width"] * share, box["y"] + box["height"] / 2)
            visitor.page.wait_for_timeout(100)
    visitor.assert_clean()
    assert traded.listener.calls == 0


def test_a_late_round_trip_counts_at_once(traded: Traded, window: Window) -> None:
    database = Database(traded.config)
    write(database, [trip(NOW - timedelta(days=20), "12.34", symbol="LATE")])
    database.dispose()
    visitor = window(traded.app).open("/portfolio?symbol=LATE")
    visitor.wait_for("+12.34 USDT net in 90 days, from 1 round trip.")
    visitor.wait_for("Up to date: rollups refreshed")
    visitor.assert_clean()
