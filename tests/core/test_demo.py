"""The demo's rows belong together, obey every rule of the schema, and are made once."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from core import demo
from core.database import Database
from core.errors import TradekeepError
from core.models import Base, TradingBot
from core.models.base import Exact
from core.schema import migrate
from core.settings import DatabaseConfig

NOW = datetime(2024, 5, 17, 13, 7, 22, 345678, tzinfo=UTC)
START = {"USDT": Decimal(25_000), "EUR": Decimal(10_000)}
Tables = dict[str, list[dict[str, Any]]]


def tables(now: datetime = NOW) -> Tables:
    return {table.name: rows for table, rows in demo.rows(now)}


@pytest.fixture(scope="module")
def made() -> Tables:
    return tables()


@pytest.fixture
def live(made: Tables) -> list[dict[str, Any]]:
    return [row for row in made["trading_trades"] if row["trade_type"] == "live"]


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    (home / "demo").mkdir()
    for name, age_s in (("demo-old.sqlite", 90_000), ("demo-used.sqlite", 60)):
        (home / "demo" / name).touch()
        os.utime(home / "demo" / name, (time.time() - age_s,) * 2)
    return home


@pytest.fixture(scope="module")
def shared(shared_home: Path) -> Database:
    return demo.database(shared_home)


def test_every_table_has_rows(shared: Database) -> None:
    with shared.connect() as connection:
        empty = [t.name for t in Base.metadata.sorted_tables if not connection.execute(sa.select(t).limit(1)).all()]
    assert empty == ["trading_rollup_marks"]  # the rollups are up to date
    assert len(Base.metadata.tables) == 36


def test_file_holds_what_the_models_would_write(made: Tables, tmp_path: Path) -> None:
    file = tmp_path / "written.sqlite"
    demo.write(file, demo.rows(NOW))
    database = Database(DatabaseConfig(backend="sqlite", database=str(file)), read_only=True)
    with database.connect() as connection:
        for name in ("trading_trades", "trades", "msg_messages", "portfolios"):
            table = Base.metadata.tables[name]
            for row in connection.execute(sa.select(table).order_by(table.c.id)).mappings():
                assert dict(row) == made[name][row["id"] - 1]
    database.dispose()


def test_rows_obey_the_rules_of_postgresql(migrated: DatabaseConfig, made: Tables) -> None:
    database = Database(migrated)
    with database.connect(statement_timeout_s=None) as connection:
        for table in [table for table in Base.metadata.sorted_tables if table.name in made]:
            rows = made[table.name]
            few = table.name in ("candles", "system_events", "portfolios")
            connection.execute(table.insert(), rows[:: len(rows) // 300 + 1] if few else rows)
        assert connection.scalar(sa.text("SELECT count(*) FROM trading_trades")) == len(made["trading_trades"])
    database.dispose()


def test_all_rows_of_a_table_have_the_same_columns_and_exact_money(made: Tables) -> None:
    for name, rows in made.items():
        table = Base.metadata.tables[name]
        assert {tuple(row) for row in rows} == {tuple(rows[0])}, name
        exact = [column.name for column in table.c if isinstance(column.type, Exact)]
        kinds = {type(row[column]) for row in rows for column in exact if row.get(column) is not None}
        assert kinds <= {Decimal}, name


def test_same_moment_and_seed_give_the_same_rows(made: Tables) -> None:
    assert tables() == made
    assert {table.name: rows for table, rows in demo.rows(NOW, seed=1)} != made


def test_fills_of_an_order_add_up_to_its_round_trip(made: Tables, live: list[dict[str, Any]]) -> None:
    fills = defaultdict(list)
    for row in made["trades"]:
        if row["status"] == "FILLED":
            fills[row["order_id"]].append(row)
    for trip in live:
        sides = ("BUY", "SELL") if trip["direction"] == "LONG" else ("SELL", "BUY")
        fees = Decimal(0)
        for kind, side in zip(("entry", "exit"), sides, strict=True):
            if trip[f"{kind}_time"] is None:
                continue
            parts = fills.pop(trip["extra_metadata"][f"{kind}_order_id"])
            assert sum(part["quantity"] for part in parts) == trip["size"]
            assert {(part["price"], part["action"], part["symbol"]) for part in parts} == {
                (trip[f"{kind}_price"], side, trip["symbol"])
            }
            assert parts[-1]["executed_at"] == trip[f"{kind}_time"]
            fees += sum(part["fee"] for part in parts)
        assert fees == trip["commission"]
    assert not fills


def test_profit_follows_from_prices(made: Tables) -> None:
    for trip in made["trading_trades"]:
        if trip["status"] == "OPEN":
            assert (trip["exit_time"], trip["net_pnl"]) == (None, None)
            continue
        sign = 1 if trip["direction"] == "LONG" else -1
        assert trip["gross_pnl"] == sign * (trip["exit_price"] - trip["entry_price"]) * trip["size"]
        assert trip["net_pnl"] == trip["gross_pnl"] - trip["commission"]
        assert trip["entry_time"] < trip["exit_time"] <= NOW


def test_fills_happened_within_their_candles(made: Tables) -> None:
    candles = {(row["symbol"], row["open_time"]): row for row in made["candles"] if row["timeframe"] == "4h"}
    for trip in made["trading_trades"]:
        for moment, price in ((trip["entry_time"], trip["entry_price"]), (trip["exit_time"], trip["exit_price"])):
            if moment is not None:
                candle = candles[
                    trip["symbol"], moment.replace(hour=moment.hour // 4 * 4, minute=0, second=0, microsecond=0)
                ]
                assert candle["low"] <= price <= candle["high"]


def test_long_candles_are_made_of_short_ones(made: Tables) -> None:
    short: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    hours = {}
    for row in made["candles"]:
        if row["timeframe"] == "15m":
            short[row["symbol"], row["open_time"].replace(minute=0)].append(row)
        elif row["timeframe"] == "1h":
            hours[row["symbol"], row["open_time"]] = row
    assert len(short) > 6 * 70
    for key, parts in short.items():
        whole = hours[key]
        assert (whole["open"], whole["close"]) == (parts[0]["open"], parts[-1]["close"])
        assert (whole["high"], whole["low"]) == (max(p["high"] for p in parts), min(p["low"] for p in parts))
        assert abs(whole["volume"] - sum(p["volume"] for p in parts)) < Decimal("0.01")


@pytest.mark.parametrize("currency", ["USDT", "EUR"])
def test_account_is_start_plus_realized_plus_unrealized(
    made: Tables, live: list[dict[str, Any]], currency: str
) -> None:
    opens = {(r["symbol"], r["open_time"]): r["open"] for r in made["candles"] if r["timeframe"] == "15m"}
    last = {r["symbol"]: r["close"] for r in made["candles"] if r["timeframe"] == "15m"}
    own = [trip for trip in live if trip["currency"] == currency]
    checked = 0
    for point in made["portfolios"]:
        moment = point["timestamp"]
        if point["currency"] != currency or moment < NOW - timedelta(days=2):
            continue
        realized = sum(t["net_pnl"] for t in own if t["exit_time"] and t["exit_time"] <= moment)
        unrealized = Decimal(0)
        for trip in own:
            if trip["entry_time"] <= moment and (trip["exit_time"] is None or trip["exit_time"] > moment):
                price = last[trip["symbol"]] if moment == NOW else opens[trip["symbol"], moment]
                unrealized += (1 if trip["direction"] == "LONG" else -1) * (price - trip["entry_price"]) * trip["size"]
        assert point["cash_balance"] == START[currency] + realized
        assert point["total_value"] == START[currency] + realized + unrealized
        checked += 1
    assert checked >= 48


def test_open_positions_are_the_open_round_trips(made: Tables, live: list[dict[str, Any]]) -> None:
    held = {row["id"]: row for row in made["positions"] if row["status"] == "OPEN"}
    assert set(held) == {trip["position_id"] for trip in live if trip["status"] == "OPEN"}
    assert len(held) >= 3
    assert len({(row["symbol"], row["side"]) for row in held.values()}) == len(held)
    unrealized = defaultdict(Decimal)
    for row in held.values():
        unrealized[row["currency"]] += row["unrealized_pnl"]
    for currency, amount in unrealized.items():
        newest = [row for row in made["portfolios"] if row["currency"] == currency][-1]
        assert newest["total_value"] - newest["cash_balance"] == amount


def test_no_bot_holds_one_coin_twice(made: Tables) -> None:
    ends: dict[tuple[int, str], datetime] = {}
    for trip in sorted(made["trading_trades"], key=lambda trip: trip["entry_time"]):
        key = (trip["bot_id"], trip["symbol"])
        assert trip["entry_time"] > ends.get(key, trip["entry_time"] - timedelta(1))
        ends[key] = trip["exit_time"] or NOW


def test_a_year_has_losses_and_a_drawdown(made: Tables) -> None:
    for currency in START:
        values = [row["total_value"] for row in made["portfolios"] if row["currency"] == currency]
        peak, fall = values[0], Decimal(0)
        for value in values:
            peak = max(peak, value)
            fall = max(fall, 1 - value / peak)
        assert Decimal("0.03") < fall < Decimal("0.3")
    nets = [trip["net_pnl"] for trip in made["trading_trades"] if trip["net_pnl"]]
    assert 0.35 < sum(net > 0 for net in nets) / len(nets) < 0.65


def test_alerts_have_every_severity_and_some_are_open(made: Tables) -> None:
    alerts = made["alerts"]
    assert {row["severity"] for row in alerts} == {"INFO", "WARNING", "CRITICAL", "EMERGENCY"}
    assert 0 < sum(not row["resolved"] for row in alerts) < 5


@pytest.mark.parametrize("clock", ["00:00:40", "02:59:59", "03:00:00", "23:59:59"])
def test_today_has_rows_at_any_time_of_day(clock: str) -> None:
    now = datetime.fromisoformat(f"2024-05-17T{clock}+00:00")
    made = tables(now)
    midnight = now.replace(hour=0, minute=0, second=0)
    closed = [t for t in made["trading_trades"] if t["exit_time"] and t["exit_time"] >= midnight]
    assert {trip["currency"] for trip in closed if trip["trade_type"] == "live"} == {"USDT", "EUR"}
    assert sum(row["status"] == "OPEN" for row in made["positions"]) >= 3
    for name in ("trades", "portfolios", "system_events", "candles"):
        column = {"trades": "executed_at", "portfolios": "timestamp", "system_events": "occurred_at"}.get(
            name, "open_time"
        )
        newest = max(row[column] for row in made[name])
        assert now - timedelta(hours=12) < newest <= now


def test_old_files_go_and_those_in_use_stay(shared: Database, shared_home: Path) -> None:
    names = {file.name for file in (shared_home / "demo").glob("*.sqlite")}
    assert names == {"demo-used.sqlite", Path(shared.config.database).name}


def test_demo_cannot_be_written(shared: Database) -> None:
    with pytest.raises(TradekeepError), shared.connect() as connection:
        connection.execute(sa.delete(TradingBot))


def test_second_call_gives_the_same_database(shared: Database, shared_home: Path) -> None:
    assert demo.database(shared_home) is shared
    assert Path(shared.config.database).parent == shared_home / "demo"
    assert Path(shared.config.database).stat().st_size < 30_000_000


def test_running_bots_stay_alive(shared: Database, shared_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "_demos", {})  # as another process would find the file
    begin = datetime.now(UTC)
    demo.database(shared_home)
    with shared.connect() as connection:
        beats = connection.execute(sa.select(TradingBot.status, TradingBot.last_heartbeat)).all()
    assert {str(status): beat >= begin for status, beat in beats} == {"running": True, "stopped": False}


def test_two_processes_at_once_make_one_file(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from core import demo; demo.database(Path(sys.argv[1])).ping()"
    root = Path(demo.__file__).parents[2]
    runs = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=root) for _ in range(2)]
    assert [run.wait(60) for run in runs] == [0, 0]
    assert sorted(file.suffix for file in (tmp_path / "demo").iterdir() if file.suffix != ".lock") == [".sqlite"]


def test_vanished_file_is_made_again_once_for_all_threads(shared: Database, shared_home: Path) -> None:
    Path(shared.config.database).unlink()
    found: list[Database] = []
    threads = [threading.Thread(target=lambda: found.append(demo.database(shared_home))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len({id(database) for database in found}) == 1
    assert found[0].ping() > 0


def test_home_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file where the folder would be")
    with pytest.raises(TradekeepError):
        demo.database(tmp_path / "home")


def test_demo_is_at_the_newest_revision(shared: Database) -> None:
    found = migrate.status(shared)
    assert (found.current_version, found.migration_needed) == (found.expected_version, False)
    assert (found.unmanaged, found.missing) == ([], [])


def test_folders_of_the_demo_are_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        demo.database(tmp_path / "new" / "home").dispose()
    finally:
        os.umask(before)
    for folder in (tmp_path / "new", tmp_path / "new" / "home", tmp_path / "new" / "home" / "demo"):
        assert folder.stat().st_mode & 0o777 == 0o700
