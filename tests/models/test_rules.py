"""Each rule of the tables is broken once, on PostgreSQL and on SQLite."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection, delete, insert, null, select
from sqlalchemy.exc import IntegrityError

from tests.models.insert import TABLES, new_row
from tests.models.rules import (
    BROKEN,
    CHOICES,
    DEFAULTS,
    KEPT,
    LIMITS,
    OPTIONAL,
    REFERENCES,
    ROWS,
    UNIQUE,
    Row,
)

NOT_NULL, FOREIGN_KEY, UNIQUENESS, CHECK = "23502", "23503", "23505", "23514"
RESTRICTED = "23001"  # PostgreSQL 18 tells RESTRICT from NO ACTION; before it was 23503
SQLITE_SAYS = {
    NOT_NULL: "NOT NULL constraint",
    FOREIGN_KEY: "FOREIGN KEY constraint",
    RESTRICTED: "FOREIGN KEY constraint",
    UNIQUENESS: "UNIQUE constraint",
    CHECK: "CHECK constraint",
}


def pairs(rules: dict[str, Any]) -> list[Any]:
    return [pytest.param(table, *rule, id=f"{table}.{rule[0]}") for table in rules for rule in rules[table].items()]


def refused(connection: Connection, table: str, row: Row, sqlstate: str, *names: str) -> None:
    with pytest.raises(IntegrityError) as caught, connection.begin_nested():
        new_row(connection, table, row)
    blames(caught.value, sqlstate, *names)


def blames(error: IntegrityError, sqlstate: str, *names: str) -> None:
    """The error has this SQLSTATE and one of these constraints; on SQLite it says so in words."""
    if hasattr(error.orig, "sqlstate"):
        assert error.orig.sqlstate in (sqlstate, FOREIGN_KEY if sqlstate == RESTRICTED else sqlstate)
        assert not names or error.orig.diag.constraint_name in names  # type: ignore[union-attr]
        return
    assert SQLITE_SAYS[sqlstate] in str(error.orig)
    if sqlstate == CHECK:
        assert str(error.orig).rpartition(": ")[2] in names


def test_rules_name_every_column() -> None:
    told = {
        table: {*row, *DEFAULTS.get(table, {}), *OPTIONAL.get(table, "").split()} - {"id"}
        for table, row in ROWS.items()
    }
    assert told == {name: set(table.columns.keys()) - {"id"} for name, table in TABLES.items()}


@pytest.mark.parametrize("table", ROWS)
def test_smallest_row_is_taken(connection: Connection, table: str) -> None:
    row = new_row(connection, table)
    for column, value in DEFAULTS.get(table, {}).items():
        if value == "now()":
            assert row[column].utcoffset().total_seconds() == 0
        else:
            assert row[column] == value, column
    assert all(row[column] is None for column in OPTIONAL.get(table, "").split())


@pytest.mark.parametrize(
    ("table", "column"),
    [
        pytest.param(table, column, id=f"{table}.{column}")
        for table, row in ROWS.items()
        for column in [*row, *DEFAULTS.get(table, {})]
    ],
)
def test_column_must_have_a_value(connection: Connection, table: str, column: str) -> None:
    refused(connection, table, {column: null()}, NOT_NULL)


@pytest.mark.parametrize(("table", "column", "longest"), pairs(LIMITS))
def test_text_has_a_greatest_length(connection: Connection, table: str, column: str, longest: int) -> None:
    new_row(connection, table, {column: "ä" * longest if column != "email" else "a" * longest})
    refused(connection, table, {column: "a" * (longest + 1)}, CHECK, f"ck_{table}_{column}")


@pytest.mark.parametrize(("table", "column", "values"), pairs(CHOICES))
def test_enum_has_only_its_values(connection: Connection, table: str, column: str, values: str) -> None:
    for value in values.split():
        attempt = connection.begin_nested()
        assert new_row(connection, table, {column: value})[column] == value
        attempt.rollback()
    wrong = values.split()[0].swapcase()
    name = f"ck_{table}_{column}"
    refused(connection, table, {column: wrong}, CHECK, name)


@pytest.mark.parametrize(("table", "change", "name"), BROKEN, ids=lambda value: value if isinstance(value, str) else "")
def test_check_refuses(connection: Connection, table: str, change: Row, name: str) -> None:
    refused(connection, table, change, CHECK, *name.split())


@pytest.mark.parametrize(("table", "change"), KEPT, ids=lambda value: value if isinstance(value, str) else "")
def test_check_allows_the_limit(connection: Connection, table: str, change: Row) -> None:
    row = new_row(connection, table, change)
    assert {column: row[column] for column in change} == change


@pytest.mark.parametrize(
    ("table", "same", "other", "name"), UNIQUE, ids=lambda value: value if isinstance(value, str) else ""
)
def test_row_exists_once(connection: Connection, table: str, same: Row, other: Row, name: str) -> None:
    new_row(connection, table, same)
    refused(connection, table, same, UNIQUENESS, name)
    new_row(connection, table, same | other)


@pytest.mark.parametrize(("table", "column", "target", "rule"), REFERENCES)
def test_reference_must_exist(connection: Connection, table: str, column: str, target: str, rule: str) -> None:
    refused(connection, table, {column: 404}, FOREIGN_KEY, f"fk_{table}_{column}")


@pytest.mark.parametrize(("table", "column", "target", "rule"), REFERENCES)
def test_deleting_the_target(connection: Connection, table: str, column: str, target: str, rule: str) -> None:
    row = new_row(connection, table, {column: f"-> {target}"})
    child, parent = TABLES[table], TABLES[target]
    statement = delete(parent).where(parent.c.id == row[column])
    if rule == "restrict":
        with pytest.raises(IntegrityError) as caught, connection.begin_nested():
            connection.execute(statement)
        blames(caught.value, RESTRICTED, f"fk_{table}_{column}")
        return
    connection.execute(statement)
    left = connection.execute(select(child.c[column]).where(child.c.id == row["id"])).all()
    assert left == ([] if rule == "cascade" else [(None,)])


def test_bot_with_an_open_trade_stays_and_without_goes(connection: Connection) -> None:
    trade = new_row(connection, "trading_trades")
    bots, trades = TABLES["trading_bots"], TABLES["trading_trades"]
    with pytest.raises(IntegrityError), connection.begin_nested():
        connection.execute(delete(bots).where(bots.c.id == trade["bot_id"]))
    connection.execute(delete(trades))
    assert connection.execute(delete(bots).where(bots.c.id == trade["bot_id"])).rowcount == 1


def test_job_runs_once_for_one_time(connection: Connection) -> None:
    run = new_row(connection, "job_schedule_runs", {"job_id": "-> job_schedules"})
    again = {key: value for key, value in run.items() if key != "id"}
    with pytest.raises(IntegrityError) as caught, connection.begin_nested():
        connection.execute(insert(TABLES["job_schedule_runs"]).values(**again))
    blames(caught.value, UNIQUENESS, "ux_runs_job_scheduled_for")
