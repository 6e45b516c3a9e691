"""Any password works from the role to the file to the login; NUL is refused before anything happens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg import sql

from core.database import Database
from core.errors import TradekeepError
from core.settings import DatabaseConfig, load_settings, parse_connection
from core.setup import provision, wizard
from tests.servers import Cluster

# Printable or non-ASCII, 1 to 200 characters; unassigned code points and surrogates are no text.
PASSWORDS = st.text(st.characters(exclude_categories=("Cs", "Cn", "Cc")), min_size=1, max_size=200)


@pytest.fixture(scope="module")
def role(cluster: Cluster) -> Iterator[DatabaseConfig]:
    cluster.sql("DROP ROLE IF EXISTS anypw", "CREATE ROLE anypw LOGIN")
    yield cluster.config(user="anypw", password="")
    cluster.sql("DROP ROLE anypw")


def set_password(cluster: Cluster, password: str) -> None:
    with cluster.connect() as connection:
        verifier = connection.pgconn.encrypt_password(password.encode(), b"anypw", b"scram-sha-256").decode()
        connection.execute(sql.SQL("ALTER ROLE anypw PASSWORD {}").format(sql.Literal(verifier)))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(password=PASSWORDS)
@example(password="@:/?#[]%&=+ '\"\\$`!{}|<>^~")
@example(password=" leading and trailing ")
@example(password="${HOME} $(id) `id` %41 %zz")
@example(password="пароль 密码 🔑 é")
@example(password="\u00ad")
@example(password="\u00a0\u2000")
@example(password="#")
@example(password="x" * 200)
def test_any_password_logs_in_through_the_file(
    home: Path, cluster: Cluster, role: DatabaseConfig, password: str
) -> None:
    set_password(cluster, password)
    config = role.replace(password=password)
    found = load_settings()
    wizard.write(wizard.configuration(found, provision.adopt(config)), found)
    read = load_settings().database
    assert read is not None
    assert read.password is not None
    assert read.password.get_secret_value() == password
    database = Database(read)
    database.ping()
    database.dispose()
    with psycopg.connect(read.url(), connect_timeout=5) as connection:  # what any other program makes of the URL
        assert connection.execute("SELECT current_user").fetchone() == ("anypw",)
    assert parse_connection(read.url("psycopg")).password == read.password


@pytest.mark.parametrize("password", ["\0", "a\0b", "a\0"])
def test_nul_is_refused_with_a_reason_that_shows_nothing(role: DatabaseConfig, password: str) -> None:
    with pytest.raises(TradekeepError) as caught:
        role.replace(password=password)
    assert caught.value.error_type == "config"
    assert "password" in caught.value.message
