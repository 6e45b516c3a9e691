"""The Import page as a browser session runs it: what it shows of a file, and what it maps by itself."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core import state
from core.settings import DatabaseConfig
from core.state import Status
from core.ui.importing.columns import LINE
from core.ui.importing.columns import _fitting as fitting
from tests.ui.conftest import ROOT, words

Open = Callable[[Path], AppTest]
HEAD = "executed_at,symbol,action,quantity,price,currency\n"


@pytest.fixture
def opened(
    project: Path,
    migrated: DatabaseConfig,
    configured: Callable[[DatabaseConfig], None],
    when: Callable[[Callable[[Status], bool]], Status],
) -> Iterator[Open]:
    """A function that opens the page with a file on this machine."""
    configured(migrated)
    when(lambda status: status.mode == "connected")

    def look(file: Path) -> AppTest:
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=30).run()
        app.session_state["import_way"] = "A file on this machine"
        app.session_state["import_path"] = str(file)
        app.switch_page("pages/import.py").run()
        assert not app.exception
        return app

    yield look
    state.tasks().forget("import")


def test_a_table_of_unix_seconds_is_ready_and_its_empty_cells_are_null(opened: Open, tmp_path: Path) -> None:
    file = tmp_path / "bot.sqlite"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE before_all_others (x)")
        connection.execute("CREATE VIEW a_view AS SELECT 1 AS x")
        connection.execute("CREATE TABLE fills (ts INTEGER, symbol, side, qty REAL, price REAL, currency, order_id)")
        rows = [(1704067200 + n, "BTC", "buy", 1, 2, "USDT", None) for n in range(3)]
        connection.executemany("INSERT INTO fills VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
    connection.close()
    app = opened(file)
    assert not app.button(key="import_go").disabled
    (shown,) = app.dataframe
    assert (shown.proto.placeholder, shown.value["order_id"].isna().all()) == ("NULL", True)
    said = words(app).replace("\\", "")
    assert "1704067200, 1704067201, 1704067202]" in said
    assert "no value in the first rows" in said


def test_a_file_of_hundreds_of_columns_asks_for_those_it_knows(opened: Open, tmp_path: Path) -> None:
    file = tmp_path / "wide.csv"
    names = [f"c{n}" for n in range(300)]
    file.write_text(f"{HEAD.strip()},{','.join(names)}\n2024-01-01,X,BUY,1,2,USDT,{','.join(names)}\n")
    app = opened(file)
    asked = [one.label for one in app.selectbox if one.label.endswith(" goes to")]
    assert asked == [f"{name} goes to" for name in HEAD.strip().split(",")]
    assert "300 of 306 columns are left out" in words(app)
    app.toggle(key="import_all_columns").set_value(True).run()
    app.selectbox(key="import_map_trades_7_c1").set_value("strategy").run()
    app.toggle(key="import_all_columns").set_value(False).run()
    assert sum(one.label.endswith(" goes to") for one in app.selectbox) == 7
    app.button(key="import_dry").click().run()
    task = state.tasks().latest("import")
    assert task
    assert task.wait(20)
    assert (task.result.inserted, task.result.mapping["c1"]) == (1, "strategy")


def test_every_run_says_where_a_column_goes(opened: Open, tmp_path: Path) -> None:
    # Else a browser that missed the first run, cut by the next, would answer that all columns are left out.
    file = tmp_path / "fills.csv"
    file.write_text(f"{HEAD}2024-01-01,X,BUY,1,2,USDT\n")
    for app in (first := opened(file), first.run()):
        price = app.selectbox(key="import_map_trades_4_price")
        assert (price.value, price.proto.set_value) == ("price", True)


@pytest.mark.parametrize(
    ("samples", "line"),
    [
        ([], "no value in the first rows"),
        (["2024-01-01T00:00:00Z", "2024-01-01T00:00:01Z", "2024-01-01T00:00:02Z"],
         "2024-01-01T00:00:00Z, 2024-01-01T00:00:01Z, …"),
        (["a", "b,", "c"], "a, b,, c"),
        (["x" * 45, "y"], "x" * 43 + "…"),
        (["x" * LINE], "x" * LINE),
        (["two\nlines", "y" * 40], "two lines, …"),
    ],
)  # fmt: skip
def test_values_of_a_column_are_whole(samples: list[str], line: str) -> None:
    assert fitting(samples) == line
