"""Files as they come: encodings, delimiters, cut, packed and foreign ones; other shapes of times; names stay names."""

from __future__ import annotations

import gzip
import io
import itertools
import os
import resource
import shutil
import sqlite3
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from core.database import Database
from core.errors import TradekeepError
from core.explore import import_rows
from core.explore.imports.files import opened
from tests.explore.test_import import HEAD, outcome, rows

SHOWN = "SELECT symbol, price, strategy FROM trades ORDER BY executed_at, order_id"


def line(second: int, more: str = "") -> str:
    return f"2024-01-01T00:00:{second:02}Z,Köln/€,BUY,1,{second}.5,EUR,o{second}{more}\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le+bom", "utf-32", "cp1252"])
def test_any_encoding_is_read(db: Database, encoding: str) -> None:
    text = HEAD + line(1) + line(2)
    content = b"\xff\xfe" + text.encode("utf-16-le") if "+" in encoding else text.encode(encoding)
    done = import_rows(db, "trades", io.BytesIO(content))
    assert outcome(done) == (2, 0, 0, 0)
    assert {row[0] for row in rows(db, SHOWN)} == {"Köln/€"}
    assert any("Windows-1252" in note for note in done.notes) == (encoding == "cp1252")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_any_delimiter_and_line_ending_is_read(migrated_sqlite: Any, delimiter: str, ending: str) -> None:
    db = Database(migrated_sqlite)
    text = (HEAD + line(1) + line(2)).replace(",", delimiter).replace("\n", ending)
    assert outcome(import_rows(db, "trades", io.BytesIO(text.encode()))) == (2, 0, 0, 0)
    db.dispose()


def test_quotes_line_breaks_empty_cells_and_blank_lines(db: Database) -> None:
    text = HEAD.strip() + ",strategy\n\n" + line(1, ',"a ""b"", c\nd"') + "\n" + line(2, ',""') + line(3, ",")
    assert outcome(import_rows(db, "trades", io.BytesIO(text.encode()))) == (3, 0, 0, 0)
    assert [row[2] for row in rows(db, SHOWN)] == ['a "b", c\nd', "", None]


def test_values_that_are_no_text_are_told(db: Database) -> None:
    content = HEAD.encode() + line(1).encode() + b"2024-01-01T00:00:02Z,A\0B,BUY,1,1,EUR,o2\n"
    content += b"2024-01-01T00:00:03Z,\xff\xfe,BUY,1,1,EUR,o3\n"
    # The bytes that are no UTF-8 come after what decides the encoding.
    content = content.replace(line(1).encode(), b"".join(line(1, "x" * 60).encode() for _ in range(4000)))
    done = import_rows(db, "trades", io.BytesIO(content))
    assert [(error.row, error.column) for error in done.errors] == [(4001, "symbol"), (4002, "symbol")]
    assert ["NUL" in done.errors[0].reason, "UTF-8" in done.errors[1].reason] == [True, True]


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        (["2024-01-01 02:00:00+02:00", "2024-01-01T00:00:00Z"], ["2024-01-01T00:00:00", "2024-01-01T00:00:00"]),
        (["2024-01-01 02:00 +0200", "2023-12-31 20:30 -03:30"], ["2024-01-01T00:00:00", "2024-01-01T00:00:00"]),
        (["2024-01-01 02:00:00.5", "2024-01-02"], ["2024-01-01T02:00:00.500000", "2024-01-02T00:00:00"]),
        (["1704067200", "1704067201"], ["2024-01-01T00:00:00", "2024-01-01T00:00:01"]),
        (["1704067200123", "1704067200124"], ["2024-01-01T00:00:00.123000", "2024-01-01T00:00:00.124000"]),
        (["1704067200.123456"], ["2024-01-01T00:00:00.123456"]),
        (["1704067200123456"], ["2024-01-01T00:00:00.123456"]),
        (["1704067200123456789"], ["2024-01-01T00:00:00.123456"]),
        (["31.12.2023 14:30", "1.2.2024 00:00:01"], ["2023-12-31T14:30:00", "2024-02-01T00:00:01"]),
        (["04/13/2024 2:30:00 PM", "04/05/2024"], ["2024-04-13T14:30:00", "2024-04-05T00:00:00"]),
        (["13/04/2024 2:30 am", "04/05/2024"], ["2024-04-13T02:30:00", "2024-05-04T00:00:00"]),
        (["2024-01-01 00:00:00 UTC", "20240102T030405Z"], ["2024-01-01T00:00:00", "2024-01-02T03:04:05"]),
    ],
)
def test_times_of_many_shapes_are_exact(db: Database, texts: list[str], found: list[str]) -> None:
    text = "executed_at,symbol,action,quantity,price,currency,order_id\n"
    text += "".join(f"{one},X,BUY,1,1,EUR,o{number}\n" for number, one in enumerate(texts))
    assert outcome(import_rows(db, "trades", io.BytesIO(text.encode()))) == (len(texts), 0, 0, 0)
    kept = [row[0] for row in rows(db, "SELECT executed_at FROM trades ORDER BY order_id")]
    moments = [datetime.fromisoformat(one) if isinstance(one, str) else one.astimezone(UTC) for one in kept]
    assert [one.replace(tzinfo=None) for one in moments] == [datetime.fromisoformat(one) for one in found]
    assert outcome(import_rows(db, "trades", io.BytesIO(text.encode()))) == (0, 0, len(texts), 0)


def test_times_without_a_zone_are_of_the_zone_that_is_given(migrated_sqlite: Any) -> None:
    db = Database(migrated_sqlite)
    text = HEAD + line(1).replace("T", " ").replace("Z", "") + line(2).replace("01-01", "07-01").replace("Z", "")
    done = import_rows(db, "trades", io.BytesIO(text.encode()), zone="Europe/Berlin")
    kept = [row[0] for row in rows(db, "SELECT executed_at FROM trades ORDER BY order_id")]
    assert kept == ["2023-12-31 23:00:01.000000", "2024-06-30 22:00:02.000000"]
    assert done.errors == []
    with pytest.raises(TradekeepError, match="no time zone"):
        import_rows(db, "trades", io.BytesIO(text.encode()), zone="Mars/Base")
    db.dispose()


def test_a_day_that_may_be_a_month_is_refused(migrated_sqlite: Any) -> None:
    db = Database(migrated_sqlite)
    done = import_rows(db, "trades", io.BytesIO((HEAD + line(1).replace("2024-01-01T", "04/05/2024 ")).encode()))
    assert "either" in done.errors[0].reason
    db.dispose()


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("../../x.csv", HEAD)
    return out.getvalue()


def parquet_of(table: pa.Table) -> bytes:
    out = io.BytesIO()
    parquet.write_table(table, out)
    return out.getvalue()


def bomb_of_parquet() -> bytes:
    out = io.BytesIO()
    column = pa.array(["x" * 1000] * 200_000)
    parquet.write_table(pa.table({"symbol": column}), out, use_dictionary=False, compression="zstd")
    return out.getvalue()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: b"", "empty"),
        (zipped, "ZIP"),
        (lambda: os.urandom(5000).replace(b"PK", b"pk") + b"\0" * 3000, "neither CSV"),
        (lambda: (HEAD + line(1) + "2024-01-01,BTC").encode(), "ends within a row"),
        (lambda: (HEAD + line(1) + line(2)[:-3] + ',"half').encode(), "quot|row"),
        (lambda: HEAD.strip().encode(), "no other"),
        (lambda: gzip.compress((HEAD + line(1) * 1000).encode())[:150], "damaged or was cut"),
        (lambda: gzip.compress(HEAD.encode() + line(1).encode() * 200_000), "bomb"),
        (lambda: parquet_of(pa.table({"symbol": ["x"] * 1000}))[:-20], "damaged"),
        (lambda: b"PAR1" + b"x" * 500, "damaged"),
        (bomb_of_parquet, "unpacks"),
        (lambda: b"SQLite format 3\0" + b"x" * 500, "SQLite"),
        (lambda: b"a," * 3000 + b"b\n1,2\n", "columns"),
        (lambda: HEAD.encode() + b'"' + b"x" * 9_000_000, "4 MB|quot"),
    ],
)
def test_what_cannot_be_read_is_refused_and_nothing_is_written(
    migrated_sqlite: Any, make: Callable[[], bytes], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.explore.imports.files.UNPACKED_BYTES", 4 << 20)
    db = Database(migrated_sqlite)
    content = make()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(TradekeepError, match=said) as caught:
        import_rows(db, "trades", io.BytesIO(content), mapping=None)
    assert caught.value.error_type == "data"
    assert rows(db, "SELECT count(*) FROM trades")[0][0] == 0 or "bomb" in said or "cut" in said
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10 < 120
    db.dispose()


def test_a_cut_gzip_is_told_and_its_rows_come_once(migrated_sqlite: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.explore.imports.csvfile.BLOCK_BYTES", 1 << 18)
    db = Database(migrated_sqlite)
    text = (HEAD + "".join(f"{n + 1704067200},X,BUY,1,{n}.5,EUR,o{n}\n" for n in range(15_000))).encode()
    whole = gzip.compress(text)
    with pytest.raises(TradekeepError, match="cut"):
        import_rows(db, "trades", io.BytesIO(whole[: len(whole) * 9 // 10]))
    done = import_rows(db, "trades", io.BytesIO(whole))
    assert done.inserted + done.skipped == 15_000
    assert rows(db, "SELECT count(*) FROM trades")[0][0] == 15_000
    db.dispose()


@pytest.mark.parametrize("name", ["../../x.csv", "C:\\a\\..\\x.csv", "/etc/passwd", "a\0b.csv", "", "x" * 5000])
def test_an_upload_is_called_as_it_is_called_and_is_no_path(name: str) -> None:
    stream = io.BytesIO(b"a,b\n1,2\n")
    stream.name = name
    with opened(stream) as file:
        assert "/" not in file.name
        assert "\\" not in file.name
        assert 0 < len(file.name) <= 200
        assert file.path is None


class Stream:
    """Standard input: it only reads on."""

    def __init__(self, content: bytes) -> None:
        self._inner = io.BytesIO(content)

    def read(self, size: int = -1) -> bytes:
        return self._inner.read(min(size, 1000))

    def seekable(self) -> bool:
        return False


def test_a_stream_is_read_as_it_comes(db: Database) -> None:
    text = HEAD + "".join(line(second) for second in range(60))
    assert outcome(import_rows(db, "trades", Stream(text.encode()))) == (60, 0, 0, 0)  # type: ignore[arg-type]
    packed = Stream(gzip.compress(text.encode()))
    assert outcome(import_rows(db, "trades", packed)) == (0, 0, 60, 0)  # type: ignore[arg-type]


def test_parquet_keeps_its_types(db: Database, tmp_path: Path) -> None:
    at = datetime(2024, 1, 1, 12, 0, 0, 123456)
    table = pa.table(
        {
            "symbol": pa.array(["BTC", "ETH"]).dictionary_encode(),
            "side": ["buy", "sell"],
            "amount": pa.array([Decimal("1.5"), Decimal("0.0000000001")], pa.decimal128(28, 10)),
            "price": [0.1, 1e-7],
            "currency": ["USD", "USD"],
            "time": pa.array([at, at], pa.timestamp("ns", "Europe/Berlin")),
            "created_at": pa.array([at, at], pa.timestamp("ms")),
            "order_id": pa.array([1, 2]),
        }
    )
    path = tmp_path / "t.parquet"
    parquet.write_table(table, path)
    assert outcome(import_rows(db, "trades", path)) == (2, 0, 0, 0)
    assert outcome(import_rows(db, "trades", str(path))) == (0, 0, 2, 0)
    found = rows(db, "SELECT quantity, price, order_id FROM trades ORDER BY order_id")
    assert [Decimal(str(value)) for value in found[0][:2]] == [Decimal("1.5"), Decimal("0.1")]
    assert [float(value) for value in found[1][:2]] == [1e-10, 1e-7]


def sqlite_file(path: Path, mode: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA journal_mode = {mode}")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute(
        "CREATE TABLE fills (t INTEGER, pair TEXT, side TEXT, qty REAL, price REAL, quote TEXT, orderId)"
    )
    connection.execute("INSERT INTO fills VALUES (1704067200123, 'BTC', 'buy', 0.1, 1e-7, 'USD', 'a')")
    connection.commit()
    return connection


@pytest.mark.parametrize("mode", ["DELETE", "WAL", "WAL, closed", "WAL, left behind"])
def test_a_sqlite_file_is_read_with_its_log_and_stays_as_it_is(db: Database, tmp_path: Path, mode: str) -> None:
    folder = tmp_path / "bot"
    folder.mkdir()
    path = folder / "trades ?#%41.sqlite"
    connection = sqlite_file(path, mode.partition(",")[0])
    if "closed" in mode:
        connection.close()
    if "left" in mode:  # as after a crash: the log is there, and nobody has it open
        other = tmp_path / "copy"
        other.mkdir()
        for file in folder.glob("*[!m]"):
            shutil.copy(file, other / file.name)
        connection.close()
        folder, path = other, other / path.name
    before = {file.name: file.read_bytes() for file in folder.iterdir() if not file.name.endswith("-shm")}
    names = sorted(file.name for file in folder.iterdir())
    assert outcome(import_rows(db, "trades", path)) == (1, 0, 0, 0)
    assert outcome(import_rows(db, "trades", path, source_table="fills")) == (0, 0, 1, 0)
    after = {file.name: file.read_bytes() for file in folder.iterdir() if not file.name.endswith("-shm")}
    assert after == before
    assert sorted(file.name for file in folder.iterdir()) == names
    with pytest.raises(TradekeepError, match="no table 'x'"):
        import_rows(db, "trades", path, source_table="x")
    connection.close()


@pytest.mark.parametrize("kind", ["csv", "parquet", "sqlite"])
def test_progress_tells_how_much_was_read(migrated_sqlite: Any, tmp_path: Path, kind: str) -> None:
    db, path = Database(migrated_sqlite), tmp_path / kind
    if kind == "csv":
        path.write_text(HEAD + line(1))
    elif kind == "parquet":
        path.write_bytes(parquet_of(pa.table({name: ["1"] for name in HEAD.strip().split(",")})))
    else:
        sqlite_file(path, "DELETE").close()
    heard: list[tuple[int, int]] = []
    import_rows(db, "trades", path, progress=lambda done, total, message: heard.append((done, total)), dry_run=True)
    assert heard[0][0] == 0
    assert heard[-1][0] == heard[-1][1] > 0
    db.dispose()


def test_progress_of_a_csv_counts_what_is_in_the_table(
    migrated_sqlite: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the reader has read ahead is not done yet; a block of the file may be several batches."""
    monkeypatch.setattr("core.explore.imports.csvfile.BLOCK_BYTES", 20_000)
    monkeypatch.setattr("core.explore.imports.csvfile.BATCH_ROWS", 100)
    db, path = Database(migrated_sqlite), tmp_path / "many.csv"
    path.write_text(HEAD + "".join(line(n) for n in range(1000)))
    heard: list[tuple[int, int]] = []
    import_rows(db, "trades", path, progress=lambda done, total, message: heard.append((done, total)), dry_run=True)
    done = [one / total for one, total in heard]
    assert done == sorted(done)
    assert len(done) >= 10
    assert (done[0], done[-1]) == (0, 1)
    assert max(after - before for before, after in itertools.pairwise(done)) < 0.2
    db.dispose()


def test_a_cut_sqlite_file_is_refused(migrated_sqlite: Any, tmp_path: Path) -> None:
    db = Database(migrated_sqlite)
    path = tmp_path / "a.sqlite"
    connection = sqlite_file(path, "DELETE")
    connection.executemany("INSERT INTO fills VALUES (1, 'B', 'buy', 1, 1, ?, ?)", [("x" * 900, n) for n in range(500)])
    connection.commit()
    connection.close()
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(TradekeepError, match="cut"):
        import_rows(db, "trades", path)
    db.dispose()
