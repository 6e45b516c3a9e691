"""Files written in ways of their own: what stands before the names, lone quotation marks, names that come twice."""

from __future__ import annotations

import io
import time
from datetime import datetime
from typing import Any

import pyarrow as pa
import pytest

from core.database import Database
from core.errors import TradekeepError
from core.explore import import_rows
from core.explore.imports import csvfile
from core.explore.imports.files import located, opened
from core.explore.imports.preview import look
from tests.explore.test_import import HEAD, outcome, rows
from tests.explore.test_import_files import SHOWN, line, parquet_of


@pytest.mark.parametrize(
    ("before", "delimiter", "note"),
    [
        ("\n", ",", ""), (" \r\n\n", ";", ""), ("sep=;\n", ";", "sep=;"), ('"sep=|"\r\n', "|", "sep"),
        ("# Exported by a bot\n#\n", ",", "Exported by"), ("\ufeffsep=,\n\n# at noon\n", ",", "noon"),
        ("#,", ",", ""), ("My fills\r\nof 2024\n \n", ";", "My fills of 2024"), ("\nReport\n\n", "\t", "Report"),
    ],
)  # fmt: skip
def test_what_stands_before_the_names_is_left_out(migrated_sqlite: Any, before: str, delimiter: str, note: str) -> None:
    db = Database(migrated_sqlite)
    text = HEAD + line(1) + line(2)
    if before == "#,":  # a name of a column, and no comment
        text = "".join(f"{number or '#'},{one}\n" for number, one in enumerate(text.splitlines()))
        before = ""
    done = import_rows(db, "trades", io.BytesIO((before + text.replace(",", delimiter) + "cut\n").encode()))
    assert outcome(done) == (2, 0, 0, 1)
    assert done.errors[0].row == 3
    assert any(note in one for one in done.notes) or not note
    db.dispose()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
@pytest.mark.parametrize("more", [',5" tick', ',5" and 6" and 7" ticks', ',a 5"', ',"a ""b"" c"\r\n2024,5"x'])
def test_a_quotation_mark_within_a_text_is_part_of_it(migrated_sqlite: Any, encoding: str, more: str) -> None:
    db = Database(migrated_sqlite)
    text = HEAD.strip() + ",strategy\n" + line(1, more) + line(2, ",plain")
    done = import_rows(db, "trades", io.BytesIO(text.encode(encoding)))
    assert done.inserted == 2
    assert [row[2] for row in rows(db, SHOWN)] == [more[1:] if "\r" not in more else 'a "b" c', "plain"]
    db.dispose()


def test_names_that_come_twice_are_told_apart(migrated_sqlite: Any) -> None:
    assert csvfile.named(["price", "price (3)", "price", "", "column 4", "price"]) == (
        "price", "price (3)", "price (4)", "column (4)", "column 4", "price (6)",
    )  # fmt: skip
    db = Database(migrated_sqlite)
    names = ["symbol", "action", "quantity", "price", "price", "currency", "executed_at"]
    values = ["X", "BUY", "1", "2", "3", "EUR", "2024-01-01T00:00:00Z"]
    content = parquet_of(pa.Table.from_arrays([pa.array([one]) for one in values], names=names))
    assert look(io.BytesIO(content)).names[3:5] == ("price", "price (5)")
    assert outcome(import_rows(db, "trades", io.BytesIO(content))) == (1, 0, 0, 0)
    assert rows(db, "SELECT price FROM trades") == [(2,)]
    db.dispose()


def test_nothing_in_a_file_stops_a_look_at_it() -> None:
    at = datetime(2024, 1, 1)
    made = pa.table({"list": [[1, 2]], "struct": [{"x": at}], "time": pa.array([at]).dictionary_encode(),
                     "far": pa.array([2**62], pa.timestamp("ms")), "raw": pa.array([b"\xff"], pa.large_binary()),
                     })  # fmt: skip
    seen = look(io.BytesIO(parquet_of(made)))
    assert [one and one[:10] for one in seen.rows[0]][:3] == ["[1, 2]", '{"x": "202', "2024-01-01"]
    deep = "[" * 60_000
    assert look(io.BytesIO(f"a,b\n{deep},1\n".encode())).columns[0].words == "text"
    begin = time.process_time()
    look(io.BytesIO((" " * 2000 + "1" * 2000 + "x,b\n1,2\n").encode()))
    assert time.process_time() - begin < 2


@pytest.mark.parametrize("path", ["~nosuchuser/x", "x" * 300, "a\0b", "", "/dev/null/x"])
def test_any_path_may_be_typed(path: str) -> None:
    with pytest.raises(TradekeepError) as caught:
        opened(located(path)[0])
    assert caught.value.kind == "data.file"


def test_bytes_of_no_encoding_are_told(migrated_sqlite: Any) -> None:
    db = Database(migrated_sqlite)
    with pytest.raises(TradekeepError, match="neither UTF-8 nor Windows-1252"):
        import_rows(db, "trades", io.BytesIO((HEAD + line(1)).encode().replace(b"BUY", b"B\x81Y")))
    db.dispose()
