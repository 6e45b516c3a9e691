"""Provisioning where the server's own rules and owners are in the way: nothing half done, nothing run for them."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator

import psycopg
import pytest

from core.database import Database
from core.errors import TradekeepError
from core.settings import DatabaseConfig
from core.setup import provision
from core.setup.diagnose import diagnose
from tests.servers import Cluster
from tests.setup.test_provision import connect


@pytest.fixture
def by_peer() -> Iterator[tuple[Cluster, DatabaseConfig]]:
    """A server with Debian's own rules, and the administrator's way in: its socket, without a password."""
    account = pwd.getpwuid(os.geteuid()).pw_name
    with Cluster(hba=["local all postgres peer map=us", "local all all peer"]) as server:
        server.put("pg_ident.conf", f"us {account} postgres\n")
        server.reload()
        yield server, server.config(host=str(server.socket_dir)).replace(password=None)


def test_an_administrator_without_a_password_makes_roles_that_sign_in(by_peer: tuple[Cluster, DatabaseConfig]) -> None:
    server, admin = by_peer
    made = provision.provision(admin)
    assert made.runtime.host == "localhost"
    for config in (made.owner, made.runtime, made.viewer):
        with connect(config) as connection:
            assert connection.execute("SELECT current_user").fetchone() == (config.user,)
    again = provision.provision(admin, known=[made.owner, made.runtime, made.viewer])
    assert again.runtime.password == made.runtime.password
    server.configure(conf=["listen_addresses = ''"], hba=["local all postgres peer map=us", "local all all peer"])
    server.restart()
    dropped_by = "DROP DATABASE trading; DROP OWNED BY trading, trading_owner, trading_viewer;"
    with psycopg.connect(**admin.libpq_params(), autocommit=True) as connection:
        for statement in dropped_by.split("; "):
            connection.execute(statement.encode())
        connection.execute("DROP ROLE trading, trading_owner, trading_viewer")
        with pytest.raises(TradekeepError) as caught:
            provision.provision(admin)
        assert caught.value.kind == "auth.peer"
        assert connection.execute("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'trading%'").fetchone() == (0,)


@pytest.mark.parametrize("known", [True, False], ids=["known password", "lost password"])
def test_a_rule_that_keeps_a_role_out_leaves_its_password_as_it_is(own_cluster: Cluster, known: bool) -> None:
    """Bots on another machine may be using it."""
    made = provision.provision(own_cluster.admin)
    secret = "SELECT rolpassword FROM pg_authid WHERE rolname LIKE 'trading%' ORDER BY rolname"
    before = own_cluster.sql(secret)
    own_cluster.configure(hba=["host trading trading 127.0.0.1/32 reject"])
    own_cluster.restart()
    logins = [made.owner, made.runtime, made.viewer] if known else []
    for act in (provision.plan, provision.provision):
        with pytest.raises(TradekeepError) as caught:
            act(own_cluster.admin, known=logins)
        assert caught.value.kind.startswith("auth.pg_hba")
    assert own_cluster.sql(secret) == before


def test_a_role_whose_password_has_expired_signs_in_again(own_cluster: Cluster) -> None:
    made = provision.provision(own_cluster.admin)
    own_cluster.sql("ALTER ROLE trading VALID UNTIL '2001-01-01'")
    again = provision.provision(own_cluster.admin, known=[made.owner, made.runtime, made.viewer])
    assert again.created == ["password of role trading"]
    assert provision.works(again.runtime)


SHADOWS = (
    "pg_get_userbyid(oid) RETURNS name", "set_config(text, text, boolean) RETURNS text", "version() RETURNS text",
    "current_setting(text) RETURNS text", "pg_backend_pid() RETURNS int", "pg_advisory_lock(bigint) RETURNS void",
    "to_regnamespace(text) RETURNS regnamespace", "clock_timestamp() RETURNS timestamptz",
    "has_schema_privilege(oid, text) RETURNS bool", "current_schema() RETURNS name",
)  # fmt: skip


def test_an_owner_s_functions_never_run_with_the_administrator_s_rights(own_cluster: Cluster) -> None:
    """The owner of a database sets its search path, so that own functions stand before PostgreSQL's."""
    made = provision.provision(own_cluster.admin)
    with connect(made.owner) as owner:
        for number, head in enumerate(SHADOWS):
            back = "RETURN" if head.endswith("void") else "RETURN NULL"
            owner.execute(
                f"CREATE FUNCTION public.{head} LANGUAGE plpgsql AS $$ BEGIN"
                f" EXECUTE 'CREATE ROLE taken_{number} SUPERUSER'; {back};"
                f" EXCEPTION WHEN insufficient_privilege THEN {back}; END $$"
            )
        owner.execute("ALTER DATABASE trading SET search_path = public, pg_catalog")
    inside = own_cluster.admin.replace(database="trading")
    assert diagnose(inside).success
    provision.plan(own_cluster.admin)
    provision.provision(own_cluster.admin, known=[made.owner, made.runtime, made.viewer])
    database = Database(inside)
    database.ping()
    database.dispose()
    assert own_cluster.sql("SELECT rolname FROM pg_roles WHERE rolname LIKE 'taken%'") == []
