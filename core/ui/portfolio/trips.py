"""The list of closed round trips, newest first, page by page; a click shows one on its candles."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import streamlit as st

from core.database import Database
from core.errors import TradekeepError
from core.explore import Filter, Page, Sort, page_of_rows
from core.explore.address import View as ExplorerView
from core.explore.made import needed, shown_of
from core.explore.related import described
from core.portfolio.address import View
from core.portfolio.scope import Scope
from core.portfolio.totals import DAY, midnight
from core.ui.cache import AWAY, cached
from core.ui.cards import empty, text
from core.ui.explorer import frame
from core.ui.page import EXPLORER
from core.ui.portfolio.place import at_begin, changed, zones
from core.ui.turning import turn
from core.ui.viewer import local_zone

TABLE, LIMIT = "trading_trades", 50
LAST = "portfolio_trips_last"  # of this window
SORT = (Sort("exit_time", descending=True),)
shape_of = cached(ttl=30)(described)
page_of = cached(ttl=5)(page_of_rows)


def show(db: Database, scope: Scope, view: View) -> None:
    """One page of the round trips of the scope, and the ways on from here."""
    of = shape_of(db, TABLE)
    columns = [one for one in shown_of(of, (), 12) if one.needs[0] != "status"]
    names = list(dict.fromkeys([*needed(columns, of), "id"]))
    filters = filters_of(scope)
    page, came_from = _page(db, view, tuple(names), filters)
    if not page.rows and (view.after or view.before):  # nothing is there any more
        page, came_from = _page(db, at_begin(view), tuple(names), filters)
    if not page.rows:
        empty("No round trip was closed so in these days. Choose a longer range, or fewer filters.")
        return
    key = "portfolio_trips_grid"
    st.dataframe(
        **frame.drawn(page, columns, local_zone(), SORT),
        key=key,
        on_select=lambda: _selected(page, key),
        selection_mode="single-row",
        alt="Closed round trips, newest first",
    )
    with st.container(horizontal=True, vertical_alignment="center", key="portfolio_pager"):
        st.caption(f"Choose a row to see it on its candles. {text(zones())}", width="content")
        st.page_link(
            EXPLORER, label="Open in the Explorer", icon=":material/table_view:",
            query_params=ExplorerView(TABLE, filters=filters, sort=SORT).params(),
        )  # fmt: skip
        st.space("stretch")
        turn(
            "portfolio",
            "Previous",
            there=page.has_previous,
            changed=changed,
            to=lambda view: view.first(before=page.first),
        )
        turn("portfolio", "Next", there=page.has_next, changed=changed, to=lambda view: view.first(after=page.last))
    if came_from:
        st.caption(":material/history: This is the page you came from; the one you asked for comes by itself.")


def _page(db: Database, view: View, columns: tuple[str, ...], filters: tuple[Filter, ...]) -> tuple[Page, bool]:
    """The page of the view; while the database is away the last good one, or else the one that this window showed last.

    And whether it is that one. A place that is in no list of these round trips is its beginning.
    """
    place = {"before": view.before} if view.before else {"after": view.after}
    key = (db.config.fingerprint(), columns, view.first(part="trips", coin=None, trip=None))
    try:
        page = page_of(db, TABLE, columns=columns, filters=filters, sort=SORT, limit=LIMIT, **place)
    except TradekeepError as error:
        if error.kind == "data.token":
            return _page(db, at_begin(view), columns, filters)
        kept = st.session_state.get(LAST)
        if kept is None or kept[0] != key or error.error_type not in AWAY:
            raise
        return kept[1], True
    st.session_state[LAST] = (key, page)
    return page, False


def filters_of(scope: Scope) -> tuple[Filter, ...]:
    """The scope as the Explorer filters."""
    found = [Filter("status", "=", "CLOSED")]
    for column, value in (
        ("trade_type", scope.trade_type),
        ("currency", scope.currency),
        ("symbol", scope.symbol),
        ("bot_id", scope.bot_id),
        ("strategy_name", scope.strategy or None),
    ):
        if value is not None:
            found.append(Filter(column, "=", value))
    if scope.strategy == "":
        found.append(Filter("strategy_name", "in", (None, "")))
    if scope.since:
        found.append(Filter("exit_time", ">=", midnight(scope.since)))
    if scope.until:
        found.append(Filter("exit_time", "<", midnight(scope.until + DAY)))
    return tuple(found)


def _selected(page: Page, key: str) -> None:
    chosen: Any = st.session_state[key]["selection"]["rows"]
    if chosen and chosen[0] < len(page.rows):
        id = page.named(page.rows[chosen[0]])["id"]
        changed(lambda view: replace(view, part="candles", trip=id, coin=None))
