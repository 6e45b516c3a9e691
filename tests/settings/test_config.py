"""DatabaseConfig: what is given comes back, in every form, and the password never shows."""

from __future__ import annotations

import string

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import pq
from pydantic import SecretStr, ValidationError
from sqlalchemy.engine import make_url

from core.errors import TradekeepError
from core.settings import DatabaseConfig, parse_connection
from core.settings.config import PLACE_VARIABLES, option_variables

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
HOST = st.one_of(
    st.sampled_from(["", "localhost", "::1", "fe80::1%eth0", "/var/run/postgresql", "@abstract", "a,b", "a,[::1]"]),
    st.text(string.printable.replace("\0", ""), max_size=12),
)
PORT = st.sampled_from(["", "5432", "1,2", "5432,5433", ",", "0", "abc", " 5"])
OPTIONS = st.dictionaries(
    st.sampled_from(["sslmode", "sslrootcert", "options", "hostaddr", "keepalives", "tcp_user_timeout", "service"]),
    TEXT,
    max_size=4,
)
CONFIGS = st.builds(
    DatabaseConfig,
    host=HOST,
    port_text=PORT,
    database=TEXT,
    user=TEXT,
    password=st.one_of(st.none(), TEXT),
    options=OPTIONS,
)
KEYWORDS = {variable: keyword for keyword, variable in option_variables().items() if variable}
FAST = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def completed(config: DatabaseConfig, extra: dict[str, str]) -> DatabaseConfig:
    return config.replace(options=config.options | {KEYWORDS[name]: value for name, value in extra.items()})


@FAST
@given(CONFIGS)
def test_url_and_its_variables_give_the_config_back(config: DatabaseConfig) -> None:
    read = parse_connection(config.url())
    assert completed(read, config.extra_env()) == config
    assert completed(read, config.extra_env()).libpq_params() == config.libpq_params()


@FAST
@given(CONFIGS)
def test_url_is_plain_and_means_the_same_to_libpq(config: DatabaseConfig) -> None:
    url = config.url()
    assert set(url) <= set(string.ascii_letters + string.digits + "-._%:/@,[]?=&")
    homeless = [key for key in config.options if option_variables()[key] in (None, *PLACE_VARIABLES)]
    assert url.count("&") <= max(0, len(homeless) - 1 + (config.password == SecretStr("")))
    read = {o.keyword.decode(): o.val.decode() for o in pq.Conninfo.parse(url.encode()) if o.val is not None}
    assert read | {KEYWORDS[name]: value for name, value in config.extra_env().items()} == config.libpq_params()


@FAST
@given(user=TEXT, password=TEXT.filter(len), database=TEXT)
def test_sqlalchemy_reads_user_password_and_database(user: str, password: str, database: str) -> None:
    config = DatabaseConfig(host="db", port=5433, user=user, password=password, database=database)
    for url in (config.url(), config.url("psycopg"), config.url("asyncpg")):
        read = make_url(url)
        assert (read.username or "", read.password, read.database or "") == (user, password, database)
        assert (read.host, read.port) == ("db", 5433)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (DatabaseConfig(host="/run/pg", database="d"), "postgresql+psycopg:///d?host=%2Frun%2Fpg"),
        (DatabaseConfig(host="a,b", port_text="1,2", database="d"), "postgresql+psycopg:///d?host=a%2Cb&port=1%2C2"),
        (DatabaseConfig(host="::1", port=5, database="d"), "postgresql+psycopg://[::1]:5/d"),
        (
            DatabaseConfig(host="h", database="d", options={"sslmode": "require", "sslrootcert": "/c"}),
            "postgresql+psycopg://h/d?sslmode=require&sslrootcert=%2Fc",
        ),
    ],
)
def test_driver_form_carries_sockets_lists_and_all_options(config: DatabaseConfig, expected: str) -> None:
    assert config.url("psycopg") == expected
    assert parse_connection(expected).libpq_params() == config.libpq_params()


def test_url_carries_sslmode_and_leaves_the_rest_to_variables() -> None:
    config = DatabaseConfig(host="h", options={"sslrootcert": "/c", "application_name": "bot", "sslmode": "require"})
    assert config.url() == "postgresql://h/?sslmode=require"
    assert config.extra_env() == {"PGSSLROOTCERT": "/c", "PGAPPNAME": "bot"}


def test_keyword_form_of_interfaces() -> None:
    config = DatabaseConfig(host="127.0.0.1", port=5433, database="trading", user="trading", password="x", options={})
    assert config.libpq_params() == {
        "host": "127.0.0.1", "port": "5433", "dbname": "trading", "user": "trading", "password": "x",
    }  # fmt: skip
    assert config.url("asyncpg") == "postgresql+asyncpg://trading:x@127.0.0.1:5433/trading"
    assert config.label == "trading@127.0.0.1:5433/trading"
    assert config.backend == "postgresql"


def test_empty_password_is_not_no_password() -> None:
    empty, none = DatabaseConfig(host="h", password=""), DatabaseConfig(host="h")
    assert empty.libpq_params() == {"host": "h", "password": ""}
    assert none.libpq_params() == {"host": "h"}
    assert empty != none
    assert empty.fingerprint() != none.fingerprint()
    assert parse_connection(empty.url()) == empty


def test_fingerprint_follows_every_value_and_shows_none() -> None:
    config = DatabaseConfig(host="h", port=1, database="d", user="u", password="correct horse")
    changes: list[dict[str, object]] = [
        {"host": "i"}, {"port": 2}, {"database": "e"}, {"user": "v"}, {"password": "x"}, {"options": {"service": "s"}},
    ]  # fmt: skip
    prints = {config.replace(**change).fingerprint() for change in changes} | {config.fingerprint()}
    assert len(prints) == len(changes) + 1
    assert config.replace().fingerprint() == config.fingerprint()
    assert hash(config.replace()) == hash(config)
    assert all(character in string.hexdigits for character in config.fingerprint())


def test_replace_changes_the_port_in_both_forms() -> None:
    config = DatabaseConfig(host="h", port=1).replace(port=2)
    assert (config.port, config.port_text) == (2, "2")
    assert config.replace(port_text="3,4").port is None
    assert config.replace(port=None).libpq_params() == {"host": "h"}


@FAST
@given(CONFIGS, st.text(string.ascii_uppercase + "@/:?#%", min_size=8, max_size=20))
def test_password_never_shows(config: DatabaseConfig, secret: str) -> None:
    config = config.replace(password=secret)
    public = [config.host, config.user, config.database, config.port_text, *config.options.values()]
    if any(secret in text for text in public):
        return
    for shown in (repr(config), str(config), config.masked_url(), config.label, config.fingerprint()):
        assert secret not in shown


@pytest.mark.parametrize(
    "text", ["postgresql://u:hunter/two@h/db", "postgresql://u:x@hunter@two@h/db", "postgresql://u:x@hunter/two@h/db"]
)
def test_pieces_of_a_password_in_host_or_port_never_show(text: str) -> None:
    config = parse_connection(text)
    assert "hunter" not in repr(config) + config.masked_url() + config.label
    assert "two" not in repr(config) + config.masked_url() + config.label


def test_secret_options_never_show() -> None:
    config = DatabaseConfig(host="h", options={"sslpassword": "sesame-open"})
    assert "sesame" not in repr(config) + config.masked_url()
    assert config.masked_url() == "postgresql://h/?sslpassword=***"


@pytest.mark.parametrize("field", ["host", "database", "user", "password", "port_text"])
@pytest.mark.parametrize("value", ["a\0b", "a\udcffb"])
def test_nul_and_broken_unicode_are_refused(field: str, value: str) -> None:
    with pytest.raises(TradekeepError) as caught:
        DatabaseConfig(**{field: value})  # type: ignore[arg-type]
    assert caught.value.error_type == "config"


def test_unknown_or_doubled_options_are_refused() -> None:
    for options in ({"ssl": "x"}, {"password": "x"}, {"user": "x"}):
        with pytest.raises(TradekeepError):
            DatabaseConfig(host="h", options=options)


def test_config_is_frozen_and_hides_bad_input() -> None:
    config = DatabaseConfig(host="h")
    with pytest.raises(ValidationError):
        config.host = "i"  # type: ignore[misc]
    with pytest.raises(ValidationError) as caught:
        DatabaseConfig(host="h", password={"hunter2": 1})  # type: ignore[arg-type]
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "path", "url"),
    [
        ("sqlite://", "", "sqlite://"),
        ("sqlite:///:memory:", "", "sqlite://"),
        ("sqlite:///a b.db", "a b.db", "sqlite:///a b.db"),
        ("sqlite:////tmp/%3F.db", "/tmp/?.db", "sqlite:////tmp/%3F.db"),
        ("sqlite+aiosqlite:///C:/x.db", "C:/x.db", "sqlite:///C:/x.db"),
    ],
)
def test_sqlite_urls(text: str, path: str, url: str) -> None:
    config = parse_connection(text)
    assert (config.backend, config.database, config.url()) == ("sqlite", path, url)
    assert parse_connection(config.url()) == config
    assert (make_url(config.url()).database or "") == path
    assert config.url("aiosqlite").startswith("sqlite+aiosqlite://")
    assert config.libpq_params() == {}


def test_driver_connects_with_the_params_as_keywords() -> None:
    config = DatabaseConfig(host="127.0.0.1", port=1, user="u", password="p' \\x", options={"connect_timeout": "2"})
    with pytest.raises(psycopg.OperationalError, match=r"127\.0\.0\.1"):
        psycopg.connect(**config.libpq_params())  # type: ignore[arg-type]


def test_every_secret_is_given_to_the_redaction(remembered: list[str]) -> None:
    DatabaseConfig(host="h", password="one", options={"sslpassword": "two"})
    parse_connection("postgresql://u:three/four@h/db")
    assert {"one", "two", "three", "four"} <= set(remembered)
    with pytest.raises(TradekeepError):
        parse_connection("postgresql://u:five%@h/db")
    assert "five%" in remembered


@pytest.mark.parametrize(
    ("one", "other", "login", "server"),
    [
        ("postgresql://u@h/d", "postgresql://u@h:5432/d", True, True),
        ("postgresql://u@h/d", "postgresql://u@h:5433/d", False, False),
        ("postgresql://u@h/d", "postgresql://u@h/d?sslmode=require", True, True),
        ("postgresql://u@h/d", "postgresql://u@h/d?hostaddr=10.0.0.1", False, False),
        ("postgresql:///?service=a", "postgresql:///?service=b", False, False),
        ("postgresql://u@localhost/d", "postgresql://u@127.0.0.1/d", False, True),
        ("postgresql://u@localhost/d", "postgresql://v@[::1]:5432/e", False, True),
        ("postgresql://u@LOCALHOST/d", "postgresql://u@db/d?hostaddr=127.0.0.2", False, True),
        ("postgresql://u@a,b/d", "postgresql://u@a:5432,b:5432/d", False, True),
        ("postgresql://u@h/d", "postgresql:///d?user=u", False, False),
        ("sqlite:///a", "sqlite:///a", True, True),
        ("sqlite:///a", "sqlite:///b", False, False),
        ("sqlite:///a", "postgresql://u@h/a", False, False),
    ],
)
def test_same_login_and_same_server(one: str, other: str, login: bool, server: bool) -> None:
    first, second = parse_connection(one), parse_connection(other)
    assert (first.same_login(second), second.same_login(first)) == (login, login)
    assert (first.same_server(second), second.same_server(first)) == (server, server)
    assert not first.same_login(None)
    assert not first.same_server(None)


def test_url_says_where_and_variables_only_how() -> None:
    config = DatabaseConfig(host="h", options={"sslmode": "require", "hostaddr": "10.0.0.1"})
    assert config.url() == "postgresql://h/?hostaddr=10.0.0.1"
    assert config.extra_env() == {"PGSSLMODE": "require"}
