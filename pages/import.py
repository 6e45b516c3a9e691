"""Import: how do rows of a file, or of another bot's database, get into a table?"""

from core import ui
from core.ui import importing

ui.page("Import", "Rows of a file or of another bot's database, looked at before they are written.")
with ui.guard():
    db = importing.allowed()
    found = importing.source() if db else None
    if db and found:
        chosen, seen = found
        if not (seen.bot and importing.bot(db, chosen, seen)):
            importing.rows(db, chosen, seen)
importing.results()
