"""Exports to files: everything that a view matches, written to a file of its own that is then offered."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from core import private
from core.database import Database
from core.database.naming import tables_meant
from core.envfile import masked_value
from core.errors import classify
from core.explore import export_rows
from core.explore.address import ALL, View
from core.explore.export import Format
from core.explore.filters import Filter
from core.log import MASK
from core.progress import Report
from core.schema.grants import secret_columns
from core.services import audit
from core.services.downloads import KEPT_S, Offer, offer

FOLDER = "exports"
MOST_NAMED, LONGEST_NAMED = 50, 200  # of what an audit line says of the filters
MEDIA = {"csv": "CSV", "parquet": "Parquet", "jsonl": "JSON lines"}


def export_view(
    db: Database,
    view: View,
    format: Format,
    *,
    home: Path,
    demo: bool,
    progress: Report,
    by: str = "",
    log: Database | None = None,
) -> Offer:
    """Write every row that matches to a file of TRADEKEEP_HOME and offer it; nothing stays of one that fails.

    The sort and the columns are the view's where somebody chose them. by, log: whose export it is, and through which
    connection the audit log is told. Raises what export_rows does, permission.file.
    """
    try:
        with private.passing_file(home / FOLDER, KEPT_S) as (path, out):
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
        made = offer(path, file_name(view, format, demo=demo), rows)
    except OSError as error:
        raise classify(error) from None
    if log is not None:
        note(log, view, format, rows, by=by)
    return made


def note(db: Database, view: View, format: str, rows: int, *, by: str) -> bool:
    """Tell the audit log who took what away; whether it was written. Raises nothing."""
    named = [name for _, name in tables_meant(view.table, "public")]
    secret = set[str]().union(*(columns for table, columns in secret_columns().items() if table in named))
    asked = {
        "filters": [_shown(one, secret) for one in view.filters],
        "search": MASK if secret and view.search else _short(masked_value("", view.search)),
        "columns": [_short(name) for name in view.columns if name != ALL][:MOST_NAMED],
        "sort": [f"{_short(one.column)} {'desc' if one.descending else 'asc'}" for one in view.sort[:MOST_NAMED]],
    }
    details = {"by": by, "format": format, "rows": rows, **{name: value for name, value in asked.items() if value}}
    return audit.note(db, "export", of="table", named=view.table, details=details)


def _shown(one: Filter, secret: set[str]) -> list[str]:
    """A filter in words: column, comparison, values; *** for what may be a secret."""
    values = one.value if isinstance(one.value, list | tuple) else [] if one.value is None else [one.value]
    shown = (MASK if one.column in secret else masked_value(one.column, str(value)) for value in values[:MOST_NAMED])
    return [_short(one.column), one.op, *map(_short, shown)]


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_NAMED else f"{text[:LONGEST_NAMED]} ..."


def file_name(view: View, format: str, *, demo: bool, now: datetime | None = None) -> str:
    """A name that says what is in it: `trades-20260102-0304.csv`; of demo data it says so."""
    table = re.sub(r"[^\w.-]+", "_", view.table).strip("._") or "table"
    at = (now or datetime.now(UTC)).strftime("%Y%m%d-%H%M")
    return f"{'demo-' if demo else ''}{table[:80]}-{at}.{format}"
