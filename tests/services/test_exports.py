"""Exports to files: what a view matches, offered under a token for an hour, and nothing left of one that fails."""

from __future__ import annotations

import csv
import os
import stat
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.database import Database
from core.errors import TradekeepError
from core.explore import Filter, Sort
from core.explore.address import View
from core.progress import silent
from core.services import downloads, exports
from core.tasks import Cancelled


@pytest.fixture
def filled(db: Database) -> Database:
    with db.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE notes (id integer PRIMARY KEY, note text)")
        connection.exec_driver_sql("INSERT INTO notes VALUES (1, '=1+1'), (2, 'b'), (3, NULL), (4, 'b')")
    return db


def made(db: Database, home: Path, view: View, format: exports.Format = "csv") -> downloads.Offer:
    return exports.export_view(db, view, format, home=home, demo=False, progress=silent)


def test_file_holds_what_the_view_matches_in_its_order_and_columns(filled: Database, tmp_path: Path) -> None:
    view = View("notes", filters=(Filter("id", "!=", 3),), sort=(Sort("id", descending=True),), columns=("note",))
    offer = made(filled, tmp_path, view)
    with offer.path.open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [["note"], ["b"], ["b"], ["'=1+1"]]
    assert (offer.rows, offer.bytes) == (3, offer.path.stat().st_size)
    assert stat.S_IMODE(offer.path.stat().st_mode) == 0o600
    assert made(filled, tmp_path, View("notes", search="B"), "jsonl").rows == 2


def test_files_go_after_their_hour(filled: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = made(filled, tmp_path, View("notes"))
    long_ago = time.time() - downloads.KEPT_S - 1
    os.utime(old.path, (long_ago, long_ago))
    new = made(filled, tmp_path, View("notes"))
    assert (old.path.exists(), new.path.exists()) == (False, True)
    assert downloads.offered(old.token) is None
    assert downloads.offered(new.token) == new
    monkeypatch.setattr(downloads.time, "time", lambda: new.until + 1)
    assert downloads.offered(new.token) is None


def test_nothing_stays_of_an_export_that_fails_or_is_cancelled(filled: Database, tmp_path: Path) -> None:
    with pytest.raises(TradekeepError):
        made(filled, tmp_path, View("nowhere"))
    with filled.connect() as connection:
        numbers = "WITH RECURSIVE n (i) AS (SELECT 5 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)"
        connection.exec_driver_sql(f"{numbers} INSERT INTO notes SELECT i, '{'x' * 400}' FROM n")

    def cancelled(done: int, total: int, message: str) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        exports.export_view(filled, View("notes"), "csv", home=tmp_path, demo=False, progress=cancelled)
    assert list((tmp_path / exports.FOLDER).iterdir()) == []


def test_name_says_what_and_when_and_leads_nowhere() -> None:
    at = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    assert exports.file_name(View("trades"), "csv", demo=True, now=at) == "demo-trades-20260102-0304.csv"
    hostile = exports.file_name(View('../../x"\r\n\u202e.csv'), "parquet", demo=False, now=at)
    assert hostile == "x_.csv-20260102-0304.parquet"
