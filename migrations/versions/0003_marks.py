"""Marks of changed days: by writers of every isolation level, within the years that count, and where SQLite replaces.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | None = None
depends_on: str | None = None

# Frozen here on purpose: a later change of the models must not change what this revision makes.
POSTGRESQL = """CREATE OR REPLACE FUNCTION mark_trading_rollups() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  marks text := quote_ident(TG_TABLE_SCHEMA) || '.trading_rollup_marks';
  changed text := 'SELECT status, exit_time FROM changed';
BEGIN
  IF to_regclass(marks) IS NULL THEN
    RETURN NULL;
  END IF;
  IF TG_OP = 'TRUNCATE' THEN
    EXECUTE 'INSERT INTO ' || marks || ' (day) VALUES (NULL)';
    RETURN NULL;
  END IF;
  IF TG_OP = 'UPDATE' THEN
    changed := changed || ' UNION ALL SELECT status, exit_time FROM changed_from';
  END IF;
  changed := 'SELECT DISTINCT (exit_time AT TIME ZONE ''UTC'')::date AS day FROM (' || changed
    || ') c WHERE status = ''CLOSED'' AND exit_time >= ''1900-01-01 00:00:00+00'''
    || ' AND exit_time < ''2200-01-01 00:00:00+00''';
  IF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
    EXECUTE 'INSERT INTO ' || marks || ' (day) ' || changed;
    RETURN NULL;
  END IF;
  EXECUTE 'WITH days AS MATERIALIZED (' || changed || '), held AS MATERIALIZED (SELECT m.day FROM '
    || marks || ' m JOIN days ON days.day = m.day FOR KEY SHARE OF m SKIP LOCKED) INSERT INTO '
    || marks || ' (day) SELECT day FROM days WHERE day NOT IN (SELECT day FROM held)';
  RETURN NULL;
END $$"""
POSTGRESQL_BEFORE = """CREATE OR REPLACE FUNCTION mark_trading_rollups() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  marks text := quote_ident(TG_TABLE_SCHEMA) || '.trading_rollup_marks';
  changed text := 'SELECT status, exit_time FROM changed';
BEGIN
  IF to_regclass(marks) IS NULL THEN
    RETURN NULL;
  END IF;
  IF TG_OP = 'TRUNCATE' THEN
    EXECUTE 'INSERT INTO ' || marks || ' (day) VALUES (NULL)';
    RETURN NULL;
  END IF;
  IF TG_OP = 'UPDATE' THEN
    changed := changed || ' UNION ALL SELECT status, exit_time FROM changed_from';
  END IF;
  EXECUTE 'WITH days AS MATERIALIZED (SELECT DISTINCT (exit_time AT TIME ZONE ''UTC'')::date AS day FROM ('
    || changed || ') c WHERE status = ''CLOSED'' AND isfinite(exit_time)), held AS MATERIALIZED (SELECT m.day FROM '
    || marks || ' m JOIN days ON days.day = m.day FOR KEY SHARE OF m SKIP LOCKED) INSERT INTO '
    || marks || ' (day) SELECT day FROM days WHERE day NOT IN (SELECT day FROM held)';
  RETURN NULL;
END $$"""
SQLITE = (
    """CREATE TRIGGER IF NOT EXISTS trading_rollups_insert AFTER INSERT ON trading_trades WHEN (NEW.status = 'CLOSED' AND NEW.exit_time >= '1900-01-01' AND NEW.exit_time < '2200-01-01')
BEGIN
INSERT INTO trading_rollup_marks (day) SELECT substr(NEW.exit_time, 1, 10) WHERE NEW.status = 'CLOSED' AND NEW.exit_time >= '1900-01-01' AND NEW.exit_time < '2200-01-01' AND NOT EXISTS (SELECT 1 FROM trading_rollup_marks m WHERE m.day = substr(NEW.exit_time, 1, 10));
END""",
    """CREATE TRIGGER IF NOT EXISTS trading_rollups_update AFTER UPDATE ON trading_trades WHEN (OLD.status = 'CLOSED' AND OLD.exit_time >= '1900-01-01' AND OLD.exit_time < '2200-01-01') OR (NEW.status = 'CLOSED' AND NEW.exit_time >= '1900-01-01' AND NEW.exit_time < '2200-01-01')
BEGIN
INSERT INTO trading_rollup_marks (day) SELECT substr(OLD.exit_time, 1, 10) WHERE OLD.status = 'CLOSED' AND OLD.exit_time >= '1900-01-01' AND OLD.exit_time < '2200-01-01' AND NOT EXISTS (SELECT 1 FROM trading_rollup_marks m WHERE m.day = substr(OLD.exit_time, 1, 10));
INSERT INTO trading_rollup_marks (day) SELECT substr(NEW.exit_time, 1, 10) WHERE NEW.status = 'CLOSED' AND NEW.exit_time >= '1900-01-01' AND NEW.exit_time < '2200-01-01' AND NOT EXISTS (SELECT 1 FROM trading_rollup_marks m WHERE m.day = substr(NEW.exit_time, 1, 10));
END""",
    """CREATE TRIGGER IF NOT EXISTS trading_rollups_delete AFTER DELETE ON trading_trades WHEN (OLD.status = 'CLOSED' AND OLD.exit_time >= '1900-01-01' AND OLD.exit_time < '2200-01-01')
BEGIN
INSERT INTO trading_rollup_marks (day) SELECT substr(OLD.exit_time, 1, 10) WHERE OLD.status = 'CLOSED' AND OLD.exit_time >= '1900-01-01' AND OLD.exit_time < '2200-01-01' AND NOT EXISTS (SELECT 1 FROM trading_rollup_marks m WHERE m.day = substr(OLD.exit_time, 1, 10));
END""",
    """CREATE TRIGGER IF NOT EXISTS trading_rollups_replace BEFORE INSERT ON trading_trades
BEGIN
INSERT INTO trading_rollup_marks (day) SELECT substr(o.exit_time, 1, 10) FROM trading_trades o WHERE o.symbol = NEW.symbol AND o.entry_time = NEW.entry_time AND o.id = NEW.id AND o.status = 'CLOSED' AND o.exit_time >= '1900-01-01' AND o.exit_time < '2200-01-01' AND NOT EXISTS (SELECT 1 FROM trading_rollup_marks m WHERE m.day = substr(o.exit_time, 1, 10));
END""",
)
SQLITE_BEFORE = (
    """CREATE TRIGGER IF NOT EXISTS trading_rollups_insert AFTER INSERT ON trading_trades WHEN (NEW.status = 'CLOSED' AND NEW.exit_time IS NOT NULL)
BEGIN
INSERT INTO trading_rollup_marks (day) SELECT substr(NEW.exit_time, 1, 10) WHERE NEW.status = 'CLOSED' AND NEW.exit_time IS NOT NULL AND NOT EXISTS (SELECT 1 FROM trading_rollup_marks WHERE day = substr(NEW.exit_time, 1, 10));
END""",
    """CREATE TRIGGER IF NOT EXISTS trading_rollups_update AFTER UPDATE ON trading_trades WHEN (OLD.status = 'CLOSED' AND OLD.exit_time IS NOT NULL) OR (NEW.status = 'CLOSED' AND NEW.exit_time IS NOT NULL)
BEGIN
INSERT INTO trading_rollup_marks (day) SELECT substr(OLD.exit_time, 1, 10) WHERE OLD.status = 'CLOSED' AND OLD.exit_time IS NOT NULL AND NOT EXISTS (SELECT 1 FROM trading_rollup_marks WHERE day = substr(OLD.exit_time, 1, 10));
INSERT INTO trading_rollup_marks (day) SELECT substr(NEW.exit_time, 1, 10) WHERE NEW.status = 'CLOSED' AND NEW.exit_time IS NOT NULL AND NOT EXISTS (SELECT 1 FROM trading_rollup_marks WHERE day = substr(NEW.exit_time, 1, 10));
END""",
    """CREATE TRIGGER IF NOT EXISTS trading_rollups_delete AFTER DELETE ON trading_trades WHEN (OLD.status = 'CLOSED' AND OLD.exit_time IS NOT NULL)
BEGIN
INSERT INTO trading_rollup_marks (day) SELECT substr(OLD.exit_time, 1, 10) WHERE OLD.status = 'CLOSED' AND OLD.exit_time IS NOT NULL AND NOT EXISTS (SELECT 1 FROM trading_rollup_marks WHERE day = substr(OLD.exit_time, 1, 10));
END""",
)
NAMES = ("insert", "update", "delete", "replace")


def sqlite() -> bool:
    return op.get_context().dialect.name == "sqlite"


def replaced(function: str, triggers: tuple[str, ...]) -> None:
    """The marking function, or SQLite's triggers, as they are written here."""
    if not sqlite():
        op.execute(function)
        op.execute("REVOKE ALL ON FUNCTION mark_trading_rollups() FROM PUBLIC")
        return
    for name in NAMES:
        op.execute(f"DROP TRIGGER IF EXISTS trading_rollups_{name}")
    for trigger in triggers:
        op.execute(trigger)


def upgrade() -> None:
    """Everything counts as changed: rollups made before may hold other years, or miss what a writer did meanwhile."""
    replaced(POSTGRESQL, SQLITE)
    op.execute("DELETE FROM trading_rollup_marks WHERE day < '1900-01-01' OR day > '2199-12-31'")
    op.execute("INSERT INTO trading_rollup_marks (day) SELECT NULL WHERE EXISTS (SELECT 1 FROM trading_trades)")


def downgrade() -> None:
    """As it was; what the function did not see of other years is to be seen then."""
    replaced(POSTGRESQL_BEFORE, SQLITE_BEFORE)
    op.execute("INSERT INTO trading_rollup_marks (day) SELECT NULL WHERE EXISTS (SELECT 1 FROM trading_trades)")
