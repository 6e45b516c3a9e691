"""The parts of the Explorer page."""

from collections.abc import Sequence

from core.database import Database
from core.explore import TableInfo
from core.explore.address import View
from core.explore.related import table_name
from core.ui.cache import begin_run
from core.ui.explorer import bar, grid, nowhere
from core.ui.explorer.listing import show as tables
from core.ui.explorer.place import arrive

__all__ = ["arrive", "table", "tables"]


def table(db: Database, found: Sequence[TableInfo], view: View) -> None:
    """One table: what stands above its rows, and the rows."""
    infos = {table_name(info.schema, info.name): info for info in found}
    if nowhere.table(db, view.table, list(infos)):
        return
    chips = bar.show(db, infos, view)
    grid.show(db, infos.get(view.table), chips)
    begin_run()  # the rows tell their own age, and one is enough
