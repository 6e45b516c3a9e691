"""The throwaway servers of the tests themselves: what other tests rely on."""

from __future__ import annotations

import psycopg
import pytest

from core.settings import DatabaseConfig
from tests.servers import Cluster, new_database


def test_suspended_server_answers_nothing_until_it_resumes(own_cluster: Cluster) -> None:
    own_cluster.suspend()
    with pytest.raises(psycopg.OperationalError, match="timeout"):
        own_cluster.connect(connect_timeout=2)
    own_cluster.resume()
    assert own_cluster.sql("SELECT 1") == [(1,)]


def test_killed_server_starts_again_with_its_rows(own_cluster: Cluster) -> None:
    own_cluster.sql("CREATE TABLE kept (id int)", "INSERT INTO kept VALUES (7)")
    own_cluster.kill()
    with pytest.raises(psycopg.OperationalError):
        own_cluster.connect()
    own_cluster.start()
    assert own_cluster.sql("SELECT id FROM kept") == [(7,)]


def test_own_rules_stand_before_the_usual_ones(own_cluster: Cluster) -> None:
    own_cluster.configure(conf=["work_mem = '5MB'"], hba=["host all all 127.0.0.1/32 reject"])
    own_cluster.restart("immediate")
    with pytest.raises(psycopg.OperationalError, match="rejects"):
        own_cluster.connect()
    with own_cluster.connect(host=str(own_cluster.socket_dir)) as connection:
        assert connection.execute("SHOW work_mem").fetchone() == ("5MB",)


def test_wrong_password_is_refused_by_test_servers(cluster: Cluster) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        cluster.connect(password="wrong")


def test_databases_are_empty_and_go_away(cluster: Cluster, pg_database: DatabaseConfig) -> None:
    assert cluster.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", database=pg_database.database) == [
        (0,)
    ]
    with new_database(cluster) as name:
        cluster.connect(name)  # an open session does not keep it
    assert cluster.sql(f"SELECT 1 FROM pg_database WHERE datname = '{name}'") == []
