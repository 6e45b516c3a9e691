"""Daily sums of the closed round trips, kept beside them, and the marks of days that have changed since.

How they stay right, whoever writes: triggers on `trading_trades` mark each UTC day on which a statement inserts,
changes or deletes a closed round trip, in the writer's own transaction. A marked day is read from the trades
themselves; a refresh computes marked days anew and takes their marks away. So rows that come late, old rows that
change, deletions and bulk loads are all seen, without a clock to trust. A writer never waits: it inserts a mark, or
holds one that is there with FOR KEY SHARE SKIP LOCKED; a refresh takes only marks that nobody holds, and reads the
trades after that, so that whatever a mark stood for has been committed. A writer whose snapshot is older than its
statement (REPEATABLE READ, SERIALIZABLE) always inserts: a mark that it sees may have been taken since.

Exits before FIRST_DAY or after LAST_DAY are errors in the data (a zero time, "never"): they are in no sum and mark no
day, and the page says how many there are. The days between can be drawn one by one.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, Connection, Date, PrimaryKeyConstraint, Table, event, inspect
from sqlalchemy.orm import Mapped, mapped_column

from core.models.base import Base, Choice, UtcTime, created, index, key
from core.models.bots import BotType, TradingTrade


class RollupLevel(StrEnum):
    """What a rollup is split by beside day, kind and currency: nothing; bot and strategy; these and `part`."""

    DAY = "day"
    BOT = "bot"
    SYMBOL = "symbol"
    EXIT_REASON = "exit_reason"


class TradingRollup(Base):
    """Closed round trips summed by UTC day of the exit; made from trading_trades, never written by hand."""

    __tablename__ = "trading_rollups"

    level: Mapped[RollupLevel] = mapped_column(Choice(RollupLevel), comment="What it is split by")
    part: Mapped[str] = mapped_column(comment="The symbol or exit reason; empty for none, and on the other levels")
    day: Mapped[date] = mapped_column(Date, comment="UTC day of the exit")
    trade_type: Mapped[BotType] = mapped_column(Choice(BotType))
    currency: Mapped[str]
    bot_id: Mapped[int] = mapped_column(BigInteger, comment="0 for all of them together")
    strategy_name: Mapped[str] = mapped_column(comment="Empty where the trades name none, and for all of them together")
    trips: Mapped[int] = mapped_column(BigInteger, comment="Closed round trips")
    valued: Mapped[int] = mapped_column(BigInteger, comment="Those with a net profit")
    wins: Mapped[int] = mapped_column(BigInteger)
    losses: Mapped[int] = mapped_column(BigInteger)
    net_pnl: Mapped[Decimal]
    gross_pnl: Mapped[Decimal]
    commission: Mapped[Decimal]
    profit: Mapped[Decimal] = mapped_column(comment="Net profit of the wins alone")
    best_pnl: Mapped[Decimal | None]
    worst_pnl: Mapped[Decimal | None]
    hold_s: Mapped[Decimal] = mapped_column(comment="Seconds from entry to exit, all together")
    hold_wins_s: Mapped[Decimal] = mapped_column(comment="The same of the wins alone")
    refreshed_at: Mapped[datetime] = mapped_column(UtcTime)

    __table_args__ = (
        PrimaryKeyConstraint(
            "level", "part", "day", "trade_type", "currency", "bot_id", "strategy_name", name="pk_trading_rollups_key"
        ),
        index("day"),
    )


class TradingRollupMark(Base):
    """UTC days whose round trips have changed since their rollups were made; without a day: all of them."""

    __tablename__ = "trading_rollup_marks"

    id: Mapped[int] = key()
    day: Mapped[date | None] = mapped_column(Date)
    created_at: Mapped[datetime] = created()

    __table_args__ = (index("day"),)


FIRST_DAY, LAST_DAY = date(1900, 1, 1), date(2199, 12, 31)
_ROWS = ("trading_rollups_insert", "trading_rollups_update", "trading_rollups_delete")
TRIGGERS = {"postgresql": (*_ROWS, "trading_rollups_truncate"), "sqlite": (*_ROWS, "trading_rollups_replace")}
# Everything that is there already counts as changed.
MARK_ALL = "INSERT INTO trading_rollup_marks (day) SELECT NULL WHERE EXISTS (SELECT 1 FROM trading_trades)"
_FUNCTION = """
CREATE OR REPLACE FUNCTION mark_trading_rollups() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
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
END $$
"""
_POSTGRESQL = (
    _FUNCTION.strip(),
    # It runs as the owner, so that whoever may write trades need not be allowed more; nobody else may use it.
    "REVOKE ALL ON FUNCTION mark_trading_rollups() FROM PUBLIC",
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


def _sqlite(operation: str, *rows: str) -> str:
    """A trigger of SQLite, which has one writer at a time: looking for a mark first is safe there."""
    when = " OR ".join(f"({_closed(row)})" for row in rows)
    steps = "\n".join(f"{_marked(row)};" for row in rows)
    name = f"trading_rollups_{operation.lower()}"
    return f"CREATE TRIGGER IF NOT EXISTS {name} AFTER {operation} ON trading_trades WHEN {when}\nBEGIN\n{steps}\nEND"


def _closed(row: str) -> str:
    return f"{row}.status = 'CLOSED' AND {row}.exit_time >= '1900-01-01' AND {row}.exit_time < '2200-01-01'"


def _marked(row: str, where: str = "WHERE") -> str:
    """Mark the day of a row, which is the trigger's own or, with another `where`, one of a table."""
    return (
        f"INSERT INTO trading_rollup_marks (day) SELECT substr({row}.exit_time, 1, 10) {where} {_closed(row)}"  # noqa: S608  # no one's words
        f" AND NOT EXISTS (SELECT 1 FROM trading_rollup_marks m WHERE m.day = substr({row}.exit_time, 1, 10))"
    )


# INSERT OR REPLACE takes the row away that is there already, and SQLite tells no trigger of it.
_SAME = "FROM trading_trades o WHERE o.symbol = NEW.symbol AND o.entry_time = NEW.entry_time AND o.id = NEW.id AND"
_REPLACE = (
    "CREATE TRIGGER IF NOT EXISTS trading_rollups_replace BEFORE INSERT ON trading_trades\n"
    f"BEGIN\n{_marked('o', _SAME)};\nEND"
)
_SQLITE = (_sqlite("INSERT", "NEW"), _sqlite("UPDATE", "OLD", "NEW"), _sqlite("DELETE", "OLD"), _REPLACE)


def follow(connection: Connection) -> None:
    """Make the triggers that mark changed days, or make them again; everything counts as changed then.

    A trigger that was switched off is on again: to replace it leaves it off, so it is dropped first.
    """
    if connection.dialect.name == "postgresql":
        for name in TRIGGERS["postgresql"]:
            connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {name} ON trading_trades")
    for statement in _SQLITE if connection.dialect.name == "sqlite" else _POSTGRESQL:
        connection.exec_driver_sql(statement)
    connection.exec_driver_sql(MARK_ALL)


def _created(table: Table, connection: Connection, **_: Any) -> None:
    """Whichever of the two tables comes last brings the triggers: somebody may have dropped one of them."""
    other = TradingTrade.__table__ if table.name == TradingRollupMark.__tablename__ else TradingRollupMark.__table__
    if inspect(connection).has_table(other.name):  # type: ignore[attr-defined]  # a Table, which __table__ hides
        follow(connection)


def _dropped(_table: Table, connection: Connection, **_: Any) -> None:
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("DROP FUNCTION IF EXISTS mark_trading_rollups() CASCADE")
        return
    for name in TRIGGERS["sqlite"]:
        connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {name}")


event.listen(TradingTrade.__table__, "after_create", _created)
event.listen(TradingRollupMark.__table__, "after_create", _created)
event.listen(TradingRollupMark.__table__, "before_drop", _dropped)
