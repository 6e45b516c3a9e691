"""Failures that take a server of their own: older, German, behind PgBouncer, standing by, damaged, or out of disk."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from psycopg_pool import ConnectionPool
from pydantic import SecretStr
from sqlalchemy import create_engine

from core.embedded import programs
from core.settings import DatabaseConfig
from tests.conformance import machines
from tests.conformance.lab import PASSWORD, Failure, Lab, connecting, error_message, listener, raised
from tests.servers import Cluster, free_folder, free_port, give_to_server

Provoked = tuple[BaseException | str, DatabaseConfig | None]
FILL = "CREATE TABLE filling AS SELECT repeat(md5(n::text), 20) AS t FROM generate_series(1, 200000) n"


def pgbouncer_of(lab: Lab) -> int:
    """One PgBouncer for all cases: what is behind it exists, lacks a database, is down, or refuses the password."""

    def start() -> int:
        server = f"host=127.0.0.1 port={lab.server.port}"
        return lab.stack.enter_context(
            machines.pgbouncer(
                f"app = {server} dbname=app",
                f"nodb = {server} dbname=nodb",
                f"down = host=127.0.0.1 port={free_port()}",
                f"badlogin = {server} dbname=app user=plain password=wrong",
                users={"plain": PASSWORD, "reader": PASSWORD},
                pool_mode="transaction", query_wait_timeout=1, server_login_retry=15,
            )
        )  # fmt: skip

    return lab.once("pgbouncer", start)


def behind(database: str, **changes: Any) -> Callable[[Lab], Provoked]:
    """A connection through PgBouncer."""

    def provoke(lab: Lab) -> Provoked:
        return connecting(
            DatabaseConfig(
                host="127.0.0.1", port=pgbouncer_of(lab), database=database,
                **{"user": "plain", "password": SecretStr(PASSWORD)} | changes,
            )
        )  # fmt: skip

    return provoke


def login_fails_behind(lab: Lab) -> Provoked:
    """PgBouncer's own password is refused by the server: the second client is told so."""
    behind("badlogin")(lab)
    return behind("badlogin")(lab)


def pgbouncer_full(lab: Lab) -> Provoked:
    """A second client of a PgBouncer that takes one."""
    server = f"app = host=127.0.0.1 port={lab.server.port} dbname=app"
    with machines.pgbouncer(server, users={"plain": PASSWORD}, max_client_conn=1) as port:
        config = lab.elsewhere(port)
        deadline = time.monotonic() + 3
        while True:  # the connection that waited for its start may still be counted
            with contextlib.suppress(psycopg.OperationalError):
                first = psycopg.connect(**config.libpq_params())
                break
            assert time.monotonic() < deadline
        with contextlib.closing(first):
            return connecting(config)


def prepared_behind_pgbouncer(lab: Lab) -> Provoked:
    """A statement that was prepared on another session of the server."""
    config = lab.elsewhere(pgbouncer_of(lab))
    with contextlib.closing(psycopg.connect(**config.libpq_params(), autocommit=True)) as session:
        return raised(lambda: session.execute("EXECUTE elsewhere")), config


def german_of(lab: Lab) -> Cluster:
    return lab.once("german", lambda: lab.stack.enter_context(machines.german()))


def in_german(**changes: Any) -> Callable[[Lab], Provoked]:
    def provoke(lab: Lab) -> Provoked:
        config = german_of(lab).admin
        return connecting(config.model_copy(update=changes))

    return provoke


def german_statement(sql: str) -> Callable[[Lab], Provoked]:
    def provoke(lab: Lab) -> Provoked:
        with contextlib.closing(german_of(lab).connect()) as session:
            return raised(lambda: session.execute(sql)), None  # type: ignore[call-overload]

    return provoke


def direct_tls(lab: Lab) -> Provoked:
    """TLS from the first byte, which a server knows since version 17."""
    cluster = german_of(lab)
    for end in ("crt", "key"):
        cluster.put(f"server.{end}", Path(lab.certificates.path(f"server.{end}")).read_bytes())
    cluster.sql("ALTER SYSTEM SET ssl = on")
    cluster.reload()
    config = cluster.admin.model_copy(update={"options": {"sslmode": "require", "sslnegotiation": "direct"}})
    try:
        return connecting(config)
    finally:
        cluster.sql("ALTER SYSTEM SET ssl = off")
        cluster.reload()


def protocol_four(lab: Lab) -> Provoked:
    """What a server says to a protocol it does not know; psycopg can only be shown its words by a relay."""
    import socket
    import struct

    with socket.create_connection(("127.0.0.1", lab.server.port)) as raw:
        raw.sendall(struct.pack(">II", 23, 4 << 16) + b"user\0postgres\0\0")
        said = raw.recv(4096)
    fields = {part[:1]: part[1:].decode() for part in said[5:].split(b"\0") if part}

    def answer(client: socket.socket) -> None:
        client.recv(4096)
        client.sendall(error_message(fields[b"C"], fields[b"M"]))

    port = lab.stack.enter_context(listener(answer))
    exc, config = connecting(lab.elsewhere(port, sslmode="disable"))
    return exc, config


def firewall(kind: str) -> Callable[[Lab], Provoked]:
    """A route that the kernel refuses, as it does after a firewall's REJECT."""

    def provoke(lab: Lab) -> Provoked:
        lab.server  # noqa: B018 - started in the usual network
        machines.own_network(f"{kind} 192.0.2.0/24")
        return connecting(lab.config(host="192.0.2.1"))

    return provoke


def standby_statement(*statements: str, in_transaction: bool = False) -> Callable[[Lab], Provoked]:
    def provoke(lab: Lab) -> Provoked:
        cluster = lab.once("standby", lambda: lab.stack.enter_context(machines.standby_of(lab.server)))
        with contextlib.closing(cluster.connect("app")) as session:
            session.autocommit = not in_transaction
            *before, last = statements
            for statement in before:
                session.execute(statement)  # type: ignore[call-overload]
            return raised(lambda: session.execute(last)), None  # type: ignore[call-overload]

    return provoke


def full_tablespace(sql: str) -> Callable[[Lab], Provoked]:
    """A statement in a tablespace on a volume of 6 MB."""

    def provoke(lab: Lab) -> Provoked:
        folder = free_folder("volume-")
        with machines.small_disk(folder, "6m"), contextlib.closing(lab.session()) as session:
            session.execute(f"CREATE TABLESPACE small LOCATION '{folder}'")  # type: ignore[call-overload]
            session.execute("SET default_tablespace = small")
            session.execute("CREATE TABLE filled (t text)")
            exc = raised(lambda: session.execute(sql))  # type: ignore[call-overload]
            session.execute("DROP TABLE IF EXISTS filled")
            session.execute("CHECKPOINT")
            session.execute("SET default_tablespace = ''")
            session.execute("DROP TABLESPACE small")
            return exc, None

    return provoke


def full_server(lab: Lab) -> Provoked:
    """The whole data volume, tables and WAL, is full."""
    with machines.server_on_a_small_disk("70m") as cluster, contextlib.closing(cluster.connect()) as session:
        return raised(lambda: session.execute(FILL)), None  # type: ignore[call-overload]


def full_log_then_connect(lab: Lab) -> Provoked:
    """A server whose WAL found no room has ended; a new connection afterwards."""
    with machines.server_on_a_small_disk("56m") as cluster:
        config = cluster.admin
        with contextlib.suppress(psycopg.Error), contextlib.closing(cluster.connect()) as session:
            session.execute("CREATE TABLE filling (t text)")
            Path(cluster.data_dir, "ballast").write_bytes(b"x" * (4 << 20))
            for _ in range(200):
                session.execute("SELECT pg_logical_emit_message(false, 'x', repeat('x', 1000000))")
        deadline = time.monotonic() + 5
        while cluster.pid and time.monotonic() < deadline:
            time.sleep(0.05)
        cluster.stop("immediate")
        return connecting(config)


def damaged_page(lab: Lab) -> Provoked:
    """A page on disk that does not fit its checksum."""
    cluster = lab.running()
    cluster.sql("CREATE TABLE damaged AS SELECT generate_series(1, 100) AS n", "CHECKPOINT")
    ((path,),) = cluster.sql("SELECT pg_relation_filepath('damaged')")
    cluster.stop()
    with (cluster.data_dir / path).open("r+b") as file:
        file.seek(200)
        file.write(b"\xff" * 500)
    cluster.start()
    with contextlib.closing(cluster.connect()) as session:
        exc = raised(lambda: session.execute("SELECT * FROM damaged"))
        session.execute("DROP TABLE damaged")
    return exc, None


def stale_in_pool(lab: Lab) -> Provoked:
    """SQLAlchemy's pool hands out a connection that the server has ended."""
    engine = create_engine(lab.config(user="reader").url("psycopg"))
    with engine.connect() as connection:
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
    lab.server.sql(f"SELECT pg_terminate_backend({pid}, 1000)")
    with engine.connect() as connection:
        exc = raised(lambda: connection.exec_driver_sql("SELECT 1"))
    engine.dispose()
    return exc, lab.config(user="reader")


def pool_without_server(lab: Lab) -> Provoked:
    """psycopg's pool keeps the cause to itself."""
    config = lab.elsewhere(free_port())
    with ConnectionPool(kwargs=config.libpq_params(), min_size=1, open=False) as pool:  # type: ignore[arg-type]
        return raised(lambda: pool.wait(timeout=0.3)), config


def row_locked(lab: Lab) -> Provoked:
    holder, other = lab.session(), lab.session()
    holder.autocommit = False
    holder.execute("SELECT * FROM trades FOR UPDATE")
    exc = raised(lambda: other.execute("SELECT * FROM trades FOR UPDATE NOWAIT"))
    holder.rollback()
    return exc, None


def as_plain(sql: str) -> Callable[[Lab], Provoked]:
    """A statement that runs outside of a transaction only, as a role without rights."""

    def provoke(lab: Lab) -> Provoked:
        session = lab.session("plain")
        return raised(lambda: session.execute(sql)), None  # type: ignore[call-overload]

    return provoke


def terminate_superuser(lab: Lab) -> Provoked:
    victim, session = lab.session(), lab.session("plain")
    pid = victim.info.backend_pid
    return raised(lambda: session.execute("SELECT pg_terminate_backend(%s)", [pid])), None


def source_in_use(lab: Lab) -> Provoked:
    """CREATE DATABASE from one that somebody uses: the server waits five seconds for them to go."""
    lab.session(database="app")
    session = lab.session(database="postgres")
    return raised(lambda: session.execute("CREATE DATABASE copied TEMPLATE app")), None


def starting(change: Callable[[Lab, Path], Cluster]) -> Callable[[Lab], Provoked]:
    """What a server writes that does not start because of a change in its data folder."""

    def provoke(lab: Lab) -> Provoked:
        folder = free_folder("start-")
        cluster = change(lab, folder / "data")
        try:
            done = subprocess.run(
                [cluster.binaries / "pg_ctl", "start", "-D", folder / "data", "-w", "-t", "10"],
                capture_output=True, text=True, check=False, cwd="/",
                **programs.run_as(programs.account_for_server()) | {"env": {"LC_ALL": "C", "PATH": "/usr/bin:/bin"}},
            )  # fmt: skip
            assert done.returncode
            return done.stdout + done.stderr, None
        finally:
            shutil.rmtree(folder)

    return provoke


def _copy(cluster: Cluster, data: Path, *lines: str) -> None:
    """The files of a running server that matter until it reads its configuration."""
    data.mkdir(mode=0o700, exist_ok=True)
    shutil.copytree(cluster.data_dir / "global", data / "global")
    conf = (cluster.data_dir / "postgresql.conf").read_text().replace(f"port = {cluster.port}", f"port = {free_port()}")
    (data / "postgresql.conf").write_text("\n".join((conf, *lines, "")))
    shutil.copy(cluster.data_dir / "PG_VERSION", data)
    shutil.copy(cluster.data_dir / "pg_hba.conf", data)
    for path in (data, *data.rglob("*")):
        give_to_server(path)


def _with_typo(lab: Lab, data: Path) -> Cluster:
    _copy(lab.server, data, "shared_bufers = 1GB")
    return lab.server


def _without_certificate(lab: Lab, data: Path) -> Cluster:
    _copy(lab.secured, data, "ssl = on")
    return lab.secured


def _with_an_open_key(lab: Lab, data: Path) -> Cluster:
    _copy(lab.secured, data, "ssl = on")
    for end in ("crt", "key"):
        shutil.copy(lab.certificates.path(f"server.{end}"), data)
        give_to_server(data / f"server.{end}")
    (data / "server.key").chmod(0o644)
    return lab.secured


def full_at_the_start(lab: Lab) -> Provoked:
    """A server whose disk has no room for its lock file."""
    folder = free_folder("start-")
    with machines.small_disk(folder / "data", "2m"):
        _copy(lab.server, folder / "data")
        with contextlib.suppress(OSError), (folder / "data" / "ballast").open("wb") as ballast:
            while True:
                ballast.write(b"x" * 4096)
                ballast.flush()
        done = subprocess.run(
            [lab.server.binaries / "postgres", "-D", folder / "data"], capture_output=True, text=True, check=False,
            cwd="/", timeout=10, **programs.run_as(programs.account_for_server()) | {"env": {"LC_ALL": "C"}},
        )  # fmt: skip
        return done.stdout + done.stderr, None


def _of_another_version(lab: Lab, data: Path) -> Cluster:
    _copy(lab.server, data)
    return german_of(lab)


FULL = "INSERT INTO filled SELECT repeat(md5(n::text), 20) FROM generate_series(1, 30000) n"
FAILURES = [
    Failure("auth_ldap_failed", in_german(user="ldap_user"), "auth.external"),
    Failure("i18n_wrong_password", in_german(password=SecretStr("wrong")), "auth.password"),
    Failure("i18n_db_unknown", in_german(database="nope"), "schema.missing_database"),
    Failure("i18n_undefined_table", german_statement("SELECT * FROM nope"), "schema.missing_table"),
    Failure(
        "old_server_syntax",
        german_statement("MERGE INTO pg_class USING pg_am ON true WHEN MATCHED THEN DO NOTHING RETURNING 1"),
        "schema.syntax",
    ),
    Failure("tls_direct_negotiation", direct_tls, "tls.handshake"),
    Failure("proto_unsupported", protocol_four, "config.protocol"),
    Failure("net_firewall_reject", firewall("unreachable"), "network.unreachable"),
    Failure("net_firewall_prohibited", firewall("prohibit"), "network.forbidden"),
    Failure("net_firewall_blackhole", firewall("blackhole"), "network.unreachable"),
    Failure("pool_stale_connection", stale_in_pool, "transient.terminated"),
    Failure("pool_server_down_psycopg", pool_without_server, "service.refused"),
    Failure("row_nowait", row_locked, "transient.lock"),
    Failure("perm_create_db", as_plain("CREATE DATABASE x"), "permission.create"),
    Failure("perm_alter_system", as_plain("ALTER SYSTEM SET work_mem = '8MB'"), "permission.superuser"),
    Failure("perm_terminate", terminate_superuser, "permission.superuser"),
    Failure("create_db_source_in_use", source_in_use, "schema.in_use"),
    Failure("res_disk_full_table", full_tablespace(FULL), "resource.disk_full"),
    Failure("res_disk_full_ctas", full_tablespace(FILL), "resource.disk_full"),
    Failure("res_disk_full_all", full_server, "resource.disk_full"),
    Failure("res_wal_disk_full_connect", full_log_then_connect, "service.refused"),
    Failure("corrupt_page", damaged_page, "resource.corrupt"),
    Failure("standby_ddl", standby_statement("CREATE TABLE t (n int)"), "config.read_only"),
    Failure(
        "standby_serializable",
        standby_statement("SET default_transaction_isolation = serializable", "SELECT 1"),
        "config.standby",
    ),
    Failure("pgb_unknown_user", behind("app", user="stranger"), "auth.password"),
    Failure("pgb_wrong_password", behind("app", password=SecretStr("wrong")), "auth.password"),
    Failure("pgb_no_such_database", behind("nothere"), "schema.missing_database"),
    Failure("pgb_server_down", behind("down"), "service.behind_pooler"),
    Failure("pgb_server_login", login_fails_behind, "service.behind_pooler"),
    Failure("pgb_server_db_missing", behind("nodb"), "schema.missing_database"),
    Failure("pgb_startup_parameter", behind("app", options={"options": "-c work_mem=8MB"}), "config.pooler_parameter"),
    Failure("pgb_tls", behind("app", options={"sslmode": "require"}), "tls.not_offered"),
    Failure("pgb_prepared", prepared_behind_pgbouncer, "schema.statement_missing"),
    Failure("pgb_max_client_conn", pgbouncer_full, "resource.pooler_connections"),
    Failure("start_bad_parameter", starting(_with_typo), "config.server_file"),
    Failure("start_ssl_no_cert", starting(_without_certificate), "tls.server_files"),
    Failure("start_ssl_key_open", starting(_with_an_open_key), "tls.server_files"),
    Failure("start_disk_full", full_at_the_start, "resource.disk_full"),
    Failure("start_wrong_version", starting(_of_another_version), "config.data_version"),
]
