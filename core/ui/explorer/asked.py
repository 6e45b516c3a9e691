"""The rows of a view, with what they are made of; the last good ones while the database is away."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

from core import state
from core.database import Database
from core.errors import TradekeepError
from core.explore import Page, Sort, page_of_rows
from core.explore.address import View
from core.explore.made import Shown, are_alerts, needed, shown_of
from core.explore.relation import Relation
from core.explore.typed import ready, usual_order
from core.resilience import LOGIN_TYPES, SERVER_TYPES
from core.ui.cache import AWAY, OUTAGE
from core.ui.explorer.place import shape_of

MOST_COLUMNS = 40
CUT_AT = 400
MOST_CELLS = 60_000  # a page of a very wide table has fewer rows
LAST = "explorer_last"  # of this window: one page, so that memory stays small however long somebody pages
WORDS = {"filters": "filter", "search": "search", "sort": "order", "columns": "columns"}


@dataclass(frozen=True)
class Found:
    """A page of a view. sort: the order it is in, the table's usual one included.

    limit: how many rows it has at most. age_s: how old it is, where the database is away; the view is then the one
    of that page, which may be another page than the one asked for. unlike: in what else it is not what was asked for,
    in the words of WORDS.
    """

    view: View
    of: Relation
    columns: list[Shown]
    page: Page
    sort: tuple[Sort, ...]
    limit: int
    age_s: float | None = None
    unlike: tuple[str, ...] = ()

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
    """The view's page; while the database is away the last good one of the same table, whatever was asked of it.

    Raises what page_of_rows does, unless there was a good one.
    """
    try:
        now = _fresh(db, view)
    except TradekeepError as error:
        kept = _kept(db, view) if error.error_type in AWAY else None
        if kept is None or (kept.unlike and not is_away(error)):
            raise
        return kept
    st.session_state[LAST] = (_where(db, view), now, time.monotonic())
    return now


def is_away(error: TradekeepError) -> bool:
    """Whether nobody can ask the database now, so that the question has nothing to do with it."""
    if error.kind == "transient.statement_timeout":
        return False
    return error.error_type in SERVER_TYPES | LOGIN_TYPES or state.status().mode in OUTAGE


def _fresh(db: Database, view: View) -> Found:
    of = shape_of(db, view.table)
    columns = shown_of(of, view.columns, MOST_COLUMNS)
    sort = view.sort or usual_order(of)
    limit = min(view.limit, max(20, MOST_CELLS // max(1, len(columns))))
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
    return Found(view, of, columns, page, sort, limit)


def _where(db: Database, view: View) -> tuple[str, str]:
    return db.config.fingerprint(), view.table


def _kept(db: Database, view: View) -> Found | None:
    """The page that this window showed last, if it is of this table: in its own order, with its own columns."""
    where, last, at = st.session_state.get(LAST) or (None, None, 0.0)
    if last is None or where != _where(db, view):
        return None
    unlike = tuple(word for name, word in WORDS.items() if getattr(last.view, name) != getattr(view, name))
    if unlike and not last.page.rows:
        return None
    same = replace(last.view, row=view.row, utc=view.utc, limit=view.limit)
    return replace(last, view=same, age_s=time.monotonic() - at, unlike=unlike)
