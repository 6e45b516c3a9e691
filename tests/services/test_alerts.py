"""Resolving alerts: all or none, once, with a line in the audit log; and who may."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from core.database import Database
from core.errors import TradekeepError
from core.models import Alert, AuditLog
from core.services import alerts
from core.settings import DatabaseConfig
from tests.servers import Cluster


def add(db: Database, number: int) -> list[int]:
    with db.begin() as session:
        rows = [Alert(alert_type="gap", severity="WARNING", message=f"late {n}") for n in range(number)]
        session.add_all(rows)
        session.flush()
        return [row.id for row in rows]


def test_alerts_are_resolved_once_and_every_resolution_is_in_the_audit_log(db: Database) -> None:
    first, second, third = add(db, 3)
    assert alerts.resolve(db, [first], " Restarted the feed ", by="anna") == [first]
    assert alerts.resolve(db, [first, second, 10**9], "Again", by="ben") == [second]
    with db.begin() as session:
        kept = {row.id: (row.resolved, row.resolution, row.resolved_by) for row in session.scalars(sa.select(Alert))}
        log = [(row.action, row.resource_id, row.details["by"]) for row in session.scalars(sa.select(AuditLog))]
    assert kept == {
        first: (True, "Restarted the feed", "anna"),
        second: (True, "Again", "ben"),
        third: (False, None, None),
    }
    assert log == [("alert.resolve", str(first), "anna"), ("alert.resolve", str(second), "ben")]


@pytest.mark.parametrize("note", ["", "  \n ", "x" * 2001])
def test_resolution_needs_a_note_within_reason(db: Database, note: str) -> None:
    (only,) = add(db, 1)
    with pytest.raises(TradekeepError) as raised:
        alerts.resolve(db, [only], note, by="anna")
    assert raised.value.kind == "data.value"


def test_nothing_is_resolved_where_the_audit_log_cannot_be_written(db: Database) -> None:
    (only,) = add(db, 1)
    with db.connect() as connection:
        connection.exec_driver_sql("DROP TABLE webui_audit_logs")
    with pytest.raises(TradekeepError):
        alerts.resolve(db, [only], "done", by="anna")
    with db.begin() as session:
        assert not session.scalars(sa.select(Alert)).one().resolved


def test_viewer_may_not_resolve(cluster: Cluster, migrated: DatabaseConfig) -> None:
    cluster.sql(
        "CREATE ROLE looker LOGIN PASSWORD 'looker'", "GRANT SELECT ON alerts TO looker",
        "CREATE ROLE half LOGIN PASSWORD 'half'", "GRANT SELECT, UPDATE ON alerts TO half", database=migrated.database,
    )  # fmt: skip
    try:
        for config, may in (
            (migrated, True),
            (cluster.config(migrated.database, user="looker", password="looker"), False),
            (cluster.config(migrated.database, user="half", password="half"), False),  # the audit log is not theirs
        ):
            db = Database(config)
            assert alerts.may_resolve(db) is may
            db.dispose()
        reader = Database(migrated, read_only=True)
        assert not alerts.may_resolve(reader)
    finally:
        for role in ("looker", "half"):
            cluster.sql(f"DROP OWNED BY {role}", f"DROP ROLE {role}", database=migrated.database)


def test_any_number_of_alerts_is_resolved_at_once(db: Database) -> None:
    ids = add(db, 3)
    assert alerts.resolve(db, [*range(10**6, 10**6 + 70_000), *ids], "all", by="anna") == sorted(ids)
    assert alerts.resolve(db, [], "none", by="anna") == []


def test_demo_says_that_it_only_reads(migrated_sqlite: DatabaseConfig) -> None:
    with Database(migrated_sqlite, read_only=True) as db, pytest.raises(TradekeepError) as raised:
        alerts.resolve(db, [1], "done", by="anna")
    assert raised.value.kind == "config.read_only"
    assert "the demo" in raised.value.message


def test_database_without_the_table_has_nobody_who_may(pg_database: DatabaseConfig) -> None:
    db = Database(pg_database)
    assert not alerts.may_resolve(db)
    db.dispose()
    assert alerts.local_operator()
