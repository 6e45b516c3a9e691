"""Which tables a role may import into, and for the others the exact statements that would let it."""

from __future__ import annotations

from core.database import Database
from core.repositories.bulk.target import execute
from core.schema.grants import append_only_tables

_VERSIONS = "alembic_version"
_TABLES = (
    "SELECT CASE WHEN n.nspname = 'public' THEN c.relname ELSE n.nspname || '.' || c.relname END,"
    " has_table_privilege(c.oid, 'INSERT') AND has_schema_privilege(n.oid, 'USAGE')"
    " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p')"
    " AND NOT c.relispartition AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ORDER BY 1"
)
# An import reads what is there (also the rows that foreign keys point to), adds, changes, and numbers new rows.
_LACKING = """
SELECT CASE WHEN NOT has_schema_privilege(n.oid, 'USAGE') THEN format('USAGE ON SCHEMA %%I', n.nspname) END,
  concat_ws(', ', CASE WHEN NOT has_table_privilege(c.oid, 'SELECT') THEN 'SELECT' END,
    CASE WHEN NOT has_table_privilege(c.oid, 'INSERT') THEN 'INSERT' END,
    CASE WHEN c.relname <> ALL(%s::text[]) AND NOT has_table_privilege(c.oid, 'UPDATE') THEN 'UPDATE' END),
  format('TABLE %%I.%%I', n.nspname, c.relname),
  (SELECT string_agg(DISTINCT format('%%I.%%I', m.nspname, s.relname), ', ') FROM pg_attrdef a
   JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = a.oid AND d.refclassid = 'pg_class'::regclass
   JOIN pg_class s ON s.oid = d.refobjid JOIN pg_namespace m ON m.oid = s.relnamespace
   WHERE a.adrelid = c.oid AND CASE WHEN s.relkind = 'S' THEN NOT has_sequence_privilege(s.oid, 'USAGE') END),
  (SELECT string_agg(DISTINCT format('%%I.%%I', m.nspname, p.relname), ', ') FROM pg_constraint o
   JOIN pg_class p ON p.oid = o.confrelid JOIN pg_namespace m ON m.oid = p.relnamespace
   WHERE o.conrelid = c.oid AND o.contype = 'f' AND o.confrelid <> c.oid AND NOT has_table_privilege(p.oid, 'SELECT')),
  quote_ident(current_user)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND (n.nspname = 'public' AND c.relname = %s OR n.nspname || '.' || c.relname = %s)
ORDER BY n.nspname = 'public' DESC LIMIT 1
"""


def tables(db: Database) -> dict[str, bool]:
    """Table -> whether this role may insert into it; those of other schemas with their schema."""
    with db.connect() as connection:
        if db.backend == "sqlite":
            sql = "SELECT name, 1 FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%%' ORDER BY name"
        else:
            sql = _TABLES
        return {name: bool(may) for name, may in execute(connection, sql) if name != _VERSIONS}


def statements(db: Database, table: str) -> list[str]:
    """What the table's owner runs so that this role may import into it; none where it may. PostgreSQL only."""
    if db.backend == "sqlite":
        return []
    with db.connect() as connection:
        found = execute(connection, _LACKING, (append_only_tables(), table, table)).one_or_none()
    if found is None:
        return []
    schema, rights, of, sequences, parents, role = found
    granted = [
        schema,
        f"{rights} ON {of}" if rights else None,
        f"USAGE ON SEQUENCE {sequences}" if sequences else None,
        f"SELECT ON TABLE {parents}" if parents else None,
    ]
    return [f"GRANT {one} TO {role};" for one in granted if one]
