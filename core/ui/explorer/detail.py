"""One row in full, in a drawer at the side: every value as it is, and the rows of other tables that belong to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC
from typing import Any

import streamlit as st

from core.database import Database
from core.explore import Filter, page_of_rows
from core.explore.address import View
from core.explore.cells import full, indented, moment, moment_of, one_line, shortened
from core.explore.related import COUNTED, Related, links, related
from core.explore.relation import Column, Relation
from core.explore.rows import LONGEST_CELL
from core.explore.typed import ready
from core.format import count
from core.ui import cards
from core.ui.cache import cached
from core.ui.explorer.asked import Found
from core.ui.explorer.place import PAGE, open_row, zone
from core.ui.page import shown
from core.ui.viewer import local_zone

KEYLESS, MOST_KEYLESS = "explorer_keyless", 20  # rows without a key that were opened, for the browser's back button
SHORT, LONGEST_WORD = 100, 48
links_of = cached(ttl=60)(links)
KINDS = {
    "refers": ("that {} names", ":material/north_east:"),
    "referred": ("with this {}", ":material/subdirectory_arrow_right:"),
    "shared": ("with the same {}", ":material/link:"),
}


def remember(now: Found, row: int) -> None:
    """Open a row of the page: by its key in the address; where there is none, as it is on the page."""
    key = now.key(row)
    if not key:
        key = ("page", row)
        kept = st.session_state.setdefault(KEYLESS, {})
        kept[_place(now, key)] = now.values(row)
        while len(kept) > MOST_KEYLESS:
            kept.pop(next(iter(kept)))
    open_row(key)


def _place(now: Found, row: tuple[Any, ...]) -> str:
    """What a row without a key is known by: where it stood."""
    return replace(now.view, row=row, utc=False, start=None).query()


def show(db: Database, now: Found) -> None:
    """The drawer of the view's row; the address forgets the row when it is closed."""
    title = cards.text(shortened(one_line(now.view.table), 60))

    @st.dialog(title, width="medium", position="right", on_dismiss=lambda: open_row(()))
    def drawer() -> None:
        with shown():
            _body(db, now)

    drawer()


def _body(db: Database, now: Found) -> None:
    row = _row(db, now)
    if row is None:
        cards.empty("This row is not there any more, or the link was made for another database.")
        return
    _values(now.of, row, now.view)
    if now.of.key:
        _related(db, now.of, now.view, row)
    else:
        st.caption("This table has no key: the row is shown as it was on the page, and a link cannot lead to it.")


def _row(db: Database, now: Found) -> dict[str, Any] | None:
    key = now.of.key
    if not key:
        found: dict[str, Any] | None = st.session_state.get(KEYLESS, {}).get(_place(now, now.view.row))
        return found
    if len(key) != len(now.view.row):
        return None
    filters = ready([Filter(name, "=", value) for name, value in zip(key, now.view.row, strict=True)], now.of)
    page = page_of_rows(db, now.view.table, filters=filters, limit=1)
    return page.named(page.rows[0]) if page.rows else None


def _values(of: Relation, row: Mapping[str, Any], view: View) -> None:
    """Short values as a table, long ones below as they are."""
    names, texts, long = [], [], []
    for name, value in row.items():
        column = of.by_name[name]
        text = None if value is None else full(value, column, zone(view))
        if text is not None and (_is_json(value, column, text) or _is_long(text)):
            long.append((column, value, text))
            continue
        names.append(cards.text(one_line(name)))
        texts.append(":gray[NULL]" if text is None else _cell(value, column, text))
    if names:
        st.table({"Column": names, "Value": texts}, border="horizontal", hide_header=True, alt="Values of the row")
    for column, value, text in long:
        st.markdown(f"**{cards.text(one_line(column.name))}** :gray[{cards.text(column.type)}]")
        as_json = _is_json(value, column, text)
        shown_text = indented(text) if as_json else text
        st.code(shown_text, language="json" if as_json else None, wrap_lines=True, height=_height(shown_text))
        if len(text) >= LONGEST_CELL:
            st.caption(f"Cut after {LONGEST_CELL:,} characters; a download has all of it.")


def _is_long(text: str) -> bool:
    """Whether a value needs room of its own: a table breaks lines only between words."""
    if "\n" in text or len(text) > SHORT:
        return True
    return any(len(word) > LONGEST_WORD for word in text.split())


def _cell(value: Any, column: Column, text: str) -> str:
    """A short value; a time with the other zone beside it."""
    shown_text = cards.text(one_line(text)) or ":gray[empty text]"
    at = moment_of(value, column)
    if at is None or str(local_zone()) == "UTC":
        return shown_text
    local, utc = moment(at, local_zone()), moment(at, UTC)
    other = f"{utc} UTC" if text == local else f"{local} {local_zone()}"
    return f"{shown_text}  :gray[{cards.text(other)}]"


def _is_json(value: Any, column: Column, text: str) -> bool:
    """Whether a value has parts, each to be shown on a line."""
    return isinstance(value, dict | list) or (column.type in ("json", "jsonb") and text[:1] in ("{", "["))


def _height(text: str) -> Any:
    return 300 if len(text) > 1500 or text.count("\n") > 12 else "content"


def _related(db: Database, of: Relation, view: View, row: Mapping[str, Any]) -> None:
    """A line a link: which table, through what, how many rows; a click leads there."""
    found = related(db, links_of(db, view.table), row)
    found = [one for one in found if one.rows != 0]
    if not found:
        return
    st.markdown("**Related rows**")
    for one in found:
        _link(one, view)


def _link(one: Related, view: View) -> None:
    words, icon = KINDS[one.link.kind]
    there = one.link.kind == "referred"
    through = ", ".join(one_line(other if there else own) for own, other in one.link.pairs)
    rows = "rows" if one.rows is None else f"{COUNTED:,}+ rows" if one.rows >= COUNTED else count(one.rows, "row")
    st.page_link(
        PAGE,
        label=f"**{cards.text(one_line(one.link.table))}** · {rows} :gray[{words.format(cards.text(through))}]",
        icon=icon,
        query_params=View(one.link.table, filters=one.filters, utc=view.utc).params(),
    )
