"""Rows that the database refuses, and values that it would take but should not: the row at fault is told, no other."""

from __future__ import annotations

import pytest

from core.database import Database
from core.errors import TradekeepError
from core.settings import DatabaseConfig
from tests.explore.test_import import imported, outcome, rows


def made(config: DatabaseConfig, *statements: str) -> Database:
    db = Database(config)
    with db.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    return db


def test_only_the_row_is_refused_whose_json_the_server_refuses(migrated: DatabaseConfig) -> None:
    db = made(migrated, "CREATE TABLE odd (id int PRIMARY KEY, a point, j jsonb[])")
    lines = [f'{n},"({n},1)","{{""{{}}""}}"\n' for n in range(1, 7)]
    lines[4] = '5,"(1,1)","{""{\\""x\\"": nonsense}""}"\n'
    lines[2] = '3,nowhere,"{""{}""}"\n'
    done = imported(db, "id,a,j\n" + "".join(lines), "odd")
    assert (outcome(done), [(one.row, one.column) for one in done.errors]) == ((4, 0, 0, 2), [(3, "a"), (5, "j")])
    db.dispose()


@pytest.mark.parametrize("upsert", [True, False])
def test_a_parent_may_come_after_its_child(migrated: DatabaseConfig, upsert: bool) -> None:
    db = made(migrated, "CREATE TABLE tree (id int PRIMARY KEY, parent int REFERENCES tree)")
    done = imported(db, "id,parent\n4,2\n2,1\n1,\n3,99\n", "tree", upsert=upsert)
    assert (outcome(done), [one.row for one in done.errors]) == ((3, 0, 0, 1), [4])
    db.dispose()


def test_more_rows_than_are_looked_for_end_with_the_first_of_them(migrated: DatabaseConfig) -> None:
    db = made(
        migrated, "CREATE TABLE even (id int PRIMARY KEY)",
        "CREATE FUNCTION odd() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.id %% 2 = 0 THEN RAISE"
        " 'no even one' USING ERRCODE = '23514'; END IF; RETURN NEW; END $$",
        "CREATE TRIGGER odd BEFORE INSERT ON even FOR EACH ROW EXECUTE FUNCTION odd()",
    )  # fmt: skip
    with pytest.raises(TradekeepError, match=r"first is row 2.*even") as caught:
        imported(db, "id\n" + "".join(f"{n}\n" for n in range(1, 1000)), "even")
    assert caught.value.kind == "data.file"
    db.dispose()


@pytest.mark.parametrize("upsert", [True, False])
def test_no_column_is_called_like_one_of_ours(migrated: DatabaseConfig, upsert: bool) -> None:
    db = made(migrated, 'CREATE TABLE ours (id int PRIMARY KEY, __v int, __row text, __place int, "__times" int)')
    assert outcome(imported(db, "id,__v,__row,__place,__times\n1,7,x,3,4\n", "ours", upsert=upsert)) == (1, 0, 0, 0)
    assert rows(db, "SELECT * FROM ours") == [(1, 7, "x", 3, 4)]
    db.dispose()
