"""Arrow's reader over our own streams: what they raise is raised here, and Arrow's threads meet none of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import csv

from core.explore import arrowcsv

ROWS = b"1,a\n" * 1024
SMALL: dict[str, Any] = {
    "read_options": csv.ReadOptions(use_threads=False, block_size=len(ROWS), column_names=["a", "b"])
}


class Broken(Exception):
    """What the stream raises."""


def given(*pieces: bytes | Exception) -> Callable[[int], bytes]:
    """A read() that gives these pieces, or raises them; nothing after them."""
    left = list(pieces)

    def read(_size: int) -> bytes:
        piece = left.pop(0) if left else b""
        if isinstance(piece, Exception):
            raise piece
        return piece

    return read


@pytest.fixture
def escaped(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """What Arrow's threads met when they read."""
    met: list[BaseException] = []

    class Watched(pa.PythonFile):  # type: ignore[misc]  # a class of an extension
        def __init__(self, stream: Any, mode: str) -> None:
            own = stream.read

            def read(size: int = -1) -> Any:
                try:
                    return own(size)
                except BaseException as error:
                    met.append(error)
                    raise

            stream.read = read

    monkeypatch.setattr(arrowcsv.pa, "PythonFile", Watched)
    return met


def test_rows_come_in_blocks() -> None:
    found = list(arrowcsv.batches(given(ROWS, ROWS, ROWS[:8]), **SMALL))
    assert sum(batch.num_rows for batch in found) == 2050
    assert found[0].to_pylist()[0] == {"a": 1, "b": "a"}


@pytest.mark.parametrize("before", [(), (ROWS,), (ROWS, ROWS, ROWS), (b"1,a\n1,",), (b"1",)])
def test_what_the_stream_raises_is_raised_and_never_within_arrow(
    before: tuple[bytes, ...], escaped: list[BaseException]
) -> None:
    error = Broken("cut")
    with pytest.raises(Broken) as caught:
        list(arrowcsv.batches(given(*before, error, b"2,b\n"), **SMALL))
    assert caught.value is error
    assert error.__cause__ is None
    assert escaped == []


def test_rows_before_a_failure_come_first_and_half_a_row_is_none() -> None:
    """However far Arrow has read ahead."""
    for _ in range(20):
        seen: list[Any] = []
        with pytest.raises(Broken):
            for batch in arrowcsv.batches(given(ROWS, ROWS, b"22,bb\n333,c", Broken()), **SMALL):
                seen += batch.to_pylist()
        assert seen == [{"a": 1, "b": "a"}] * 2048


def test_what_is_no_csv_is_arrows_own_error() -> None:
    with pytest.raises(pa.ArrowInvalid, match="Expected 2 columns"):
        list(arrowcsv.batches(given(b"1,a,x\n"), **SMALL))


@pytest.mark.parametrize("taken", [0, 1, 2])
def test_after_the_end_nobody_reads(taken: int) -> None:
    """Arrow reads ahead: the one who closes the source must not do so while it is read."""
    calls: list[str] = []
    begun = threading.Event()

    def slow(_size: int) -> bytes:
        calls.append("in")
        if len(calls) > 2 * (taken + 1):
            begun.set()
            time.sleep(0.2)
        calls.append("out")
        return ROWS

    with closing(arrowcsv.batches(slow, **SMALL)) as batches:
        for _ in range(taken):
            next(batches)
        if taken:
            begun.wait(5)
    now = list(calls)
    assert now.count("in") == now.count("out")
    time.sleep(0.3)
    assert calls == now


def test_readings_that_are_left_use_up_no_thread() -> None:
    """Arrow has eight threads for all readers of a process."""

    def slow(_size: int) -> bytes:
        time.sleep(0.01)
        return ROWS

    for number in range(24):
        read = given(ROWS, ROWS, Broken()) if number % 2 else slow
        with closing(arrowcsv.batches(read, **SMALL)) as batches:
            next(batches)
    assert sum(batch.num_rows for batch in arrowcsv.batches(given(ROWS, ROWS), **SMALL)) == 2048
