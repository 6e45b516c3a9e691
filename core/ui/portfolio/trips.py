"""The list of closed round trips, newest first, page by page; a click shows one on its candles."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import streamlit as st

from core.database import Database
from core.explore import Filter, Page, Sort, page_of_rows
from core.explore.address import View as ExplorerView
from core.explore.made import needed, shown_of
from core.explore.related import described
from core.portfolio.address import View
from core.portfolio.scope import Scope
from core.portfolio.totals import DAY, midnight
from core.ui.cards import empty
from core.ui.explorer import frame
from core.ui.page import EXPLORER
from core.ui.portfolio.place import changed
from core.ui.turning import turn
from core.ui.viewer import local_zone

TABLE, LIMIT = "trading_trades", 50
SORT = (Sort("exit_time", descending=True),)


def show(db: Database, scope: Scope, view: View) -> None:
    """One page of the round trips of the scope, and the ways on from here."""
    of = described(db, TABLE)
    columns = [one for one in shown_of(of, (), 12) if one.needs[0] != "status"]
    names = list(dict.fromkeys([*needed(columns, of), "id"]))
    filters = filters_of(scope)
    place = {"before": view.before} if view.before else {"after": view.after}
    page = page_of_rows(db, TABLE, columns=names, filters=filters, sort=SORT, limit=LIMIT, **place)
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
        st.caption("Choose a row to see it on its candles.", width="content")
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
