"""Demo data in a real database: labelled, all or nothing, and removed without touching a real row."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from core import demo
from core.database import Database
from core.demo import load as loading
from core.errors import TradekeepError
from core.models import Base, Position, Trade, TradingBot, TradingTrade, User
from core.repositories import unit_of_work
from core.schema import migrate
from core.services import demo_data, overview
from core.settings import DatabaseConfig
from core.setup import provision
from tests.servers import Cluster

NOW = datetime.now(UTC)
TABLES = Base.metadata.tables
DERIVED = ("trading_rollups", "trading_rollup_marks")


def content(db: Database) -> dict[str, tuple[int, Any]]:
    """How many rows each table has, and a digest of them; made rows aside."""
    digest = {
        "postgresql": "SELECT count(*), sum(hashtextextended(t::text, 0)::numeric) FROM {table} t",
        "sqlite": "SELECT count(*), group_concat(row, '') FROM (SELECT {columns} AS row FROM {table} ORDER BY 1)",
    }[db.backend]
    found: dict[str, tuple[int, Any]] = {}
    with db.connect(statement_timeout_s=None) as connection:
        for name, table in TABLES.items():
            columns = " || ".join(f"coalesce({column.name}, '')" for column in table.columns)
            row = connection.exec_driver_sql(digest.format(table=name, columns=columns)).one()
            if name not in DERIVED:
                found[name] = (row[0], row[1])
    return found


def counts(db: Database) -> dict[str, int]:
    return {name: number for name, (number, _digest) in content(db).items() if number}


def load(db: Database) -> loading.Loaded:
    return loading.load(db, by="ann", now=NOW)


@pytest.fixture(scope="module")
def filled(cluster: Cluster, _migrated_template: str) -> Iterator[str]:
    """The name of a database into which demo data was loaded, to be cloned."""
    name = "filled_with_demo_data"
    cluster.sql(f"CREATE DATABASE {name} TEMPLATE {_migrated_template}")
    db = Database(cluster.config(name))
    load(db)
    db.dispose()
    yield name
    cluster.sql(f"DROP DATABASE {name}")


@pytest.fixture
def loaded(cluster: Cluster, filled: str) -> Iterator[Database]:
    """A database with demo data."""
    cluster.sql(f"CREATE DATABASE cloned_demo TEMPLATE {filled}")
    db = Database(cluster.config("cloned_demo"))
    yield db
    db.dispose()
    cluster.sql("DROP DATABASE cloned_demo WITH (FORCE)")


def real_rows(db: Database) -> None:
    """What a platform writes beside the demo data."""
    with unit_of_work(db) as unit:
        ann = unit.users.add(User(email="ann@example.org"))
        bot = unit.bots.add(
            TradingBot(user_id=ann.id, type="live", name="mine", currency="USDT", config={}, extra_metadata={})
        )
        values: dict[str, Any] = {"action": "BUY", "quantity": 1, "price": 100, "currency": "USDT"}
        for hours in range(5):
            at = NOW - timedelta(hours=hours)
            unit.trades.add(Trade(symbol="BTC/USDT", executed_at=at, order_id=f"mine{hours}", **values))
        trip = {"trade_type": "live", "interval": "1h", "currency": "USDT", "direction": "LONG", "entry_price": 1}
        unit.round_trips.add(
            TradingTrade(bot_id=bot.id, symbol="BTC/USDT", entry_time=NOW, size=1, status="OPEN", extra_metadata={},
                         **trip)
        )  # fmt: skip
        candle = {"open": 2, "high": 4, "low": 1, "close": 3, "volume": 10, "exchange": "kraken"}
        hour = NOW.replace(minute=0, second=0, microsecond=0)
        unit.candles.upsert([
            {"symbol": "BTC/USDT", "timeframe": "1h", "open_time": hour - timedelta(hours=3), **candle},  # over demo's
            {"symbol": "BTC/USDT", "timeframe": "1h", "open_time": hour - timedelta(hours=4), **candle}
            | {"exchange": "demo"},
            {"symbol": "BTC/USDT", "timeframe": "5m", "open_time": hour, **candle},
            {"symbol": "NEW/USDT", "timeframe": "1h", "open_time": hour, **candle},
        ])  # fmt: skip
        unit.events.record("NO_SIGNAL", "Looked", symbol="NEW/USDT")
        unit.configs.put("theme", {"dark": True})


def test_rows_are_loaded_labelled_and_removed(db: Database) -> None:
    with db.connect() as connection:
        assert demo_data.standing(connection) == demo_data.Standing(mark=None, occupied=[])
        assert not demo_data.present(connection)
    before = content(db)
    done = load(db)
    with db.connect() as connection:
        standing = demo_data.standing(connection)
        assert demo_data.present(connection)
    assert standing.mark is not None
    assert (standing.mark.by, standing.mark.rows, standing.mark.total) == ("ann", done.rows, done.total)
    assert not standing.loadable
    there = counts(db)
    assert {name: there[name] for name in done.rows if name not in ("webui_system_config", "webui_audit_logs")} == {
        name: number for name, number in done.rows.items() if name not in ("webui_system_config", "webui_audit_logs")
    }
    assert done.total > 30_000
    with db.connect() as connection:
        for name, table in TABLES.items():
            if "id" in table.c and name in done.rows:
                positive = connection.scalar(sa.select(sa.func.count()).where(table.c.id >= 0))
                assert positive == (1 if name in ("webui_system_config", "webui_audit_logs") else 0), name
        found = overview.figures(connection)
    assert {one.currency for one in found.equity} == {"USDT", "EUR"}
    assert found.open_positions
    assert found.bots is not None
    assert found.bots.running == 0  # paused: nobody has to wonder why they are silent
    assert demo_data.remove(db, by="ann").total == done.total
    after = content(db)
    assert after.pop("webui_audit_logs")[0] == 2  # loaded, removed
    before.pop("webui_audit_logs")
    assert after == before


def test_the_same_rows_as_the_demo_refer_to_each_other(loaded: Database) -> None:
    made = {table.name: rows for table, rows in demo.rows(NOW)}
    with loaded.connect() as connection:
        for name in ("trading_trades", "positions", "agent_decisions", "job_schedule_runs"):
            table = TABLES[name]
            rows = connection.execute(sa.select(table).order_by(table.c.id)).mappings().all()
            assert len(rows) == len(made[name])
            for row, original in zip(rows, made[name], strict=True):
                if name == "trading_trades":
                    bots, positions = len(made["trading_bots"]) + 1, len(made["trading_positions"]) + 1
                    assert row["bot_id"] == original["bot_id"] - bots
                    assert row["position_id"] == original["position_id"] - positions
                    assert (row["net_pnl"], row["symbol"]) == (original["net_pnl"], original["symbol"])
                if name == "positions":
                    bot = connection.execute(
                        sa.select(TradingBot.currency).where(TradingBot.id == row["metadata"]["bot_id"])
                    ).scalar_one()
                    assert bot == row["currency"]


def test_nothing_that_is_loaded_acts_or_is_taken_for_the_platforms(loaded: Database) -> None:
    with unit_of_work(loaded) as unit:
        assert unit.jobs.due(datetime.now(UTC) + timedelta(days=9)) == []
        assert unit.messages.claim("worker", at=datetime.now(UTC) + timedelta(days=9)) == []
        assert unit.configs.by_key("risk.max_drawdown") is None
        assert unit.health.all() == []
        assert not any(user.is_active for user in unit.session.scalars(sa.select(User)))
        assert all(bot.name.endswith("(demo)") for bot in unit.session.scalars(sa.select(TradingBot)))


@pytest.mark.parametrize("table", ["trades", "usr_users", "candles", "telegram_settings"])
def test_a_database_with_rows_is_refused(migrated: DatabaseConfig, table: str) -> None:
    db = Database(migrated)
    rows = {
        "trades": "(symbol, action, quantity, price, currency, executed_at) VALUES ('X', 'BUY', 1, 1, 'USDT', now())",
        "usr_users": "(email) VALUES ('ann@example.org')",
        "candles": "(symbol, timeframe, open_time, open, high, low, close, volume) VALUES ('X','1h',now(),1,1,1,1,1)",
        "telegram_settings": "(key, value) VALUES ('a', 'b')",
    }
    with db.connect() as connection:
        connection.exec_driver_sql(f"INSERT INTO {table} {rows[table]}")
    before = content(db)
    with pytest.raises(TradekeepError, match=f"1 table already hold rows: {table}|{table}") as caught:
        load(db)
    assert caught.value.kind == "data.not_empty"
    assert content(db) == before
    db.dispose()


def test_loading_twice_is_refused(loaded: Database) -> None:
    before = content(loaded)
    with pytest.raises(TradekeepError, match="loaded already") as caught:
        load(loaded)
    assert caught.value.kind == "data.not_empty"
    assert content(loaded) == before


def test_a_load_that_ends_early_leaves_nothing(db: Database) -> None:
    class Stop(BaseException):
        """As a cancelled task."""

    def stop(done: int, total: int, message: str) -> None:
        if done > 20_000:
            raise Stop

    before = content(db)
    with pytest.raises(Stop):
        loading.load(db, by="ann", now=NOW, progress=stop)
    assert content(db) == before


def test_exactly_the_loaded_rows_go(loaded: Database) -> None:
    db = loaded
    real_rows(db)
    done = demo_data.remove(db, by="ann")
    assert done.kept == []
    left = counts(db)
    assert left.pop("webui_audit_logs") == 2  # loaded, removed
    assert left == {
        "usr_users": 1, "trading_bots": 1, "trades": 5, "trading_trades": 1, "candles": 4, "system_events": 1,
        "webui_system_config": 1,
    }  # fmt: skip
    with db.connect() as connection:
        closes = connection.scalars(sa.select(TABLES["candles"].c.close)).all()
        assert closes == [3] * 4
        assert connection.scalar(sa.select(sa.func.count()).select_from(TABLES["trading_rollups"])) == 0
    assert demo_data.remove(db, by="ann").total == 0
    with pytest.raises(TradekeepError):
        load(db)


def test_a_setting_of_ones_own_stays_whatever_its_name_is(loaded: Database) -> None:
    with loaded.connect() as connection:
        connection.exec_driver_sql("INSERT INTO telegram_settings (key, value) VALUES ('demo.mine', '1')")
    assert demo_data.remove(loaded, by="ann").rows["telegram_settings"] > 0
    with loaded.connect() as connection:
        assert connection.exec_driver_sql("SELECT key FROM telegram_settings").scalars().all() == ["demo.mine"]


REFERRING = (
    (
        "INSERT INTO trading_bots (user_id, type, name, currency, config, extra_metadata)"
        " SELECT max(id), 'live', 'mine', 'USDT', '{}', '{}' FROM usr_users",
        "1 row of trading_bots (column user_id) to usr_users",
    ),
    (
        "INSERT INTO usr_auth_identities (user_id, provider, external_id, metadata)"
        " SELECT id, 'google', 'mine' || id, '{}' FROM usr_users",
        "3 rows of usr_auth_identities (column user_id) to usr_users",
    ),
    (
        "CREATE TABLE notes (bot bigint REFERENCES trading_bots (id) ON DELETE CASCADE);"
        "INSERT INTO notes SELECT id FROM trading_bots",
        "rows of notes (column bot) to trading_bots",
    ),
    (
        'CREATE SCHEMA "My notes"; CREATE TABLE "My notes"."a.b" (mail text REFERENCES usr_users (email));'
        'INSERT INTO "My notes"."a.b" SELECT max(email) FROM usr_users',
        "1 row of a.b (column mail) to usr_users",
    ),
)


def test_real_rows_that_refer_to_loaded_ones_are_named_and_nothing_goes(loaded: Database) -> None:
    with loaded.connect() as connection:
        for statement, _told in REFERRING:
            for part in statement.split(";"):
                connection.exec_driver_sql(part)
    before = content(loaded)
    with pytest.raises(TradekeepError) as caught:
        demo_data.remove(loaded, by="ann")
    assert caught.value.kind == "data.in_use"
    assert [told for _statement, told in REFERRING if told not in caught.value.message] == []
    assert content(loaded) == before


def test_a_position_that_a_bot_wrote_to_stays_and_is_named(loaded: Database) -> None:
    with unit_of_work(loaded) as unit:
        held = unit.positions.open()[0].symbol  # which coins are held depends on the hour
        side = unit.positions.update(held, {"quantity": Decimal("0.5"), "current_price": 99_000}).side
    done = demo_data.remove(loaded, by="ann")
    assert done.kept == [f"{held} {side}"]
    with unit_of_work(loaded) as unit:
        assert [(row.symbol, row.quantity) for row in unit.positions.open()] == [(held, Decimal("0.5"))]
        assert unit.session.scalar(sa.select(sa.func.count()).select_from(Position)) == 1


def test_somebody_who_writes_meanwhile_is_waited_for_and_then_seen(migrated: DatabaseConfig) -> None:
    db, other = Database(migrated), Database(migrated)
    with other.connect() as writing:
        writing.exec_driver_sql("INSERT INTO usr_users (email) VALUES ('ann@example.org')")
        with pytest.raises(TradekeepError) as caught:
            load(db)
        assert caught.value.retryable
    with pytest.raises(TradekeepError, match="usr_users"):
        load(db)
    db.dispose()
    other.dispose()


def test_a_label_that_was_changed_says_so(loaded: Database) -> None:
    with loaded.connect() as connection:
        connection.execute(
            sa.text("UPDATE webui_system_config SET value = '{}' WHERE key = :key"), {"key": demo_data.KEY}
        )
    with pytest.raises(TradekeepError, match="webui_system_config"):
        demo_data.remove(loaded, by="ann")


def test_without_tables_the_error_says_so(pg_database: DatabaseConfig) -> None:
    db = Database(pg_database)
    with db.connect() as connection:
        assert not demo_data.present(connection)
    for act in (lambda: load(db), lambda: demo_data.remove(db, by="ann")):
        with pytest.raises(TradekeepError) as caught:
            act()
        assert caught.value.kind == "schema.missing_table"
    db.dispose()


def test_roles_of_a_setup_load_read_and_remove(own_cluster: Cluster) -> None:
    made = provision.provision(own_cluster.admin)
    owner, viewer, runtime = Database(made.owner), Database(made.viewer, read_only=True), Database(made.runtime)
    migrate.upgrade(owner)
    load(owner)
    with viewer.connect() as connection:
        assert demo_data.standing(connection).mark is not None
    real_rows(runtime)  # its sequences begin where they would
    with runtime.connect() as connection:
        assert connection.scalar(sa.select(sa.func.min(User.id)).where(User.id >= 0)) == 1
    demo_data.remove(owner, by="ann")
    assert counts(owner)["trades"] == 5
    for database in (owner, viewer, runtime):
        database.dispose()
