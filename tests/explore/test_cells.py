"""Values as texts of a grid: exact, cut, and without characters that act on the screen; and the made views."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from psycopg.types.multirange import Multirange
from psycopg.types.range import Range

from core.explore.address import ALL
from core.explore.cells import cell, full
from core.explore.made import needed, readable, shown_of
from core.explore.relation import Column, Relation

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("value", "type", "shown"),
    [
        (None, "text", None),
        ("", "text", ""),
        (True, "boolean", "true"),
        (Decimal("0.1000000000"), "numeric", "0.1"),
        (Decimal("1E+30"), "numeric", "1" + "0" * 30),
        (Decimal("12345678901234567890.123456789"), "numeric", "12345678901234567890.123456789"),
        (Decimal("NaN"), "numeric", "NaN"),
        (1e300, "double precision", "1e+300"),
        (datetime(2026, 7, 1, 10, tzinfo=UTC), "timestamp with time zone", "2026-07-01 12:00:00"),
        (datetime(2026, 7, 1, 10, 0, 0, 120_000), "timestamp without time zone", "2026-07-01 10:00:00.12"),
        (datetime.max.replace(tzinfo=UTC), "timestamp with time zone", "9999-12-31 23:59:59.999999"),
        ("infinity", "timestamp with time zone", "infinity"),
        ("2026-07-01 10:00:00.000000", "datetime", "2026-07-01 12:00:00"),
        ("2026-07-01 10:00:00.000000", "text", "2026-07-01 10:00:00.000000"),
        ("2024-13-45 99:00:00", "datetime", "2024-13-45 99:00:00"),
        (Range(1, None), "int4range", "[1,)"),
        (Range(empty=True), "int4range", "empty"),
        (Range(None, datetime(2026, 7, 1, 10, tzinfo=UTC), "()"), "tstzrange", "(,2026-07-01 12:00:00)"),
        (Multirange([Range(1, 2), Range(4, None)]), "int4multirange", "{[1,2),[4,)}"),
        (date(2026, 7, 1), "date", "2026-07-01"),
        (time(1, 2), "time", "01:02:00"),
        (timedelta(1), "interval", "1 day, 0:00:00"),
        (b"\x00\xff", "bytea", "\\x00ff"),
        ({"a": [1, None, "ü"]}, "jsonb", '{"a": [1, null, "ü"]}'),
        (["a", None], "text[]", '["a", null]'),
        ("a\nb\tc\r", "text", "a↵b⇥c"),
        ("\x00\x1b[31m", "text", "\\u0000\\u001b[31m"),
        ("\u202egnp.exe\u200b", "text", "\\u202egnp.exe\\u200b"),
        ("\ud800", "text", "?"),
        ("👩‍👧", "text", "👩‍👧"),
        ("=1+1", "text", "=1+1"),
    ],
)
def test_value_as_one_line(value: Any, type: str, shown: str | None) -> None:
    assert cell(value, Column("x", type), BERLIN) == shown


def test_long_values_are_cut_and_full_ones_are_not() -> None:
    column = Column("x", "text")
    assert cell("x" * 1_000_000, column, UTC) == "x" * 299 + "…"
    assert len(cell(b"x" * 1_000_000, Column("x", "bytea"), UTC) or "") == 300
    assert len(full("x" * 1_000_000, column, UTC)) == 1_000_000


@pytest.mark.parametrize(
    ("value", "plain", "money"),
    [
        (Decimal("1234567.8900000000"), "1,234,567.89", "+1,234,567.89"),
        (Decimal("0.00001234"), "0.00001234", "+0.00001234"),
        (-3.2, "−3.2", "−3.20"),
        (Decimal("0E-10"), "0", "0.00"),
        (Decimal("-0.123456"), "−0.123456", "−0.1235"),
        (None, None, None),
        ("text", "text", "text"),
    ],
)
def test_numbers_for_people(value: Any, plain: str | None, money: str | None) -> None:
    assert readable(value) == plain
    assert readable(value, money=True, sign=True) == money


def relation(name: str, columns: list[str], schema: str = "public") -> Relation:
    return Relation(schema, name, "table", tuple(Column(one, "text") for one in columns), key=("id",))


def test_made_view_has_sides_results_and_ages_in_words_and_tones() -> None:
    names = ["id", "symbol", "side", "status", "quantity", "currency", "unrealized_pnl", "opened_at"]
    of = relation("positions", names)
    shown = shown_of(of, (), 40)
    row = dict.fromkeys(needed(shown, of), None) | {
        "side": "SHORT", "unrealized_pnl": Decimal("-12.5"), "currency": "USDT", "opened_at": datetime.now(UTC),
    }  # fmt: skip
    found = {one.label: (one.text(row, UTC), one.tone(row) if one.tone else None) for one in shown}
    assert found["Side"] == ("▼ Short", "bad")
    assert found["Unrealised P&L"] == ("−12.50 USDT", "bad")
    assert found["Age"][0] in ("now", "1 s ago")
    assert found["Symbol"] == (None, None)
    assert "Realised P&L" not in found  # that column is not there


def test_another_schemas_table_and_all_columns_are_shown_plainly() -> None:
    assert [one.label for one in shown_of(relation("positions", ["id", "side"], "other"), (), 1)] == ["id"]
    of = relation("alerts", ["id", "severity"])
    assert [one.label for one in shown_of(of, (ALL,), 40)] == ["id", "severity"]


def test_chosen_columns_look_as_usual_in_their_order() -> None:
    of = relation("trades", ["id", "quantity", "price", "currency", "executed_at"])
    assert [one.label for one in shown_of(of, ("id", "price", "quantity", "price"), 40)] == [
        "id", "Price", "Quantity", "Value",
    ]  # fmt: skip
    assert needed(shown_of(of, ("quantity",), 40), of) == ["quantity", "price", "currency", "id"]
    assert [one.label for one in shown_of(relation("trades", ["id", "quantity"]), ("quantity",), 40)] == ["Quantity"]
    of = relation("alerts", ["id", "severity"])
    assert [one.label for one in shown_of(of, ("severity", "severity"), 40)] == ["Severity"]
    assert needed(shown_of(of, ("severity",), 40), of) == ["severity", "id"]


def test_alerts_come_with_what_resolving_them_asks_for_whatever_is_shown() -> None:
    of = relation("alerts", ["id", "message", "resolved", "resolution"])
    assert needed(shown_of(of, ("message",), 40), of) == ["message", "id", "resolved"]
