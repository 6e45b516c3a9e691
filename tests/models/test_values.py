"""What goes into a column comes out of it: times, money, enums, lists; and what the models fill in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select, text, update
from sqlalchemy.exc import InvalidRequestError, StatementError
from sqlalchemy.orm import Session

from core.database import Database
from core.errors import TradekeepError
from core.models import (
    Alert,
    AuthIdentity,
    Candle,
    Message,
    Portfolio,
    Position,
    Role,
    Side,
    SystemEvent,
    Timeframe,
    Trade,
    TradeAction,
    TradeStatus,
    User,
)
from core.settings import DatabaseConfig
from tests.models.insert import new_row
from tests.models.rules import MOMENT, ROWS


def trade(**changes: Any) -> Trade:
    return Trade(**(ROWS["trades"] | changes))


@pytest.mark.parametrize(
    "given",
    [
        MOMENT,
        datetime(2026, 1, 2, 8, 34, 5, 678901, tzinfo=timezone(timedelta(hours=5, minutes=30))),
        datetime(2026, 1, 1, 22, 4, 5, 678901, tzinfo=timezone(timedelta(hours=-5))),
    ],
)
def test_time_comes_back_in_utc(connection: Connection, given: datetime) -> None:
    found = new_row(connection, "portfolios", {"timestamp": given})["timestamp"]
    assert found == MOMENT
    assert found.tzinfo is UTC


def test_time_comes_back_in_utc_whatever_the_session_has(postgres: Connection) -> None:
    postgres.exec_driver_sql("SET LOCAL timezone = 'Asia/Kolkata'")
    assert new_row(postgres, "portfolios", {"timestamp": MOMENT})["timestamp"].tzinfo is UTC


def test_time_without_zone_is_refused(connection: Connection) -> None:
    with pytest.raises(StatementError) as caught:
        new_row(connection, "portfolios", {"timestamp": MOMENT.replace(tzinfo=None)})
    assert isinstance(caught.value.orig, TradekeepError)
    assert caught.value.orig.kind == "data.value"


def test_times_sort_and_compare_with_the_servers_clock(connection: Connection) -> None:
    now = datetime.now(UTC)
    for name, when in (("past", now - timedelta(hours=1)), ("future", now + timedelta(hours=1))):
        new_row(connection, "portfolios", {"timestamp": when, "source": name})
    new_row(connection, "portfolios", {"source": "now"})
    ordered = connection.scalars(select(Portfolio.source).order_by(Portfolio.timestamp)).all()
    assert ordered == ["past", "now", "future"]
    assert connection.scalars(
        select(Portfolio.source).where(Portfolio.timestamp < now - timedelta(minutes=1))
    ).all() == ["past"]


def test_sqlite_stores_utc_text_that_sorts(migrated_sqlite: DatabaseConfig) -> None:
    database = Database(migrated_sqlite)
    with database.connect() as connection:
        new_row(connection, "portfolios", {"timestamp": MOMENT.astimezone(timezone(timedelta(hours=9)))})
        new_row(connection, "portfolios")
        stored = connection.scalars(text("SELECT timestamp FROM portfolios ORDER BY timestamp")).all()
    database.dispose()
    assert stored[0] == "2026-01-02 03:04:05.678901"
    assert len(stored[1]) == len(stored[0])


@pytest.mark.parametrize("given", ["0.1234567891", "123456789012345678.0123456789", "0.0000000001", "99999.99"])
def test_money_is_exact(connection: Connection, given: str) -> None:
    found = new_row(connection, "trades", {"price": Decimal(given)})["price"]
    assert isinstance(found, Decimal)
    assert found.as_tuple().exponent == -10
    if connection.dialect.name == "postgresql" or len(given) < 16:
        assert found == Decimal(given)
    else:
        assert abs(found / Decimal(given) - 1) < Decimal("5e-15")


@pytest.mark.parametrize("given", [Decimal("NaN"), Decimal("Infinity"), float("nan"), "much"])
def test_money_must_be_a_finite_number(connection: Connection, given: Any) -> None:
    with pytest.raises(StatementError) as caught:
        new_row(connection, "trades", {"price": given})
    assert isinstance(caught.value.orig, TradekeepError)


def test_float_means_the_decimal_it_shows(connection: Connection) -> None:
    assert new_row(connection, "trades", {"price": 0.1})["price"] == Decimal("0.1")


def test_enum_comes_back_as_its_member(connection: Connection) -> None:
    found = new_row(connection, "trades")
    assert found["action"] is TradeAction.BUY
    assert found["status"] is TradeStatus.PENDING
    assert new_row(connection, "candles")["timeframe"] is Timeframe.H1


def test_unknown_enum_value_of_a_hand_made_table_is_shown(postgres: Connection) -> None:
    postgres.exec_driver_sql("ALTER TABLE positions DROP CONSTRAINT ck_positions_side")
    assert new_row(postgres, "positions", {"side": "BOTH"})["side"] == "BOTH"


def test_channels_are_a_list(connection: Connection) -> None:
    assert new_row(connection, "msg_messages")["channels"] == ["email", "slack"]


def test_ids_within_composite_keys_are_unique_in_one_statement(connection: Connection) -> None:
    rows = [ROWS["trades"] for _ in range(500)]
    ids = connection.scalars(insert(Trade).returning(Trade.id), rows).all()
    assert len(set(ids)) == 500
    assert max(ids) < 2**53


def test_session_knows_the_new_key(connection: Connection) -> None:
    with Session(connection) as session:
        trades = [trade(order_id=str(n)) for n in range(3)]
        event = SystemEvent(event_type="ORDER", message="m")
        session.add_all([*trades, event])
        session.flush()
        assert len({one.id for one in trades}) == 3
        assert event.payload == {}
        assert abs(event.occurred_at - datetime.now(UTC)) < timedelta(minutes=5)
        session.expunge_all()
        key = (trades[1].symbol, trades[1].executed_at, trades[1].id)
        again = session.get(Trade, key)
        assert again is not None
        assert again.order_id == "1"


def test_server_defaults_are_there_after_the_flush(connection: Connection) -> None:
    with Session(connection) as session:
        position = Position(symbol="BTCUSDT", quantity=Decimal(1), currency="USDT")
        session.add(position)
        session.flush()
        session.expunge(position)
        assert position.side is Side.LONG
        assert position.leverage == 1
        assert position.metadata_ == {}


@pytest.mark.parametrize("through", ["session", "statement"])
def test_updated_at_follows_changes(connection: Connection, through: str) -> None:
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    row = new_row(connection, "alerts", {"created_at": long_ago, "updated_at": long_ago})
    if through == "statement":
        connection.execute(update(Alert).values(message="changed"))
    else:
        with Session(connection) as session:
            alert = session.get_one(Alert, row["id"])
            alert.message = "changed"
            session.flush()
            session.expunge(alert)  # what is not loaded by now never will be
            assert alert.updated_at > long_ago
    found = connection.execute(select(Alert.created_at, Alert.updated_at)).one()
    assert found.created_at == long_ago
    assert found.updated_at > long_ago


def test_email_is_stored_in_lower_case(connection: Connection) -> None:
    with Session(connection) as session:
        user = User(email="Ada@Example.ORG")
        session.add(user)
        session.flush()
        assert user.email == "ada@example.org"
        assert user.role is Role.VIEWER


def test_relations_are_loaded_only_when_asked_for(connection: Connection) -> None:
    with Session(connection) as session:
        user = User(email="ada@example.org", identities=[AuthIdentity(provider="p", external_id="1")])
        session.add(user)
        session.flush()
        session.expire_all()
        with pytest.raises(InvalidRequestError, match="lazy"):
            _ = session.get_one(User, user.id).identities


def test_session_leaves_deleting_to_the_server(connection: Connection) -> None:
    message = new_row(connection, "msg_messages")
    new_row(connection, "msg_delivery_status", {"message_id": message["id"]})
    with Session(connection) as session:
        session.delete(session.get_one(Message, message["id"]))
        session.flush()
    assert connection.execute(text("SELECT count(*) FROM msg_delivery_status")).scalar() == 0


def test_candles_come_by_their_key(connection: Connection) -> None:
    new_row(connection, "candles")
    with Session(connection) as session:
        assert session.get(Candle, ("BTCUSDT", Timeframe.H1, MOMENT)) is not None
