"""The connection test against a bare connection of the driver."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import psycopg

from benchmarks import benchmark
from benchmarks.figures import Figure, Goal, in_turns, timed
from benchmarks.servers import connected, make_tables
from core.settings import DatabaseConfig
from core.setup.diagnose import diagnose
from core.setup.server import server_facts
from tests.servers import Cluster

SAME = "psycopg.connect, and the statements that the test asks"
ONE = "psycopg.connect, and SELECT 1"


@benchmark(n=40)
def connect(n: int) -> list[Figure]:
    """The connection test, `core.setup.diagnose`, against bare connections: the same questions, and one."""
    with Cluster() as cluster:
        cluster.sql("CREATE ROLE plain LOGIN PASSWORD 'plain-pw-1'", "CREATE DATABASE whole")
        make_tables(cluster.config("whole"))
        logins = {
            "superuser over TCP": cluster.admin,
            "ordinary role over TCP": cluster.config(user="plain", password="plain-pw-1"),
            "superuser over a unix socket": cluster.config(host=str(cluster.socket_dir)),
            "superuser, all tables there": cluster.config("whole"),
            "ordinary role, all tables there": cluster.config("whole", user="plain", password="plain-pw-1"),
        }
        return [figure for name, config in logins.items() for figure in _figures(name, config, n)]


def _figures(name: str, config: DatabaseConfig, n: int) -> list[Figure]:
    statements = _asked(config)

    def test() -> None:
        result = diagnose(config)
        assert result.success, result.error_message

    def bare() -> None:
        with closing(connected(config)) as connection:
            connection.cursor_factory = psycopg.ClientCursor
            for statement in statements:
                answer = connection.execute(*statement)
                while answer.nextset():
                    answer.fetchall()

    def one() -> None:
        with closing(connected(config)) as connection:
            connection.execute("SELECT 1").fetchall()

    own, same, floor = in_turns(n, timed(test), timed(bare), timed(one))
    goal = Goal("ratio", 1.5)
    return [
        Figure(f"{name}, same questions", SAME, own, same, goal),
        Figure(f"{name}, one query", ONE, own, floor, goal),
    ]


class _Listening(psycopg.Connection[Any]):
    """A connection that keeps the statements it is asked."""

    asked: list[Any]

    def execute(self, query: Any, *arguments: Any, **options: Any) -> Any:
        """Keep the statement and its parameters, then run it."""
        self.asked.append((query, *arguments))
        return super().execute(query, *arguments, **options)


def _asked(config: DatabaseConfig) -> list[Any]:
    """The statements that the connection test asks this server."""
    with closing(connected(config, _Listening)) as connection:
        assert isinstance(connection, _Listening)
        connection.asked = []
        server_facts(connection)
        return connection.asked
