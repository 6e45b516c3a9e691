"""Expected tables against those that are there."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.database import Database
from core.models import AREAS
from core.schema import present
from core.settings import DatabaseConfig


def states(db: Database) -> dict[str, present.TableState]:
    return {state.name: state for state in present.tables(db)}


def run(db: Database, *statements: str) -> None:
    with db.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def test_migrated_database_has_everything(db: Database) -> None:
    found = present.tables(db)
    assert [(state.area, state.name) for state in found] == [(a, t) for a, tables in AREAS.items() for t in tables]
    assert {state.state for state in found} == {"present"}
    assert not any(state.missing_columns or state.extra_columns for state in found)
    assert all(state.rows_estimate == 0 for state in found)
    assert all(state.bytes for state in found)


def test_differences_are_named(db: Database) -> None:
    run(
        db,
        "DROP TABLE webui_system_config",
        "ALTER TABLE portfolios DROP COLUMN source",
        "ALTER TABLE portfolios ADD COLUMN mood text",
        "CREATE TABLE theirs (id integer)",
        "INSERT INTO theirs VALUES (1), (2)",
    )
    found = states(db)
    assert found["webui_system_config"] == present.TableState(name="webui_system_config", area="webui", state="missing")
    assert found["portfolios"].state == "present"
    assert (found["portfolios"].missing_columns, found["portfolios"].extra_columns) == (["source"], ["mood"])
    assert (found["theirs"].state, found["theirs"].area) == ("extra", "")
    assert list(found)[-1] == "theirs"


def test_rows_are_estimated(db: Database) -> None:
    many = "INSERT INTO telegram_settings (key) VALUES " + ", ".join(f"('{n}')" for n in range(300))
    run(db, many, "ANALYZE")
    assert states(db)["telegram_settings"].rows_estimate == 300


def test_partitions_count_for_their_table(migrated: DatabaseConfig) -> None:
    db = Database(migrated)
    run(
        db,
        "CREATE TABLE ticks (at date NOT NULL, n int) PARTITION BY RANGE (at)",
        "CREATE TABLE ticks_1 PARTITION OF ticks FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')",
        "CREATE TABLE ticks_2 PARTITION OF ticks FOR VALUES FROM ('2026-02-01') TO ('2026-03-01')",
        "INSERT INTO ticks SELECT date '2026-01-01' + mod(n, 50), n FROM generate_series(1, 1000) n",
        "ANALYZE ticks",
    )
    found = states(db)
    db.dispose()
    assert found["ticks"].rows_estimate == 1000
    assert found["ticks"].bytes is not None
    assert found["ticks"].bytes > 8192
    assert "ticks_1" not in found


@pytest.mark.parametrize("backend", ["postgresql", "sqlite"])
def test_empty_database_has_nothing(request: pytest.FixtureRequest, tmp_path: Path, backend: str) -> None:
    config = DatabaseConfig(backend="sqlite", database=str(tmp_path / "empty.sqlite"))
    db = Database(request.getfixturevalue("pg_database") if backend == "postgresql" else config)
    assert {state.state for state in present.tables(db)} == {"missing"}
    db.dispose()
