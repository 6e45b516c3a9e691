"""Connections that do not come about, and what they must be classified as."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import psycopg
from pydantic import SecretStr
from sqlalchemy import create_engine

from core.settings import DatabaseConfig, parse_connection
from tests.conformance.lab import OWN, PASSWORD, Failure, Lab, connecting, listener, raised, refusing
from tests.servers import free_port

Provoked = tuple[BaseException, DatabaseConfig | None]


def right_but(**changes: Any) -> Callable[[Lab], Provoked]:
    """A connection to the server without TLS that is wrong in one thing."""

    def provoke(lab: Lab) -> Provoked:
        return connecting(lab.config(**{k: SecretStr(v) if k == "password" else v for k, v in changes.items()}))

    return provoke


def tls(
    certificate: str = "server", user: str = "plain", mode: str = "verify-full", **options: str
) -> Callable[[Lab], Provoked]:
    """A connection to the server with TLS; options beginning with @ are names of files in the lab."""

    def provoke(lab: Lab) -> Provoked:
        lab.showing(certificate)
        paths = {key: lab.certificates.path(value[1:]) if value[:1] == "@" else value for key, value in options.items()}
        return connecting(lab.tls_config(user, mode, **paths))

    return provoke


def open_key(lab: Lab) -> Provoked:
    """A client key that everybody can read."""
    lab.certificates.issue("readable", "x@example.com", common_name="certuser")
    (lab.certificates.folder / "readable.key").chmod(0o644)
    return tls(user="certuser", sslcert="@readable.crt", sslkey="@readable.key")(lab)


def foreign_key(lab: Lab) -> Provoked:
    """A client key that belongs to another certificate."""
    lab.certificates.issue("strange", "x@example.com", common_name="certuser")
    return tls(user="certuser", sslcert="@strange.crt", sslkey="@someone.key")(lab)


def against(answer: Callable[[socket.socket], None], **options: str) -> Callable[[Lab], Provoked]:
    """Connect to a program that is no PostgreSQL."""

    def provoke(lab: Lab) -> Provoked:
        port = lab.stack.enter_context(listener(answer))
        return connecting(lab.elsewhere(port, connect_timeout="2", **options))

    return provoke


def http(client: socket.socket) -> None:
    client.recv(100)
    client.sendall(b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\n\r\n")


def patient_http(client: socket.socket) -> None:
    """One that waits for the end of a line, as most do."""
    received = b""
    while b"\n" not in received and (more := client.recv(100)):
        received += more
    client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def mysql(client: socket.socket) -> None:
    client.sendall(b"J\x00\x00\x00\x0a8.0.36\x00")
    client.recv(100)


def ssh(client: socket.socket) -> None:
    client.sendall(b"SSH-2.0-OpenSSH_9.2p1\r\n")
    time.sleep(3)


def redis(client: socket.socket) -> None:
    client.recv(100)
    client.sendall(b"-ERR unknown command\r\n")


def silent(client: socket.socket) -> None:
    time.sleep(3)


def closing(client: socket.socket) -> None:
    client.recv(100)


def dropped(lab: Lab) -> int:
    """A listener whose queue is full: Linux drops what comes then, as a firewall does."""
    server = lab.stack.enter_context(contextlib.closing(socket.create_server(("127.0.0.1", 0), backlog=0)))
    for _ in range(4):
        client = lab.stack.enter_context(contextlib.closing(socket.socket()))
        client.setblocking(False)
        client.connect_ex(server.getsockname())
    time.sleep(0.05)
    return int(server.getsockname()[1])


def blackhole(lab: Lab) -> Provoked:
    return connecting(lab.elsewhere(dropped(lab), connect_timeout="2"))


def dropped_twice(lab: Lab) -> Provoked:
    """Two hosts that both drop what comes: the driver's deadline counts for each."""
    ports = [str(dropped(lab)) for _ in range(2)]
    text = f"postgresql://plain:{PASSWORD}@127.0.0.1:{ports[0]},127.0.0.1:{ports[1]}/app?connect_timeout=2"
    return connecting(parse_connection(text))


def nothing_listens(lab: Lab) -> Provoked:
    return connecting(lab.elsewhere(free_port()))


def no_socket(lab: Lab) -> Provoked:
    return connecting(lab.config(host=str(lab.certificates.folder)))


def other_interface(lab: Lab) -> Provoked:
    return connecting(lab.config(host="127.0.0.2"))


def peer(lab: Lab) -> Provoked:
    return connecting(lab.config(user="nopassword", host=str(lab.server.socket_dir)))


def url(text: str) -> Callable[[Lab], Provoked]:
    """A connection string as libpq and psycopg read it; {port} and {password} are filled in."""

    def provoke(lab: Lab) -> Provoked:
        filled = text.replace("{port}", str(lab.server.port)).replace("{password}", PASSWORD)
        return raised(lambda: psycopg.connect(filled, connect_timeout=2)), None

    return provoke


def sqlalchemy(text: str) -> Callable[[Lab], Provoked]:
    def provoke(lab: Lab) -> Provoked:
        return raised(lambda: create_engine(text.replace("{port}", str(lab.server.port))).connect()), None

    return provoke


def no_password(lab: Lab) -> Provoked:
    return connecting(lab.config(password=None, options={"passfile": "/dev/null"}))


def no_service(lab: Lab) -> Provoked:
    return raised(lambda: psycopg.connect(service="nosuchservice")), None


def quote_plus(lab: Lab) -> Provoked:
    """A space that became a + on the way."""
    secret = f"{PASSWORD} too".replace(" ", "+")
    return connecting(lab.config(user="spaced", password=SecretStr(secret)))


def pooler(text: str, sqlstate: str = "08P01") -> Callable[[Lab], Provoked]:
    return against(refusing(sqlstate, text))


def starting(lab: Lab) -> Provoked:
    """A server that waits for the archive before it lets anybody in."""
    cluster = lab.running()
    cluster.stop()
    cluster.configure(conf=("restore_command = 'sleep 20; false'", "hot_standby = off"))
    cluster.put("standby.signal", "")
    try:
        cluster.start(wait=False)
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            exc, config = connecting(lab.elsewhere(cluster.port))
            if "starting up" in str(exc):
                return exc, config
            time.sleep(0.01)
        raise AssertionError(exc)
    finally:
        cluster.stop("immediate")
        cluster.configure(conf=OWN)
        (cluster.data_dir / "standby.signal").unlink()


R = right_but
SCRAM = {"require_auth": "scram-sha-256"}
OLD_TLS = {"ssl_min_protocol_version": "TLSv1", "ssl_max_protocol_version": "TLSv1.1"}
SOMEONE = {"sslcert": "@someone.crt", "sslkey": "@someone.key"}
READ_WRITE = {"target_session_attrs": "read-write"}
FAILURES = [
    Failure("auth_wrong_password", R(password="wrong"), "auth.password"),
    Failure("auth_unknown_user", R(user="nobody_here"), "auth.password"),
    Failure("auth_expired_password", R(user="expired"), "auth.password"),
    Failure("auth_role_without_password", R(user="nopassword"), "auth.password"),
    Failure("auth_no_password", no_password, "auth.no_password"),
    Failure("auth_unknown_role_trusted", R(user="ghost"), "auth.role_missing"),
    Failure("auth_group_role", R(user="grouponly"), "auth.role_no_login"),
    Failure("hba_reject", R(user="nohba"), "auth.pg_hba_rejects"),
    Failure("auth_peer", peer, "auth.peer"),
    Failure("auth_require_auth_mismatch", R(user="trusted", options=SCRAM), "auth.requirement"),
    Failure("auth_require_auth_cleartext", R(user="cleartext", options=SCRAM), "auth.requirement"),
    Failure("auth_channel_binding_no_tls", R(options={"channel_binding": "require"}), "auth.requirement"),
    Failure("special_password_quote_plus", quote_plus, "config.password_encoding"),
    Failure("db_unknown", R(database="nope"), "schema.missing_database"),
    Failure("db_not_accepting", R(database="closed"), "config.database_closed"),
    Failure("db_no_connect", R(database="private"), "permission.connect"),
    Failure("limit_role", R(user="limited"), "resource.role_connections"),
    Failure("limit_database", R(database="dlimit"), "resource.database_connections"),
    Failure("data_client_encoding", R(options={"client_encoding": "klingon"}), "config.option_value"),
    Failure("cfg_bad_startup_option", R(options={"options": "-c no_such_parameter=1"}), "config.parameter"),
    Failure("standby_target_rw", R(user="reader", options=READ_WRITE), "config.target_session"),
    Failure("tls_required_server_without", R(options={"sslmode": "require"}), "tls.not_offered"),
    Failure("bad_sslmode", R(options={"sslmode": "on"}), "config.option_value"),
    Failure("tls_min_version_bad", R(options={"ssl_min_protocol_version": "TLSv9"}), "config.option_value"),
    Failure("service_unknown", no_service, "config.service_file"),
    Failure("url_raw_at", url("postgresql://plain:p@ss@127.0.0.1:{port}/app"), "config.url_at"),
    Failure("url_raw_slash", url("postgresql://plain:p/ss@127.0.0.1:{port}/app"), "config.port"),
    Failure("url_unknown_option", url("postgresql://plain:x@127.0.0.1:{port}/app?bogus=1"), "config.option"),
    Failure("url_bad_percent", url("postgresql://plain:p%w@127.0.0.1:{port}/app"), "config.malformed"),
    Failure("url_bad_port", url("postgresql://plain:x@127.0.0.1:99999/app"), "config.port"),
    Failure("dsn_no_equals", url("host=127.0.0.1 password secret"), "config.malformed"),
    Failure("dsn_open_quote", url("host=127.0.0.1 password='secret"), "config.malformed"),
    Failure("sa_url_postgres_scheme", sqlalchemy("postgres://u:p@127.0.0.1/app"), "config.driver"),
    Failure("sa_url_malformed", sqlalchemy("127.0.0.1/app"), "config.malformed"),
    Failure("sa_driver_missing", sqlalchemy("postgresql+pg8000://u:p@127.0.0.1/app"), "config.driver"),
    Failure("net_refused", nothing_listens, "service.refused"),
    Failure("net_wrong_interface", other_interface, "service.refused"),
    Failure("net_no_socket", no_socket, "service.socket_missing"),
    Failure("net_unresolved", R(host="no-such-host.invalid"), "network.unresolved"),
    Failure("net_blackhole", blackhole, "network.timeout"),
    Failure("net_multi_blackhole", dropped_twice, "network.timeout"),
    Failure("net_http_server_400", against(http), "service.not_postgres"),
    Failure("net_http_server_400_plain", against(http, sslmode="disable"), "service.not_postgres"),
    Failure("net_http_server_waits", against(patient_http), "service.not_postgres"),
    Failure("net_accept_silent", against(silent), "service.silent"),
    Failure("net_mysql_banner", against(mysql), "service.not_postgres"),
    Failure("net_ssh_banner", against(ssh), "service.not_postgres"),
    Failure("net_redis", against(redis), "service.not_postgres"),
    Failure("net_closed_after_startup", against(closing), "service.closed"),
    Failure("srv_starting_up", starting, "service.starting"),
    Failure("hosted_unknown_tenant", pooler("Tenant or user not found", "XX000"), "auth.tenant"),
]  # fmt: skip

TLS_FAILURES = [
    Failure("tls_wrong_host", tls("other"), "tls.wrong_host"),
    Failure("tls_expired", tls("old"), "tls.expired"),
    Failure("tls_not_yet_valid", tls("new"), "tls.not_yet_valid"),
    Failure("tls_unknown_ca", tls(sslrootcert="@stranger"), "tls.unknown_ca"),
    Failure("tls_root_system", tls(sslrootcert="system"), "tls.unknown_ca"),
    Failure("tls_root_garbage", tls(sslrootcert="@garbage"), "tls.root_unreadable"),
    Failure("tls_root_missing", tls(sslrootcert="@nowhere"), "tls.root_missing"),
    Failure("tls_min_version_conflict", tls(**OLD_TLS), "tls.versions"),
    Failure("hba_hostnossl_with_tls", tls(user="plainonly"), "tls.refused_by_rule"),
    Failure("hba_reject_with_tls", tls(user="rejected"), "tls.refused_by_rule"),
    Failure("hba_no_entry", tls(user="nohba", mode="prefer"), "auth.pg_hba"),
    Failure("auth_unknown_role", tls(user="ghost"), "auth.pg_hba"),
    Failure("hba_no_entry_with_tls", tls(user="nohba"), "auth.pg_hba"),
    Failure("hba_hostssl_without_tls", tls(user="tlsonly", mode="disable"), "tls.required"),
    Failure("auth_cert_missing", tls(user="certuser"), "tls.client_certificate_missing"),
    Failure("auth_cert_wrong_cn", tls(user="certuser", **SOMEONE), "tls.client_certificate_refused"),
    Failure("tls_client_key_permissions", open_key, "tls.client_key_permissions"),
    Failure("tls_client_key_foreign", foreign_key, "tls.client_key"),
]  # fmt: skip
CONTROLS = [partial(tls, "server"), partial(tls, "old", mode="require"), partial(tls, "other", mode="verify-ca")]
