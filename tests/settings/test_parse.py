"""parse_connection: other programs' forms, and refusals that help without showing a secret."""

from __future__ import annotations

import pickle
import string
import traceback

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from core.errors import TradekeepError
from core.settings import DatabaseConfig, parse_connection

FAST = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])

BASE = {"host": "h", "dbname": "d", "user": "u", "password": "p"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql+psycopg://u:p@h/d", BASE),
        ("postgres+asyncpg://u:p@h/d?ssl=require", BASE | {"sslmode": "require"}),
        ("postgresql+asyncpg://u:p@h/d?ssl=true&command_timeout=3", BASE | {"sslmode": "verify-full"}),
        ("postgresql+psycopg2://u:p@/d?host=a:1&host=b:2", BASE | {"host": "a,b", "port": "1,2"}),
        ("postgresql+psycopg://u:p@/d?host=/run/pg&port=5", BASE | {"host": "/run/pg", "port": "5"}),
        ("postgresql+psycopg://u:p@h/d?application_name=a%40b@c", BASE | {"application_name": "a@b@c"}),
        ("jdbc:postgresql://h/d?user=u&password=p", BASE),
        ("jdbc:postgresql://h/d?user=u&password=p+q%40&ssl", BASE | {"password": "p q@", "sslmode": "verify-full"}),
        (
            "jdbc:postgresql://a:1,b:2/d?targetServerType=primary",
            {"host": "a,b", "port": "1,2", "dbname": "d", "target_session_attrs": "primary"},
        ),
        ("jdbc:postgresql:d", {"dbname": "d"}),
        (
            "jdbc:postgresql://h/d?currentSchema=s&ApplicationName=x&prepareThreshold=0",
            {"host": "h", "dbname": "d", "options": "-c search_path=s", "application_name": "x"},
        ),
        ("psql -h h -p 5 -U u -d d", {"host": "h", "port": "5", "user": "u", "dbname": "d"}),
        ("psql -hh -p5 d u", {"host": "h", "port": "5", "user": "u", "dbname": "d"}),
        ("psql --host=h --username u --no-psqlrc -Atc 'select 1' d", {"host": "h", "user": "u", "dbname": "d"}),
        ("PGPASSWORD='a b' PGSSLMODE=require psql -h h -U u d", BASE | {"password": "a b", "sslmode": "require"}),
        ('psql "postgresql://u:p@h/d?sslmode=require"', BASE | {"sslmode": "require"}),
        ("psql 'host=h dbname=d user=u password=p'", BASE),
        ("psql -h other postgresql://u:p@h/d", BASE),
        ("sudo -u postgres psql", {"user": "postgres"}),
        ("$ psql -d d", {"dbname": "d"}),
        ("psql", {}),
        ("host=psql dbname=d", {"host": "psql", "dbname": "d"}),
        ("password='a psql b' host=h", {"password": "a psql b", "host": "h"}),
        ("postgresql://u:a b @h/d", BASE | {"password": "a b "}),
        (
            "postgres://h/d?sslmode=require&options=-c%20a%3Db",
            {"host": "h", "dbname": "d", "sslmode": "require", "options": "-c a=b"},
        ),
    ],
)  # fmt: skip
def test_forms_of_other_programs(text: str, expected: dict[str, str]) -> None:
    assert parse_connection(text).libpq_params() == expected


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("postgresql://u:ab%cd@h/db%zz", "The database"),
        ("postgresql://us%er:p@h/db", "The user"),
        ("postgresql://u:hunter%2x@h/db", "The password"),
        ("postgresql://u:hunter2@[::1/db", '"]"'),
        ("postgresql://u:hunter2@[::1]x/db", '"]"'),
        ("postgresql://u:hunter2@h/db?sslmod=require", "sslmode"),
        ("postgresql://u:hunter2@h/db?ssl=yes", "sslmode"),
        ("postgresql://u:hunter2@h/db?a", "Option 1"),
        ("postgresql://u:hunter2@h/db?sslmode=require&b=c=d", "Option 2"),
        ("postgresql://u:%ff%fe@h/db", "The password is not valid UTF-8"),
        ("mysql://u:hunter2@h/db", "MySQL"),
        ("hunter2://u:hunter2@h/db", "scheme"),
        ("DATABASE_URL=postgresql://u:hunter2@h/db", "variable"),
        (" postgresql://u:hunter2@h/db", "blank"),
        ("'postgresql://u:hunter2@h/db'", "quotation mark"),
        ("host=h password=hunter2 x", "word 3"),
        ("host=h password='hunter2", "keyword 2"),
        ("host=h passwort=hunter2", "password"),
        ("jdbc:mysql://u:hunter2@h/db", "jdbc"),
        ("postgresql+mysql://u:hunter2@h/db", "driver"),
        ("PGPASSWORD='hunter2 psql -h h", "quotation mark"),
        ("PGPASSWORD=hunter2 psql -h", "-h"),
        ("psql --frobnicate=hunter2", "psql does not know"),
        ("sqlite://hunter2/x", "no host"),
        ("postgresql://u:hun\0ter2@h/db", "NUL"),
        ("postgresql://u:hunter2\udcff@h/db", "Unicode"),
        ("postgresql://u:hunter2@h/" + "x" * 100_001, "longer"),
        ("hunter2", "word 1"),
    ],
)
def test_refusal_names_the_part_and_shows_no_secret(text: str, named: str) -> None:
    with pytest.raises(TradekeepError) as caught:
        parse_connection(text)
    error = caught.value
    assert error.error_type == "config"
    assert error.kind == "config.connection_string"
    assert named in error.message
    everything = "".join(traceback.format_exception(error)) + str(error.diagnostic_info())
    assert "hunter" not in everything
    assert pickle.loads(pickle.dumps(error)).message == error.message


PIECES = st.sampled_from(
    ["postgresql://", "postgres://", "jdbc:postgresql://", "postgresql+psycopg://", "sqlite://", "psql ", "host=", "=",
     "password=", "user=", "@", ":", "/", "?", "&", "%", "%4", "%00", "%ff", "[", "]", ",", "'", '"', "\\", " ", "\n",
     "-h", "--", "sslmode=", "ssl=true", "PGPASSWORD=", "sudo -u", "h", "é", "\0", "\ud800", "5432"]
)  # fmt: skip


@FAST
@given(st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=12).map("".join)))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        config = parse_connection(text)
    except TradekeepError:
        return
    assert config.masked_url()
    assert config.label
    assert parse_connection(config.url()).backend == config.backend


@FAST
@given(
    form=st.sampled_from(
        ["postgresql://u:{}@h/d", "postgresql://u:{}@h:x%/d", "postgresql://u:{}@[/d", "postgresql://h/d?password={}&x",
         "postgresql://u:x{}%@h/d", "host=h password={} x", "host=h password='{}", "mysql://u:{}@h/d", "'postgres://u:{}@h",
         "jdbc:postgresql://h/d?password={}&y=%", "PGPASSWORD={} psql -Q", "postgresql+psycopg://u:{}@h/d?q=1", "{}",
         "postgresql://u:a/{}@h/d", "postgresql://u:a@{}@h/d", "postgresql://u:a?{}=b@h/d", "postgresql://u:a/b?{}=c@h/d"]
    ),
    secret=st.text(string.ascii_uppercase + string.digits + "%@/?#&= '\\[", min_size=12, max_size=20),
)  # fmt: skip
def test_no_piece_of_a_password_shows(form: str, secret: str) -> None:
    try:
        config = parse_connection(form.format(secret))
    except TradekeepError as error:
        shown = error.message + str(error.diagnostic_info()) + "".join(traceback.format_exception(error))
    else:
        shown = config.masked_url() + repr(config)
        if config.database + config.user + config.host:
            shown = shown.replace(config.user, "").replace(config.database, "")
    assert not any(secret[at : at + 10] in shown for at in range(len(secret) - 9))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("postgresql://u:pw1234@h:1/db?nonsense=1", '"nonsense" is not an option of PostgreSQL.'),
        ("postgresql://h/db?nonsense=1", '"nonsense" is not an option of PostgreSQL.'),
        ("postgresql://u:pw@h/db?sslmod=require", '"sslmod" is not an option of PostgreSQL; did you mean sslmode?'),
        ("postgresql://u:pw@h/db?SSLMODE=require", "did you mean sslmode?"),
        ("postgresql://u:pw@h/db?application_name=x&connect_timout=3", "did you mean connect_timeout?"),
    ],
)
def test_unknown_option_is_named_where_it_cannot_be_a_piece_of_the_password(text: str, words: str) -> None:
    with pytest.raises(TradekeepError) as caught:
        parse_connection(text)
    assert words in caught.value.message


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://u:pa/ss?hunter=2@h/db", "postgresql://u:pa?hunter=2", "postgresql://h/db?hunter=2@x",
        "postgresql://u:pw@h/db?hunter2=2", f"postgresql://u:pw@h/db?{'hunter' * 6}=2", "host=h hunter=2",
        "postgresql://u:pa/x?hunter=2",
    ],
)  # fmt: skip
def test_unknown_option_that_may_be_a_piece_is_counted_only(text: str) -> None:
    with pytest.raises(TradekeepError) as caught:
        parse_connection(text)
    assert "hunter" not in caught.value.message


@pytest.mark.parametrize(
    "text", ["postgresql://u:hunter2\ud800@h/db", "host=h password=hunter2\ud800", "sqlite:///h%ff"]
)
def test_refusal_holds_no_other_exception(text: str) -> None:
    with pytest.raises(TradekeepError) as caught:
        parse_connection(text)
    assert (caught.value.__context__, caught.value.__cause__) == (None, None)


def test_refused_field_holds_no_other_exception() -> None:
    with pytest.raises(TradekeepError) as caught:
        DatabaseConfig(password=SecretStr("hunter2\ud800"))
    assert (caught.value.__context__, caught.value.__cause__) == (None, None)
