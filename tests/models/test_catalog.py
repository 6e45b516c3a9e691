"""What PostgreSQL's catalog says about the tables: names, types, indexes, sequences, comments."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import Connection

from core.models import AREAS, Base
from tests.models.rules import INDEXES, REFERENCES

# Names that are older than the convention; they are kept.
GIVEN_NAMES = {
    "ix_users_email", "ix_auth_identities_provider_external", "ix_verification_codes_user_id",
    "idx_schedules_enabled", "idx_schedules_next_run_at", "ux_runs_job_scheduled_for",
}  # fmt: skip
KEY_NAMES = {"trading_rollups": "pk_trading_rollups_key"}  # the convention would be too long
COMPOSITE = {
    "trades": "symbol executed_at id",
    "candles": "symbol timeframe open_time",
    "system_events": "occurred_at id",
    "trading_trades": "symbol entry_time id",
    "trading_rollups": "level part day trade_type currency bot_id strategy_name",
    "telegram_command_audits": "created_at id",
    "webui_audit_logs": "created_at id",
}


def test_36_tables_in_eight_areas() -> None:
    assert {area: len(tables) for area, tables in AREAS.items()} == {
        "accounts": 3, "trading": 9, "market": 3, "bots": 4, "jobs": 2, "messaging": 9, "webui": 4, "rollups": 2,
    }  # fmt: skip
    assert sorted(table for tables in AREAS.values() for table in tables) == sorted(Base.metadata.tables)


@pytest.fixture
def columns(postgres: Connection) -> list[tuple[str, str, str, str]]:
    """Table, column, type, default of every column."""
    rows = postgres.exec_driver_sql(
        "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), pg_get_expr(d.adbin, d.adrelid)"
        " FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
        " LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum"
        " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0"
        " AND c.relname <> 'alembic_version'"
    )
    return [(table, column, kind, default) for table, column, kind, default in rows]


def test_only_exact_types(columns: list[tuple[str, str, str, str]]) -> None:
    kinds = {kind for _, _, kind, _ in columns}
    assert kinds == {
        "bigint", "boolean", "date", "integer", "jsonb", "numeric(28,10)", "numeric(10,4)", "numeric(12,4)",
        "numeric(6,5)", "text", "text[]", "timestamp with time zone",
    }  # fmt: skip
    special = {f"{table}.{column}": kind for table, column, kind, _ in columns if kind.startswith("numeric")}
    assert {name: kind for name, kind in special.items() if kind != "numeric(28,10)"} == {
        "positions.leverage": "numeric(10,4)",
        "signals.strength": "numeric(6,5)",
        "agent_decisions.confidence": "numeric(6,5)",
        "msg_rate_limits.tokens": "numeric(12,4)",
        "msg_rate_limits.max_tokens": "numeric(12,4)",
        "msg_rate_limits.refill_per_minute": "numeric(12,4)",
    }


def test_every_id_is_a_bigint_with_a_sequence_of_its_own(
    postgres: Connection, columns: list[tuple[str, str, str, str]]
) -> None:
    ids = {table: (kind, default) for table, column, kind, default in columns if column == "id"}
    assert ids.keys() == Base.metadata.tables.keys() - {"candles", "telegram_settings", "trading_rollups"}
    assert ids == {table: ("bigint", f"nextval('{table}_id_seq'::regclass)") for table in ids}
    for table in ids:
        owned = postgres.exec_driver_sql("SELECT pg_get_serial_sequence(%s, 'id')", (table,)).scalar()
        assert owned == f"public.{table}_id_seq"


def test_identifiers_of_other_tables_are_bigint(columns: list[tuple[str, str, str, str]]) -> None:
    kinds = {(table, column): kind for table, column, kind, _ in columns}
    assert {kinds[table, column] for table, column, _, _ in REFERENCES} == {"bigint"}


def test_primary_keys(postgres: Connection) -> None:
    rows = postgres.exec_driver_sql(
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE contype = 'p' AND connamespace = 'public'::regnamespace AND conname <> 'alembic_version_pkc'"
    )
    found = {table: (name, definition) for table, name, definition in rows}
    keys = {table: "id" for table in Base.metadata.tables} | {"telegram_settings": "key"} | COMPOSITE
    assert found == {
        table: (KEY_NAMES.get(table, f"pk_{table}_{key.replace(' ', '_')}"), f"PRIMARY KEY ({key.replace(' ', ', ')})")
        for table, key in keys.items()
    }


def test_foreign_keys(postgres: Connection) -> None:
    rows = postgres.exec_driver_sql(
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE contype = 'f' AND connamespace = 'public'::regnamespace"
    )
    assert {name: definition for name, definition in rows} == {
        f"fk_{table}_{column}": f"FOREIGN KEY ({column}) REFERENCES {target}(id) ON DELETE {rule.upper()}"
        for table, column, target, rule in REFERENCES
    }


def test_indexes(postgres: Connection) -> None:
    rows = postgres.exec_driver_sql(
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
        " AND indexname NOT IN (SELECT conname FROM pg_constraint)"
    )
    pattern = re.compile(r"CREATE (UNIQUE )?INDEX \w+ ON public\.(\w+) USING btree (.*)")
    found = {name: pattern.sub(lambda m: f"{(m[1] or '').lower()}{m[2]} {m[3]}", text) for name, text in rows}
    assert found == INDEXES


def test_names_follow_the_convention(postgres: Connection) -> None:
    rows = postgres.exec_driver_sql(
        "SELECT contype::text, conname, conrelid::regclass::text FROM pg_constraint"
        " WHERE connamespace = 'public'::regnamespace AND contype <> 'n' AND conname <> 'alembic_version_pkc'"
        " UNION ALL SELECT 'i', indexname, tablename FROM pg_indexes WHERE schemaname = 'public'"
        " AND indexname NOT IN (SELECT conname FROM pg_constraint)"
    ).all()
    prefix = {"p": "pk", "f": "fk", "u": "uq", "c": "ck", "i": "ix"}
    odd = {name for kind, name, table in rows if not name.startswith(f"{prefix[kind]}_{table}_")}
    assert odd == GIVEN_NAMES | {"uq_positions_symbol_side"}


def test_every_table_has_a_comment(postgres: Connection) -> None:
    rows = postgres.exec_driver_sql(
        "SELECT relname, obj_description(oid, 'pg_class') FROM pg_class"
        " WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname <> 'alembic_version'"
    ).all()
    assert len(rows) == 36
    assert all(comment and comment.endswith(".") for _, comment in rows)


def test_one_health_row_a_component_with_nulls_not_distinct(postgres: Connection) -> None:
    definition = postgres.exec_driver_sql(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'uq_msg_system_health_system_component'"
    ).scalar()
    assert definition == "UNIQUE NULLS NOT DISTINCT (system, component)"
