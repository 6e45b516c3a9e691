"""The database of another bot: what it becomes, and the two buttons."""

from __future__ import annotations

from typing import Any

import streamlit as st

from core.database import Database
from core.explore.imports import import_bot
from core.explore.imports.preview import Seen
from core.tasks import Progress
from core.ui import cards
from core.ui.importing.source import Source
from core.ui.importing.work import buttons
from core.ui.kept import recall


def bot(db: Database, chosen: Source, seen: Seen) -> bool:
    """Offer to carry the bot's database over; whether that is wanted rather than single tables of it."""
    whole = st.toggle(f"Carry all of {seen.bot}'s database over", key=recall("import_whole", True))
    if not whole:
        return False
    st.markdown(
        f"It becomes one bot with its round trips and executions. {cards.text(str(seen.bot))}'s own numbers tell its "
        "trades apart, so that importing it again only adds what is new. The file is opened read-only."
    )
    stem = seen.name.rpartition(".")[0] or seen.name
    usual = f"{seen.bot} {stem}"[:100]
    key = f"import_bot_name_{stem}"
    name = st.text_input("Name of the bot", usual, key=key, max_chars=100, persist_state="session").strip()

    def run(dry_run: bool, progress: Progress) -> Any:
        return import_bot(db, chosen.path, name=name or None, dry_run=dry_run, progress=progress)

    buttons("Import the bot", f"Looking at {chosen.name}", f"Importing {chosen.name}", run)
    return True
