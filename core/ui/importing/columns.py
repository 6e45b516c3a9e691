"""Which column of the file goes where, and what every row gets that the file does not say."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import streamlit as st

from core.database import Database
from core.explore.imports.mapping import KEPT, Usual, guessed, of_bots, usual, wanting
from core.explore.imports.namedbot import names
from core.explore.imports.preview import Seen, SeenColumn
from core.format import count
from core.repositories.bulk import Column, Target
from core.ui import cards
from core.ui.cache import cached
from core.ui.kept import last, recall
from core.ui.viewer import follow

LEFT_OUT = "leave out"
WIDTH = 260
MOST_DRAWN = 60  # columns
LINE = 44  # letters of a column's values
bots_of = cached(ttl=10)(names)


@dataclass(frozen=True)
class Chosen:
    """What was chosen. mapping: file column -> table column, None to leave it out; values: the same for every row;
    bot: the name of the one whose rows they are; missing: what the table needs and nothing is given for."""

    mapping: dict[str, str | None]
    values: dict[str, str] = field(default_factory=dict)
    bot: str | None = None
    missing: tuple[str, ...] = ()

    @property
    def have(self) -> list[str]:
        """The table's columns that have a value."""
        return [*filter(None, self.mapping.values()), *self.values, *(["bot_id"] if self.bot else [])]

    @property
    def left_out(self) -> list[str]:
        """The file's columns that are not imported."""
        return [name for name, to in self.mapping.items() if to is None]


def columns(db: Database, of: Target, seen: Seen) -> Chosen:
    """Have it chosen."""
    likely = guessed(seen.names, of)
    known = sum(to is not None for to in likely.values())
    with st.expander(f"Columns: {known} of {len(likely)} are known", expanded=True, key="import_columns"):
        chosen = _mapping(of, seen, likely)
        return _same_for_all(db, of, chosen)


def _mapping(of: Target, seen: Seen, likely: dict[str, str | None]) -> Chosen:
    """File column -> table column."""
    options = [LEFT_OUT, *(column.name for column in of.columns if not column.given)]
    st.caption("To the right what it becomes; \\* marks what a row needs.")
    keys = {column.name: f"import_map_{of.name}_{number}_{column.name}" for number, column in enumerate(seen.columns)}
    mapping: dict[str, str | None] = {name: None for name in seen.names}
    for column in _drawn(seen, likely, keys):
        key = recall(keys[column.name], likely[column.name] or LEFT_OUT, options)
        follow(key, last(key))  # or a browser that missed a run would answer with the first option: leave it out
        with st.container(horizontal=True, vertical_alignment="center"):
            samples = cards.text(_fitting(column.samples))
            st.markdown(f"**{cards.text(column.name)}** · :gray[{column.words}]  \n:gray[{samples}]", width="stretch")
            picked = st.selectbox(
                f"{_spoken(column.name)} goes to", options, key=key, label_visibility="collapsed", width=200,
                format_func=lambda name: f"{name} *" if name in of.by_name and of.by_name[name].needed else name,
            )  # fmt: skip
        mapping[column.name] = None if picked == LEFT_OUT else picked
    return Chosen(mapping)


def _drawn(seen: Seen, likely: dict[str, str | None], keys: dict[str, str]) -> list[SeenColumn]:
    """The columns that are asked about: all of them, but of a very wide file those only that are known or go
    somewhere, until somebody wants the others; hundreds of fields would make each click slow."""
    known = [one for one in seen.columns if likely[one.name] or last(keys[one.name], LEFT_OUT) != LEFT_OUT]
    if len(seen.columns) <= MOST_DRAWN or len(known) == len(seen.columns):
        return list(seen.columns)
    rest = count(len(seen.columns) - len(known), "column")
    whole = st.toggle(f"Show the {rest} that {'is' if rest == '1 column' else 'are'} left out, too",
                      key=recall("import_all_columns", False))  # fmt: skip
    return list(seen.columns) if whole else known


def _fitting(samples: Sequence[str]) -> str:
    """The values that fit into a line, each whole; … where there are more, or where the first one is cut."""
    if not samples:
        return "no value in the first rows"
    lines = [" ".join(one.split()) for one in samples]
    shown = next((n for n in range(len(lines), 0, -1) if len(", ".join(lines[:n])) <= LINE), 0)
    if not shown:
        return f"{lines[0][: LINE - 1].rstrip()}…"
    return ", ".join(lines[:shown]) + (", …" if shown < len(lines) else "")


def _spoken(name: str) -> str:
    """A column's name as a hidden label: words only, since also there an image would be asked for."""
    return re.sub(r"\W+", " ", name).strip() or "The column"


def _same_for_all(db: Database, of: Target, chosen: Chosen) -> Chosen:
    """What the file does not say, with one value for every row: what is needed, what is usual, what is wanted."""
    values: dict[str, str] = {}
    bot, bot_type = _bot(db) if of_bots(of) and "bot_id" not in chosen.have else (None, None)
    have = [*chosen.have, *(["bot_id"] if bot else [])]
    needed = [name for name in wanting(of, have) if name != "bot_id" or not of_bots(of)]
    if needed:
        told = f"{of.name} needs {', '.join(needed)}, too: choose the column above, or give one value for every row."
        st.markdown(f":orange[:material/warning:] {cards.text(told)}")
    with st.container(horizontal=True):
        for name in needed:
            if (given := _value(of, of.by_name[name])) is not None:
                values[name] = given
        rules = usual(of, [*have, *values], bot_type)
        for rule in rules:
            if (picked := _ruled(of, rule)) is not None:
                values[rule.column] = picked
    said = {*have, *needed, *(rule.column for rule in rules), *KEPT, "bot_id"}
    free = [one.name for one in of.columns if one.name not in said and not one.given and not one.numbered]
    key = f"import_more_{of.name}"
    recall(key, [])
    st.session_state[key] = [name for name in st.session_state[key] if name in free]
    more = st.multiselect("More that is the same for every row", free, key=key, placeholder="Choose columns")
    with st.container(horizontal=True):
        for name in more:
            if (given := _value(of, of.by_name[name])) is not None:
                values[name] = given
    whole = Chosen(chosen.mapping, values, bot)
    missing = tuple("a bot" if name == "bot_id" and of_bots(of) else name for name in wanting(of, whole.have))
    return Chosen(chosen.mapping, values, bot, missing)


def _bot(db: Database) -> tuple[str | None, str | None]:
    """Whose rows they are: the bot's name, and what it trades with where it is there already."""
    known = bots_of(db)
    name = st.selectbox(
        "Bot whose rows they are", list(known), index=None, key=recall("import_of_bot", None),
        placeholder="Choose a bot, or type a new name", accept_new_options=True,
    )  # fmt: skip
    name = name.strip() if name else None
    if name and name not in known:
        st.caption(f":material/add: There is no bot {cards.text(name)} yet; the import makes it with the first rows.")
    return name or None, known.get(name or "")


def _value(of: Target, column: Column) -> str | None:
    """One value for every row of this column; None while there is none."""
    key, label = f"import_set_{of.name}_{column.name}", f"{cards.text(column.name)}, the same for every row"
    if column.choices:
        return st.selectbox(
            label, column.choices, index=None, key=recall(key, None, [None, *column.choices]), width=WIDTH
        )
    return st.text_input(label, key=recall(key, ""), width=WIDTH).strip() or None


def _ruled(of: Target, rule: Usual) -> str | None:
    """What every row gets unless somebody says otherwise; None where nobody does."""
    column = of.by_name[rule.column]
    key, label = f"import_rule_{of.name}_{rule.column}_{rule.value}", f"{rule.column}, the same for every row"
    told = f"The file has none: {rule.why}."
    if column.choices:
        options = [rule.words, *(one for one in column.choices if one != rule.words)]
        picked = st.selectbox(label, options, key=recall(key, rule.words, options), help=told, width=WIDTH)
    else:
        typed = st.text_input(label, rule.value, key=key, help=told, width=WIDTH, persist_state="session")
        picked = typed.strip() or rule.words
    return None if picked == rule.words else picked


def left_out(chosen: Chosen) -> str:
    """Which columns are not imported, as markdown; "" where all are."""
    names = chosen.left_out
    if not names:
        return ""
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    whole = count(len(chosen.mapping), "column")
    told = f"{len(names)} of {whole} {'is' if len(names) == 1 else 'are'} left out: {', '.join(names[:12])}{more}."
    icon = ":orange[:material/warning:]" if 2 * len(names) > len(chosen.mapping) else ":material/info:"
    return f"{icon} {cards.text(told)}"
