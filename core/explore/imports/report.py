"""What became of an import, and the rows at fault as a file."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from core.explore.export import harmless
from core.explore.imports.faulty import Faulty
from core.explore.imports.values import RowError
from core.format import count


@dataclass(frozen=True)
class Imported:
    """What became of the rows of a source. inserted, updated, skipped (there already, just so): numbers of rows.

    errors: those at fault, by their number, the first 10,000; error_count: of all of them; faulty: as they stood in the
    source. rows: how many were read. mapping: file column -> table column. key: the columns that told rows apart, ()
    for their content.
    """

    inserted: int = 0
    updated: int = 0
    skipped: int = 0
    errors: list[RowError] = field(default_factory=list)
    error_count: int = 0
    rows: int = 0
    mapping: dict[str, str] = field(default_factory=dict)
    key: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)
    dry_run: bool = False
    faulty: Faulty | None = None
    elapsed_ms: float = 0.0

    @property
    def sentence(self) -> str:
        """Everything in one line."""
        would = "would be " if self.dry_run else ""
        parts = [f"{self.inserted:,} {would}new", f"{self.updated:,} {would}changed", f"{self.skipped:,} there already"]
        return f"{count(self.rows, 'row')} read: {', '.join(parts)}, {self.error_count:,} at fault."

    def as_dict(self) -> dict[str, Any]:
        """As JSON takes it, with the first 100 errors."""
        return {
            "inserted": self.inserted,
            "updated": self.updated,
            "skipped": self.skipped,
            "rows": self.rows,
            "error_count": self.error_count,
            "errors": [vars(error) for error in self.errors[:100]],
            "mapping": self.mapping,
            "key": list(self.key),
            "notes": self.notes,
            "dry_run": self.dry_run,
            "elapsed_ms": self.elapsed_ms,
        }


def errors_csv(errors: Iterable[RowError]) -> bytes:
    """The rows at fault as CSV: row, column, value, reason; harmless in a spreadsheet."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", "column", "value", "reason"])
    for error in errors:
        writer.writerow([error.row, *(harmless(one) for one in (error.column, error.value, error.reason))])
    return text.getvalue().encode("utf-8", "replace")
