"""Explorer: what is in this table, and where is the row that somebody looks for?"""

from core import ui
from core.explore import tables
from core.ui import explorer

tables_of = ui.cached(ttl=10)(tables)

db = ui.page("Explorer", "What is in this table, and where is the row you look for?")
with ui.guard():
    found = tables_of(db)
    view = explorer.arrive()
    if view.table:
        explorer.table(db, found, view)
    else:
        explorer.tables(found)
