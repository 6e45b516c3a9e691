"""Where the rows come from: an upload, which is kept for a day, or a file on the machine that runs Tradekeep."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from core import state
from core.explore.imports import uploads
from core.explore.imports.files import located
from core.explore.imports.preview import Seen, look
from core.format import size
from core.ui import cards
from core.ui.importing.work import hide
from core.ui.kept import last, recall
from core.ui.page import shown

UPLOAD, PATH = "Upload a file", "A file on this machine"
LARGEST_MB = 200
KINDS = "CSV (any delimiter) or JSON lines, also .gz, Parquet, SQLite, or the database of freqtrade or hummingbot."


@dataclass(frozen=True)
class Source:
    """A chosen file: where it lies, what it is called, and what changes when it changes."""

    path: Path
    name: str
    mark: tuple[object, ...]


def source() -> tuple[Source, Seen] | None:
    """Have a file chosen and look at it; None while there is none, or one that cannot be imported."""
    way = st.segmented_control(
        "Where the rows are", [UPLOAD, PATH], required=True, key=recall("import_way", UPLOAD, [UPLOAD, PATH]),
        label_visibility="collapsed",
    )  # fmt: skip
    with shown():
        chosen = _uploaded() if way == UPLOAD else _named()
        if chosen is not None:
            if st.session_state.get("import_last") != chosen.mark:
                st.session_state["import_last"] = chosen.mark
                hide()  # what became of another file
            return chosen, _looked(chosen)
    return None


def _uploaded() -> Source | None:
    given = st.file_uploader(
        "File", key="import_upload", max_upload_size=LARGEST_MB, label_visibility="collapsed", on_change=_changed,
        help=f"{KINDS} At most {LARGEST_MB} MB; larger ones from a file on this machine or the command line.",
    )  # fmt: skip
    known: Source | None = st.session_state.get("import_kept")
    if given is None and known is not None:  # the uploader was not drawn for a while, and has forgotten it
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f":material/history: {cards.text(known.name)} is still here.", width="content")
            st.button("Remove", key="import_remove", on_click=_forget)
        return known
    if given is None:
        cards.empty(f"{KINDS} Nothing is written before you say so.", icon=":material/upload_file:")
        return None
    if known is None or known.mark != (given.file_id,):
        _forget()
        known = Source(uploads.keep(state.settings().home, given), given.name, (given.file_id,))
        st.session_state["import_kept"] = known
    return known


def _changed() -> None:
    """Somebody chose a file, or took his away; a page that is left changes nothing."""
    if st.session_state.get("import_upload") is None:
        _forget()


def _forget() -> None:
    known: Source | None = st.session_state.pop("import_kept", None)
    if known is not None:
        uploads.drop(known.path)


def _named() -> Source | None:
    text = st.text_input(
        "Path", key=recall("import_path", ""), placeholder="/home/me/bot/user_data/tradesv3.sqlite",
        help=f"{KINDS} Of any size. A database is opened read-only; its -wal beside it is read, too.",
    ).strip()  # fmt: skip
    if not text:
        cards.empty("A file that the user who runs Tradekeep may read, for instance your bot's database.")
        return None
    path, changed = located(text)
    return Source(path, path.name, (str(path), *changed))


def _looked(chosen: Source) -> Seen:
    """What the file holds; looked at once for each file and table of it."""
    table = last("import_from")
    key = (*chosen.mark, table)
    known = st.session_state.get("import_seen")
    if known is None or known[0] != key:
        seen = look(chosen.path, table=table, name=chosen.name)
        known = ((*chosen.mark, table), seen)
        st.session_state["import_seen"] = known
    seen = known[1]
    what = f"{seen.bot}'s database" if seen.bot else seen.kind
    st.markdown(f":material/description: **{cards.text(seen.name)}** · {what} · {size(seen.size_bytes)}")
    return seen
