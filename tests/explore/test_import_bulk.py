"""Bulk writes by programs: mappings, Arrow and DataFrames in; counts out; all of them or none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from core.database import Database
from core.errors import TradekeepError
from core.repositories import bulk
from core.repositories.bulk import Counts
from tests.explore.test_import import rows

BEGIN = datetime(2024, 1, 1, tzinfo=UTC)


def trades(number: int) -> list[dict[str, Any]]:
    return [
        {
            "symbol": "BTC", "action": "BUY", "quantity": Decimal("1.5"), "price": Decimal(100 + n), "currency": "USD",
            "executed_at": BEGIN + timedelta(seconds=n), "order_id": f"o{n}" if n % 2 else None,
        }
        for n in range(number)
    ]  # fmt: skip


@pytest.mark.parametrize("shape", [list, pa.Table.from_pylist, pd.DataFrame])
def test_rows_of_any_shape_are_written_once(db: Database, shape: Any) -> None:
    given = trades(10)
    assert bulk.upsert(db, "trades", shape(given)) == Counts(inserted=10)
    assert bulk.upsert(db, "trades", shape(given)) == Counts(skipped=10)
    given[1]["price"] = Decimal(5)
    given[0]["price"] = Decimal(6)
    assert bulk.upsert(db, "trades", shape(given)) == Counts(inserted=1, updated=1, skipped=8)
    assert bulk.append(db, "trades", shape(given[::2])) == Counts(inserted=5)
    kept = rows(db, "SELECT price, fee, status FROM trades WHERE order_id = 'o1'")
    assert [float(kept[0][0]), float(kept[0][1]), kept[0][2]] == [5, 0, "PENDING"]


def test_more_rows_than_a_batch_and_copies_among_them(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.repositories.bulk.BATCH_ROWS", 3)
    copies = [trades(1)[0]] * 8
    assert bulk.upsert(db, "trades", copies) == Counts(inserted=8)
    assert bulk.upsert(db, "trades", [*copies, copies[0]]) == Counts(inserted=1, skipped=8)


@pytest.mark.parametrize("write", [bulk.append, bulk.upsert])
@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        ({"action": "X"}, "data.value"), ({"quantity": Decimal(0)}, "data.value"), ({"symbol": None}, "data.value"),
        ({"price": float("nan")}, "data.value"), ({"executed_at": datetime(2024, 1, 1)}, "data.value"),
        ({"colour": "red"}, "schema.missing_column"),
    ],
)  # fmt: skip
def test_one_bad_row_and_nothing_is_written(db: Database, write: Any, wrong: dict[str, Any], kind: str) -> None:
    given = trades(3)
    given[1] = given[1] | wrong
    with pytest.raises(TradekeepError) as caught:
        write(db, "trades", given)
    assert caught.value.kind == kind
    assert rows(db, "SELECT count(*) FROM trades")[0][0] == 0


def test_the_key_is_the_callers_choice(db: Database) -> None:
    configs = [{"channel": "mail", "enabled": True, "config": {"a": 1}, "rate_limit_per_minute": 1, "max_retries": 1}]
    assert bulk.upsert(db, "msg_channel_configs", configs, key=["channel"]) == Counts(inserted=1)
    configs[0]["config"] = {"a": 2}
    assert bulk.upsert(db, "msg_channel_configs", configs) == Counts(updated=1)
    with pytest.raises(TradekeepError, match="no key of enabled"):
        bulk.upsert(db, "msg_channel_configs", configs, key=["enabled"])
    with pytest.raises(TradekeepError) as caught:
        bulk.upsert(db, "nothing", configs)
    assert caught.value.kind == "schema.missing_table"
