"""The parts of the Import page: the source, what it holds and where it goes, the work, and what became of it."""

from core.ui.importing.bot import bot
from core.ui.importing.place import allowed
from core.ui.importing.rows import rows
from core.ui.importing.source import source
from core.ui.importing.work import results

__all__ = ["allowed", "bot", "results", "rows", "source"]
