"""Migrations: all or nothing, alone, and honest about where a database stands."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import MetaData, inspect

from core.database import Database
from core.errors import TradekeepError
from core.models import Base
from core.schema import alone, migrate, present
from core.settings import DatabaseConfig
from tests.servers import Cluster

ROOT = Path(__file__).parents[2]
HEAD = migrate.revisions()[-1].id


@pytest.fixture(params=["postgresql", "sqlite"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> DatabaseConfig:
    """An empty database."""
    if request.param == "sqlite":
        return DatabaseConfig(backend="sqlite", database=str(tmp_path / "empty.sqlite"))
    return request.getfixturevalue("pg_database")


@pytest.fixture
def empty(config: DatabaseConfig) -> Iterator[Database]:
    database = Database(config)
    yield database
    database.dispose()


def table_names(db: Database) -> list[str]:
    with db.connect() as connection:
        return inspect(connection).get_table_names()


def run(db: Database, *statements: str) -> None:
    with db.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def test_history_is_one_line_from_the_first_revision_to_the_last() -> None:
    steps = migrate.revisions()
    assert [step.down for step in steps] == [None, *(step.id for step in steps[:-1])]
    assert steps[0].id == "0001"
    assert all(step.title for step in steps)


def test_empty_database_is_told_as_such(empty: Database) -> None:
    found = migrate.status(empty)
    assert (found.current_version, found.expected_version) == (None, HEAD)
    assert found.compatible
    assert found.migration_needed
    assert found.pending == migrate.revisions()
    assert table_names(empty) == []


def test_upgrade_makes_every_table_and_reports_each(empty: Database) -> None:
    seen: list[tuple[int, int, str]] = []
    result = migrate.upgrade(empty, progress=lambda done, total, message: seen.append((done, total, message)))
    assert result.success
    assert sorted(result.tables_created) == sorted(Base.metadata.tables)
    assert (result.tables_skipped, result.errors) == ([], [])
    assert result.duration_ms > 0
    assert [(done, total) for done, total, _ in seen] == [(n, 36) for n in range(37)]
    assert seen[1][2] == f"Created table {result.tables_created[0]}"
    found = migrate.status(empty)
    assert (found.current_version, found.pending, found.migration_needed) == (HEAD, [], False)


def test_second_upgrade_skips_everything(db: Database) -> None:
    result = migrate.upgrade(db)
    assert result.success
    assert result.tables_created == []
    assert sorted(result.tables_skipped) == sorted(Base.metadata.tables)


@pytest.mark.parametrize("at", [1, 36])
def test_cancelled_upgrade_leaves_nothing(empty: Database, at: int) -> None:
    def stop(done: int, total: int, message: str) -> None:
        if done == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        migrate.upgrade(empty, progress=stop)
    assert table_names(empty) == []
    assert migrate.upgrade(empty).success


def test_failed_upgrade_leaves_nothing(empty: Database) -> None:
    kind = "VIEW" if empty.backend == "postgresql" else "TABLE"
    run(empty, f"CREATE {kind} ix_users_email AS SELECT 1 AS one")  # takes a name that the migration needs
    before = table_names(empty)
    with pytest.raises(TradekeepError):
        migrate.upgrade(empty)
    assert table_names(empty) == before
    run(empty, f"DROP {kind} ix_users_email")
    assert migrate.upgrade(empty).success


def test_killed_upgrade_leaves_nothing(empty: Database) -> None:
    killed = _upgrade_elsewhere(empty.config, "progress=lambda done, *_: done == 20 and os._exit(9)")
    assert killed.wait(30) == 9
    assert table_names(empty) == []
    assert len(migrate.upgrade(empty).tables_created) == 36


def test_downgrade_removes_everything(db: Database) -> None:
    found = migrate.downgrade(db, "base")
    assert (found.current_version, found.unmanaged) == (None, [])
    assert table_names(db) == [present.VERSION_TABLE]
    if db.backend == "postgresql":
        with db.connect() as connection:
            assert inspect(connection).get_sequence_names() == []
    assert len(migrate.upgrade(db).tables_created) == 36


def test_relative_revisions(db: Database) -> None:
    before = len(migrate.status(db).pending)
    assert len(migrate.downgrade(db, "-1").pending) == before + 1
    migrate.upgrade(db, "+1")
    assert migrate.status(db).current_version == HEAD


@pytest.mark.parametrize("act", [migrate.upgrade, migrate.downgrade, migrate.stamp, migrate.sql])
def test_unknown_revision_is_refused(db: Database, act: Callable[[Database, str], object]) -> None:
    for to in ("9999", "", "+9", "-9", "head:base", "'; drop table trades"):
        with pytest.raises(TradekeepError) as caught:
            act(db, to)
        assert caught.value.kind == "schema.revision"
    assert migrate.status(db).current_version == HEAD


def test_downgrade_does_not_upgrade(empty: Database) -> None:
    with pytest.raises(TradekeepError) as caught:
        migrate.downgrade(empty, "head")
    assert caught.value.kind == "schema.revision"


def test_newer_database_is_left_alone(db: Database) -> None:
    run(db, "UPDATE alembic_version SET version_num = 'fffe'")
    found = migrate.status(db)
    assert (found.current_version, found.compatible, found.pending) == ("fffe", False, [])
    for act in (lambda: migrate.upgrade(db), lambda: migrate.downgrade(db, "base"), lambda: migrate.sql(db)):
        with pytest.raises(TradekeepError) as caught:
            act()
        assert caught.value.kind == "schema.newer"
        assert "fffe" in caught.value.message + caught.value.why
    assert len(table_names(db)) == 37


def test_stamp_repairs_an_unknown_revision(db: Database) -> None:
    run(db, "UPDATE alembic_version SET version_num = 'fffe'")
    assert migrate.stamp(db, "head").current_version == HEAD


def test_tables_made_by_hand_are_refused_until_they_are_stamped(empty: Database) -> None:
    with empty.connect() as connection:
        Base.metadata.create_all(connection)
    assert len(migrate.status(empty).unmanaged) == 36
    with pytest.raises(TradekeepError) as caught:
        migrate.upgrade(empty)
    assert caught.value.kind == "schema.unmanaged"
    assert "usr_users" in caught.value.message
    assert migrate.stamp(empty, "head").current_version == HEAD
    assert len(migrate.upgrade(empty).tables_skipped) == 36


@pytest.mark.parametrize("revision", [step.id for step in migrate.revisions()])
def test_a_lost_record_is_found_again_by_the_tables(empty: Database, revision: str) -> None:
    migrate.upgrade(empty, revision)
    run(empty, "DROP TABLE alembic_version")
    found = migrate.status(empty)
    shown = min(revision, "0002")  # the later ones make no table, and are run again
    assert (found.current_version, found.matching) == (None, shown)
    assert migrate.stamp(empty, migrate.MATCHING).current_version == shown
    migrate.upgrade(empty)
    found = migrate.status(empty)
    assert (found.current_version, found.migration_needed, found.matching) == (HEAD, False, None)


@pytest.mark.parametrize("damage", ["DROP TABLE trades", "ALTER TABLE trades DROP COLUMN fee"])
def test_tables_that_match_no_revision_are_not_recorded_as_one(db: Database, damage: str) -> None:
    run(db, "DROP TABLE alembic_version", damage)
    assert migrate.status(db).matching is None
    with pytest.raises(TradekeepError) as caught:
        migrate.stamp(db, migrate.MATCHING)
    assert caught.value.kind == "schema.unmanaged"
    assert "trades" in caught.value.message or "columns" in caught.value.message
    assert migrate.status(db).current_version is None


def test_somebody_elses_tables_are_no_obstacle(empty: Database) -> None:
    run(empty, "CREATE TABLE theirs (id integer)")
    assert migrate.upgrade(empty).success
    assert "theirs" in table_names(empty)


def test_no_models_is_not_an_empty_schema() -> None:
    with pytest.raises(TradekeepError) as caught:
        migrate.expected_tables(MetaData())
    assert caught.value.kind == "schema.no_models"
    assert "0 tables registered" in caught.value.why


def test_previewed_sql_is_what_upgrade_does(empty: Database) -> None:
    preview = migrate.sql(empty)
    assert preview.count("CREATE TABLE") == 37
    if empty.backend == "postgresql":
        with empty.engine.connect() as connection:
            connection.connection.driver_connection.execute(preview)  # type: ignore[union-attr]
    else:
        with empty.engine.connect() as connection:
            connection.connection.driver_connection.executescript(preview)  # type: ignore[union-attr]
    found = migrate.status(empty)
    assert (found.current_version, found.pending) == (HEAD, [])
    assert len(migrate.upgrade(empty).tables_skipped) == 36


def test_sql_of_what_has_run(db: Database) -> None:
    assert migrate.sql(db) == ""
    assert migrate.sql(db, "base") == ""
    assert migrate.sql(db, "0001").count("CREATE TABLE") >= 34


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alone, "LOCK_WAIT_S", 0.2)


@pytest.mark.usefixtures("impatient")
def test_wait_for_another_process_ends(empty: Database) -> None:
    other = Database(empty.config)
    with other.connect() as connection:
        if empty.backend == "postgresql":
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (alone.LOCK,))
        else:
            connection.exec_driver_sql("CREATE TABLE theirs (id integer)")
        with pytest.raises(TradekeepError) as caught:
            migrate.upgrade(empty)
    other.dispose()
    assert caught.value.kind == "schema.busy"
    assert caught.value.retryable
    assert migrate.upgrade(empty).success


@pytest.mark.usefixtures("impatient")
def test_wait_for_another_thread_ends(empty: Database) -> None:
    inside, done = threading.Event(), threading.Event()

    def slow(finished: int, total: int, message: str) -> None:
        inside.set()
        assert done.wait(10)

    thread = threading.Thread(target=migrate.upgrade, args=(empty,), kwargs={"progress": slow})
    thread.start()
    assert inside.wait(10)
    with pytest.raises(TradekeepError) as caught:
        migrate.upgrade(empty)
    done.set()
    thread.join()
    assert caught.value.kind == "schema.busy"
    assert migrate.status(empty).current_version == HEAD


def test_two_threads_migrate_once(empty: Database) -> None:
    results: list[migrate.InitializationResult] = []
    threads = [threading.Thread(target=lambda: results.append(migrate.upgrade(empty))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(len(result.tables_created) for result in results) == [0, 0, 36]


def test_two_processes_migrate_once(empty: Database) -> None:
    processes = [_upgrade_elsewhere(empty.config) for _ in range(2)]
    told = [process.communicate(timeout=30)[0].strip() for process in processes]
    assert sorted(told) == ["0", "36"]
    assert migrate.status(empty).current_version == HEAD


def _upgrade_elsewhere(config: DatabaseConfig, options: str = "") -> subprocess.Popen[str]:
    """Another process that upgrades the database and prints how many tables it made."""
    code = (
        "import os\nfrom core.database import Database\nfrom core.schema import migrate\n"
        "from core.settings import DatabaseConfig\n"
        "secret = os.environ.pop('SECRET') or None\n"
        "given = DatabaseConfig.model_validate_json(os.environ['CONFIG']).model_copy()\n"
        "config = DatabaseConfig(**(given.model_dump() | {'password': secret}))\n"
        f"print(len(migrate.upgrade(Database(config), {options}).tables_created))"
    )
    environment = os.environ | {
        "CONFIG": config.model_dump_json(exclude={"password"}),
        "SECRET": config.password.get_secret_value() if config.password else "",
    }
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)


def test_upgrade_is_refused_to_a_role_that_may_not_create(cluster: Cluster, migrated: DatabaseConfig) -> None:
    owner = Database(migrated)
    migrate.downgrade(owner, "base")
    owner.dispose()
    cluster.sql("CREATE ROLE t_nobody LOGIN PASSWORD 'nobody-in-particular'")
    nobody = Database(cluster.config(migrated.database, user="t_nobody", password="nobody-in-particular"))
    try:
        with pytest.raises(TradekeepError):
            migrate.upgrade(nobody)
    finally:
        nobody.dispose()
        cluster.sql("DROP ROLE t_nobody")
