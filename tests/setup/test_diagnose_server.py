"""What the connection test says of a server: rights with their exact GRANT, TLS, poolers, limits."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from core.settings import DatabaseConfig
from core.setup.diagnose import ConnectionResult, diagnose
from tests.conformance import machines
from tests.servers import Cluster, system_binaries

ODD = 'o"dd Rolé; --'


def lacking(result: ConnectionResult) -> dict[str, str]:
    return {one.name: one.grant for one in result.privileges if not one.granted}


@pytest.fixture
def odd_role(cluster: Cluster) -> Iterator[str]:
    """A role with an odd name and no right at all."""
    quoted = '"' + ODD.replace('"', '""') + '"'
    cluster.sql(f"CREATE ROLE {quoted} LOGIN PASSWORD 'odd-pw-1'")
    yield ODD
    cluster.sql(f"DROP OWNED BY {quoted}", f"DROP ROLE {quoted}")


def test_every_suggested_grant_runs_and_turns_its_line_green(
    cluster: Cluster, migrated: DatabaseConfig, odd_role: str
) -> None:
    name = migrated.database
    cluster.sql("REVOKE ALL ON SCHEMA public FROM PUBLIC", database=name)
    cluster.sql(f"REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC")
    config = cluster.config(name, user=odd_role, password="odd-pw-1")
    first = diagnose(config)
    missing = lacking(first)
    assert len(missing) == len(first.privileges), "this role has nothing yet"
    assert {"viewer", "runtime", "owner", "administrator"} == {one.role for one in first.privileges}
    for grant in missing.values():
        before = lacking(diagnose(config))
        cluster.sql(grant, database=name)
        assert grant not in lacking(diagnose(config)).values(), grant
        assert len(lacking(diagnose(config))) <= len(before)
    result = diagnose(config)
    assert not lacking(result)
    assert result.success
    quoted = '"' + ODD.replace('"', '""') + '"'
    cluster.sql(f"REVOKE postgres FROM {quoted}", f"DROP OWNED BY {quoted}", database=name)


def test_only_the_tables_that_lack_a_right_are_named(cluster: Cluster, migrated: DatabaseConfig, odd_role: str) -> None:
    quoted = '"' + ODD.replace('"', '""') + '"'
    name = migrated.database
    cluster.sql(
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {quoted}",
        f"REVOKE SELECT ON trades, candles FROM {quoted}",
        database=name,
    )
    missing = lacking(diagnose(cluster.config(name, user=odd_role, password="odd-pw-1")))
    cluster.sql(f"DROP OWNED BY {quoted}", database=name)
    grant = next(grant for what, grant in missing.items() if what.startswith("SELECT on 2 of"))
    assert grant.startswith('GRANT SELECT ON TABLE public."candles", public."trades" TO')


def test_the_viewer_is_not_asked_to_read_password_hashes(
    cluster: Cluster, migrated: DatabaseConfig, odd_role: str
) -> None:
    missing = lacking(diagnose(cluster.config(migrated.database, user=odd_role, password="odd-pw-1")))
    grant = next(grant for what, grant in missing.items() if what.startswith("SELECT on usr_users"))
    assert '"email"' in grant
    assert "password_hash" not in grant


def test_some_of_the_columns_are_not_all_that_are_needed(
    cluster: Cluster, migrated: DatabaseConfig, odd_role: str
) -> None:
    quoted = '"' + ODD.replace('"', '""') + '"'
    cluster.sql(f"GRANT SELECT (id) ON usr_users TO {quoted}", database=migrated.database)
    missing = lacking(diagnose(cluster.config(migrated.database, user=odd_role, password="odd-pw-1")))
    grant = next((grant for what, grant in missing.items() if what.startswith("SELECT on usr_users")), None)
    assert grant is not None
    cluster.sql(grant, database=migrated.database)
    missing = lacking(diagnose(cluster.config(migrated.database, user=odd_role, password="odd-pw-1")))
    cluster.sql(f"DROP OWNED BY {quoted}", database=migrated.database)
    assert not [what for what in missing if what.startswith("SELECT on usr_users")]


def test_an_empty_database_has_no_line_about_tables(pg_database: DatabaseConfig) -> None:
    result = diagnose(pg_database)
    assert not [one.name for one in result.privileges if "tables" in one.name]


def test_connections_left_and_latency_are_told(own_cluster: Cluster) -> None:
    before = diagnose(own_cluster.admin)
    assert before.server is not None
    assert before.server.connections_left is not None
    others = [own_cluster.connect() for _ in range(3)]
    after = diagnose(own_cluster.admin)
    for other in others:
        other.close()
    assert after.server is not None
    assert after.server.connections_left == before.server.connections_left - 3
    assert after.latency is not None
    assert after.latency.login_ms > 0
    assert after.latency.tls_ms is None
    assert {one.name for one in after.server.extensions} >= {"pg_stat_statements", "timescaledb"}
    assert next(one.state for one in after.server.extensions if one.name == "timescaledb") == "missing"
    assert after.server.pooler is None


@pytest.mark.parametrize("setting", ["datestyle = 'German'", "client_encoding = 'latin1'", "extra_float_digits = -15"])
def test_the_database_s_own_settings_do_not_confuse_the_test(
    cluster: Cluster, pg_database: DatabaseConfig, setting: str
) -> None:
    cluster.sql(f'ALTER DATABASE "{pg_database.database}" SET {setting}')
    result = diagnose(pg_database)
    assert result.success, result.error_message
    assert result.server is not None
    assert abs(result.server.clock_skew_s) < 1


def test_a_database_limit_is_counted(cluster: Cluster, pg_database: DatabaseConfig) -> None:
    cluster.sql(
        "CREATE ROLE few LOGIN PASSWORD 'few-pw-1'", f"ALTER DATABASE {pg_database.database} CONNECTION LIMIT 2"
    )
    result = diagnose(cluster.config(pg_database.database, user="few", password="few-pw-1"))
    cluster.sql("DROP ROLE few")
    assert result.server is not None
    assert result.server.connections_left == 1


@pytest.mark.parametrize("known", [True, False])
def test_the_certificate_is_described(tmp_path: Path, known: bool) -> None:
    binaries = system_binaries().get(15)
    machines.needed(binaries, "PostgreSQL 15 of the system")
    ca = trustme.CA()
    until = datetime.now(UTC) + timedelta(days=30)
    leaf = ca.issue_cert("localhost", "127.0.0.1", not_after=until, common_name="db-of-a-test")
    ca.cert_pem.write_to_path(tmp_path / "root.crt")
    with Cluster(binaries=binaries) as cluster:
        cluster.put("server.crt", leaf.cert_chain_pems[0].bytes())
        cluster.put("server.key", leaf.private_key_pem.bytes())
        cluster.sql("ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()")
        root = {"sslrootcert": str(tmp_path / "root.crt")} if known else {}
        options = {"sslmode": "verify-full" if known else "require", **root}
        result = diagnose(cluster.admin.replace(host="localhost", options=options))
    assert result.success, result.error
    assert result.server is not None
    shown = result.server.certificate
    assert shown is not None
    assert shown.subject == "db-of-a-test"
    assert {"localhost", "127.0.0.1"} <= set(shown.names)
    assert shown.not_after is not None
    assert abs((shown.not_after - until).total_seconds()) < 2
    assert shown.trusted is known
    assert (result.server.tls or "").startswith("TLSv1.")
    assert result.server.cipher
    assert result.latency is not None
    assert result.latency.tls_ms


@pytest.mark.parametrize("mode", ["session", "transaction", "statement"])
def test_a_pooler_is_found_with_its_mode(cluster: Cluster, mode: str) -> None:
    line = f"postgres = host=127.0.0.1 port={cluster.port}"
    with machines.pgbouncer(line, users={"postgres": cluster.password}, pool_mode=mode) as port:
        result = diagnose(cluster.admin.replace(port=port, options={"sslmode": "disable"}))
    assert result.success, result.error
    assert result.server is not None
    assert (result.server.pooler, result.server.pooler_mode) == ("PgBouncer", mode)
    assert "server process" in result.server.pooler_why
