"""Demo data and coverage on the Setup page, and the label wherever the status stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from streamlit.testing.v1 import AppTest

from core import envfile, state
from core.database import Database
from core.repositories import unit_of_work
from core.settings import DatabaseConfig
from core.setup import coverage
from core.ui.setup.demo import TASK
from tests.ui.conftest import Open, words

Configured = Callable[[DatabaseConfig], None]


@pytest.fixture(autouse=True)
def _no_task_of_before() -> Iterator[None]:
    state.tasks().forget(TASK)
    yield
    state.tasks().forget(TASK)


def labels(app: AppTest) -> list[str]:
    return [button.label for button in app.button]


def finished(app: AppTest) -> AppTest:
    task = state.tasks().latest(TASK)
    assert task is not None
    assert task.wait(60)
    assert task.error is None, task.error
    return app.run()


def test_demo_data_is_offered_loaded_labelled_and_removed(
    visit: Open, configured: Configured, migrated: DatabaseConfig, when: Callable[..., object]
) -> None:
    configured(migrated)
    when(lambda status: status.ready)
    app = visit("setup")
    assert "Load demo data" in labels(app)
    assert "No coin is followed yet" in words(app)
    app.button(key="setup_demo_load").click().run()
    assert "Bots that read this database would take them" in words(app)
    app = finished(app.button(key="setup_demo_load_yes").click().run())
    assert "rows of demo data loaded" in "".join(found.value for found in app.success)
    assert state.status().demo_data
    for name in ("overview", "schema", "setup"):
        app = visit(name)
        assert name == "setup" or "Invented rows were loaded" in words(app).replace("\\", "")
        assert "Demo data" in "".join(found.value for found in app.markdown if "badge" in found.value)
    assert "Load demo data" not in labels(app)
    assert "of 7 coins are covered" in words(app).replace("\\", "")
    app.button(key="setup_demo_remove").click().run()
    assert app.button(key="setup_demo_remove_yes").disabled
    app.text_input(key="setup_demo_name").input(migrated.database).run()
    app = finished(app.button(key="setup_demo_remove_yes").click().run())
    assert "rows of demo data removed" in "".join(found.value for found in app.success)
    assert not state.status().demo_data
    assert "Invented rows" not in words(visit("overview"))


def test_nothing_is_offered_beside_real_rows(
    visit: Open, configured: Configured, migrated: DatabaseConfig, when: Callable[..., object]
) -> None:
    db = Database(migrated)
    values = {"open": 2, "high": 4, "low": 1, "close": 3, "volume": 10}
    with unit_of_work(db) as unit:
        unit.candles.upsert([{"symbol": "BTC/USDT", "timeframe": "1h", "open_time": datetime.now(UTC), **values}])
    db.dispose()
    configured(migrated)
    envfile.set_values(state.settings().env_tradekeep, {"TRACKED_SYMBOLS": "ETH/USDT"})
    when(lambda status: status.ready)
    app = visit("setup")
    assert "Load demo data" not in labels(app)
    text = words(app).replace("\\", "")
    assert "0 of 2 coins are covered, 2 without all data." in text
    assert coverage.NEVER in text
    assert coverage.LATE not in text
    rows = next(frame.value for frame in app.dataframe if "Coin" in frame.value)
    assert list(rows["State"]) == ["○ no data", "○ no data"]
    assert list(rows["Candle 1h"]) == ["now", "no data"] or rows["Candle 1h"][0].endswith("ago")
    app.button(key="setup_verify_again").click().run()
