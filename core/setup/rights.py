"""The rights that each feature needs, which of them a role has, and the exact statement that would grant the rest."""

from __future__ import annotations

from functools import cache
from typing import Any, LiteralString

from pydantic import BaseModel, ConfigDict

from core.format import identifier
from core.models import Base
from core.schema.grants import append_only_tables, secret_columns

# What a role is called that has the rights of a feature: TABLES.md, "Roles".
VIEWER, RUNTIME, OWNER, ADMIN = "viewer", "runtime", "owner", "administrator"


class Privilege(BaseModel):
    """A right: whether the role has it, whether pages need it, and the statement that would grant it.

    feature, role: what of Tradekeep needs it, and the role that is meant to have it: viewer, runtime, owner, or
    the administrator who makes the three.
    """

    model_config = ConfigDict(frozen=True)
    name: str
    granted: bool
    needed: bool
    grant: str
    feature: str = ""
    role: str = ""


# What the role may do with Tradekeep's tables and sequences that exist in schema public. Rows: name, a letter for
# each right: r select, a insert, w update, d delete, U usage; owner; has the owner's rights. Parameters: the tables of
# which some columns are enough for r (to look at columns is slow), these (table.column), and all tables and sequences.
ON_TABLES: LiteralString = """SELECT c.relname::text, CASE WHEN c.relkind = 'S'
      THEN CASE WHEN has_sequence_privilege(c.oid, 'USAGE') THEN 'U' ELSE '' END
      ELSE concat(CASE WHEN has_table_privilege(c.oid, 'SELECT')
                    OR c.relname = ANY(%s) AND (
                      SELECT bool_and(has_column_privilege(c.oid, a.attnum, 'SELECT')) FROM pg_catalog.pg_attribute a
                      WHERE a.attrelid = c.oid AND c.relname || '.' || a.attname = ANY(%s)) THEN 'r' END,
                  CASE WHEN has_table_privilege(c.oid, 'INSERT') THEN 'a' END,
                  CASE WHEN has_table_privilege(c.oid, 'UPDATE') THEN 'w' END,
                  CASE WHEN has_table_privilege(c.oid, 'DELETE') THEN 'd' END) END,
    pg_get_userbyid(c.relowner)::text, pg_has_role(c.relowner, 'USAGE')
  FROM pg_catalog.pg_class c
  WHERE c.relnamespace = to_regnamespace('public')::oid AND c.relname = ANY(%s) AND c.relkind IN ('r', 'p', 'S')"""


@cache
def own_names() -> list[str]:
    """Tradekeep's tables and their sequences."""
    names = [table.name for table in Base.metadata.sorted_tables]
    return names + [f"{name}_id_seq" for name in names]


def of_superuser() -> list[tuple[str, str, str, bool]]:
    """What ON_TABLES would tell a superuser of each table, without the owner: nobody needs to ask."""
    return [(name, _LETTERS["USAGE"] if name.endswith("_id_seq") else "rawd", "", True) for name in own_names()]


def secret_names() -> list[str]:
    """Tradekeep's tables that have columns which nobody but the owner and the runtime role reads."""
    return sorted(_special()[0])


def shown_columns() -> list[str]:
    """What everybody may read of the tables that also have columns for the owner and the runtime role alone."""
    return [f"{name}.{column}" for name in secret_names() for column in _shown(name)]


def matrix(row: dict[str, Any]) -> list[Privilege]:
    """Every right that a feature needs, by what `server_facts` asked."""
    database, role = identifier(row["database"]), identifier(row["role"])
    found = [
        Privilege(name="USAGE on schema public", granted=bool(row["schema_usage"]), needed=True, role=VIEWER,
                  feature="Read anything", grant=f"GRANT USAGE ON SCHEMA public TO {role};"),
        *_on_tables(row["tables"], role),
        Privilege(name="pg_monitor", granted=bool(row["monitor"]), needed=False, role=VIEWER,
                  feature="Health: statements and sessions of others", grant=f"GRANT pg_monitor TO {role};"),
        Privilege(name="CREATE on schema public", granted=bool(row["schema_create"]), needed=False, role=OWNER,
                  feature="Create and upgrade tables", grant=f"GRANT CREATE ON SCHEMA public TO {role};"),
        Privilege(name="CREATE on database", granted=bool(row["database_create"]), needed=False, role=OWNER,
                  feature="Compare the schema", grant=f"GRANT CREATE ON DATABASE {database} TO {role};"),
        Privilege(name="TEMPORARY on database", granted=bool(row["temporary"]), needed=False, role=OWNER,
                  feature="Imports", grant=f"GRANT TEMPORARY ON DATABASE {database} TO {role};"),
        Privilege(name="CREATEDB", granted=bool(row["create_database"]), needed=False, role=ADMIN,
                  feature="Create the database", grant=f"ALTER ROLE {role} CREATEDB;"),
        Privilege(name="CREATEROLE", granted=bool(row["create_role"]), needed=False, role=ADMIN,
                  feature="Create the three roles", grant=f"ALTER ROLE {role} CREATEROLE;"),
    ]  # fmt: skip
    return found


def _on_tables(rows: list[tuple[str, str, str, bool]], role: str) -> list[Privilege]:
    """The rights on the tables that exist, by the rows of ON_TABLES; none of them where no table does."""
    found = {name: letters for name, letters, _, _ in sorted(rows)}
    owners = {owner: all(member for _, _, of, member in rows if of == owner) for _, _, owner, _ in rows}
    tables = {name: letters for name, letters in found.items() if name in Base.metadata.tables}
    sequences = {name: letters for name, letters in found.items() if name not in tables}
    if not tables:
        return []
    secret, appended = _special()
    changed = [name for name in tables if name not in appended]
    reading = "Read trades, portfolios and every other table"
    lines = [_on_objects("SELECT", "TABLE", tables, [n for n in tables if n not in secret], role, VIEWER, reading)]
    lines += [_without_secrets(name, tables[name], secret[name], role) for name in tables if name in secret]
    for right, names in (("INSERT", list(tables)), ("UPDATE", changed), ("DELETE", changed)):
        lines.append(_on_objects(right, "TABLE", tables, names, role, RUNTIME, "Bots write"))
    if sequences:
        lines.append(_on_objects("USAGE", "SEQUENCE", sequences, list(sequences), role, RUNTIME, "Bots write"))
    return lines + [
        Privilege(
            name=f"Rights of {owner}, who owns the tables",
            granted=member,
            needed=False,
            grant=f"GRANT {identifier(owner)} TO {role};",
            feature="Create and upgrade tables",
            role=OWNER,
        )
        for owner, member in sorted(owners.items())
        if owner
    ]


@cache
def _special() -> tuple[dict[str, set[str]], list[str]]:
    """Columns that only owner and runtime read, and tables whose rows nobody changes: sorted once, it takes a while."""
    return secret_columns(), append_only_tables()


_LETTERS = {"SELECT": "r", "INSERT": "a", "UPDATE": "w", "DELETE": "d", "USAGE": "U"}


def _on_objects(
    right: str, kind: str, found: dict[str, str], names: list[str], role: str, meant: str, feature: str
) -> Privilege:
    """One right on all these tables (or sequences); the statement names those that lack it."""
    lacking = [name for name in names if _LETTERS[right] not in found[name]]
    objects = ", ".join(f"public.{identifier(name)}" for name in lacking or names)
    what = f"{kind.lower()}s"
    return Privilege(
        name=f"{right} on {len(lacking)} of {len(names)} {what}" if lacking else f"{right} on {what}",
        granted=not lacking,
        needed=False,
        grant=f"GRANT {right} ON {kind} {objects} TO {role};",
        feature=feature,
        role=meant,
    )


def _without_secrets(name: str, letters: str, secret: set[str], role: str) -> Privilege:
    """A table with columns that nobody but the owner and the runtime role reads: the others are granted one by one."""
    shown = ", ".join(identifier(column) for column in _shown(name))
    return Privilege(
        name=f"SELECT on {name}, without {', '.join(sorted(secret))}",
        granted="r" in letters,
        needed=False,
        grant=f"GRANT SELECT ({shown}) ON TABLE public.{identifier(name)} TO {role};",
        feature="Read accounts",
        role=VIEWER,
    )


def _shown(name: str) -> list[str]:
    return [column.name for column in Base.metadata.tables[name].columns if column.name not in _special()[0][name]]
