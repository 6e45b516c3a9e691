"""A view as an address and back, saved under a name; and what a person typed as values of a column."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from zoneinfo import ZoneInfo

import pytest

from core.database import Database
from core.errors import TradekeepError
from core.explore import Filter, Sort, page_of_rows
from core.explore.address import ALL, View, view_of
from core.explore.made import shown_of
from core.explore.related import described
from core.explore.relation import Column, Relation
from core.explore.saved import FILE, remove_view, save_view, saved_views
from core.explore.typed import ops_of, ready, sentence, usual_order, value_of

BERLIN = ZoneInfo("Europe/Berlin")
EVERYTHING = View(
    table="other.a table & more",
    filters=(
        Filter("a b=c", "=", "x&y=z #%?"),
        Filter("n", "between", (1, 2.5)),
        Filter("s", "in", ("a", "", "ü\u202e")),
        Filter("t", "last", "7 days"),
        Filter("u", "is null"),
    ),
    search="BTC/USDT +1",
    sort=(Sort("x desc"), Sort("y", descending=True)),
    columns=("x desc", "y\u202e"),
    limit=1000,
    after="token-_",
    start=501,
    row=("BTC", 7, None, 1.5),
    utc=True,
)


def test_a_view_is_the_same_after_its_address() -> None:
    assert view_of(parse_qs(EVERYTHING.query(), keep_blank_values=True)) == EVERYTHING
    assert View("trades").query() == "table=trades"
    assert view_of({}) == View()


def test_every_column_of_a_wide_table_fits_into_an_address() -> None:
    assert View("wide", columns=(ALL,)).query() == "table=wide&show=%2A"
    assert view_of({"show": ["*"]}).columns == (ALL,)
    wide = Relation("public", "wide", "table", tuple(Column(f"c{number}", "text") for number in range(1600)))
    assert len(shown_of(wide, (ALL,), 40)) == 1600
    assert len(shown_of(wide, (), 40)) == 40


def test_first_page_forgets_the_place_and_keeps_the_rest() -> None:
    first = EVERYTHING.first(search="")
    assert (first.after, first.start, first.row, first.search) == ("", None, (), "")
    assert first.filters == EVERYTHING.filters


@pytest.mark.parametrize(
    "params",
    [
        {"where": ["["]}, {"where": ["{}"]}, {"where": ['["a"]']}, {"where": ['["a", "like", "x"]']},
        {"where": ['["a", "=", {"b": 1}]']}, {"where": ['["a", "=", 1, 2]']}, {"where": ["[" * 100_000]},
        {"where": ['["a", "=", "\\ud800"]']}, {"sort": ["a"]}, {"sort": ["a up"]}, {"row": ["7"]}, {"row": ['[["x"]]']},
    ],
)  # fmt: skip
def test_address_without_sense_is_refused(params: dict[str, list[str]]) -> None:
    with pytest.raises(TradekeepError) as raised:
        view_of(params)
    assert raised.value.kind == "data.filter"


def test_numbers_of_an_address_are_within_reason() -> None:
    view = view_of({"limit": ["1000000"], "at": ["-5"], "time": ["mars"]})
    assert (view.limit, view.start, view.utc) == (500, None, False)


def test_saved_views_are_kept_for_their_owner_alone_and_replaced_by_name(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert saved_views(home) == []
    save_view(home, "  Losing   trades ", EVERYTHING)
    save_view(home, "Losing trades", View("trades", search="x", after="t"))
    (only,) = saved_views(home)
    assert (only.name, only.view) == ("Losing trades", View("trades", search="x"))
    assert stat.S_IMODE((home / FILE).stat().st_mode) == 0o600
    assert remove_view(home, "Losing trades")
    assert not remove_view(home, "Losing trades")
    assert saved_views(home) == []


def test_spoiled_file_of_views_is_no_obstacle(tmp_path: Path) -> None:
    for content in ("", "[1]", "{", json.dumps({"good": "table=trades", "bad": "where=x", "worse": 7})):
        (tmp_path / FILE).write_text(content)
        assert [one.name for one in saved_views(tmp_path)] in ([], ["good"])
    save_view(tmp_path, "new", View("alerts"))
    assert [one.name for one in saved_views(tmp_path)] == ["good", "new"]


@pytest.mark.parametrize("name", ["", "   ", "x" * 81])
def test_view_needs_a_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(TradekeepError) as raised:
        save_view(tmp_path, name, View("trades"))
    assert raised.value.kind == "data.value"


@pytest.mark.parametrize(
    ("text", "type", "value"),
    [
        ("2026-07-01 12:00", "timestamp with time zone", "2026-07-01T12:00:00+02:00"),
        ("2026-07-01T12:00Z", "timestamp with time zone", "2026-07-01T12:00:00+00:00"),
        ("yesterday", "timestamp with time zone", "yesterday"),
        (" 100 ", "numeric", "100"),
        (" a ", "text", " a "),
    ],
)
def test_typed_times_are_meant_in_the_viewers_zone(text: str, type: str, value: str) -> None:
    assert value_of(text, Column("x", type), BERLIN) == value


def test_filters_of_a_link_find_the_same_rows_on_both_backends(db: Database) -> None:
    times = ["2026-01-01 10:00:00+00", "2026-01-01 11:00:00+00", "2026-01-01 12:00:00+00"]
    sqlite = db.backend == "sqlite"
    with db.connect() as connection:
        kind = "DATETIME" if sqlite else "timestamptz"
        connection.exec_driver_sql(f"CREATE TABLE moments (id integer PRIMARY KEY, at {kind}, yes boolean)")
        for number, at in enumerate(times):
            text = at.replace("+00", ".000000") if sqlite else at
            connection.exec_driver_sql(f"INSERT INTO moments VALUES ({number}, '{text}', {'01'[number % 2]!r})")
    of = described(db, "moments")
    view = view_of({"table": ["moments"], "where": ['["at",">=","2026-01-01T12:00:00+01:00"]', '["yes","=","1"]']})
    page = page_of_rows(db, "moments", filters=ready(view.filters, of))
    assert [row[0] for row in page.rows] == [1]
    assert sentence(view.filters[0], of, BERLIN) == "at since 2026-01-01 12:00:00"


@pytest.mark.parametrize(
    ("column", "first", "absent"),
    [
        (Column("a", "numeric"), "=", "contains"),
        (Column("a", "timestamp with time zone"), "last", "contains"),
        (Column("a", "text"), "=", "last"),
        (Column("a", "boolean"), "=", ">"),
        (Column("a", "json"), "contains", ">"),
        (Column("a", "numeric(28, 10)"), "=", "contains"),
    ],
)
def test_comparisons_suit_the_column(column: Column, first: str, absent: str) -> None:
    assert ops_of(column)[0] == first
    assert absent not in ops_of(column)


def test_usual_order_is_the_newest_first(db: Database) -> None:
    orders: dict[str, Any] = {name: usual_order(described(db, name)) for name in ("trades", "candles", "positions")}
    assert orders["trades"] == (Sort("executed_at", descending=True),)
    assert orders["candles"] == ()
    assert orders["positions"][0] == Sort("status", descending=True)
    assert usual_order(Relation("x", "positions", "table", (Column("a", "text"),))) == ()
