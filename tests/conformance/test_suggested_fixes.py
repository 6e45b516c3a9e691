"""What an error suggests is done for real, and then the connection or the statement works."""

from __future__ import annotations

import contextlib
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr
from sqlalchemy import create_engine

from core.errors import TradekeepError, classify
from core.settings import DatabaseConfig, parse_connection
from tests.conformance import machines
from tests.conformance.lab import PASSWORD, Lab, raised
from tests.servers import Cluster, free_port

pytestmark = pytest.mark.usefixtures("cluster")
RULES = (
    "local all by_peer peer",
    "host all no_rule 10.0.0.0/8 scram-sha-256",
    "host all rejected 127.0.0.1/32 reject",
    "host all ghost,trusted 127.0.0.1/32 trust",
)
ROLES = {
    "fine": "", "by_peer": "", "no_rule": "", "rejected": "", "no_login": "", "full": "CONNECTION LIMIT 0",
    "late": "VALID UNTIL '2001-01-01'", "spaced": "",
}  # fmt: skip


@dataclass
class Bench:
    """A server whose roles and rules cases may mend, the lab's others, and the config of the case under way."""

    lab: Lab
    server: Cluster
    config: DatabaseConfig

    def connect(self) -> None:
        """What is tried before and after."""
        psycopg.connect(**{"connect_timeout": "3", **self.config.libpq_params()}).close()  # type: ignore[arg-type]

    def change(self, **changes: Any) -> None:
        """Correct the connection itself."""
        if "port" in changes:
            changes["port_text"] = str(changes["port"])
        self.config = self.config.model_copy(update=changes)

    def run(self, statements: str, database: str = "app") -> None:
        """Execute the SQL of a step as the administrator."""
        self.server.sql(*[part for part in statements.split(";") if part.strip()], database=database)


Try = Callable[[Bench], Any]
Mend = Callable[[Bench, TradekeepError], Any]


def where(**changes: Any) -> Callable[[Bench], None]:
    """A connection with this changed; text for the password."""

    def prepare(bench: Bench) -> None:
        bench.change(**{key: SecretStr(value) if key == "password" else value for key, value in changes.items()})

    return prepare


def corrected(**changes: Any) -> Mend:
    prepare = where(**changes)
    return lambda bench, error: prepare(bench)


def step(beginning: str, database: str = "app") -> Mend:
    """The SQL of the step that has it after these words, exactly as a person reads it."""

    def mend(bench: Bench, error: TradekeepError) -> None:
        found = next(text for text in error.recovery_steps if re.search(beginning, text))
        bench.run(found[re.search(beginning, found).end() :].removeprefix(": "), database)  # type: ignore[union-attr]

    return mend


def sql(*statements: str) -> Mend:
    return lambda bench, error: bench.server.sql(*statements, database="app")


def rules(*lines: str) -> Mend:
    """Other lines in pg_hba.conf, then the reload that the error names."""

    def mend(bench: Bench, error: TradekeepError) -> None:
        assert any("pg_reload_conf()" in text for text in error.recovery_steps)
        bench.server.configure(hba=lines)
        bench.server.reload()

    return mend


def statement(text: str, user: str | None = None) -> Try:
    def attempt(bench: Bench) -> None:
        who: dict[str, Any] = {"user": user, "password": PASSWORD} if user else {}
        with contextlib.closing(bench.server.connect("app", **who)) as session:
            session.execute(text)  # type: ignore[call-overload]

    return attempt


def with_tls(certificate: str = "server", user: str = "plain", mode: str = "verify-full", **options: str) -> Any:
    """A connection to the server with TLS; options beginning with @ are files of the lab."""

    def prepare(bench: Bench) -> None:
        bench.lab.showing(certificate)
        bench.config = bench.lab.tls_config(user, mode, **files(bench, options))

    return prepare


def files(bench: Bench, options: dict[str, str]) -> dict[str, str]:
    path = bench.lab.certificates.path
    return {key: path(value[1:]) if value[:1] == "@" else value for key, value in options.items()}


def options(**changes: str | None) -> Mend:
    """Other options of the connection; None removes one."""

    def mend(bench: Bench, error: TradekeepError) -> None:
        kept = bench.config.options | files(bench, {key: value for key, value in changes.items() if value})
        bench.change(options={key: value for key, value in kept.items() if changes.get(key, value) is not None})

    return mend


def own_certificate(bench: Bench, error: TradekeepError) -> None:
    bench.lab.certificates.issue("own", "x@example.com", common_name="certuser")
    options(sslcert="@own.crt", sslkey="@own.key")(bench, error)


def open_key(bench: Bench) -> None:
    bench.lab.certificates.issue("open", "x@example.com", common_name="certuser")
    (bench.lab.certificates.folder / "open.key").chmod(0o644)
    with_tls(user="certuser", sslcert="@open.crt", sslkey="@open.key")(bench)


def command(bench: Bench, error: TradekeepError) -> None:
    """The first command among the steps, as a shell runs it."""
    found = next(text for text in error.recovery_steps if "chmod" in text)
    subprocess.run(shlex.split(found[found.index("chmod") :]), check=True)


def renewed(bench: Bench, error: TradekeepError) -> None:
    bench.lab.showing("server")


def stopped(bench: Bench) -> None:
    bench.config = bench.lab.running().admin
    bench.lab.own.stop()


def used_up(bench: Bench) -> None:
    """All connections of a small server are taken."""
    cluster = bench.lab.running()
    bench.config = cluster.admin
    for _ in range(10):
        try:
            bench.lab.stack.enter_context(contextlib.closing(cluster.connect()))
        except psycopg.OperationalError:
            return


def freed(bench: Bench, error: TradekeepError) -> None:
    """End the sessions that the suggested question shows."""
    assert any("pg_stat_activity" in text for text in error.recovery_steps)
    bench.lab.own.restart()


def pasted(text: str) -> Callable[[Bench], None]:
    """A URL as libpq reads it."""

    def prepare(bench: Bench) -> None:
        bench.lab.made["url"] = text.replace("PORT", str(bench.server.port))

    return prepare


def by_url(bench: Bench) -> None:
    psycopg.connect(bench.lab.made["url"], connect_timeout=3).close()


def escaped(old: str, new: str) -> Mend:
    def mend(bench: Bench, error: TradekeepError) -> None:
        bench.lab.made["url"] = bench.lab.made["url"].replace(old, new)
        parse_connection(bench.lab.made["url"])

    return mend


def through_pooler(bench: Bench) -> None:
    server = f"app = host=127.0.0.1 port={bench.server.port} dbname=app"
    port = bench.lab.stack.enter_context(machines.pgbouncer(server, users={"fine": PASSWORD}))
    bench.change(port=port, options={"options": "-c work_mem=8MB"})


def after_an_error(bench: Bench) -> None:
    """A transaction that goes on after an error, until it is rolled back."""
    session = bench.lab.once("aborted", lambda: bench.lab.stack.enter_context(bench.server.connect("app")))
    if not bench.lab.made.get("rolled back"):
        session.autocommit = False
        raised(lambda: session.execute("SELECT nope"))
    session.execute("SELECT 1")


def roll_back(bench: Bench, error: TradekeepError) -> None:
    bench.lab.made["aborted"].rollback()
    bench.lab.made["rolled back"] = True


def row_locked(bench: Bench) -> None:
    if "holder" not in bench.lab.made:
        holder = bench.lab.once("holder", lambda: bench.lab.stack.enter_context(bench.server.connect("app")))
        holder.autocommit = False
        holder.execute("LOCK TABLE things")
    statement("DO 'BEGIN LOCK TABLE things NOWAIT; END'")(bench)


def in_pool(bench: Bench) -> None:
    """Two connections of SQLAlchemy's pool at once."""
    size = bench.lab.made.get("pool size", 1)
    engine = create_engine(bench.config.url("psycopg"), pool_size=size, max_overflow=0, pool_timeout=0.1)
    try:
        with engine.connect(), engine.connect():
            pass
    finally:
        engine.dispose()


def created(database: str) -> Mend:
    return lambda bench, error: bench.server.sql(f"CREATE DATABASE {database}")


SCRAM = {"require_auth": "scram-sha-256"}
OLD_TLS = {"ssl_min_protocol_version": "TLSv1", "ssl_max_protocol_version": "TLSv1.1"}
USUAL = Bench.connect
# kind, what is prepared, what is tried, how it is mended
CASES: list[tuple[str, Any, Try, Mend]] = [
    ("auth.password", where(password="wrong"), USUAL, corrected(password=PASSWORD)),
    ("auth.password", where(user="late"), USUAL, sql("ALTER ROLE late VALID UNTIL 'infinity'")),
    ("auth.no_password", where(password=None, options={"passfile": "/dev/null"}), USUAL, corrected(password=PASSWORD)),
    ("auth.role_no_login", where(user="no_login"), USUAL, step("As an administrator")),
    ("auth.role_missing", where(user="ghost"), USUAL, sql("CREATE ROLE ghost LOGIN")),
    ("auth.pg_hba_rejects", where(user="rejected"), USUAL, rules(*(r for r in RULES if "reject" not in r))),
    ("auth.peer", where(user="by_peer", host="socket"), USUAL, corrected(host="127.0.0.1")),
    ("auth.requirement", where(user="trusted", options=SCRAM), USUAL, corrected(options={})),
    ("config.database_closed", where(database="closed"), USUAL, step("As an administrator", "postgres")),
    ("permission.connect", where(database="private"), USUAL, step("As the database's owner")),
    ("resource.role_connections", where(user="full"), USUAL, step("As an administrator")),
    ("resource.database_connections", where(database="crowded"), USUAL, step("As its owner")),
    ("schema.missing_database", where(database="later"), USUAL, created("later")),
    ("config.password_encoding", where(user="spaced", password="right+one"), USUAL, corrected(password="right one")),
    ("config.option_value", where(options={"sslmode": "on"}), USUAL, corrected(options={"sslmode": "prefer"})),
    ("config.parameter", where(options={"options": "-c nope=1"}), USUAL, corrected(options={})),
    ("config.target_session", where(options={"target_session_attrs": "standby"}), USUAL, corrected(options={})),
    ("tls.not_offered", where(options={"sslmode": "require"}), USUAL, corrected(options={"sslmode": "prefer"})),
    ("network.unresolved", where(host="no-such-host.invalid"), USUAL, corrected(host="localhost")),
    ("service.socket_missing", where(host="/nowhere"), USUAL, corrected(host="socket")),
    ("service.refused", where(port="free"), USUAL, corrected(port="right")),
    ("service.refused", stopped, USUAL, lambda bench, error: bench.lab.own.start()),
    ("resource.connections", used_up, USUAL, freed),
    ("config.pooler_parameter", through_pooler, USUAL, corrected(options={})),
    ("config.url_at", pasted("postgresql://at:p@ss@127.0.0.1:PORT/app"), by_url, escaped("p@ss", "p%40ss")),
    ("config.option", pasted("postgresql://at:p%40ss@127.0.0.1:PORT/app?bogus=1"), by_url, escaped("?bogus=1", "")),
    ("config.malformed", pasted("postgresql://at:p%4%0ss@127.0.0.1:PORT/app"), by_url, escaped("p%4%0ss", "p%40ss")),
    ("tls.expired", with_tls("old"), USUAL, renewed),
    ("tls.not_yet_valid", with_tls("new"), USUAL, renewed),
    ("tls.wrong_host", with_tls("other"), USUAL, renewed),
    ("tls.unknown_ca", with_tls(sslrootcert="@stranger"), USUAL, options(sslrootcert="@root")),
    ("tls.root_missing", with_tls(sslrootcert="@nowhere"), USUAL, options(sslrootcert="@root")),
    ("tls.root_unreadable", with_tls(sslrootcert="@garbage"), USUAL, options(sslrootcert="@root")),
    ("tls.versions", with_tls(**OLD_TLS), USUAL, options(**dict.fromkeys(OLD_TLS))),
    ("tls.required", with_tls(user="tlsonly", mode="disable"), USUAL, options(sslmode="require")),
    ("tls.refused_by_rule", with_tls(user="plainonly"), USUAL, options(sslmode="disable")),
    ("tls.client_certificate_missing", with_tls(user="certuser"), USUAL, own_certificate),
    ("tls.client_key_permissions", open_key, USUAL, command),
    ("permission.schema", None, statement("SELECT * FROM hidden.t", "fine"), step("as the schema's owner")),
    ("permission.schema", None, statement("CREATE TABLE mine (n int)", "fine"), step("create tables in it as well")),
    ("permission.table", None, statement("SELECT * FROM things", "fine"), step("what is needed of it")),
    ("permission.create", None, statement("CREATE ROLE another", "fine"), step("Or grant the rights")),
    ("schema.missing_table", None, statement("SELECT * FROM later"), sql("CREATE TABLE later (n int)")),
    ("schema.no_partition", None, statement("INSERT INTO x VALUES (5)"), sql("CREATE TABLE d PARTITION OF x DEFAULT")),
    ("schema.exists", None, statement("CREATE TABLE twice (n int)"), sql("DROP TABLE twice")),
    ("schema.depends", None, statement("DROP TABLE seen"), sql("DROP VIEW seeing")),
    ("data.unique", None, statement("INSERT INTO things VALUES (1)"), sql("DELETE FROM things WHERE id = 1")),
    ("config.aborted_transaction", None, after_an_error, roll_back),
    ("transient.lock", None, row_locked, lambda bench, error: bench.lab.made["holder"].rollback()),
    ("resource.pool", None, in_pool, lambda bench, error: bench.lab.made.update({"pool size": 2})),
]  # fmt: skip


@pytest.fixture(scope="module")
def lab(cluster: Cluster) -> Iterator[Lab]:
    with contextlib.ExitStack() as stack:
        yield Lab(stack)


@pytest.fixture(scope="module")
def server(lab: Lab) -> Cluster:
    """A server that every case finds broken in its own way."""
    made = lab.stack.enter_context(Cluster(hba=RULES))
    made.sql(
        *(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}' {more}" for name, more in ROLES.items()),
        "ALTER ROLE spaced PASSWORD 'right one'", "ALTER ROLE no_login NOLOGIN",
        "CREATE ROLE at LOGIN PASSWORD 'p@ss'", "CREATE ROLE trusted LOGIN",
        "CREATE DATABASE app", "CREATE DATABASE closed ALLOW_CONNECTIONS false", "CREATE DATABASE private",
        "CREATE DATABASE crowded CONNECTION LIMIT 0", "REVOKE CONNECT ON DATABASE private FROM PUBLIC",
    )  # fmt: skip
    made.sql(
        "CREATE SCHEMA hidden", "CREATE TABLE hidden.t (n int)", "GRANT SELECT ON hidden.t TO fine",
        "CREATE TABLE things (id int PRIMARY KEY)", "INSERT INTO things VALUES (1)",
        "CREATE TABLE x (n int) PARTITION BY LIST (n)", "CREATE TABLE twice (n int)",
        "CREATE TABLE seen (n int)", "CREATE VIEW seeing AS SELECT * FROM seen", database="app",
    )  # fmt: skip
    return made


@pytest.mark.parametrize(
    ("kind", "prepare", "attempt", "mend"), CASES, ids=[f"{number}-{case[0]}" for number, case in enumerate(CASES)]
)
def test_suggested_fix_works(lab: Lab, server: Cluster, kind: str, prepare: Any, attempt: Try, mend: Mend) -> None:
    places = {"socket": str(server.socket_dir), "free": free_port(), "right": server.port}
    right = server.config("app", user="fine", password=PASSWORD)
    bench = Bench(lab, server, right)
    if prepare:
        prepare(bench)
    _placed(bench, places)
    error = classify(raised(lambda: attempt(bench)), bench.config)
    assert error.kind == kind, error.details
    mend(bench, error)
    _placed(bench, places)
    attempt(bench)


def _placed(bench: Bench, places: dict[str, Any]) -> None:
    """Fill in what is known only when the server runs."""
    host, port = bench.config.host, bench.config.port
    bench.change(host=places.get(str(host), host), port=places.get(str(port), port))
