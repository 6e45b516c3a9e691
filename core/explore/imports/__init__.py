"""Import: rows of files and of other bots' databases, each looked at before it is written."""

from core.explore.imports.bots import BotImport, bot_of, import_bot
from core.explore.imports.report import Imported, errors_csv
from core.explore.imports.run import import_rows
from core.explore.imports.values import RowError

__all__ = ["BotImport", "Imported", "RowError", "bot_of", "errors_csv", "import_bot", "import_rows"]
