"""The parts of the Portfolio page: their places in the address, their times, and what stays while nothing answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlencode

import pytest
import sqlalchemy as sa
from streamlit.runtime.context import ContextProxy

from core.database import Database
from core.models import Candle, Portfolio, Position, TradingTrade
from core.portfolio import refresh
from core.settings import DatabaseConfig
from tests.portfolio.opened import charts, shown
from tests.portfolio.trips import bots, trip, write
from tests.servers import Cluster
from tests.ui.conftest import Open, a_minute_passes
from tests.ui.conftest import read as words

NOW = datetime.now(UTC)
FOREIGN = "eyJrIjpbXX0"  # a place in a list, but in none of ours
Write = Callable[[DatabaseConfig], None]
When = Callable[..., object]


def test_old_round_trips_imported_later_leave_the_account_value_as_it_was(
    migrated: DatabaseConfig, configured: Write, when: When, visit: Open
) -> None:
    database = Database(migrated)
    bots(database, balance=None)
    seen = NOW - timedelta(days=365)
    write(database, [
        trip(seen - timedelta(days=660), "200"), trip(seen + timedelta(days=9), "-641.89"),
        trip(NOW - timedelta(days=5), "10"),
    ])  # fmt: skip
    with database.connect() as connection:
        row = {"timestamp": seen, "total_value": 25_000, "cash_balance": 1, "currency": "USDT"}
        connection.execute(sa.insert(Portfolio), [row])
    database.dispose()
    configured(migrated)
    when(lambda status: status.mode == "connected" and status.ready)
    app = visit("portfolio")
    source = f"account value of {seen.date()}, the oldest there is"
    assert f"Begins with 24,358.11 USDT: {source}, and what was earned since." in words(app)
    before = {"from": str((seen - timedelta(days=700)).date()), "to": str((seen - timedelta(days=600)).date())}
    for range_ in (before, {"range": "all"}):
        text = words(shown(app, **range_))
        assert f"Begins with 24,800.00 USDT: {source}, less what was earned until then." in text


@pytest.mark.parametrize(
    "params",
    [
        {"currency": "ABC"}, {"kind": "ABC", "currency": "USDT"}, {"candles": "nix"}, {"candles": "nix", "trip": "404"},
        {"after": "zz"}, {"before": "zz"}, {"after": FOREIGN}, {"range": "9y"},
    ],
)  # fmt: skip
def test_what_makes_no_sense_leaves_the_address(connected: DatabaseConfig, visit: Open, params: dict[str, str]) -> None:
    app = visit("portfolio")
    for part in ("days", "trips", "candles"):
        text = words(shown(app, part=part, **params))
        assert "+40.00 USDT net" in text
        assert "What to do" not in text
        kept = {} if part == "days" else {"part": part}
        kept |= {name: value for name, value in params.items() if value == "USDT"}
        kept |= {name: value for name, value in params.items() if value == FOREIGN and part != "trips"}
        assert dict(parse_qsl(urlencode(dict(app.query_params), doseq=True))) == kept


def test_outage_keeps_what_every_part_last_showed(
    own_cluster: Cluster, own_migrated: DatabaseConfig, configured: Write, when: When, visit: Open
) -> None:
    database = Database(own_migrated)
    bots(database)
    write(database, [trip(NOW - timedelta(hours=9 * n + 1), "2") for n in range(60)])
    with database.connect() as connection:
        connection.execute(sa.insert(Candle), [
            {"symbol": "BTC/USDT", "timeframe": "1h", "open_time": NOW - timedelta(hours=n), "open": 1, "high": 1,
             "low": 1, "close": 1, "volume": 1} for n in range(90)
        ])  # fmt: skip
    refresh.refresh(database)
    database.dispose()
    configured(own_migrated)
    when(lambda status: status.mode == "connected" and status.ready)
    app = visit("portfolio")
    assert "+120.00 USDT net in 90 days" in words(app)
    parts = {"days": 6, "split": 2, "positions": 2, "trips": 2, "candles": 3}
    for part in parts:
        shown(app, part=part)
    shown(app, part="candles", trip="1")
    kept = shown(app, part="trips").dataframe[0].value
    own_cluster.stop("immediate")
    a_minute_passes()
    when(lambda status: status.mode == "down")
    app.button(key="portfolio_next").click().run()
    assert app.dataframe[0].value.equals(kept)
    assert "This is the page you came from; the one you asked for comes by itself." in words(app)
    for opened, address in ((app, {}), (app, {"trip": "1"}), (visit("portfolio"), {})):
        for part, number in parts.items():
            text = words(shown(opened, part=part, **address))
            assert "+120.00 USDT net in 90 days" in text
            assert "Last good data, 1 min" in text
            assert "What to do" not in text
            assert charts(opened) == number
            assert len(opened.dataframe) == (part == "trips")
            assert "Up to date" not in text
            assert "no round trip had changed" in text
            assert "you came from" not in text
    app.session_state["portfolio_today"] = NOW.date() - timedelta(days=3)  # as if the night had come meanwhile
    assert "+120.00 USDT net" not in words(shown(app))


def test_times_are_those_of_the_zone_that_is_named(
    filled: DatabaseConfig, configured: Write, when: When, visit: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = NOW.replace(month=7, day=1, hour=22, minute=30, second=5, microsecond=0)
    left = left if left < NOW else left.replace(year=NOW.year - 1)
    database = Database(filled)
    write(database, [trip(left, "5", symbol="SUMMER")])
    with database.connect() as connection:
        id = connection.scalar(sa.select(sa.func.max(TradingTrade.id)))
        connection.execute(sa.insert(Candle), [
            {"symbol": "SUMMER", "timeframe": "1h", "open_time": left.replace(minute=0, second=0) - timedelta(hours=n),
             "open": 1, "high": 1, "low": 1, "close": 1, "volume": 1} for n in range(50)
        ])  # fmt: skip
    database.dispose()
    configured(filled)
    when(lambda status: status.mode == "connected" and status.ready)
    for name, said, note, scale in (
        (
            "Asia/Kolkata",
            f"{left.year}-07-02 04:00:05",
            "Times in Asia/Kolkata; the range's days are UTC days.",
            "time",
        ),
        (None, f"{left.year}-07-01 22:30:05", "Times and days in UTC.", "utc"),
    ):
        monkeypatch.setattr(ContextProxy, "timezone", name)  # what a browser says, which there is none of here
        app = shown(visit("portfolio"), part="trips", symbol="SUMMER", range="all")
        assert said in app.dataframe[0].value.to_string()
        assert note in words(app)
        text = words(shown(app, part="candles", trip=str(id), range="all"))
        assert note in text
        assert f"left {said} (signal)" in text
        chart = app.get("vega_lite_chart")[-1].proto
        assert said in chart.spec
        spec = json.loads(chart.spec)
        assert {layer["encoding"]["x"]["scale"]["type"] for layer in spec["layer"]} == {scale}
        assert "%H:%M" in spec["layer"][0]["encoding"]["x"]["axis"]["labelExpr"]


def test_open_positions_are_held_for_a_duration_and_named_where_there_is_room(
    filled: DatabaseConfig, configured: Write, when: When, visit: Open
) -> None:
    database = Database(filled)
    with database.connect() as connection:
        connection.execute(sa.insert(Position), [
            {"symbol": "ADA/USDT", "side": "LONG", "quantity": 1, "market_value": 17, "unrealized_pnl": 2,
             "currency": "USDT", "status": "OPEN", "metadata_": {},
             "opened_at": datetime.now(UTC) - timedelta(days=1, hours=7, minutes=5)},
        ])  # fmt: skip
    database.dispose()
    configured(filled)
    when(lambda status: status.mode == "connected" and status.ready)
    app = shown(visit("portfolio"), part="positions")
    assert list(app.table[0].value["Held"]) == ["1\u00a0d\u00a07\u00a0h"]
    words_layer = json.loads(app.get("vega_lite_chart")[-1].proto.spec)["layer"][1]
    assert "width" in words_layer["encoding"]["opacity"]["condition"]["test"]
