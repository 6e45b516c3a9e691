"""The names under which tables are asked for: a name, or schema.name, where a part may stand in double quotes."""

from __future__ import annotations

import json
import re
from typing import Any

from core.format import identifier

# The FROM of a question about the table that a label means; ORDER BY meant.place has the likeliest first.
MEANT = """unnest(%(schemas)s::text[], %(names)s::text[]) WITH ORDINALITY meant (schema, name, place)
JOIN pg_class c ON c.relname = meant.name
JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = coalesce(meant.schema, n.nspname)
"""
# The same for SQLite, whole: (name, type, sql).
MEANT_SQLITE = (
    "SELECT m.name, m.type, m.sql FROM json_each(?) meant JOIN sqlite_master m ON m.name = meant.value"
    " WHERE m.type IN ('table', 'view') ORDER BY meant.key LIMIT 1"
)
_QUOTED = re.compile(r'"(?:[^"]|"")+"')


def table_label(schema: str, name: str) -> str:
    """The name that leads to this table and no other: short in the current schema, a part with a dot in quotes."""
    if schema in ("public", "main") and "." not in name:
        return name
    return f"{_part(schema)}.{_part(name)}"


def tables_meant(label: str, current: str) -> list[tuple[str | None, str]]:
    """(schema, name) of the tables that a label can mean, the likeliest first; schema None: any.

    current: the schema of a bare name. What table_label wrote comes first; then the whole label as a name, and
    schema and name parted at any dot, for labels that were written without quotes.
    """
    found: list[tuple[str | None, str]] = []
    if "." not in label:
        found.append((current, label))
    schema, rest = _first(label)
    name, more = _first(rest[1:]) if rest.startswith(".") else ("", "")
    if not rest:
        found.append((current, schema))
    elif schema and name and not more:
        found.append((schema, name))
    found.append((current, label))
    found += [(label[: dot.start()], label[dot.end() :]) for dot in re.finditer(r"\.", label)]
    if "." not in label:
        found.append((None, label))
    return list(dict.fromkeys(found))


def meant(label: str) -> dict[str, list[Any]]:
    """The parameters of MEANT."""
    schemas, names = zip(*tables_meant(label, "public"), strict=True)
    return {"schemas": list(schemas), "names": list(names)}


def meant_sqlite(label: str) -> tuple[str]:
    """The parameter of MEANT_SQLITE."""
    return (json.dumps([name for schema, name in tables_meant(label, "main") if schema in ("main", None)]),)


def _part(name: str) -> str:
    return identifier(name) if "." in name or name.startswith('"') else name


def _first(text: str) -> tuple[str, str]:
    """The first part of a label, without its quotes, and what follows."""
    quoted = _QUOTED.match(text)
    if quoted and text[quoted.end() : quoted.end() + 1] in ("", "."):
        return quoted[0][1:-1].replace('""', '"'), text[quoted.end() :]
    end = text.find(".")
    return (text, "") if end < 0 else (text[:end], text[end:])
