"""The Overview page in each state that it has, run from app.py as a browser session runs it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from streamlit.testing.v1 import AppTest

from core import demo, state
from core.database import Database
from core.explore import Filter
from core.explore.address import View, view_of
from core.models import Alert, Portfolio, Trade
from core.settings import DatabaseConfig
from core.ui import cache
from core.ui.overview import ALL_TRADES, OPEN_ALERTS
from tests.servers import Cluster, free_port
from tests.ui.conftest import a_minute_passes
from tests.ui.conftest import read as words

APP = Path(__file__).parents[2] / "app.py"


@pytest.fixture
def project(home: Path) -> Iterator[Path]:
    """A fresh project folder, and a process that knows nothing yet."""
    state.stop()
    cache.clear()
    yield Path.cwd()
    state.stop()
    cache.clear()


def configure(project: Path, config: DatabaseConfig, **more: str) -> None:
    lines = {"DATABASE_URL": config.url(), **more}
    (project / ".env.local").write_text("".join(f"{key}={value}\n" for key, value in lines.items()))
    (project / ".env.local").chmod(0o600)


def opened(mode: str) -> AppTest:
    """The page, once the process is in this mode."""
    for _ in range(20):
        if state.refresh(5.0).mode == mode:
            break
    assert state.status().mode == mode
    app = AppTest.from_file(str(APP), default_timeout=30).run()
    assert not app.exception
    return app


def figures(app: AppTest) -> dict[str, str]:
    return {metric.label: metric.value.replace("\\", "") for metric in app.metric}


def add_rows(config: DatabaseConfig, alert: str = "Something happened") -> None:
    now = datetime.now(UTC)
    database = Database(config)
    with database.connect() as connection:
        connection.execute(sa.insert(Alert), {"alert_type": "x", "severity": "WARNING", "message": alert})
        values = [{"timestamp": now - timedelta(days=d), "total_value": 100 - d} for d in (0, 1)]
        connection.execute(sa.insert(Portfolio), [value | {"cash_balance": 1, "currency": "USD"} for value in values])
        trade = {
            "symbol": "BTC/USD",
            "action": "BUY",
            "quantity": 2,
            "price": 50,
            "currency": "USD",
            "status": "FILLED",
        }
        connection.execute(sa.insert(Trade), trade | {"executed_at": now - timedelta(minutes=7)})
    database.dispose()


def test_demo_shows_figures_and_offers_to_set_up_a_database(project: Path) -> None:
    app = opened("demo")
    assert "Demo data, 4 bots alive, 2 alerts open." in words(app)
    assert "Next: Set up a database" in words(app)
    found = figures(app)
    assert found["Equity"].endswith(" USDT")
    assert found["P&L today"].endswith(" USDT")
    assert "no data" not in (found["Open positions"], found["Open alerts"], found["Last trade"])
    assert found["Database answer"] == "no data"
    assert [len(table.value) for table in app.table] == [2, 8]
    assert app.metric[0].proto.chart_data


def test_button_of_the_next_step_leads_there(project: Path) -> None:
    app = opened("demo")
    app.button(key="overview_step_go").click().run()
    assert not app.exception
    assert [title.value for title in app.title] == ["Setup"]


def test_connected_database_shows_its_rows(project: Path, migrated: DatabaseConfig) -> None:
    add_rows(migrated)
    configure(project, migrated)
    app = opened("connected")
    text = words(app)
    assert f"Connected to {migrated.database} on PostgreSQL " in text
    assert "schema up to date, no bots yet, 1 alert open." in text
    found = figures(app)
    assert (found["Equity"], found["Open alerts"], found["Last trade"]) == ("100.00 USD", "1", "7 min ago")
    assert (found["P&L today"], found["Open positions"]) == ("no data", "no data")
    assert found["Database answer"].endswith(" ms")
    assert app.metric[0].delta == "+1.0 %"
    alerts, trades = (table.value for table in app.table)
    assert list(alerts["Alert"]) == ["Something happened"]
    assert [cell.replace("\\", "") for cell in trades["Trade"]] == ["Bought 2 BTC/USD at 50.00 USD"]


@pytest.mark.parametrize(
    ("params", "view"),
    [(OPEN_ALERTS, View("alerts", filters=(Filter("resolved", "=", False),))), (ALL_TRADES, View("trades"))],
    ids=["alerts", "trades"],
)
def test_lists_lead_to_the_explorer(params: dict[str, str], view: View) -> None:
    assert view_of({name: [value] for name, value in params.items()}) == view


def test_texts_from_the_database_stay_texts(project: Path, migrated: DatabaseConfig) -> None:
    add_rows(migrated, alert="![x](https://example.com/x.png) :red[**all** fine] <b>\n# head")
    configure(project, migrated)
    (cell,) = opened("connected").table[0].value["Alert"]
    assert cell.startswith("\\!\\[x\\]\\(https\\:")
    assert "\n" not in cell
    assert "**" not in cell.replace("\\*", "")


def test_empty_database_says_so_and_what_to_do(project: Path, migrated: DatabaseConfig) -> None:
    configure(project, migrated)
    app = opened("connected")
    text = words(app)
    assert "no bots yet, no alerts yet." in text
    assert "Next: Let your bots write" in text
    assert "No trades yet." in text
    assert "No alert is open." in text
    found = figures(app)
    assert {found.pop("Database answer") != "no data", *found.values()} == {True, "no data"}


def test_database_without_tables_is_not_asked(project: Path, pg_database: DatabaseConfig) -> None:
    configure(project, pg_database)
    app = opened("connected")
    text = words(app)
    assert "no tables yet." in text
    assert "Next: Create the tables" in text
    assert not app.metric
    assert "What to do" not in text


def test_database_that_was_never_reached_shows_why(project: Path) -> None:
    nobody = DatabaseConfig(host="127.0.0.1", port=free_port(), database="trading", user="bot")
    configure(project, nobody, DB_RETRY_ATTEMPTS="1")
    app = opened("down")
    text = words(app)
    assert "No connection to trading for" in text
    assert "What to do" in text
    assert "Next: Bring the database back" in text
    assert not app.metric


def test_first_tries_show_no_rows_and_no_error(project: Path) -> None:
    nobody = DatabaseConfig(host="127.0.0.1", port=free_port(), database="trading", user="bot")
    configure(project, nobody, DB_RETRY_ATTEMPTS="1000", DB_RETRY_DELAY_S="0.1")
    app = opened("connecting")
    text = words(app)
    assert "Connecting to trading, try " in text
    assert "Next: Wait a moment" in text
    assert "What to do" not in text
    assert not app.metric


def test_outage_keeps_the_last_good_rows_and_never_shows_the_demo(
    project: Path, own_cluster: Cluster, own_migrated: DatabaseConfig
) -> None:
    add_rows(own_migrated)
    configure(project, own_migrated)
    before = figures(opened("connected"))
    own_cluster.stop("immediate")
    a_minute_passes()
    app = opened("down")
    text = words(app)
    assert "No connection to postgres for" in text
    assert "Next: Bring the database back" in text
    assert text.count("Last good data, 1 min") == 1
    after = figures(app)
    assert (after["Equity"], after["Open alerts"]) == (before["Equity"], before["Open alerts"]) == ("100.00 USD", "1")
    assert after["Database answer"] == "no data"
    assert [len(table.value) for table in app.table] == [1, 1]


def test_configuration_that_cannot_be_used_is_the_next_step(project: Path) -> None:
    (project / ".env.local").write_text("DATABASE_URL=mysql://bot@host/trading\n")
    app = opened("misconfigured")
    text = words(app)
    assert "The configuration cannot be read" in text
    assert "What to do" in text
    assert "Equity" not in text


def test_demo_is_made_once_for_all_sessions(project: Path, home: Path) -> None:
    opened("demo")
    made = demo.database(home)
    opened("demo")
    assert demo.database(home) is made
