"""Runs the migrations on a connection that is handed in, in one transaction, or prints their SQL."""

from alembic import context
from alembic.util import CommandError
from sqlalchemy import Connection

from core.models import Base


def print_sql() -> None:
    """Offline: the SQL for `dialect` goes to the configured output; no database is asked."""
    context.configure(
        dialect_name=context.config.attributes.get("dialect", "postgresql"),
        target_metadata=Base.metadata,
        literal_binds=True,
        dialect_opts={"paramstyle": "named"},
    )
    with context.begin_transaction():
        context.run_migrations()


def migrate(connection: Connection) -> None:
    """Online: everything happens in the transaction that the connection is already in."""
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        transaction_per_migration=False,
        compare_server_default=True,
        render_as_batch=connection.dialect.name == "sqlite",
    )
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    print_sql()
elif "connection" in context.config.attributes:
    migrate(context.config.attributes["connection"])
else:
    raise CommandError("Migrations run through core.schema.migrate, or: python -m core migrate")
