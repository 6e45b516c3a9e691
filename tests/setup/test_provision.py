"""Database and roles on a real server: made once, kept by a second run, and with no right too many."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from core.database import Database
from core.errors import TradekeepError
from core.schema import migrate
from core.setup import provision
from core.setup.provision import Provisioned
from tests.conformance import machines
from tests.servers import Cluster

WORDS = ("rolsuper", "rolcreatedb", "rolcreaterole", "rolreplication", "rolbypassrls")


def connect(config, **arguments):  # type: ignore[no-untyped-def]
    return psycopg.connect(**config.libpq_params(), autocommit=True, connect_timeout=5, **arguments)


def dropped(cluster: Cluster, database: str) -> None:
    cluster.sql(
        f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)',
        f'DROP ROLE IF EXISTS "{database}"',
        f'DROP ROLE IF EXISTS "{database}_viewer"',
        f'DROP ROLE IF EXISTS "{database}_owner"',
    )


@pytest.fixture
def fresh(cluster: Cluster) -> Iterator[Cluster]:
    dropped(cluster, "trading")
    yield cluster
    dropped(cluster, "trading")


@pytest.fixture(scope="module")
def made(cluster: Cluster) -> Iterator[Provisioned]:
    """A provisioned and migrated database, for the tests that only look."""
    result = provision.provision(cluster.admin, database="lookers")
    owner = Database(result.owner)
    migrate.upgrade(owner)
    owner.dispose()
    yield result
    dropped(cluster, "lookers")


def test_everything_is_made_and_each_role_logs_in(fresh: Cluster) -> None:
    seen: list[tuple[int, int, str]] = []
    result = provision.provision(fresh.admin, progress=lambda done, total, message: seen.append((done, total, message)))
    assert result.created == ["role trading_owner", "role trading", "role trading_viewer", "database trading"]
    assert [(done, total) for done, total, _ in seen] == [(n, 6) for n in range(7)]
    for config in (result.owner, result.runtime, result.viewer):
        with connect(config) as connection:
            assert connection.execute("SELECT current_user, current_database()").fetchone() == (
                config.user,
                "trading",
            )
    rows = fresh.sql(f"SELECT {', '.join(WORDS)} FROM pg_roles WHERE rolname LIKE 'trading%'")
    assert rows == [(False,) * 5] * 3


def test_a_second_run_keeps_passwords_that_work(fresh: Cluster) -> None:
    first = provision.provision(fresh.admin)
    known = [first.owner, first.runtime, first.viewer]
    second = provision.provision(fresh.admin, known=known)
    assert second.created == []
    assert second.kept == ["role trading_owner", "role trading", "role trading_viewer", "database trading"]
    assert [c.password for c in (second.owner, second.runtime, second.viewer)] == [c.password for c in known]


def test_a_second_run_repairs_passwords_that_nobody_knows(fresh: Cluster) -> None:
    first = provision.provision(fresh.admin)
    second = provision.provision(fresh.admin)
    assert second.runtime.password != first.runtime.password
    with connect(second.runtime):
        pass
    with pytest.raises(psycopg.OperationalError):
        connect(first.runtime)


def test_an_existing_role_loses_what_a_trading_role_must_not_have(fresh: Cluster) -> None:
    fresh.sql("CREATE ROLE trading LOGIN SUPERUSER CREATEDB CREATEROLE REPLICATION BYPASSRLS")
    result = provision.provision(fresh.admin)
    assert "role trading without SUPERUSER" in result.created
    assert fresh.sql(f"SELECT {', '.join(WORDS)} FROM pg_roles WHERE rolname = 'trading'") == [(False,) * 5]


def test_plan_says_what_will_happen_and_changes_nothing(fresh: Cluster) -> None:
    fresh.sql("CREATE ROLE trading LOGIN")
    actions = provision.plan(fresh.admin)
    assert "Create role trading_owner with a generated password" in [action.title for action in actions]
    harmful = [action for action in actions if action.harm]
    assert [action.title for action in harmful] == ["Give the existing role trading a new password"]
    assert fresh.sql("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'trading%'") == [(1,)]


def test_a_login_without_rights_is_told_which_are_missing(fresh: Cluster) -> None:
    fresh.sql("DROP ROLE IF EXISTS weak", "CREATE ROLE weak LOGIN PASSWORD 'weak-pw' CREATEDB")
    with pytest.raises(TradekeepError) as caught:
        provision.provision(fresh.config(user="weak", password="weak-pw"))
    assert caught.value.kind == "permission.provision"
    assert "CREATEROLE" in caught.value.why
    assert 'ALTER ROLE "weak" CREATEROLE CREATEDB;' in " ".join(caught.value.recovery_steps)


def test_an_admin_who_is_no_superuser_suffices(fresh: Cluster) -> None:
    fresh.sql("DROP ROLE IF EXISTS dba", "CREATE ROLE dba LOGIN PASSWORD 'dba-pw' CREATEDB CREATEROLE")
    result = provision.provision(fresh.config(user="dba", password="dba-pw"))
    owner = Database(result.owner)
    migrate.upgrade(owner)
    owner.dispose()
    with connect(result.runtime) as connection:
        connection.execute("INSERT INTO telegram_settings (key, value) VALUES ('a', 'b')")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("CREATE TABLE mine (a int)")
    again = provision.provision(
        fresh.config(user="dba", password="dba-pw"), known=[result.owner, result.runtime, result.viewer]
    )
    assert again.created == []
    fresh.sql("DROP DATABASE trading WITH (FORCE)", "DROP OWNED BY dba", "DROP ROLE IF EXISTS trading, trading_owner")
    fresh.sql("DROP ROLE IF EXISTS trading_viewer", "DROP ROLE dba")


def test_a_database_with_somebody_elses_tables_is_refused(fresh: Cluster) -> None:
    fresh.sql("CREATE DATABASE trading")
    fresh.sql("CREATE TABLE public.theirs (a int)", database="trading")
    with pytest.raises(TradekeepError) as caught:
        provision.provision(fresh.admin)
    assert caught.value.kind == "schema.foreign_database"
    assert fresh.sql("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'trading'") == [("postgres",)]
    assert fresh.sql("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'trading%'") == [(0,)]


def test_an_empty_database_of_somebody_else_is_taken_over(fresh: Cluster) -> None:
    fresh.sql("CREATE DATABASE trading")
    result = provision.provision(fresh.admin)
    assert "owner of database trading" in result.created


@pytest.mark.parametrize("name", ["", "postgres", "template1", "a\0b", "x" * 57, "é" * 29])
def test_impossible_names_are_refused_before_anything_happens(cluster: Cluster, name: str) -> None:
    with pytest.raises(TradekeepError) as caught:
        provision.provision(cluster.admin, database=name)
    assert caught.value.kind == "config.database_name"


@pytest.mark.parametrize("name", ['we"ird name', "Größe; DROP TABLE x", "%s", "x" * 56])
def test_names_are_quoted_and_never_run(cluster: Cluster, name: str) -> None:
    try:
        result = provision.provision(cluster.admin, database=name)
        with connect(result.runtime) as connection:
            assert connection.execute("SELECT current_database()").fetchone() == (name,)
    finally:
        with cluster.connect() as connection:
            for statement in ("DROP DATABASE IF EXISTS {} WITH (FORCE)",):
                connection.execute(psycopg.sql.SQL(statement).format(psycopg.sql.Identifier(name)))
            for role in (name, f"{name}_viewer", f"{name}_owner"):
                connection.execute(psycopg.sql.SQL("DROP ROLE IF EXISTS {}").format(psycopg.sql.Identifier(role)))


def test_no_password_stands_in_the_servers_log(own_cluster: Cluster) -> None:
    own_cluster.sql("ALTER SYSTEM SET log_statement = 'all'", "SELECT pg_reload_conf()")
    result = provision.provision(own_cluster.admin)
    log = own_cluster.log.read_text(errors="replace")
    assert "CREATE ROLE" in log
    for config in (result.owner, result.runtime, result.viewer, own_cluster.admin):
        assert config.password is not None
        assert config.password.get_secret_value() not in log


def test_five_at_once_end_with_logins_that_work(fresh: Cluster) -> None:
    with ThreadPoolExecutor(5) as pool:
        results = list(pool.map(lambda _: provision.provision(fresh.admin), range(5)))
    working = 0
    for result in results:
        try:
            with connect(result.runtime):
                working += 1
        except psycopg.OperationalError:
            continue
    assert working == 1  # each run set its own password; the last one's holds, and nothing broke on the way


# What a bot's login must not be able to do, and what a reader's must not.
def test_viewer_reads_everything_but_secrets(made: Provisioned) -> None:
    with connect(made.viewer) as connection:
        connection.execute("SELECT id, email FROM usr_users")
        connection.execute("SELECT * FROM trades")
        for column, table in (("password_hash", "usr_users"), ("code", "usr_verification_codes")):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"SELECT {column} FROM {table}")  # type: ignore[arg-type]


def test_tables_of_later_migrations_follow(made: Provisioned) -> None:
    with connect(made.owner) as owner:
        owner.execute("CREATE TABLE later (id bigserial PRIMARY KEY, a int)")
        with connect(made.runtime) as runtime:
            runtime.execute("INSERT INTO later (a) VALUES (1)")
        with connect(made.viewer) as viewer:
            assert viewer.execute("SELECT a FROM later").fetchone() == (1,)
        owner.execute("DROP TABLE later")


def test_strangers_may_not_connect(cluster: Cluster, made: Provisioned) -> None:
    cluster.sql("DROP ROLE IF EXISTS stranger", "CREATE ROLE stranger LOGIN PASSWORD 'stranger-pw'")
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        connect(cluster.config("lookers", user="stranger", password="stranger-pw"))
    cluster.sql("DROP ROLE stranger")


def test_one_hosted_login_serves_for_everything(pg_database) -> None:  # type: ignore[no-untyped-def]
    result = provision.adopt(pg_database)
    assert (result.owner, result.runtime, result.viewer) == (pg_database,) * 3


def test_roles_created_again_get_their_rights_on_tables_that_exist(fresh: Cluster) -> None:
    first = provision.provision(fresh.admin)
    owner = Database(first.owner)
    migrate.upgrade(owner)
    fresh.sql("DROP OWNED BY trading", database="trading")
    fresh.sql("DROP OWNED BY trading", "DROP ROLE trading")
    second = provision.provision(fresh.admin, known=[first.owner, first.viewer])
    with connect(second.runtime) as connection:
        connection.execute("INSERT INTO telegram_settings (key) VALUES ('again')")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DELETE FROM webui_audit_logs")
    owner.dispose()


@pytest.mark.parametrize("name", ["trading", "trading_owner", "trading_viewer"])
def test_the_administrators_own_login_is_never_taken(fresh: Cluster, name: str) -> None:
    fresh.sql(f"CREATE ROLE {name} LOGIN SUPERUSER PASSWORD 'own-pw-1'")
    admin = fresh.config(user=name, password="own-pw-1")
    for attempt in (provision.plan, provision.provision):
        with pytest.raises(TradekeepError) as caught:
            attempt(admin)
        assert caught.value.kind == "config.own_login"
    with connect(admin) as connection:
        assert connection.execute("SHOW is_superuser").fetchone() == ("on",)


def test_nothing_changes_when_the_files_cannot_be_prepared(fresh: Cluster) -> None:
    first = provision.provision(fresh.admin)

    def refuse(made: Provisioned) -> None:
        assert made.runtime.password != first.runtime.password
        raise TradekeepError("permission.file", path="/nowhere")

    with pytest.raises(TradekeepError) as caught:
        provision.provision(fresh.admin, prepare=refuse)
    assert caught.value.kind == "permission.file"
    for config in (first.owner, first.runtime, first.viewer):
        with connect(config):
            pass


def test_a_database_with_tables_of_others_in_any_schema_is_refused(fresh: Cluster) -> None:
    fresh.sql("CREATE DATABASE trading")
    fresh.sql("CREATE SCHEMA app", "CREATE TABLE app.theirs (a int)", database="trading")
    with pytest.raises(TradekeepError) as caught:
        provision.plan(fresh.admin)
    assert caught.value.kind == "schema.foreign_database"


def test_a_view_of_the_administrators_stays_and_disturbs_nothing(fresh: Cluster) -> None:
    first = provision.provision(fresh.admin)
    fresh.sql("CREATE VIEW public.theirs AS SELECT 1 AS a", database="trading")
    again = provision.provision(fresh.admin, known=[first.owner, first.runtime, first.viewer])
    assert again.created == []


def test_another_name_of_the_same_machine_keeps_the_passwords(fresh: Cluster) -> None:
    first = provision.provision(fresh.admin)
    again = provision.provision(fresh.admin.replace(host="localhost"), known=[first.owner, first.runtime, first.viewer])
    assert again.created == []


def test_a_limit_that_is_reached_is_no_reason_for_a_new_password(fresh: Cluster) -> None:
    first = provision.provision(fresh.admin)
    fresh.sql("ALTER ROLE trading CONNECTION LIMIT 0")
    with pytest.raises(TradekeepError) as caught:
        provision.provision(fresh.admin, known=[first.owner, first.runtime, first.viewer])
    assert caught.value.error_type == "resource"
    fresh.sql("ALTER ROLE trading CONNECTION LIMIT -1")
    with connect(first.runtime):
        pass


def test_the_administrators_client_options_do_not_reach_the_bots(fresh: Cluster) -> None:
    admin = fresh.admin.replace(options={"application_name": "dba", "sslmode": "prefer", "options": "-c work_mem=8MB"})
    made = provision.provision(admin)
    assert made.runtime.options == {"sslmode": "prefer"}


@pytest.mark.parametrize("name", [" theirs ", "a\tb", "pg_trade", "public", "a\nb", " "])
def test_names_that_mislead_are_refused_with_their_rule(cluster: Cluster, name: str) -> None:
    with pytest.raises(TradekeepError) as caught:
        provision.plan(cluster.admin, database=name)
    assert caught.value.kind == "config.database_name"
    assert caught.value.message != caught.value.title


def test_somebody_elses_tables_with_our_names_are_not_adopted(pg_database) -> None:  # type: ignore[no-untyped-def]
    with connect(pg_database) as connection:
        connection.execute("CREATE TABLE trades (id int, note text)")
    with pytest.raises(TradekeepError) as caught:
        provision.adopt(pg_database)
    assert caught.value.kind == "schema.unmanaged"
    with pytest.raises(TradekeepError) as caught:
        provision.adopt(pg_database.replace(database="postgres"))
    assert caught.value.kind == "config.database_name"


def test_a_provider_may_give_just_the_database_postgres(cluster: Cluster) -> None:
    cluster.sql("DROP ROLE IF EXISTS given", "CREATE ROLE given LOGIN PASSWORD 'given-pw-1'")
    made = provision.adopt(cluster.config("postgres", user="given", password="given-pw-1"))
    assert made.runtime.database == "postgres"
    cluster.sql("DROP ROLE given")


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_nothing_is_changed_through_a_pooler(fresh: Cluster, mode: str) -> None:
    made = provision.provision(fresh.admin)
    line, users = f"* = host=127.0.0.1 port={fresh.port}", {"postgres": fresh.password}
    with machines.pgbouncer(line, users=users, pool_mode=mode) as port:
        through = fresh.admin.replace(port=port, options={"sslmode": "disable"})
        for attempt in (provision.plan, provision.provision):
            with pytest.raises(TradekeepError) as caught:
                attempt(through)
            assert caught.value.kind == "config.pooler"
        with connect(fresh.admin) as connection:
            assert connection.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").fetchone() == (0,)
    assert provision.works(made.runtime)
