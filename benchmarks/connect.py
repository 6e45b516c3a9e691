"""The connection test against a bare connection of the driver."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from benchmarks import benchmark
from benchmarks.figures import Figure, Goal, in_turns, timed
from core.settings import DatabaseConfig
from core.setup.diagnose import diagnose
from core.setup.server import server_facts
from tests.servers import Cluster

FLOOR = "psycopg.connect, and the statements that the test asks"


@benchmark(n=40)
def connect(n: int) -> list[Figure]:
    """The connection test, `core.setup.diagnose`, against a bare connection that asks the same."""
    with Cluster() as cluster:
        cluster.sql("CREATE ROLE plain LOGIN PASSWORD 'plain-pw-1'")
        logins = {
            "superuser over TCP": cluster.admin,
            "ordinary role over TCP": cluster.config(user="plain", password="plain-pw-1"),
            "superuser over a unix socket": cluster.config(host=str(cluster.socket_dir)),
        }
        return [_figure(name, config, n) for name, config in logins.items()]


def _figure(name: str, config: DatabaseConfig, n: int) -> Figure:
    statements = _asked(config)

    def test() -> None:
        result = diagnose(config)
        assert result.success, result.error_message

    def bare() -> None:
        with _bare(config) as connection:
            for statement in statements:
                connection.execute(statement).fetchall()

    own, floor = in_turns(n, timed(test), timed(bare))
    return Figure(name, FLOOR, own, floor, Goal("ratio", 1.5))


@contextmanager
def _bare(config: DatabaseConfig, kind: type[psycopg.Connection[Any]] = psycopg.Connection) -> Iterator[Any]:
    connection = kind.connect(**config.libpq_params(), autocommit=True)  # type: ignore[arg-type]  # all are text
    try:
        yield connection
    finally:
        connection.close()


class _Listening(psycopg.Connection[Any]):
    """A connection that keeps the statements it is asked."""

    asked: list[Any]

    def execute(self, query: Any, *arguments: Any, **options: Any) -> Any:
        """Keep the statement, then run it."""
        self.asked.append(query)
        return super().execute(query, *arguments, **options)


def _asked(config: DatabaseConfig) -> list[Any]:
    """The statements that the connection test asks this server."""
    with _bare(config, _Listening) as connection:
        connection.asked = []
        server_facts(connection)
        return list(connection.asked)
