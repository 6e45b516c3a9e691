"""Where in the table the page lies, and the ways on from here."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from core.database import Database
from core.explore import Page, count_rows
from core.explore.address import LIMITS, View
from core.explore.typed import ready
from core.format import duration
from core.ui import cards
from core.ui.explorer.asked import Found
from core.ui.explorer.listing import compact
from core.ui.explorer.place import TURNS, changed, shape_of, zone_name
from core.ui.page import shown
from core.ui.turning import turn
from core.ui.viewer import follow, local_zone

COUNTED, WANTED = "explorer_counted", "explorer_count_wanted"
COUNT_WITHIN_S = 10.0


def show(db: Database, now: Found, estimate: int | None) -> None:
    """The page's place among all rows, first, previous, next; then times, page size and the SQL.

    estimate: of the whole table, where the page has none of its own.
    """
    view, page = now.view, now.page
    total = known_total(db, view, page)
    with st.container(horizontal=True, vertical_alignment="center", key="explorer_pager"):
        start = start_of(view, page, total)
        about = _about(view, page, start, estimate)
        # The style sheet scrolls the grid to its top when this name changes; another key of its own would cost time.
        with st.container(key=f"explorer_turn_{st.session_state.get(TURNS, 0) % 2}", width="content"):
            st.markdown(range_text(page, start, total, about), width="content")
        if total is None and now.age_s is None:
            _count(db, view)
        st.space("stretch")
        with st.container(horizontal=True, width="content", gap="small"):
            _ways(now, start)
    _settings(view, page)


def _ways(now: Found, start: int | None) -> None:
    """First, previous, next; none from rows that are not those asked for."""
    page, first, here = now.page, now.view.first(), not now.unlike
    back = replace(first, before=page.first or "", start=None if start is None else max(1, start - now.limit))
    on = replace(first, after=page.last or "", start=None if start is None else start + len(page.rows))
    turn("explorer", "First", there=here and page.has_previous, changed=changed, to=lambda _: first)
    turn("explorer", "Previous", there=here and page.has_previous, changed=changed, to=lambda _: back)
    turn("explorer", "Next", there=here and page.has_next, changed=changed, to=lambda _: on)


def start_of(view: View, page: Page, total: int | None) -> int | None:
    """The number of the page's first row: what the address says of a page in the middle; None where it says nothing."""
    if not page.has_previous:
        return 1
    return view.start if page.has_next or total is None else total - len(page.rows) + 1


def _about(view: View, page: Page, start: int | None, estimate: int | None) -> int | None:
    """About how many rows match: at the end what the address said of the beginning, which may be an old link."""
    if not page.has_next and start is not None:
        return start + len(page.rows) - 1
    return estimate if page.estimate is None and not (view.filters or view.search) else page.estimate


def known_total(db: Database, view: View, page: Page) -> int | None:
    """How many rows match, where it is certain: counted, or because all of them are on this page."""
    if not page.has_next and not page.has_previous:
        return len(page.rows)
    asked = _asked(db, view)
    if st.session_state.pop(WANTED, None) == asked:
        with shown(), st.spinner("Counting"):
            filters = ready(view.filters, shape_of(db, view.table))
            number = count_rows(db, view.table, filters, timeout_s=COUNT_WITHIN_S, search=view.search or None)
            st.session_state[COUNTED] = (asked, number)
    counted = st.session_state.get(COUNTED)
    return counted[1] if counted and counted[0] == asked else None


def range_text(page: Page, start: int | None, total: int | None, estimate: int | None) -> str:
    """The page's place in words: `Rows **501-1,000** of ~10.2 M`."""
    rows = len(page.rows)
    shown = f"**{rows:,}** rows"
    if start is not None:
        shown = f"Rows **{start:,}–{start + rows - 1:,}**" if rows != 1 else f"Row **{start:,}**"
    if total is not None:
        return f"{shown} of {total:,}"
    return shown if estimate is None else f"{shown} of {cards.text(compact(max(estimate, rows)))}"


def _asked(db: Database, view: View) -> tuple[str, str]:
    return db.config.fingerprint(), view.matching().query()


def _count(db: Database, view: View) -> None:
    """A button that counts exactly; or, where that was tried, that it took too long."""
    asked = _asked(db, view)
    if (st.session_state.get(COUNTED) or (None,))[0] == asked:
        st.caption(f"Counting took longer than {duration(COUNT_WITHIN_S)}.", width="content")
        return
    st.button(
        "Count exactly",
        key="explorer_count",
        type="tertiary",
        icon=":material/tag:",
        on_click=lambda: st.session_state.update({WANTED: asked}),
    )


def _settings(view: View, page: Page) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key="explorer_settings"):
        with st.popover(f"SQL · {duration(page.elapsed_ms / 1000)}", icon=":material/code:", type="tertiary"):
            st.caption("What was asked, with its values; read only. The time includes connection and transfer.")
            st.code(page.sql, language="sql", wrap_lines=True)
        st.space("stretch")
        with st.container(horizontal=True, width="content", vertical_alignment="center", gap="small"):
            st.selectbox(
                "Rows a page",
                LIMITS,
                format_func=lambda limit: f"{limit:,} rows",
                key=follow("explorer_limit", view.limit),
                label_visibility="collapsed",
                width=130,
                on_change=lambda: changed(lambda now: now.first(limit=st.session_state["explorer_limit"])),
                filter_mode=None,
            )
            st.segmented_control(
                "Times",
                ["Local", "UTC"],
                key=follow("explorer_zone", "UTC" if view.utc else "Local"),
                required=True,
                label_visibility="collapsed",
                on_change=lambda: changed(lambda now: replace(now, utc=st.session_state["explorer_zone"] == "UTC")),
            )
    if str(local_zone()) != "UTC":
        st.caption(f"Times in {zone_name(view)}{f'; local is {local_zone()}' if view.utc else ''}.")
