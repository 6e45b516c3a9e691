"""docs/permissions.md: the rights that each feature needs. `python -m core.setup.permissions > docs/permissions.md`"""

from __future__ import annotations

from core.setup.rights import Privilege, matrix, own_names

ROLE, DATABASE, OWNER = "ROLE", "DATABASE", "OWNER"
MEANT = {
    "viewer": "The viewer: what pages read with",
    "runtime": "The runtime role: what bots write with",
    "owner": "The owner: schema and maintenance",
    "administrator": "The administrator who makes the three, and signs in for that only",
}
# Measured on PostgreSQL 15 and 18. Source: PostgreSQL manual, "Privileges".
TAKEN = (
    "connecting to other databases of the bundled server", "temporary tables", "large objects", "DO blocks and plpgsql",
    "advisory locks, with which migrations could be blocked", "reading `pg_roles` and other sessions' activity",
    "changing or deleting audit rows", "writing `alembic_version`",
)  # fmt: skip
LEFT = (
    "`SET statement_timeout = 0` and `SET default_transaction_read_only = off`: settings of one's own session",
    "`LOCK TABLE` on tables that the role may change, in the modes that the change itself takes",
    "where the administrator is no superuser: large objects, advisory locks, DO blocks and `pg_roles` stay PUBLIC's",
)


def page() -> str:
    """The page as Markdown; `ROLE`, `DATABASE` and `OWNER` stand for names."""
    lines = ["# What rights each feature needs", ""]
    lines += [
        "The setup grants all of this. Where a connection test or a verification finds a right missing, the statement "
        "beside it grants it; run it as the owner of the tables or as a superuser.",
        "",
    ]
    every = _every()
    for role, title in MEANT.items():
        lines += [f"## {title}", "", "| feature | right | statement |", "|---|---|---|"]
        lines += [_row(one) for one in every if one.role == role]
        lines.append("")
    lines += ["## What is taken from the runtime role and the viewer", ""]
    lines += [f"- {one}" for one in TAKEN]
    lines += ["", "## What cannot be taken away", ""]
    lines += [f"- {one}" for one in LEFT]
    return "\n".join(lines) + "\n"


def _every() -> list[Privilege]:
    """Every right, as the connection test of a role sees them that has none."""
    words = (
        "schema_usage",
        "monitor",
        "schema_create",
        "database_create",
        "temporary",
        "create_database",
        "create_role",
    )
    tables = [(name, "", OWNER, False) for name in own_names()]
    return matrix({"database": DATABASE, "role": ROLE, "tables": tables} | dict.fromkeys(words, False))


def _row(one: Privilege) -> str:
    name = one.name.partition(" on ")
    counted = name[2].split(" of ")[-1].split(" ", 1)[-1] if name[2][:1].isdigit() else name[2]
    right = f"{name[0]} on {counted}" if name[2] else one.name
    grant = one.grant if len(one.grant) < 200 else _shortened(one.grant)
    return f"| {one.feature} | {right} | `{grant}` |"


def _shortened(grant: str) -> str:
    """A statement over many tables, as one over all of them."""
    begin, _, end = grant.partition(" TO ")
    return f"{begin.split(', ')[0]}, ... TO {end}"


if __name__ == "__main__":
    print(page(), end="")
