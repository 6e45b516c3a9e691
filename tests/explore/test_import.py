"""Imports into real tables: what is new, changed, there already or at fault; nothing twice, and nothing invented."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from core.database import Database
from core.errors import TradekeepError
from core.explore import export_rows, import_rows
from core.explore.imports import Imported, errors_csv
from core.setup import provision
from core.tasks import Cancelled
from tests.servers import Cluster

HEAD = "executed_at,symbol,action,quantity,price,currency,order_id\n"
GOOD = (
    "2024-01-01T00:00:00Z,BTC/USDT,BUY,1.5,100.25,USDT,o1\n"
    "2024-01-01T00:00:01Z,BTC/USDT,SELL,1.5,101,USDT,o2\n"
    "2024-01-01T00:00:02Z,ETH/USDT,BUY,2,7,USDT,\n"
    "2024-01-01T00:00:02Z,ETH/USDT,BUY,2,7,USDT,\n"
)


def imported(db: Database, text: str, table: str = "trades", **options: Any) -> Imported:
    return import_rows(db, table, io.BytesIO(text.encode()), **options)


def rows(db: Database, sql: str) -> list[tuple[Any, ...]]:
    with db.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(sql)]


def outcome(done: Imported) -> tuple[int, int, int, int]:
    return done.inserted, done.updated, done.skipped, done.error_count


def trades(db: Database) -> int:
    return int(rows(db, "SELECT count(*) FROM trades")[0][0])


def test_a_second_import_of_the_same_file_changes_nothing(db: Database) -> None:
    assert outcome(imported(db, HEAD + GOOD)) == (4, 0, 0, 0)
    before = rows(db, "SELECT * FROM trades ORDER BY id")
    assert outcome(imported(db, HEAD + GOOD)) == (0, 0, 4, 0)
    assert rows(db, "SELECT * FROM trades ORDER BY id") == before
    assert sorted(str(row[0]) for row in rows(db, "SELECT order_id FROM trades")) == ["None", "None", "o1", "o2"]


def test_a_changed_row_is_changed_and_a_third_copy_of_a_row_without_key_is_new(db: Database) -> None:
    imported(db, HEAD + GOOD)
    again = GOOD.replace("101,", "102,") + "2024-01-01T00:00:02Z,ETH/USDT,BUY,2,7.0,USDT,\n"
    assert outcome(imported(db, HEAD + again)) == (1, 1, 3, 0)
    assert rows(db, "SELECT price FROM trades WHERE order_id = 'o2'")[0][0] == 102


def test_copies_of_a_row_in_different_batches_are_all_kept(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.explore.imports.csvfile.BATCH_ROWS", 2)
    copy = GOOD.splitlines(keepends=True)[2]
    assert outcome(imported(db, HEAD + copy * 7)) == (7, 0, 0, 0)
    assert outcome(imported(db, HEAD + copy * 9, dry_run=True)) == (2, 0, 7, 0)
    assert outcome(imported(db, HEAD + copy * 9)) == (2, 0, 7, 0)


def test_of_two_rows_with_one_key_the_later_counts(db: Database) -> None:
    later = GOOD.splitlines(keepends=True)[0].replace("100.25", "99")
    assert outcome(imported(db, HEAD + GOOD + later)) == (4, 0, 1, 0)
    assert rows(db, "SELECT price FROM trades WHERE order_id = 'o1'")[0][0] == 99


def test_rows_at_fault_are_told_and_the_others_imported(db: Database) -> None:
    bad = (
        "2024-01-01T00:00:03Z,BTC/USDT,HODL,1,1,USDT,o3\n"
        "2024-01-01T00:00:03Z,BTC/USDT,BUY,0,1,USDT,o4\n"
        '2024-01-01T00:00:03Z,BTC/USDT,BUY,1,"1,5",USDT,o5\n'
        ",BTC/USDT,BUY,1,1,USDT,o6\n"
        "cut\n"
        f"yesterday,{'x' * 200},BUY,1,=1+1,USDT,o7\n"
    )
    done = imported(db, HEAD + bad + GOOD)
    assert outcome(done) == (4, 0, 0, 6)
    assert [(error.row, error.column) for error in done.errors] == [
        (1, "action"), (2, "quantity"), (3, "price"), (4, "executed_at"), (5, ""), (6, "executed_at, symbol, price"),
    ]  # fmt: skip
    reasons = [error.reason for error in done.errors]
    assert "one of BUY, SELL" in reasons[0]
    assert "quantity > 0" in reasons[1]
    assert "write 1.5" in reasons[2]
    assert "needed" in reasons[3]
    assert len(done.errors[5].value) < 120
    listed = list(csv.reader(io.StringIO(errors_csv(done.errors).decode())))
    assert listed[0] == ["row", "column", "value", "reason"]
    assert len(listed) == 7
    assert outcome(imported(db, HEAD + bad + GOOD)) == (0, 0, 4, 6)


def test_a_dry_run_changes_nothing_and_says_the_same(db: Database) -> None:
    imported(db, HEAD + "".join(GOOD.splitlines(keepends=True)[1:3]))
    numbers = "SELECT last_value FROM trades_id_seq" if db.backend == "postgresql" else "SELECT 1"
    before = rows(db, "SELECT * FROM trades ORDER BY id"), rows(db, numbers)
    changed = GOOD.replace("101,", "102,") + ",X,BUY,1,1,USDT,\n"
    dry = imported(db, HEAD + changed, dry_run=True)
    assert (rows(db, "SELECT * FROM trades ORDER BY id"), rows(db, numbers)) == before
    assert outcome(dry) == outcome(imported(db, HEAD + changed)) == (2, 1, 1, 1)


def test_an_append_adds_every_row_each_time(db: Database) -> None:
    plain = "".join(GOOD.splitlines(keepends=True)[2:])
    assert outcome(imported(db, HEAD + plain, upsert=False)) == (2, 0, 0, 0)
    assert outcome(imported(db, HEAD + plain, upsert=False)) == (2, 0, 0, 0)
    done = imported(db, HEAD + GOOD + GOOD, upsert=False)
    assert (done.inserted, done.error_count) == (6, 2)
    assert "already" in done.errors[0].reason


class Stopped(BaseException):
    """As a cancelled task raises."""


def test_an_append_that_was_cut_goes_on_where_it_stopped(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.explore.imports.csvfile.BATCH_ROWS", 2)
    text = HEAD + "".join(f"2024-01-01T00:00:{n:02}Z,BTC/USDT,BUY,1,{n},USDT,\n" for n in range(10))
    calls = []

    def cut(done: int, total: int, message: str) -> None:
        calls.append(message)
        if len(calls) == 4:
            raise Stopped

    with pytest.raises(Stopped):
        imported(db, text, upsert=False, progress=cut)
    assert trades(db) == 6
    done = imported(db, text, upsert=False)
    assert outcome(done) == (4, 0, 6, 0)
    assert "had been written" in " ".join(done.notes)
    assert trades(db) == 10
    # Once it has ended well, an append is an append again; and rows that somebody removed are not "written".
    assert imported(db, text, upsert=False).inserted == 10
    calls.clear()
    with pytest.raises(Stopped):
        imported(db, text, upsert=False, progress=cut)
    rows_gone = "DELETE FROM trades"
    with db.connect() as connection:
        connection.exec_driver_sql(rows_gone)
    assert imported(db, text, upsert=False).inserted == 10


def test_what_is_mapped_is_what_was_said(db: Database) -> None:
    text = "Time,pair,side,amount,my price,price\n1704067200,BTC/USDT,buy,1,5,6\n"
    done = imported(db, text, mapping={"my price": "price", "price": None}, values={"currency": "EUR"})
    assert outcome(done) == (1, 0, 0, 0)
    assert done.mapping["side"] == "action"
    assert rows(db, "SELECT price, action, currency FROM trades") == [(5, "BUY", "EUR")]
    reverse = imported(db, text, mapping={"price": "my price"}, values={"currency": "EUR"}, dry_run=True)
    assert outcome(reverse) == (0, 0, 1, 0)


@pytest.mark.parametrize(
    ("mapping", "values", "said"),
    [
        ({"pair": "nothing"}, {}, "no column 'nothing'"),
        ({"nothing": "price"}, {}, "no column 'nothing'"),
        ({}, {}, "nothing for currency"),
        ({"side": "symbol", "pair": "symbol"}, {"currency": "EUR"}, "More than one source"),
        ({}, {"currency": "EUR", "price": "3"}, "More than one source"),
    ],
)
def test_a_mapping_that_cannot_be_is_refused_before_anything_is_read(
    db: Database, mapping: dict[str, str | None], values: dict[str, str], said: str
) -> None:
    text = "Time,pair,side,amount,price\n1704067200,BTC/USDT,buy,1,5\n"
    if "price" in values:
        mapping = {"pair": "symbol", "price": "price"}
    with pytest.raises(TradekeepError, match=said) as caught:
        imported(db, text, mapping=mapping, values=values)
    assert caught.value.error_type == "data"
    assert trades(db) == 0


def test_our_own_export_comes_back_as_it_was(db: Database) -> None:
    texts = ["=1+1", "'=1", "''=1", "'x", "@a", '"q"', "a,b", "line\nbreak", "-", "\ttab", "ä€𝄞", ""]
    texts += ["﹦1", "x;=1", "x\t=1"]
    lines = [f"2024-01-01T00:00:{n:02}.123456Z,BTC/USDT,BUY,0.1234567891,1e-7,USDT,o{n}" for n in range(len(texts))]
    text = (
        HEAD.strip()
        + ",strategy\n"
        + "".join(f"{line},{csv_cell(one)}\n" for line, one in zip(lines, texts, strict=True))
    )
    # Each text as our export writes it: with ' where a spreadsheet would run it.
    imported(db, text)
    kept = "SELECT symbol, executed_at, quantity, price, strategy FROM trades ORDER BY order_id"
    before = rows(db, kept)
    out = io.BytesIO()
    export_rows(db, "trades", format="csv", out=out)
    done = import_rows(db, "trades", io.BytesIO(out.getvalue()))
    assert (outcome(done), done.errors) == ((0, 0, len(texts), 0), [])
    with db.connect() as connection:
        connection.exec_driver_sql("DELETE FROM trades")
    assert outcome(import_rows(db, "trades", io.BytesIO(out.getvalue()))) == (len(texts), 0, 0, 0)
    assert rows(db, kept) == before
    assert {row[4] for row in before} >= {"=1+1", "'=1", "''=1", "'x", "a,b", "line\nbreak", ""}


def csv_cell(text: str) -> str:
    neutral = f"'{text}" if text.lstrip("'").startswith(("=", "@", "\t", "-")) else text
    return '"' + neutral.replace('"', '""') + '"'


def test_other_tables_are_told_apart_by_their_own_keys(db: Database) -> None:
    candles = "symbol,timeframe,open_time,open,high,low,close,volume\n"
    line = "BTC,1h,1704067200000,1,2,0.5,1.5,10\n"
    done = imported(db, candles + line, "candles")
    assert (outcome(done), done.key) == ((1, 0, 0, 0), ("symbol", "timeframe", "open_time"))
    assert "unix milliseconds" in " ".join(done.notes)
    assert outcome(imported(db, candles + line.replace(",10", ",11"), "candles")) == (0, 1, 0, 0)
    wrong = imported(db, candles + line.replace("0.5", "5"), "candles")
    assert wrong.error_count == 1
    assert "low" in wrong.errors[0].column
    alerts = "alert_type,severity,message,timestamp,id\nX,info,hello,2024-01-01T00:00:00Z,7\n"
    done = imported(db, alerts, "alerts")
    assert (outcome(done), done.key) == ((1, 0, 0, 0), ())
    assert "id" not in done.mapping  # another database's number
    assert outcome(imported(db, alerts, "alerts")) == (0, 0, 1, 0)


def test_a_row_whose_parent_is_missing_is_at_fault(db: Database) -> None:
    bots = "user_id,type,name,currency,config\n1,paper,a,USD,{}\n"
    done = imported(db, bots, "trading_bots")
    assert done.error_count == 1
    assert "usr_users" in done.errors[0].reason


def test_numbers_that_came_along_are_not_given_again(db: Database) -> None:
    imported(db, HEAD.strip() + ",id\n" + GOOD.splitlines()[0] + ",1000\n")
    imported(db, HEAD + GOOD.splitlines(keepends=True)[1])
    numbers = [row[0] for row in rows(db, "SELECT id FROM trades ORDER BY executed_at")]
    assert numbers[0] == 1000
    assert numbers[1] > 1000


@pytest.fixture
def runtime(own_cluster: Cluster) -> Iterator[Database]:
    """The bots' role: it may write rows, and make no temporary table."""
    from core.schema import migrate

    made = provision.provision(own_cluster.admin, database="trading")
    owner = Database(made.owner)
    migrate.upgrade(owner)
    owner.dispose()
    database = Database(made.runtime)
    yield database
    database.dispose()


def test_a_role_without_temporary_tables_imports_all_the_same(runtime: Database) -> None:
    with pytest.raises(TradekeepError), runtime.connect() as connection:
        connection.exec_driver_sql("CREATE TEMPORARY TABLE mine (a int)")
    bad = "2024-01-01T00:00:03Z,BTC/USDT,BUY,0,1,USDT,o4\n"
    assert outcome(imported(runtime, HEAD + GOOD + bad, dry_run=True)) == (4, 0, 0, 1)
    assert outcome(imported(runtime, HEAD + GOOD + bad)) == (4, 0, 0, 1)
    again = imported(runtime, HEAD + GOOD.replace("101,", "102,") + GOOD.splitlines()[2] + "\n")
    assert outcome(again) == (1, 1, 3, 0)
    messages = 'message_type,channels,content\nx,"{mail,""a,b""}","{""a"": 1}"\n'
    assert outcome(imported(runtime, messages, "msg_messages")) == (1, 0, 0, 0)
    assert rows(runtime, "SELECT channels, content FROM msg_messages") == [(["mail", "a,b"], {"a": 1})]


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_cancelled_import_leaves_whole_batches_and_says_so(
    db: Database, monkeypatch: pytest.MonkeyPatch, dry_run: bool
) -> None:
    monkeypatch.setattr("core.explore.imports.csvfile.BATCH_ROWS", 100)
    lines = [f"{1704067200 + n},BTC/USDT,BUY,1.5,100,USDT,o{n},{5000 + n}\n" for n in range(1000)]
    text = HEAD.strip() + ",id\n" + "".join(lines)
    heard: list[str] = []

    def cancel(done: int, total: int, message: str) -> None:
        heard.append(message)
        if len(heard) == 4:
            raise Cancelled

    with pytest.raises(Cancelled):
        imported(db, text, progress=cancel, dry_run=dry_run)
    assert heard[-1] == ("300 rows looked at, 0 at fault" if dry_run else "300 rows in the table, 0 at fault")
    assert trades(db) == (0 if dry_run else 300)
    # The bots go on: their rows are numbered after those that came with numbers, and nobody finished the import.
    assert outcome(imported(db, HEAD + GOOD)) == (4, 0, 0, 0)
    assert rows(db, "SELECT min(id) FROM trades WHERE symbol = 'ETH/USDT'")[0][0] > (0 if dry_run else 5299)
    assert outcome(imported(db, text)) == ((1000, 0, 0, 0) if dry_run else (700, 0, 300, 0))


@pytest.mark.parametrize("rights", ["SELECT", "INSERT"])
def test_an_append_needs_no_audit_log(cluster: Cluster, migrated: Any, rights: str) -> None:
    cluster.sql(
        "CREATE ROLE adder LOGIN PASSWORD 'adder'",
        "GRANT SELECT, INSERT ON trades TO adder",
        f"GRANT {rights} ON webui_audit_logs TO adder",
        "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO adder",
        database=migrated.database,
    )
    adder = Database(cluster.config(migrated.database, user="adder", password="adder"))
    try:
        assert outcome(imported(adder, HEAD + GOOD, upsert=False)) == (4, 0, 0, 0)
    finally:
        adder.dispose()
        cluster.sql("DROP OWNED BY adder", "DROP ROLE adder", database=migrated.database)


def test_a_partitioned_table_counts_right(migrated: Any) -> None:
    db = Database(migrated)
    with db.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE parted (a int, b text, PRIMARY KEY (a)) PARTITION BY RANGE (a)")
        connection.exec_driver_sql("CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10)")
    assert outcome(imported(db, "a,b\n1,x\n2,y\n", "parted")) == (2, 0, 0, 0)
    done = imported(db, "a,b\n1,x\n2,z\n3,q\n30,q\n", "parted")
    assert outcome(done) == (1, 1, 1, 1)
    db.dispose()


def test_types_that_only_the_server_knows_are_refused_row_by_row(migrated: Any) -> None:
    db = Database(migrated)
    with db.connect() as connection:
        connection.exec_driver_sql("CREATE TYPE mood AS ENUM ('good', 'bad')")
        connection.exec_driver_sql('CREATE TABLE odd (id uuid, ip inet, m mood, n int[], "a%%b" jsonb, u int UNIQUE)')
    text = "id,ip,m,n,a%b,u\n"
    good = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11,10.0.0.1,good,"{1,2}","{""a"": 1}",1\n'
    bad = [
        good.replace("a0ee", "zz"),
        good.replace("10.0", "10.x"),
        good.replace("good", "angry"),
        good.replace("{1", "1"),
    ]
    done = imported(db, text + "".join(bad) + good, "odd")
    assert (outcome(done), done.errors[4:]) == ((1, 0, 0, 4), [])
    assert [error.column for error in done.errors] == ["id", "ip", "m", "n"]
    db.dispose()


def test_a_role_that_only_reads_imports_nothing(db: Database) -> None:
    reader = Database(db.config, read_only=True)
    with pytest.raises(TradekeepError) as caught:
        imported(reader, HEAD + GOOD)
    assert caught.value.kind == "config.read_only"
    reader.dispose()


def test_a_number_is_exact_to_the_last_digit(migrated: Any) -> None:
    db = Database(migrated)
    line = "2024-01-01T00:00:00Z,X,BUY,123456789012345678.0123456789,0.00000000009,USDT,o\n"
    done = imported(db, HEAD + line)
    assert rows(db, "SELECT quantity, price FROM trades") == [
        (Decimal("123456789012345678.0123456789"), Decimal("0.0000000001"))
    ]
    assert "rounded" in " ".join(done.notes)
    db.dispose()


def test_a_file_that_does_not_exist_or_is_no_file_is_refused(db: Database, tmp_path: Path) -> None:
    for path in (tmp_path / "missing.csv", tmp_path, "/dev/null", "a\0b"):
        with pytest.raises(TradekeepError) as caught:
            import_rows(db, "trades", path)
        assert caught.value.error_type in ("data", "permission")
