"""Exports to files: what a view matches, offered under a token for an hour, and nothing left of one that fails."""

from __future__ import annotations

import csv
import os
import stat
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from core.database import Database
from core.errors import TradekeepError
from core.explore import Filter, Sort
from core.explore.address import View
from core.log import MASK, remember_secret
from core.models import AuditLog
from core.progress import silent
from core.services import audit, downloads, exports
from core.settings import DatabaseConfig
from core.tasks import Cancelled
from tests.servers import Cluster


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


def lines(db: Database) -> list[tuple[str, str | None, str | None, dict[str, object]]]:
    with db.begin() as session:
        every = session.scalars(sa.select(AuditLog))
        return [(one.action, one.resource_type, one.resource_id, one.details) for one in every]


def details_of(format: str, rows: int) -> dict[str, object]:
    return {"by": "anna", "format": format, "rows": rows}


def test_an_export_is_one_line_of_the_audit_log_and_tells_no_secret(db: Database, tmp_path: Path) -> None:
    remember_secret("correct-horse-battery")
    view = View(
        "usr_users",
        filters=(
            Filter("email", "contains", "anna"),
            Filter("password_hash", "=", "scrypt:8:1"),
            Filter("email", "in", ("a@example.com", "x correct-horse-battery x")),
            Filter("email", "!=", "https://u:hunter22@example.com/"),
            Filter("password_hash", "is not null"),
        ),
        search="scrypt:8:1",
        sort=(Sort("id", descending=True),),
        columns=("id", "email"),
    )
    offer = exports.export_view(
        db, view, "jsonl", home=tmp_path, demo=False, progress=silent, by="anna", log=db
    )  # fmt: skip
    assert offer.rows == 0
    details = {
        **details_of("jsonl", 0),
        "filters": [
            ["email", "contains", "anna"],
            ["password_hash", "=", MASK],
            ["email", "in", "a@example.com", f"x {MASK} x"],
            ["email", "!=", f"https://u:{MASK}@example.com/"],
            ["password_hash", "is not null"],
        ],
        "search": MASK,
        "columns": ["id", "email"],
        "sort": ["id desc"],
    }
    assert lines(db) == [("export", "table", "usr_users", details)]
    for table in ("public.usr_verification_codes", 'public."usr_verification_codes"'):
        codes = View(table, filters=(Filter("code", "=", "482913"),))
        assert exports.note(db, codes, "csv", 1, by="anna")
        assert {named: told for _, _, named, told in lines(db)}[codes.table] == {
            **details_of("csv", 1),
            "filters": [["code", "=", MASK]],
        }
    # An export that fails took nothing away.
    with pytest.raises(TradekeepError):
        exports.export_view(db, View("nowhere"), "csv", home=tmp_path, demo=False, progress=silent, by="ben", log=db)
    assert len(lines(db)) == 3


def test_an_audit_line_is_short_whatever_was_asked(filled: Database, tmp_path: Path) -> None:
    many = Filter("note", "in", tuple(f"{n} {'x' * 300}" for n in range(90)))
    assert exports.note(filled, View("notes", filters=(many,), search="y z " * 900), "csv", 4, by="anna")
    assert len(str(lines(filled)[0][3])) < 15_000


@pytest.mark.parametrize("way", ["refused", "no table", "reads only"])
def test_an_export_does_not_need_its_audit_line(filled: Database, tmp_path: Path, way: str) -> None:
    log = filled
    with filled.connect() as connection:
        if way == "no table":
            connection.exec_driver_sql("DROP TABLE webui_audit_logs")
        elif way == "refused" and filled.backend == "sqlite":
            refusing = "BEFORE INSERT ON webui_audit_logs BEGIN SELECT RAISE(ABORT, 'no'); END"
            connection.exec_driver_sql(f"CREATE TRIGGER refusing {refusing}")
        elif way == "refused":
            connection.exec_driver_sql("ALTER TABLE webui_audit_logs ADD CHECK (action <> 'export')")
    if way == "reads only":
        log = Database(filled.config, read_only=True)
    before = audit.audit_counts()
    offer = exports.export_view(filled, View("notes"), "csv", home=tmp_path, demo=False, progress=silent, log=log)
    log.dispose()
    assert (offer.rows, downloads.offered(offer.token)) == (4, offer)
    after = audit.audit_counts()
    assert (after.failed - before.failed, after.left_out - before.left_out) == ((1, 0) if way == "refused" else (0, 1))
    assert after.recorded == before.recorded


@pytest.mark.parametrize(("rights", "written"), [("SELECT", 0), ("INSERT", 0), ("SELECT, INSERT", 1)])
def test_who_may_not_write_the_audit_log_exports_all_the_same(
    cluster: Cluster, migrated: DatabaseConfig, tmp_path: Path, rights: str, written: int
) -> None:
    cluster.sql(
        "CREATE ROLE taker LOGIN PASSWORD 'taker'",
        "GRANT SELECT ON trades TO taker",
        f"GRANT {rights} ON webui_audit_logs TO taker",
        "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO taker",
        database=migrated.database,
    )
    taker = Database(cluster.config(migrated.database, user="taker", password="taker"))
    before = audit.audit_counts()
    try:
        offer = exports.export_view(taker, View("trades"), "csv", home=tmp_path, demo=False, progress=silent, log=taker)
        assert offer.rows == 0
    finally:
        taker.dispose()
        cluster.sql("DROP OWNED BY taker", "DROP ROLE taker", database=migrated.database)
    assert audit.audit_counts().failed == before.failed
    assert audit.audit_counts().recorded - before.recorded == written
