"""Exploring any table or view: listing, pages of rows, counts, facets, exports; only import_rows writes."""

from core.explore.counts import count_rows, facets
from core.explore.export import export_rows
from core.explore.filters import OPS, Filter
from core.explore.imports import Imported, import_rows
from core.explore.listing import TableInfo, tables
from core.explore.order import Sort
from core.explore.rows import Page, page_of_rows, position_token

__all__ = [
    "OPS",
    "Filter",
    "Imported",
    "Page",
    "Sort",
    "TableInfo",
    "count_rows",
    "export_rows",
    "facets",
    "import_rows",
    "page_of_rows",
    "position_token",
    "tables",
]
