"""JSON lines, one object a row, as an export writes them: numbers keep every digit, and nothing is left out unsaid."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pyarrow as pa

from core.explore.imports.csvfile import MOST_COLUMNS, Raw
from core.explore.imports.files import Opened, refused

BATCH_ROWS, BATCH_BYTES, LARGEST_BYTES = 20_000, 16 << 20, 4 << 20


class Rows:
    """The rows of such a file. names: the keys of its first rows, in their order."""

    def __init__(self, source: Opened) -> None:
        self._source, self._line, self._number = source, 0, 1
        self._first = self._some()
        self.names = tuple(dict.fromkeys(name for row in self._first if isinstance(row, dict) for name in row))
        if not self.names:
            raise refused(f"{source.name} has no row.")
        if len(self.names) > MOST_COLUMNS:
            raise refused(f"{source.name} has {len(self.names)} columns; a table has {MOST_COLUMNS} at most.")

    def batches(self, wanted: list[int]) -> Iterator[Raw]:
        """The rows, by the places of the wanted names; a line that is no such row is told as one of a wrong length."""
        some, known = self._first, set(self.names)
        names = [self.names[place] for place in wanted]
        while some:
            good: list[dict[str, Any]] = []
            numbers, wrong = [], []
            for row in some:
                more = sorted(row.keys() - known) if isinstance(row, dict) else []
                if isinstance(row, dict) and not more:
                    good.append(row)
                    numbers.append(self._number)
                else:
                    told = f"the first rows have no {', '.join(more)[:80]}" if more else "no JSON object in one line"
                    wrong.append((self._number, told, json.dumps(row) if more else str(row)))
                self._number += 1
            columns = [pa.array([_bytes(row.get(name)) for row in good], pa.binary()) for name in names]
            yield Raw(pa.array(numbers, pa.int64()), columns, wrong)
            some = self._some()

    def _some(self) -> list[dict[str, Any] | str]:
        """The next rows; a text in place of one that cannot be read."""
        rows: list[dict[str, Any] | str] = []
        held = 0
        while len(rows) < BATCH_ROWS and held < BATCH_BYTES:
            line = self._source.stream.readline(LARGEST_BYTES + 1)
            self._line += 1
            if len(line) > LARGEST_BYTES:
                raise refused(f"Line {self._line} of {self._source.name} is longer than {LARGEST_BYTES >> 20} MB.")
            if not line:
                break
            held += len(line)
            if line.strip():
                rows.append(_row(line.removeprefix(b"\xef\xbb\xbf") if self._line == 1 else line))
        return rows


def _row(line: bytes) -> dict[str, Any] | str:
    try:
        found = json.loads(line, parse_float=str, parse_int=str, parse_constant=str)
        if isinstance(found, dict) and any(isinstance(value, dict | list) for value in found.values()):
            deep = json.loads(line, parse_float=_exact)
            nested = {name: json.dumps(deep[name]) for name, one in found.items() if isinstance(one, dict | list)}
            found |= nested
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else line.decode("utf-8", "replace").strip()


def _exact(text: str) -> float:
    """A number within an object or a list. Raises ValueError where it would lose digits."""
    if Decimal(repr(float(text))) != Decimal(text):
        raise ValueError(text)
    return float(text)


def _bytes(value: Any) -> bytes | None:
    if value is None:
        return None
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text.encode("utf-8", "surrogatepass")
