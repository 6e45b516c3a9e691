"""The rows of a view, with what they are made of; the last good ones while the database is away."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

from core.database import Database
from core.errors import TradekeepError
from core.explore import Page, Sort, page_of_rows
from core.explore.address import View
from core.explore.made import Shown, are_alerts, needed, shown_of
from core.explore.relation import Relation
from core.explore.typed import ready, usual_order
from core.ui.cache import AWAY
from core.ui.explorer.place import shape_of

MOST_COLUMNS = 40
CUT_AT = 400
MOST_CELLS = 60_000  # a page of a very wide table has fewer rows
LAST = "explorer_last"  # of this window: one page, so that memory stays small however long somebody pages


@dataclass(frozen=True)
class Found:
    """A page of a view. sort: the order it is in, the table's usual one included.

    limit: how many rows it has at most. age_s: how old it is, where the database is away; the view is then the one
    of that page, which may be another page than the one asked for.
    """

    view: View
    of: Relation
    columns: list[Shown]
    page: Page
    sort: tuple[Sort, ...]
    limit: int
    age_s: float | None = None

    def values(self, row: int) -> dict[str, Any]:
        """A row's values as far as they were asked for; {} for a row that is not there."""
        rows = self.page.rows
        return self.page.named(rows[row]) if row < len(rows) else {}

    def key(self, row: int) -> tuple[Any, ...]:
        """The key of a row; () where the table has none."""
        values = self.values(row)
        return tuple(values[name] for name in self.of.key) if values else ()

    @property
    def alerts(self) -> bool:
        """Whether these rows are our alerts."""
        return are_alerts(self.of)


def found(db: Database, view: View) -> Found:
    """The view's page; the last good one of the same rows while the database is away.

    Raises what page_of_rows does, unless there was a good one.
    """
    of = shape_of(db, view.table)
    columns = shown_of(of, view.columns, MOST_COLUMNS)
    sort = view.sort or usual_order(of)
    limit = min(view.limit, max(20, MOST_CELLS // max(1, len(columns))))
    key = (db.config.fingerprint(), view.first(utc=False).query())
    try:
        page = page_of_rows(
            db,
            view.table,
            columns=needed(columns, of),
            filters=ready(view.filters, of),
            search=view.search or None,
            sort=sort,
            after=view.after or None,
            before=view.before or None,
            limit=limit,
            cut_at=CUT_AT,
        )
    except TradekeepError as error:
        kept = st.session_state.get(LAST)
        if kept is None or kept[0] != key or error.error_type not in AWAY:
            raise
        _, before, page, at = kept
        return Found(replace(before, row=view.row, utc=view.utc), of, columns, page, sort, limit, time.monotonic() - at)
    st.session_state[LAST] = (key, view, page, time.monotonic())
    return Found(view, of, columns, page, sort, limit)
