"""Exports to files: everything that a view matches, written to a file of its own that is then offered."""

from __future__ import annotations

import os
import re
import secrets
from datetime import UTC, datetime
from pathlib import Path

from core import private
from core.database import Database
from core.errors import classify
from core.explore import export_rows
from core.explore.address import ALL, View
from core.explore.export import Format
from core.progress import Report
from core.services.downloads import Offer, offer, sweep

FOLDER = "exports"
MEDIA = {"csv": "CSV", "parquet": "Parquet", "jsonl": "JSON lines"}


def export_view(db: Database, view: View, format: Format, *, home: Path, demo: bool, progress: Report) -> Offer:
    """Write every row that matches to a file of TRADEKEEP_HOME and offer it; nothing stays of one that fails.

    The sort and the columns are the view's where somebody chose them. Raises what export_rows does, permission.file.
    """
    path = None
    try:
        folder = private.folder(home / FOLDER)
        sweep(folder)
        path = folder / secrets.token_hex(16)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            rows = export_rows(
                db,
                view.table,
                view.filters,
                view.sort,
                format=format,
                out=out,
                columns=None if view.columns in ((), (ALL,)) else view.columns,
                search=view.search or None,
                progress=progress,
            )
        return offer(path, file_name(view, format, demo=demo), rows)
    except BaseException as error:
        if path is not None:
            path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise classify(error) from None
        raise


def file_name(view: View, format: str, *, demo: bool, now: datetime | None = None) -> str:
    """A name that says what is in it: `trades-20260102-0304.csv`; of demo data it says so."""
    table = re.sub(r"[^\w.-]+", "_", view.table).strip("._") or "table"
    at = (now or datetime.now(UTC)).strftime("%Y%m%d-%H%M")
    return f"{'demo-' if demo else ''}{table[:80]}-{at}.{format}"
