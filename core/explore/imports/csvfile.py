"""CSV as columns of bytes, some thousand rows at a time: any delimiter and encoding; rows of a wrong length told."""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import csv as arrow

from core.errors import TradekeepError
from core.explore import arrowcsv
from core.explore.imports.files import SAMPLE_BYTES, Opened, refused

BLOCK_BYTES = 4 << 20
BATCH_ROWS = 50_000
MOST_COLUMNS = 1600
DELIMITERS = (",", ";", "\t", "|")
GUESSED = "cp1252"  # what is not UTF-8 and says nothing of its encoding
BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
# A number or a time. No part of it can take what the next one can, or a long cell would take for ever.
_DATA = re.compile(r"[.,:/TZ\s+-]*\d[\d.,:/TZeE\s+-]*")
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)")
MOSTLY = 0.6
_TITLE = re.compile(r"(?:[^,;\t|\"\r\n]+(?:\r\n|\n|\r)){1,4}(?:[ \t]*(?:\r\n|\n|\r))+")
_SEPARATOR = re.compile(r"\ufeff?\"?sep=(.)\"?\s*", re.I)


@dataclass(frozen=True)
class Raw:
    """Some rows as they stand in the source: their numbers, and a column for each of the source's, by place.

    ragged: rows with too few or too many cells, which are not among them: number, how many, their text. done: how much
    of the source they and the ones before are, in its own unit.
    """

    numbers: pa.Array
    columns: list[pa.Array]
    ragged: list[tuple[int, str, str]]
    done: int = 0


@dataclass(frozen=True)
class Dialect:
    """How a CSV is written. names: of its columns; heading: whether its first row gives them; before_bytes: how much
    of its text, as UTF-8, stands before its first row."""

    encoding: str
    delimiter: str
    names: tuple[str, ...]
    heading: bool
    notes: tuple[str, ...] = ()
    before_bytes: int = 0


def dialect(source: Opened) -> Dialect:
    """How this CSV is written, by its beginning (and its end, where that can be seen). Raises data.file."""
    sample: bytes = _beginning(source)
    encoding, notes = _encoding(sample, source.name)
    text = codecs.getincrementaldecoder(encoding)(errors="replace").decode(sample)
    if "\0" in text[:4096] and text.count("\0") > 8:
        raise refused(f"{source.name} is neither CSV nor Parquet nor a SQLite database.")
    begin, delimiter, first = _begin(text, source.name)
    before, text = text[:begin], text[begin:]
    if before.strip():
        notes.append(f"Left out before the names: {' '.join(before.split())[:80]}")
    heading = not any(_DATA.fullmatch(cell) for cell in first if cell.strip())
    names = named(first) if heading else tuple(f"column {number}" for number in range(1, len(first) + 1))
    if not heading:
        notes.append("The first row has no names, so it is read as data.")
    if heading and "\n" not in text and "\r" not in text:
        raise refused(f"{source.name} has a row of names, and no other.")
    if not source.packed and source.size_bytes is not None and encoding in ("utf-8", "utf-8-sig", GUESSED):
        notes += _whole(source, delimiter, len(first))
    return Dialect(encoding, delimiter, names, heading, tuple(notes), len(before.encode()))


def _beginning(source: Opened) -> bytes:
    if source.packed or not source.stream.seekable():
        stream: Any = source.stream
        return bytes(stream.peek(SAMPLE_BYTES)[:SAMPLE_BYTES])
    found = source.stream.read(SAMPLE_BYTES)
    source.stream.seek(0)
    return found


def _encoding(sample: bytes, name: str) -> tuple[str, list[str]]:
    for bom, encoding in BOMS:
        if sample.startswith(bom):
            return encoding, []
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        return GUESSED, [f"{name} is not UTF-8; it is read as Windows-1252 (Western Europe)."]
    return "utf-8", []


def _begin(text: str, name: str) -> tuple[int, str, list[str]]:
    """Where the first row begins, the delimiter, and that row's cells.

    Before it may stand blank lines, Excel's `sep=;`, a title, and comments that begin with #; of these the last one
    is the first row where it has as many cells as the next.
    """
    begin, last, told = 0, None, None
    for line in _LINE.finditer(text):
        if line[0].startswith("#"):
            last = line
        elif not begin and (separator := _SEPARATOR.fullmatch(line[0])):
            told = separator[1]
        elif line[0].strip(" \r\n\ufeff"):
            break
        begin = line.end()
    if not text[begin:].strip():
        begin, last = 0, None
    delimiter, first = _delimiter(text[begin:], name, (told,) if told else DELIMITERS)
    if last is not None:
        cells = next(csv.reader([last[0].strip()], delimiter=delimiter), [])
        if len(cells) == len(first):
            return last.start(), delimiter, cells
    if len(first) == 1 and (below := _below_title(text[begin:])):
        return begin + below, *_delimiter(text[begin + below :], name, (told,) if told else DELIMITERS)
    return begin, delimiter, first


def _below_title(text: str) -> int:
    """Where the names begin below a title of a few words: lines without a delimiter, then an empty one, and from
    there on rows of the same number of cells, at least three, cut ones apart. 0 where it is not so."""
    title = _TITLE.match(text)
    if title is None:
        return 0
    for delimiter in DELIMITERS:
        rows: list[list[str]] = []
        with contextlib.suppress(csv.Error):
            reader = csv.reader(io.StringIO(text[title.end() :], newline=""), delimiter=delimiter)
            rows += itertools.islice(reader, 100)
        widths = [len(row) for row in rows if row]
        if widths and widths[0] >= 3 and widths.count(widths[0]) >= MOSTLY * len(widths):
            return title.end()
    return 0


def _delimiter(text: str, name: str, among: Sequence[str]) -> tuple[str, list[str]]:
    """The delimiter that splits the first lines most evenly, and the cells of the first one."""
    best: tuple[float, str, list[str]] = (-1.0, ",", [])
    lines = text if len(text) < SAMPLE_BYTES // 4 else text[: text.rfind("\n", 0, SAMPLE_BYTES // 4) + 1] or text
    for delimiter in among:
        try:
            reader = csv.reader(io.StringIO(lines, newline=""), delimiter=delimiter)
            rows = list(itertools.islice(reader, 100))
        except csv.Error:
            continue
        rows = [row for row in rows if row]
        if not rows:
            continue
        even = sum(len(row) == len(rows[0]) for row in rows) / len(rows)
        score = even * min(len(rows[0]), 50) if len(rows[0]) > 1 else 0.5
        if score > best[0]:
            best = (score, delimiter, rows[0])
    if not best[2]:
        raise refused(f"{name} has no row.")
    if len(best[2]) > MOST_COLUMNS:
        raise refused(f"{name} has {len(best[2])} columns; a table has {MOST_COLUMNS} at most.")
    return best[1], best[2]


def named(cells: Sequence[str]) -> tuple[str, ...]:
    """The heading's names, each once."""
    plain = [cell.strip().strip("\ufeff").removeprefix("'") for cell in cells]
    found: list[str] = []
    for place, cell in enumerate(plain):
        name, number = cell or f"column {place + 1}", place + 1
        while name in found or (name != cell and name in plain):
            name, number = f"{cell or 'column'} ({number})", number + 1
        found.append(name)
    return tuple(found)


def _whole(source: Opened, delimiter: str, width: int) -> list[str]:
    """Refuse a file that ends within a row; a note where only its last value may have been cut."""
    size = source.size_bytes or 0
    source.stream.seek(max(0, size - (1 << 16)))
    end = source.stream.read()
    source.stream.seek(0)
    if end.endswith((b"\n", b"\r")):
        return []
    last = end[max(end.rfind(b"\n"), end.rfind(b"\r")) + 1 :].decode("utf-8", "replace")
    cells = next(csv.reader([last], delimiter=delimiter), [])
    if len(cells) < width and '"' not in last and (b"\n" in end or b"\r" in end):
        message = f"{source.name} ends within a row: {len(cells)} of {width} cells. It was cut, or is still written."
        raise refused(message)
    return ["The file does not end with a line break: its last value may have been cut."]


class _Bytes:
    """The source as UTF-8 from its first row on, watched while it goes by."""

    def __init__(self, source: Opened, of: Dialect, position: Callable[[], int]) -> None:
        self._source, self._of, self.quotes, self.nul = source, of, 0, False
        self._position, self.ends = position, [0]  # where each block of the reader's ends
        plain = of.encoding == "utf-8"
        self._decode = None if plain else codecs.getincrementaldecoder(of.encoding)(errors="strict")
        self._ready, self._ended, self._before = b"", False, of.before_bytes

    def read(self, size: int = -1) -> bytes:
        while self._before and (skipped := len(self._next(self._before))):
            self._before -= skipped
        found = self._next(size)
        self.ends.append(self._position())
        self.quotes += found.count(b'"')
        self.nul = self.nul or b"\0" in found
        if not found and self.quotes % 2 and not _literal(self._source, self._of):
            raise refused(f"{self._source.name} ends within a quoted cell: it was cut, or a quotation mark is missing.")
        return found

    def _next(self, size: int) -> bytes:
        return self._source.stream.read(size) if self._decode is None else self._decoded(size)

    def _decoded(self, size: int) -> bytes:
        assert self._decode is not None
        while len(self._ready) < size and not self._ended:
            piece = self._source.stream.read(size)
            self._ended = not piece
            try:
                self._ready += self._decode.decode(piece, final=self._ended).encode()
            except UnicodeError:
                raise refused(_undecoded(self._source.name, self._of.encoding)) from None
        found, self._ready = self._ready[:size], self._ready[size:]
        return found


def _undecoded(name: str, encoding: str) -> str:
    if encoding == GUESSED:
        return f"{name} is neither UTF-8 nor Windows-1252: some of its bytes are letters in neither. Save it as UTF-8."
    return f"{name} is not text in the encoding that its beginning says."


def _literal(source: Opened, of: Dialect) -> bool:
    """Whether the quotation marks of this file, of which there is an odd number, all stand for themselves, as in
    5" tick: none begins a cell, or there is an odd number of them amid a text. It is read once more for that."""
    if source.packed or source.size_bytes is None or of.encoding not in ("utf-8", "utf-8-sig", GUESSED):
        return False
    edges = re.escape(of.delimiter.encode()) + rb"\r\n"
    opening = re.compile(rb"[" + edges + rb']"')
    amid = re.compile(rb'"(?<=[^"' + edges + rb']")(?=[^"' + edges + rb"])")
    opened, odd, end, at = False, False, b"\n", source.stream.tell()
    source.stream.seek(len(codecs.BOM_UTF8) if of.encoding == "utf-8-sig" else 0)
    while piece := source.stream.read(BLOCK_BYTES):
        piece, end = end + piece, piece[-2:]
        opened = opened or opening.search(piece) is not None
        odd ^= len(amid.findall(piece)) % 2 == 1
    source.stream.seek(at)
    return odd or not opened


def batches(
    source: Opened, of: Dialect, wanted: list[int], watch: Callable[[bool], None], position: Callable[[], int]
) -> Iterator[Raw]:
    """The rows of the wanted columns (by place), cells as bytes; an empty cell is null, a quoted one is not.

    watch(whether a NUL has gone by) is called before each; position() says how far the source was read. Raises
    data.file where the file cannot be read on.
    """
    ragged: list[tuple[int, str, str]] = []
    first = 2 if of.heading else 1

    def wrong(row: arrow.InvalidRow) -> str:
        told = f"{row.actual_columns} cells, not {row.expected_columns}"
        ragged.append(((row.number or 0) - first + 1, told, row.text or ""))
        return "skip"

    names = [f"c{place}" for place in range(len(of.names))]
    stream = _Bytes(source, of, position)
    blocks = arrowcsv.batches(
        stream.read,
        read_options=arrow.ReadOptions(
            use_threads=False, block_size=BLOCK_BYTES, column_names=names, skip_rows_after_names=int(of.heading)
        ),
        parse_options=arrow.ParseOptions(delimiter=of.delimiter, newlines_in_values=True, invalid_row_handler=wrong),
        convert_options=arrow.ConvertOptions(
            check_utf8=False,
            column_types=dict.fromkeys(names, pa.binary()),
            include_columns=[names[place] for place in wanted],
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    number = 1
    with closing(blocks):
        for block in itertools.count(1):
            batch = _next(blocks, source, of)
            if batch is None:
                break
            watch(stream.nul)
            begin, end = stream.ends[block - 1], stream.ends[min(block, len(stream.ends) - 1)]  # it reads far ahead
            for start in range(0, batch.num_rows, BATCH_ROWS):
                some = batch.slice(start, BATCH_ROWS)
                numbers, number = _numbers(number, some.num_rows, {at for at, _, _ in ragged})
                told = [one for one in ragged if one[0] < number]
                ragged[:] = ragged[len(told) :]  # the reader may be a block ahead
                done = begin + (end - begin) * (start + some.num_rows) // batch.num_rows
                yield Raw(numbers, some.columns, told, done)
    if ragged:
        yield Raw(pa.array([], pa.int64()), [pa.array([], pa.binary()) for _ in wanted], ragged, stream.ends[-1])


def _next(blocks: Iterator[pa.RecordBatch], source: Opened, of: Dialect) -> pa.RecordBatch | None:
    """The next block; None where there is no more. Raises data.file."""
    try:
        return next(blocks, None)
    except pa.ArrowInvalid as error:
        if of.heading and "Empty CSV" in str(error):
            return None
        raise _told(source, error) from None


def _numbers(first: int, count: int, skipped: set[int]) -> tuple[pa.Array, int]:
    """The numbers of so many rows from first, without those that were skipped; and the next one."""
    if not skipped:
        return pa.array(np.arange(first, first + count)), first + count
    found: list[int] = []
    while len(found) < count:
        if first not in skipped:
            found.append(first)
        first += 1
    return pa.array(found, pa.int64()), first


def _told(source: Opened, error: Exception) -> TradekeepError:
    text = str(error)
    if "straddling" in text:
        return refused(f"A row of {source.name} is longer than 4 MB; perhaps a quotation mark is missing before it.")
    return refused(f"{source.name} cannot be read as CSV: {text[:300]}")
