"""Rows at fault as they stood in the source, so that they can be corrected and imported again."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from core.explore.export import harmless
from core.explore.imports.csvfile import Raw
from core.explore.imports.values import RowError

MOST_ROWS, MOST_BYTES = 10_000, 16 << 20
WHY = "why it is at fault"


@dataclass
class Faulty:
    """The first rows at fault: their number -> their cells, of those columns that are imported."""

    names: tuple[str, ...]
    rows: dict[int, list[str | None]] = field(default_factory=dict)
    size_bytes: int = 0

    def add(self, raw: Raw, places: Iterable[int]) -> None:
        """Keep the rows at these places of a batch, as long as there is room."""
        for place in places:
            if len(self.rows) >= MOST_ROWS or self.size_bytes > MOST_BYTES:
                return
            cells = [_text(column[place].as_py()) for column in raw.columns]
            self.size_bytes += sum(len(cell or "") for cell in cells)
            self.rows[raw.numbers[place].as_py()] = cells

    def csv(self, errors: Iterable[RowError]) -> bytes:
        """The rows as CSV, under their own names and with the reason; harmless in a spreadsheet. b"" without any."""
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*map(harmless, self.names), WHY])
        for error in errors:
            if error.row in self.rows:
                why = "; ".join(filter(None, (error.column, error.reason)))
                writer.writerow([*(harmless(cell or "") for cell in self.rows[error.row]), harmless(why)])
        return text.getvalue().encode("utf-8", "replace") if self.rows else b""


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return None if value is None else str(value)
