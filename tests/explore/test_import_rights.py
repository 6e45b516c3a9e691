"""What a role lacks to import, as statements: run, they are enough, and before them nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from core.database import Database
from core.errors import TradekeepError
from core.explore.imports import rights
from core.settings import DatabaseConfig
from tests.explore.test_import import GOOD, HEAD, imported, outcome
from tests.servers import Cluster

ROLE = 'read "only"'
BOT = "user_id,type,name,currency,config\n1,paper,a,USD,{}\n"
CANDLE = "symbol,timeframe,open_time,open,high,low,close,volume\nBTC,1h,1704067200000,1,2,0.5,1.5,10\n"
LOGGED = "action,details,created_at\nx,{},2024-01-01T00:00:00Z\n"
NOTE = "note\nhello\n"


@pytest.fixture
def reader_with(cluster: Cluster, migrated: DatabaseConfig) -> Iterator[Callable[[str], Database]]:
    """A function that gives a role nothing but these rights on every table, and connects as it."""
    quoted = ROLE.replace('"', '""')
    made: list[Database] = []

    def connect(given: str) -> Database:
        cluster.sql(f"CREATE ROLE \"{quoted}\" LOGIN PASSWORD 'reader'")
        statements = [f'GRANT {given} ON ALL TABLES IN SCHEMA public TO "{quoted}"'] if given else []
        cluster.sql("SELECT 1", *statements, database=migrated.database)
        made.append(Database(cluster.config(migrated.database, user=ROLE, password="reader")))
        return made[0]

    yield connect
    made[0].dispose()
    cluster.sql(f'DROP OWNED BY "{quoted}"', f'DROP ROLE "{quoted}"', database=migrated.database)


@pytest.mark.parametrize(
    ("table", "text", "given"),
    [
        ("trades", HEAD + GOOD, "SELECT"),
        ("trades", HEAD + GOOD, "SELECT, INSERT"),
        ("trades", HEAD + GOOD, ""),
        ("candles", CANDLE, "SELECT"),
        ("trading_bots", BOT, ""),
        ("webui_audit_logs", LOGGED, "SELECT"),
        ('of us."half %"', NOTE, ""),
    ],
)
def test_the_statements_are_enough_and_needed(
    reader_with: Callable[[str], Database],
    cluster: Cluster,
    migrated: DatabaseConfig,
    table: str,
    text: str,
    given: str,
) -> None:
    cluster.sql(
        "INSERT INTO usr_users (id, email) VALUES (1, 'anna@example.com')",
        'CREATE SCHEMA "of us"',
        'CREATE TABLE "of us"."half %" (id serial PRIMARY KEY, note text)',
        database=migrated.database,
    )
    table = table.replace('"', "")
    reader = reader_with(given)
    assert rights.tables(reader)[table] is ("INSERT" in given)
    lacking = rights.statements(reader, table)
    with pytest.raises(TradekeepError) as caught:
        imported(reader, text, table)
    assert caught.value.error_type == "permission"
    assert any("GRANT" in step for step in caught.value.recovery_steps)
    cluster.sql(*lacking, database=migrated.database)
    assert rights.statements(reader, table) == []
    assert rights.tables(reader)[table]
    assert outcome(imported(reader, text, table))[3] == 0
    assert outcome(imported(reader, text, table))[0] == 0


def test_nothing_more_is_asked_for(reader_with: Callable[[str], Database]) -> None:
    reader = reader_with("SELECT")
    role = '"read ""only"""'
    assert rights.statements(reader, "trades") == [
        f"GRANT INSERT, UPDATE ON TABLE public.trades TO {role};",
        f"GRANT USAGE ON SEQUENCE public.trades_id_seq TO {role};",
    ]
    assert (
        rights.statements(reader, "webui_audit_logs")[0] == f"GRANT INSERT ON TABLE public.webui_audit_logs TO {role};"
    )
    assert rights.statements(reader, "missing") == []
    assert not any(rights.tables(reader).values())


def test_a_file_asks_nobody(migrated_sqlite: DatabaseConfig) -> None:
    db = Database(migrated_sqlite)
    assert all(rights.tables(db).values())
    assert rights.statements(db, "trades") == []
    db.dispose()
