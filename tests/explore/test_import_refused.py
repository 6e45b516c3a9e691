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


@pytest.mark.parametrize("dry_run", [True, False])
def test_every_fault_of_a_row_is_told(db: Database, dry_run: bool) -> None:
    text = (
        "executed_at,pair,side,amount,price,currency\n"
        "2024-01-01,X,BUY,-1,abc,USDT\n"
        "never,X,HODL,0,-1,USDT\n"
        "2024-01-01,X,BUY,-1,-2,USDT\n"
        "2024-01-01,X,BUY,0.00000000005,-0.00000000001,USDT\n"
        "2024-01-01,X,BUY,1,1,USDT\n"
    )
    done = imported(db, text, dry_run=dry_run)
    kept = db.backend == "sqlite"  # which rounds nothing
    assert outcome(done) == ((1, 0, 0, 4) if kept else (2, 0, 0, 3))
    assert [(one.row, sorted(one.column.split(", "))) for one in done.errors] == [
        (1, ["amount", "price"]), (2, ["amount", "executed_at", "price", "side"]), (3, ["amount", "price"]),
        *([(4, ["price"])] if kept else []),
    ]  # fmt: skip
    assert done.errors[0].reason.startswith("price: not a number; amount: the table asks for quantity > 0")
    assert done.faulty
    assert "price: not a number; amount: the table asks for quantity" in done.faulty.csv(done.errors).decode()


def test_only_numbers_that_are_compared_are_told_without_the_server(migrated: DatabaseConfig) -> None:
    checks = (
        "a BETWEEN 0 AND 1", "b < c AND c <> -5", "abs(a) < 2", "b < 5 OR c > 9", "NOT b > 7", "d > 0.1", "t <> ''",
    )  # fmt: skip
    db = made(
        migrated, "CREATE TABLE bounded (a numeric(5, 2), b int, c bigint, d real, t text, n int NOT NULL, "
        f"{', '.join(f'CHECK ({one})' for one in checks)})",
    )  # fmt: skip
    # The last ones have no place among numbers, or too many digits to be compared.
    rows = ["2,9,-5,0,,x", "1.004,,9,0,,x", "NaN,1,2,0,,x", "Infinity,1,2,0,,x", f"0.{'3' * 2000},1,2,0,,x"]
    done = imported(db, "\n".join(["a,b,c,d,t,n", *rows, ""]), "bounded")
    assert [(one.row, one.column) for one in done.errors[:2]] == [(1, "n, a, b, c"), (2, "n")]
    assert [one.row for one in done.errors] == [1, 2, 3, 4, 5]
    db.dispose()
