"""Rollups: daily sums of the closed round trips, and marks of the days that have changed since.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | None = None
depends_on: str | None = None

# Frozen here on purpose: a later change of the models must not change what this revision makes.
TEXT = sa.Text()
TIME = sa.DateTime(timezone=True)
MONEY = sa.Numeric(28, 10)
BIGINT = sa.BigInteger()
LEVELS = "'day', 'bot', 'symbol', 'exit_reason'"
KINDS = "'paper', 'live', 'backtest', 'optimization'"
KEY = ("level", "part", "day", "trade_type", "currency", "bot_id", "strategy_name")
POSTGRESQL = (
    """CREATE OR REPLACE FUNCTION mark_trading_rollups() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
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
END $$""",
    """REVOKE ALL ON FUNCTION mark_trading_rollups() FROM PUBLIC""",
    """CREATE OR REPLACE TRIGGER trading_rollups_insert AFTER INSERT ON trading_trades
REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_trading_rollups()""",
    """CREATE OR REPLACE TRIGGER trading_rollups_update AFTER UPDATE ON trading_trades
REFERENCING NEW TABLE AS changed OLD TABLE AS changed_from
FOR EACH STATEMENT EXECUTE FUNCTION mark_trading_rollups()""",
    """CREATE OR REPLACE TRIGGER trading_rollups_delete AFTER DELETE ON trading_trades
REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION mark_trading_rollups()""",
    """CREATE OR REPLACE TRIGGER trading_rollups_truncate AFTER TRUNCATE ON trading_trades
FOR EACH STATEMENT EXECUTE FUNCTION mark_trading_rollups()""",
)
SQLITE = (
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


def sqlite() -> bool:
    return op.get_context().dialect.name == "sqlite"


def col(name: str, kind: Any, *, comment: str | None = None) -> sa.Column[Any]:
    return sa.Column(name, kind, comment=comment, nullable=False)


def upgrade() -> None:
    """The tables, then the triggers that mark changed days, then a mark for everything that is there already."""
    op.create_table(
        "trading_rollups",
        col("level", TEXT, comment="What it is split by"),
        col("part", TEXT, comment="The symbol or exit reason; empty for none, and on the other levels"),
        col("day", sa.Date(), comment="UTC day of the exit"),
        col("trade_type", TEXT),
        col("currency", TEXT),
        col("bot_id", BIGINT, comment="0 for all of them together"),
        col("strategy_name", TEXT, comment="Empty where the trades name none, and for all of them together"),
        col("trips", BIGINT, comment="Closed round trips"),
        col("valued", BIGINT, comment="Those with a net profit"),
        col("wins", BIGINT),
        col("losses", BIGINT),
        col("net_pnl", MONEY),
        col("gross_pnl", MONEY),
        col("commission", MONEY),
        col("profit", MONEY, comment="Net profit of the wins alone"),
        sa.Column("best_pnl", MONEY, nullable=True),
        sa.Column("worst_pnl", MONEY, nullable=True),
        col("hold_s", MONEY, comment="Seconds from entry to exit, all together"),
        col("hold_wins_s", MONEY, comment="The same of the wins alone"),
        col("refreshed_at", TIME),
        sa.PrimaryKeyConstraint(*KEY, name=op.f("pk_trading_rollups_key")),
        sa.CheckConstraint(f'"level" IN ({LEVELS})', name=op.f("ck_trading_rollups_level")),
        sa.CheckConstraint(f'"trade_type" IN ({KINDS})', name=op.f("ck_trading_rollups_trade_type")),
        comment="Closed round trips summed by UTC day of the exit; made from trading_trades, never written by hand.",
    )
    op.create_index("ix_trading_rollups_day", "trading_rollups", ["day"])
    now = "(strftime('%Y-%m-%d %H:%M:%f000', 'now'))" if sqlite() else "now()"
    op.create_table(
        "trading_rollup_marks",
        sa.Column("id", BIGINT.with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("day", sa.Date(), nullable=True),
        sa.Column("created_at", TIME, server_default=sa.text(now), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_trading_rollup_marks_id")),
        comment="UTC days whose round trips have changed since their rollups were made; without a day: all of them.",
    )
    op.create_index("ix_trading_rollup_marks_day", "trading_rollup_marks", ["day"])
    for statement in SQLITE if sqlite() else POSTGRESQL:
        op.execute(statement)
    op.execute("INSERT INTO trading_rollup_marks (day) SELECT NULL WHERE EXISTS (SELECT 1 FROM trading_trades)")


def downgrade() -> None:
    """The triggers go first: without their table every write of a trade would look for it."""
    if sqlite():
        for name in ("insert", "update", "delete"):
            op.execute(f"DROP TRIGGER IF EXISTS trading_rollups_{name}")
    else:
        op.execute("DROP FUNCTION mark_trading_rollups() CASCADE")
    op.drop_table("trading_rollup_marks")
    op.drop_table("trading_rollups")
