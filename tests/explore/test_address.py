"""A view as an address and back, saved under a name; and what a person typed as values of a column."""

from __future__ import annotations

import json
import stat
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from zoneinfo import ZoneInfo

import pytest
from psycopg.types.range import Range

from core.database import Database
from core.errors import TradekeepError
from core.explore import Filter, Sort, page_of_rows
from core.explore.address import ALL, View, view_of
from core.explore.made import shown_of
from core.explore.related import described
from core.explore.relation import Column, Relation
from core.explore.saved import FILE, remove_view, save_view, saved_views, unreadable
from core.explore.typed import filter_of_text, ops_of, ready, sentence, usual_order, value_of

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
    row=("BTC", 7, None, 1.5, b"\x00\xff"),
    utc=True,
)


def test_a_view_is_the_same_after_its_address() -> None:
    assert view_of(parse_qs(EVERYTHING.query(), keep_blank_values=True)) == EVERYTHING
    assert View("trades").query() == "table=trades"
    arrays = View(row=([1, None], Range(1, None)))
    assert view_of(parse_qs(arrays.query())).row == ('{"1",NULL}', '["1",)')
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
        {"row": ['[{"hex": "0"}]']}, {"row": ['[{"hex": 7}]']},
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
    assert json.loads((tmp_path / FILE).read_text())["worse"] == 7  # what is no view stays too


@pytest.mark.parametrize("spoiled", ['{"old": "table=trades",\n}', "[1]", "{"])
def test_file_of_views_that_cannot_be_read_is_put_aside_before_the_next_save(tmp_path: Path, spoiled: str) -> None:
    path = tmp_path / FILE
    path.write_text(spoiled)
    assert (saved_views(tmp_path), unreadable(tmp_path)) == ([], [path])
    save_view(tmp_path, "new", View("alerts"))
    (aside,) = unreadable(tmp_path)
    assert (aside.parent, aside.read_text()) == (tmp_path, spoiled)
    assert [one.name for one in saved_views(tmp_path)] == ["new"]


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
        ("20 Nov 2026", "timestamp with time zone", "2026-11-20T00:00:00+01:00"),
        ("November 20, 2026 08:30", "datetime", "2026-11-20T08:30:00+01:00"),
        ("2026/11/20", "date", "2026-11-20"),
        ("2026-07-01 12:00", "timestamp without time zone", "2026-07-01T12:00:00"),
        ("infinity", "timestamp with time zone", "infinity"),
        (" 100 ", "numeric", "100"),
        ("-58,000,123.5", "numeric", "-58,000,123.5".replace(",", "")),
        ("NaN", "double precision", "NaN"),
        (" a ", "text", " a "),
    ],
)
def test_typed_times_are_meant_in_the_viewers_zone(text: str, type: str, value: str) -> None:
    assert value_of(text, Column("x", type), BERLIN) == value


@pytest.mark.parametrize(("days", "text"), [(0, "today"), (-1, "Yesterday"), (1, "tomorrow")])
def test_days_in_words_begin_at_the_viewers_midnight(days: int, text: str) -> None:
    found = value_of(text, Column("x", "timestamp with time zone"), BERLIN)
    asked = datetime.now(BERLIN).date()
    assert found.partition("T")[0] in {str(asked + timedelta(days=days + late)) for late in (-1, 0)}
    assert found.partition("T")[2].startswith("00:00:00+0")


@pytest.mark.parametrize(
    ("text", "type"),
    [
        ("01/02/2026", "timestamp with time zone"), ("01/02/2026", "date"), ("soon", "timestamp without time zone"),
        ("2026-02-30", "datetime"), ("58.000,5", "numeric"), ("1,5", "double precision"), ("many", "integer"),
    ],
)  # fmt: skip
def test_what_can_mean_two_things_is_refused(text: str, type: str) -> None:
    with pytest.raises(TradekeepError, match="x: '") as raised:
        filter_of_text(Column("x", type), ">=", text, BERLIN)
    assert raised.value.kind == "data.filter"


def test_a_day_means_all_of_it() -> None:
    column = Column("at", "timestamp with time zone")
    whole = ("2026-10-25T00:00:00+02:00", "2026-10-25T23:59:59.999999+01:00")
    assert filter_of_text(column, "=", "2026-10-25", BERLIN) == Filter("at", "between", whole)
    exact = Filter("at", "=", "2026-10-25T00:00:00+02:00")
    assert filter_of_text(column, "=", "2026-10-25 00:00", BERLIN) == exact


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
