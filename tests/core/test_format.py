"""Bytes, durations, money and ages as people read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.format import age, count, duration, identifier, literal, money, size, utc

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("n", "text"),
    [
        (None, "no data"),
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (1024**2 - 1, "1.0 MiB"),
        (5 * 1024**3, "5.0 GiB"),
        (1024**4, "1.0 TiB"),
        (3000 * 1024**4, "3000.0 TiB"),
        (-2048, "-2.0 KiB"),
    ],
)
def test_size(n: int | None, text: str) -> None:
    assert size(n) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "no data"),
        (0.0042, "4.2 ms"),
        (0.00999, "10 ms"),
        (0.25, "250 ms"),
        (0.9999, "1.0 s"),
        (1, "1.0 s"),
        (9.96, "10 s"),
        (59.6, "1 min"),
        (60, "1 min"),
        (95, "1 min 35 s"),
        (3600, "1 h"),
        (3599.9, "1 h"),
        (3725, "1 h 2 min"),
        (90000, "1 d 1 h"),
        (-5, "−5.0 s"),
    ],
)
def test_duration(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@given(st.floats(min_value=0, max_value=1e9))
def test_duration_never_shows_a_full_larger_unit(seconds: float) -> None:
    text = duration(seconds)
    assert not any(wrong in text for wrong in ("1000 ms", "60 s", "60.0 s", "60 min", "24 h"))


@pytest.mark.parametrize(
    ("before", "text"),
    [
        (timedelta(0), "now"),
        (timedelta(seconds=30), "30 s ago"),
        (timedelta(seconds=200), "3 min ago"),
        (timedelta(seconds=120), "2 min ago"),
        (timedelta(hours=5, minutes=7), "5 h ago"),
        (timedelta(days=3, hours=2), "3 d ago"),
        (timedelta(minutes=-3), "in 3 min"),
    ],
)
def test_age(before: timedelta, text: str) -> None:
    assert age(NOW - before, NOW) == text


def test_age_of_nothing_is_never() -> None:
    assert age(None) == "never"
    assert age(datetime.now(UTC)) == "now"


@pytest.mark.parametrize(
    ("amount", "options", "text"),
    [
        (None, {}, "no data"),
        (Decimal("-1234.5"), {}, "−1,234.50 USD"),
        (Decimal("0.1"), {"sign": True}, "+0.10 USD"),
        (Decimal("0"), {"sign": True}, "0.00 USD"),
        (Decimal("-0.001"), {}, "0.00 USD"),
        (Decimal("123456789012345678.0123456789"), {"places": 10}, "123,456,789,012,345,678.0123456789 USD"),
    ],
)
def test_money(amount: Decimal | None, options: dict[str, bool], text: str) -> None:
    assert money(amount, "USD", **options) == text  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("n", "noun", "plural", "text"),
    [
        (1, "trade", None, "1 trade"),
        (1000, "trade", None, "1,000 trades"),
        (0, "entry", "entries", "0 entries"),
        (None, "trade", None, "no data on trades"),
    ],
)
def test_count(n: int | None, noun: str, plural: str | None, text: str) -> None:
    assert count(n, noun, plural) == text


def test_moment_is_shown_in_utc() -> None:
    assert utc(NOW.astimezone(timezone(timedelta(hours=9)))) == "2026-01-02 03:04:05 UTC"
    assert utc(None) == "never"


def test_names_and_texts_end_where_they_should() -> None:
    assert identifier('a "b" c') == '"a ""b"" c"'
    assert literal("it's") == "'it''s'"
