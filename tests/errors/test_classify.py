"""Exceptions of files, SQLite, SQLAlchemy and validation are classified; nothing secret is shown; nothing is raised."""

from __future__ import annotations

import errno
import json
import re
import socket
import sqlite3
import ssl
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, quote_plus

import psycopg
import psycopg.errors
import pydantic
import pytest
import sqlalchemy
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from sqlalchemy import exc as sa
from sqlalchemy import orm

from core import log
from core.errors import TradekeepError, classify
from core.settings import DatabaseConfig
from tests.servers import Cluster


def failing(action: Callable[[], Any]) -> BaseException:
    try:
        action()
    except BaseException as exc:
        return exc
    raise AssertionError("nothing was raised")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A SQLite file with a table."""
    path = tmp_path / "a.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (id integer PRIMARY KEY, n integer NOT NULL UNIQUE CHECK (n > 0))")
        connection.execute("INSERT INTO t VALUES (1, 1)")
    connection.close()
    return path


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("SELECT * FROM nope", "schema.missing_table"),
        ("SELECT nope FROM t", "schema.missing_column"),
        ("INSERT INTO t (nope) VALUES (1)", "schema.missing_column"),
        ("SELECT nope(1)", "schema.missing_object"),
        ("CREATE TABLE t (id)", "schema.exists"),
        ("SELEC 1", "schema.syntax"),
        ("SELECT id FROM t a, t b", "schema.ambiguous"),
        ("INSERT INTO t VALUES (2, 1)", "data.unique"),
        ("INSERT INTO t VALUES (1, 2)", "data.unique"),
        ("INSERT INTO t VALUES (3, NULL)", "data.not_null"),
        ("INSERT INTO t VALUES (3, -1)", "data.check"),
        ("INSERT INTO t VALUES ('x', 1)", "data.malformed"),
    ],
)
def test_statement_that_sqlite_refuses(file: Path, statement: str, kind: str) -> None:
    connection = sqlite3.connect(file)
    assert classify(failing(lambda: connection.execute(statement))).kind == kind
    connection.close()
    engine = sqlalchemy.create_engine(f"sqlite:///{file}")
    with engine.connect() as wrapped:
        assert classify(failing(lambda: wrapped.exec_driver_sql(statement))).kind == kind
    engine.dispose()


@pytest.mark.parametrize("statement", ["CREATE ROLE pg_mine", "CREATE SCHEMA pg_mine", "CREATE ROLE public"])
def test_name_that_postgresql_reserves(cluster: Cluster, statement: str) -> None:
    with psycopg.connect(cluster.admin.url(), autocommit=True) as connection:
        error = classify(failing(lambda: connection.execute(statement.encode())))
    assert error.kind == "config.reserved_name"
    assert "pg_" in error.why


def test_sqlite_files_that_cannot_be_used(file: Path, tmp_path: Path) -> None:
    one, two = sqlite3.connect(file), sqlite3.connect(file, timeout=0)
    one.execute("BEGIN EXCLUSIVE")
    assert classify(failing(lambda: two.execute("SELECT * FROM t"))).kind == "transient.lock"
    one.close()
    two.close()
    assert classify(failing(lambda: two.execute("SELECT 1"))).kind == "config.closed_here"
    readonly = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    assert classify(failing(lambda: readonly.execute("DELETE FROM t"))).kind == "permission.read_only_file"
    readonly.close()
    (tmp_path / "text").write_text("no database at all, but long enough to be read as one" * 50)
    other = sqlite3.connect(tmp_path / "text")
    assert classify(failing(lambda: other.execute("SELECT * FROM t"))).kind == "config.sqlite_file"
    other.close()
    assert classify(failing(lambda: sqlite3.connect(tmp_path / "no" / "where"))).kind == "config.sqlite_file"
    limited = sqlite3.connect(file)
    limited.execute("PRAGMA max_page_count = 3")
    numbers = "WITH RECURSIVE c(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM c LIMIT 90000) SELECT n, n FROM c"
    big = f"INSERT INTO t {numbers}"
    assert classify(failing(lambda: limited.execute(big))).kind == "resource.disk_full"
    assert classify(failing(lambda: limited.execute("SELECT ?", ()))).kind == "config.program"
    limited.close()


def test_damaged_sqlite_file(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[100:200] = b"\xff" * 100
    file.write_bytes(content)
    connection = sqlite3.connect(file)
    assert classify(failing(lambda: connection.execute("SELECT * FROM t"))).kind == "resource.corrupt"
    connection.close()


@pytest.mark.parametrize(
    ("exc", "kind"),
    [
        (FileNotFoundError(errno.ENOENT, "No such file", "/x/y"), "config.file_missing"),
        (PermissionError(errno.EACCES, "Permission denied", "/x/y"), "permission.file"),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "/x"), "permission.file"),
        (OSError(errno.ENOSPC, "No space left on device", "/x"), "resource.disk_full"),
        (OSError(errno.EROFS, "Read-only file system", "/x"), "permission.read_only_file"),
        (OSError(errno.EMFILE, "Too many open files"), "resource.files"),
        (OSError(errno.EIO, "Input/output error"), "resource.io"),
        (OSError(errno.EHOSTUNREACH, "No route to host"), "network.unreachable"),
        (OSError(errno.EADDRINUSE, "Address already in use"), "service.address_in_use"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), "service.refused"),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), "network.reset"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), "network.reset"),
        (TimeoutError("timed out"), "network.timeout"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "network.unresolved"),
        (ssl.SSLCertVerificationError("certificate verify failed"), "tls.verify"),
        (MemoryError(), "resource.memory"),
        (OverflowError("Python int too large to convert to SQLite INTEGER"), "data.out_of_range"),
        (ModuleNotFoundError("No module named 'asyncpg'"), "config.driver"),
        (failing(lambda: "ℝ".encode("latin-1")), "data.encoding"),
        (failing(lambda: b"\xff".decode()), "data.encoding"),
        (failing(lambda: json.loads("{")), "data.json"),
        (sa.TimeoutError("QueuePool limit of size 1 overflow 0 reached"), "resource.pool"),
        (sa.NoSuchModuleError("Can't load plugin: sqlalchemy.dialects:postgres"), "config.driver"),
        (sa.ArgumentError("Could not parse SQLAlchemy URL from given URL string"), "config.malformed"),
        (sa.InvalidRequestError("Can't operate on this"), "config.program"),
        (sa.NoResultFound("No row was found"), "data.rows"),
        (orm.exc.StaleDataError("UPDATE statement expected to update 1 row"), "data.stale"),
        (sa.StatementError("(builtins.TypeError) x", "S", {}, TypeError("only accepts Python datetime")), "data.adapt"),
        (sa.PendingRollbackError("rolled back"), "config.aborted_transaction"),
        (ExceptionGroup("several", [KeyError("x"), psycopg.errors.UniqueViolation("double")]), "data.unique"),
        (KeyboardInterrupt(), "transient.interrupted"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_exception(exc: BaseException, kind: str) -> None:
    assert classify(exc).kind == kind


def test_our_own_error_is_returned_as_it_is() -> None:
    error = TradekeepError("data.unique")
    assert classify(error) is error
    wrapped = RuntimeError("around it")
    wrapped.__cause__ = error
    assert classify(wrapped) is error


def test_cause_is_found_behind_a_wrapper() -> None:
    wrapper = RuntimeError("the job failed")
    wrapper.__cause__ = psycopg.errors.DeadlockDetected("deadlock detected")
    error = classify(wrapper)
    assert error.kind == "transient.deadlock"
    assert error.retryable


def test_circle_of_causes_ends() -> None:
    one, two = RuntimeError("one"), RuntimeError("two")
    one.__cause__, two.__cause__ = two, one
    assert classify(one).kind == "unexpected"


def test_validation_names_the_field_and_not_its_value() -> None:
    class Form(pydantic.BaseModel):
        port: int

    error = classify(failing(lambda: Form(port="hunter2-secret")))  # type: ignore[arg-type]
    assert error.kind == "config.invalid"
    assert "port" in error.message
    assert "hunter2" not in str(error.diagnostic_info())


def test_facts_come_from_the_config() -> None:
    config = DatabaseConfig(
        host="db.example.com", port=6543, user="me", database="trading", password=SecretStr("secret-1")
    )
    error = classify(psycopg.errors.InvalidPassword("no"), config, probe_timeout_s=0)
    assert error.facts["user"] == "me"
    assert '"me"' in error.why
    assert error.facts["port"] == 6543


def test_facts_come_from_the_text_where_there_is_no_config() -> None:
    text = 'connection to server at "10.0.0.7", port 6543 failed: FATAL:  database "nope" does not exist'
    error = classify(psycopg.OperationalError(text))
    assert (error.facts["host"], error.facts["port"], error.facts["database"]) == ("10.0.0.7", "6543", "nope")
    assert "nope" in error.title


def test_several_addresses_give_the_most_telling_failure() -> None:
    text = (
        'connection failed: connection to server at "::1", port 5432 failed: Connection refused\n'
        'connection to server at "127.0.0.1", port 5432 failed: FATAL:  password authentication failed for user "me"'
    )
    assert classify(psycopg.OperationalError(text)).kind == "auth.password"


def test_values_of_a_statement_are_not_shown() -> None:
    wrapped = sa.IntegrityError("INSERT", {"a": "private"}, psycopg.errors.NotNullViolation("null value"))
    assert "private" not in str(classify(wrapped).diagnostic_info())


TAIL_CASES = [
    "failed to resolve host 'ter2secret@127.0.0.1': [Errno -2] Name or service not known",
    'could not translate host name "ter2secret@127.0.0.1" to address: Name or service not known',
    'invalid percent-encoded token: "%ter2secret"',
    'invalid port number: "ter2secret"',
    'invalid integer value "ter2secret" for connection option "port"',
    'missing "=" after "ter2secret" in connection info string',
    'invalid URI query parameter: "ter2secret@h:5432/db?x"',
    "invalid literal for int() with base 10: 'ter2secret@127.0.0.1:5432'",
    'end of string reached when looking for matching "]" in IPv6 host address in URI: "postgresql://u:[ter2secret@h"',
]


@pytest.mark.parametrize("text", TAIL_CASES)
def test_piece_of_a_password_in_a_drivers_text_is_not_shown(text: str) -> None:
    for exc in (psycopg.OperationalError(text), psycopg.ProgrammingError(text), ValueError(text)):
        error = classify(exc)
        assert "ter2secret" not in str(error.diagnostic_info()), error.details
        assert error.error_type == "config", error.kind


def test_host_stays_readable_where_the_password_was_cut_out() -> None:
    error = classify(psycopg.OperationalError(TAIL_CASES[0]))
    assert error.kind == "config.url_at"
    assert "***@127.0.0.1" in error.details
    assert error.facts["host"] == "127.0.0.1"


TEMPLATES = (
    "connection failed: {} is wrong",
    'FATAL: password authentication failed for user "{}"',
    "failed to resolve host '{}@h': unknown",
    'invalid percent-encoded token: "{}"',
    "postgresql://u:{}@h:5432/db",
    "{}",
)
WRAPPERS = (
    psycopg.OperationalError, psycopg.errors.UniqueViolation, sqlite3.OperationalError, OSError, ValueError, KeyError,
)  # fmt: skip
MARK = "Zq9xK"


@settings(deadline=None, max_examples=200)
@given(
    inner=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30),
    template=st.sampled_from(TEMPLATES),
    wrapper=st.sampled_from(WRAPPERS),
    form=st.sampled_from([str, repr, json.dumps, quote, quote_plus]),
)
@example(inner="@", template=TEMPLATES[0], wrapper=psycopg.OperationalError, form=repr)
@example(inner="'", template=TEMPLATES[1], wrapper=psycopg.OperationalError, form=str)
def test_classify_never_raises_and_never_shows_the_password(
    inner: str, template: str, wrapper: type[Exception], form: Callable[[str], str]
) -> None:
    log._secrets.clear()  # one at a time: all begin alike, so each would be looked for in each text
    password = f"{MARK}{inner}{MARK}"
    config = SimpleNamespace(host="h", port=5432, user="u", database="d", password=SecretStr(password), options={})
    cause = wrapper(template.replace("{}", form(password)))
    outer = RuntimeError(f"with {password}")
    outer.__cause__ = cause
    for exc in (cause, outer):
        error = classify(exc, config, probe_timeout_s=0)  # type: ignore[arg-type]
        assert MARK not in f"{error.diagnostic_info()} {error!r} {error} {error.facts}"


class Hostile(Exception):
    """An exception that fails in every way."""

    sqlstate = 7
    orig = "not an exception"
    filename = object()

    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    "exc", [Hostile(), OSError(), OSError(None, None), psycopg.Error(), Exception(b"\xff"), UnicodeError()]
)
@pytest.mark.parametrize(
    "config", [None, SimpleNamespace(), SimpleNamespace(host=None, port="x", password=1, options=3)]
)
def test_classify_never_raises(exc: BaseException, config: Any) -> None:
    error = classify(exc, config, probe_timeout_s=0.05)
    assert isinstance(error, TradekeepError)
    assert not re.search(r"Traceback", error.details)
