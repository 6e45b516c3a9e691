"""What the runtime and the viewer role may do with the tables, beyond what default privileges can say."""

from __future__ import annotations

from sqlalchemy import Connection, text

from core.models import Base
from core.schema.present import VERSION_TABLE


def append_only_tables() -> list[str]:
    """Tables whose rows the runtime role may add and read, and never change."""
    return [table.name for table in Base.metadata.sorted_tables if table.info.get("append_only")]


def secret_columns() -> dict[str, set[str]]:
    """Table -> its columns that the viewer role may not read."""
    found = {
        table.name: {column.name for column in table.columns if column.info.get("secret")}
        for table in Base.metadata.sorted_tables
    }
    return {table: columns for table, columns in found.items() if columns}


def apply_derived(connection: Connection) -> None:
    """Apply to the roles to which the current role's default privileges give its tables; nothing if there are none."""
    runtime, viewer = roles(connection)
    if runtime or viewer:
        apply(connection, runtime=runtime, viewer=viewer)


def roles(connection: Connection) -> tuple[str | None, str | None]:
    """Runtime and viewer: who may insert into, and who may only read, the tables that the current role will make.

    None where nobody may; of several, the one that has the database's name (with _viewer), else nobody.
    Source: pg_default_acl.
    """
    rows = connection.execute(
        text("""
            SELECT pg_get_userbyid(a.grantee) AS role, bool_or(a.privilege_type = 'INSERT') AS writes
            FROM pg_default_acl d
            LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace
            CROSS JOIN LATERAL aclexplode(d.defaclacl) a
            WHERE d.defaclobjtype = 'r' AND (n.oid IS NULL OR n.nspname = current_schema())
              AND pg_get_userbyid(d.defaclrole) = current_user
              AND a.grantee NOT IN (0, d.defaclrole) AND a.privilege_type IN ('SELECT', 'INSERT')
            GROUP BY 1""")
    ).all()
    database = connection.exec_driver_sql("SELECT current_database()").scalar_one()
    return (
        _one([role for role, writes in rows if writes], database),
        _one([role for role, writes in rows if not writes], f"{database}_viewer"),
    )


def _one(names: list[str], usual: str) -> str | None:
    return names[0] if len(names) == 1 else usual if usual in names else None


def apply(connection: Connection, *, runtime: str | None, viewer: str | None) -> None:
    """Take away what default privileges gave too much, on the tables that exist; the same result however often.

    Audit tables: runtime may SELECT and INSERT; alembic_version: only SELECT. viewer reads no secret column.
    connection: of the tables' owner, in a transaction.
    """
    present = _columns(connection)
    quote = connection.dialect.identifier_preparer.quote
    given: list[tuple[str, str, str]] = []  # table, role, its rights
    if runtime:
        given += [(table, runtime, "SELECT, INSERT") for table in append_only_tables()]
        given += [(VERSION_TABLE, runtime, "SELECT")]
    if viewer:
        for table, secret in secret_columns().items():
            readable = ", ".join(quote(column) for column in present.get(table, []) if column not in secret)
            given += [(table, viewer, f"SELECT ({readable})")]
    for table, role, rights in given:
        if table in present:
            connection.exec_driver_sql(f"REVOKE ALL ON {quote(table)} FROM {quote(role)}")
            connection.exec_driver_sql(f"GRANT {rights} ON {quote(table)} TO {quote(role)}")


def again(connection: Connection, *, runtime: str, viewer: str) -> None:
    """Give both roles on the tables that exist what default privileges give on later ones, and nothing else.

    connection: of the tables' owner, in a transaction; objects of somebody else are left alone.
    """
    quote = connection.dialect.identifier_preparer.quote
    runtime_role, viewer_role = quote(runtime), quote(viewer)
    rows = connection.execute(
        text("""
            SELECT c.relname, c.relkind = 'S' FROM pg_class c
            WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
              AND pg_get_userbyid(c.relowner) = current_user""")
    ).all()
    for name, sequence in rows:
        what = f"{'SEQUENCE' if sequence else 'TABLE'} {quote(name)}"
        rights = "USAGE" if sequence else "SELECT, INSERT, UPDATE, DELETE"
        connection.exec_driver_sql(f"REVOKE ALL ON {what} FROM {runtime_role}, {viewer_role}")
        connection.exec_driver_sql(f"GRANT {rights} ON {what} TO {runtime_role}")
        connection.exec_driver_sql(f"GRANT SELECT ON {what} TO {viewer_role}")
    apply(connection, runtime=runtime, viewer=viewer)


def _columns(connection: Connection) -> dict[str, list[str]]:
    """The columns of each table that these rights are about, in the database's order."""
    rows = connection.execute(
        text("""
            SELECT c.relname, array_agg(a.attname::text ORDER BY a.attnum)
            FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
            WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
              AND c.relname = ANY(:tables)
            GROUP BY 1"""),
        {"tables": [*append_only_tables(), *secret_columns(), VERSION_TABLE]},
    )
    return {table: list(columns) for table, columns in rows}
