"""More connections that do not come about: methods of signing in, hosts, files, sockets, sessions cut."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Callable
from typing import Any

import psycopg
from pydantic import SecretStr

from core.settings import DatabaseConfig
from tests.conformance import machines
from tests.conformance.failing_connections import R, dropped, silent
from tests.conformance.lab import PASSWORD, Failure, Lab, connecting, listener, raised
from tests.servers import Cluster, free_folder, free_port

Provoked = tuple[BaseException | str, DatabaseConfig | None]
RULES = (
    "local all mapped peer map=nosuchmap",
    "host all identified 127.0.0.1/32 ident",
    "host all pam_user 127.0.0.1/32 pam",
    "host all gss_user 127.0.0.1/32 gss",
    "host all md5_user 127.0.0.1/32 md5",
    "host all scram_only 127.0.0.1/32 scram-sha-256",
    'host all radius_user 127.0.0.1/32 radius radiusservers="127.0.0.1" radiussecrets="x" radiusports="1"',
    "host other all 127.0.0.1/32 trust",
    "host all elsewhere 10.0.0.0/8 trust",
    "host replication repl 127.0.0.1/32 trust",
)


def methods_of(lab: Lab) -> Cluster:
    """Debian's server with a rule for every way of signing in."""

    def start() -> Cluster:
        cluster = lab.stack.enter_context(Cluster(binaries=machines.debian_programs(), hba=RULES))
        # Nothing else is let in, so that a role without a rule finds none.
        rules = (*RULES, "host all postgres 127.0.0.1/32 scram-sha-256", "local all postgres scram-sha-256", "")
        cluster.put("pg_hba.conf", "\n".join(rules))
        cluster.sql(
            "SET password_encryption = 'md5'", f"CREATE ROLE md5_user LOGIN PASSWORD '{PASSWORD}'",
            "CREATE ROLE scram_only LOGIN PASSWORD 'md5a14f1e3c3c7d8f8b1c0f3a4a5d6e7f80'",
            "CREATE ROLE mapped LOGIN", "CREATE ROLE identified LOGIN", "CREATE ROLE pam_user LOGIN",
            "CREATE ROLE elsewhere LOGIN", "CREATE ROLE repl LOGIN",
        )  # fmt: skip
        cluster.reload()
        return cluster

    cluster: Cluster = lab.once("methods", start)
    return cluster


def method(user: str, database: str = "postgres", **changes: Any) -> Callable[[Lab], Provoked]:
    def provoke(lab: Lab) -> Provoked:
        cluster = methods_of(lab)
        given = {"host": "127.0.0.1", "password": SecretStr(PASSWORD)} | changes
        if given["host"] == "socket":
            given["host"] = str(cluster.socket_dir)
        return connecting(DatabaseConfig(port=cluster.port, user=user, database=database, **given))

    return provoke


def hosts(*places: object, **options: str) -> Callable[[Lab], Provoked]:
    """Several hosts: "server" is the one that works, "dead" one that does not listen, anything else is a host."""

    def provoke(lab: Lab) -> Provoked:
        pairs = []
        for place in places:
            if place == "server":
                pairs.append(("127.0.0.1", lab.server.port))
            elif place == "dead":
                pairs.append(("127.0.0.1", free_port()))
            elif place == "dropped":
                pairs.append(("127.0.0.1", dropped(lab)))
            elif place == "silent":
                pairs.append(("127.0.0.1", lab.stack.enter_context(listener(silent))))
            else:
                pairs.append((str(place), free_port()))
        user = options.get("user", "plain")
        given = {key: value for key, value in options.items() if key not in ("user", "password", "database")}
        return connecting(
            DatabaseConfig(
                host=",".join(host for host, _ in pairs), port_text=",".join(str(port) for _, port in pairs),
                user=user, database=options.get("database", "app"), options=given,
                password=SecretStr(options.get("password", PASSWORD)),
            )
        )  # fmt: skip

    return provoke


def standby_wants(attribute: str) -> Callable[[Lab], Provoked]:
    """A kind of server that the standby is not."""

    def provoke(lab: Lab) -> Provoked:
        cluster = lab.once("standby", lambda: lab.stack.enter_context(machines.standby_of(lab.server)))
        return connecting(cluster.admin.model_copy(update={"options": {"target_session_attrs": attribute}}))

    return provoke


def in_a_file(name: str, content: str, **given: Any) -> Callable[[Lab], Provoked]:
    """A connection by a service file or a password file with this content."""

    def provoke(lab: Lab) -> Provoked:
        path = free_folder("files-") / name
        path.write_text(content.replace("{port}", str(lab.server.port)))
        path.chmod(0o600)
        if name == "pass":
            config = lab.config(password=None, options={"passfile": str(path)})
            return connecting(config)
        before = os.environ.get("PGSERVICEFILE")
        os.environ["PGSERVICEFILE"] = str(path)
        try:
            return raised(lambda: psycopg.connect(connect_timeout=2, **given)), None
        finally:
            os.environ.pop("PGSERVICEFILE") if before is None else os.environ.update(PGSERVICEFILE=before)

    return provoke


def closed_folder(lab: Lab) -> Provoked:
    """A socket folder that this user may not enter; in a child that is not root."""
    machines.only_root()
    folder = free_folder("closed-")
    folder.chmod(0o000)
    import subprocess
    import sys

    program = (
        "import os, psycopg\nos.setgid(65534); os.setuid(65534)\n"
        f"try: psycopg.connect(host={str(folder)!r}, port={lab.server.port}, user='x')\n"
        "except psycopg.Error as exc: print(exc)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd="/")
    return psycopg.OperationalError(done.stdout.strip()), lab.config(host=str(folder))


def no_peer(lab: Lab) -> Provoked:
    """A socket that belongs to somebody else than the client wants."""
    return connecting(lab.config(host=str(lab.server.socket_dir), options={"requirepeer": "somebody"}))


def ipv6_refused(lab: Lab) -> Provoked:
    return connecting(lab.config(host="::1", port=free_port()))


def name_refused(lab: Lab) -> Provoked:
    """A name with two addresses, of which none listens."""
    return connecting(lab.config(host="localhost", port=free_port()))


def talking(*replies: bytes, plain: bool = True) -> Callable[[Lab], Provoked]:
    """A program that answers each message with the next of these, then closes."""

    def provoke(lab: Lab) -> Provoked:
        def answer(client: socket.socket) -> None:
            for reply in replies:
                client.recv(4096)
                client.sendall(reply)
            client.recv(4096)

        port = lab.stack.enter_context(listener(answer))
        return connecting(lab.elsewhere(port, connect_timeout="2", **({"sslmode": "disable"} if plain else {})))

    return provoke


def resetting(lab: Lab) -> Provoked:
    def answer(client: socket.socket) -> None:
        client.recv(100)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()

    port = lab.stack.enter_context(listener(answer))
    return connecting(lab.elsewhere(port, sslmode="disable"))


def through(lab: Lab, act: Callable[[socket.socket, socket.socket], None]) -> int:
    """The port of a relay to the server; act gets both sides once a session is open."""

    def answer(client: socket.socket) -> None:
        import select

        with socket.create_connection(("127.0.0.1", lab.server.port)) as server:
            while True:
                for side in select.select([client, server], [], [], 5)[0]:
                    data = side.recv(65536)
                    if b"cut me" in data:
                        act(client, server)
                        return
                    if not data:
                        return
                    (server if side is client else client).sendall(data)

    return lab.stack.enter_context(listener(answer))


def cut(lab: Lab) -> Provoked:
    """A session whose connection somebody between closes while a statement runs."""
    config = lab.elsewhere(through(lab, lambda client, server: None))
    with contextlib.closing(psycopg.connect(**config.libpq_params())) as session:
        return raised(lambda: session.execute("SELECT 'cut me'")), None


def reset(lab: Lab) -> Provoked:
    def act(client: socket.socket, server: socket.socket) -> None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    config = lab.elsewhere(through(lab, act))
    with contextlib.closing(psycopg.connect(**config.libpq_params())) as session:
        return raised(lambda: session.execute("SELECT 'cut me'")), None


def garbage(lab: Lab) -> Provoked:
    """A session into which somebody between writes nonsense."""
    config = lab.elsewhere(through(lab, lambda client, server: client.sendall(b"\xfe\xff garbage" * 50)))
    with contextlib.closing(psycopg.connect(**config.libpq_params())) as session:
        return raised(lambda: session.execute("SELECT 'cut me'")), None


def reserved(lab: Lab) -> Provoked:
    """Only the superuser's slots are left."""
    cluster = lab.running()
    cluster.sql(f"DO $$BEGIN CREATE ROLE guest LOGIN PASSWORD '{PASSWORD}'; EXCEPTION WHEN OTHERS THEN NULL; END$$")
    with contextlib.ExitStack() as stack:
        for _ in range(10):
            try:
                stack.enter_context(contextlib.closing(cluster.connect(user="guest", password=PASSWORD)))
            except psycopg.OperationalError as exc:
                return exc, cluster.config(user="guest", password=PASSWORD)
    raise AssertionError("no limit")


def database_gone(lab: Lab) -> Provoked:
    """A session whose database is dropped with force."""
    lab.server.sql("CREATE DATABASE leaving")
    session = lab.session(database="leaving")
    lab.server.sql("DROP DATABASE leaving WITH (FORCE)")
    return raised(lambda: session.execute("SELECT 1")), None


SCRAM = {"require_auth": "scram-sha-256"}
FAILURES = [
    Failure("method_md5_wrong", method("md5_user", password=SecretStr("wrong")), "auth.password"),
    Failure("method_md5_not_wanted", method("md5_user", options=SCRAM), "auth.requirement"),
    Failure("method_md5_under_scram", method("scram_only"), "auth.password"),
    Failure("method_ident", method("identified"), "auth.peer"),
    Failure("method_peer_map", method("mapped", host="socket"), "auth.peer"),
    Failure("method_pam", method("pam_user"), "auth.external"),
    Failure("method_gss", method("gss_user"), "auth.external"),
    Failure("rule_for_other_address", method("elsewhere"), "auth.pg_hba"),
    Failure("rule_for_other_database", method("nobody"), "auth.pg_hba"),
    Failure("rule_local_missing", method("md5_user", host="socket"), "auth.pg_hba"),
    Failure("rule_unknown_database", method("postgres", "other"), "schema.missing_database"),
    Failure("requires_no_password", R(options={"require_auth": "none"}), "auth.requirement"),
    Failure("requires_gss", R(options={"gssencmode": "require"}), "auth.requirement"),
    Failure("requires_two", R(options={"require_auth": "md5,!password"}), "config.option_value"),
    Failure("binding_unknown", R(options={"channel_binding": "maybe"}), "config.option_value"),
    Failure("peer_required", no_peer, "auth.requirement"),
    Failure("hosts_all_dead", hosts("dead", "dead"), "service.refused"),
    Failure("hosts_dead_then_wrong_password", hosts("dead", "server", password="wrong"), "auth.password"),
    Failure("hosts_wrong_password_then_dead", hosts("server", "dead", password="wrong"), "auth.password"),
    Failure("hosts_unknown_and_dead", hosts("no-such-host.invalid", "dead"), "service.refused"),
    Failure("hosts_dropped_and_dead", hosts("dropped", "dead", connect_timeout="2"), "service.refused"),
    Failure("hosts_wrong_database", hosts("dead", "server", database="nope"), "schema.missing_database"),
    Failure("hosts_no_standby", hosts("server", "dead", target_session_attrs="standby"), "config.target_session"),
    Failure("wants_standby", R(options={"target_session_attrs": "standby"}), "config.target_session"),
    Failure("wants_read_only", R(options={"target_session_attrs": "read-only"}), "config.target_session"),
    Failure("wants_nonsense", R(options={"target_session_attrs": "best"}), "config.option_value"),
    Failure("standby_wants_primary", standby_wants("primary"), "config.target_session"),
    Failure("standby_wants_read_write", standby_wants("read-write"), "config.target_session"),
    Failure("balance_nonsense", R(options={"load_balance_hosts": "maybe"}), "config.option_value"),
    Failure("timeout_nonsense", R(options={"connect_timeout": "soon"}), "config.option_value"),
    Failure("keepalive_nonsense", R(options={"keepalives_idle": "x"}), "config.option_value"),
    Failure("options_nonsense", R(options={"options": "-z"}), "config.parameter"),
    Failure("options_superuser", R(options={"options": "-c log_statement=all"}), "permission.superuser"),
    Failure("options_value", R(options={"options": "-c work_mem=lots"}), "config.option_value"),
    Failure("replication_refused", R(options={"replication": "true"}), "permission.superuser"),
    Failure(
        "service_not_there", in_a_file("service", "[other]\nhost=127.0.0.1\n", service="mine"), "config.service_file"
    ),
    Failure("service_syntax", in_a_file("service", "[mine]\nnonsense\n", service="mine"), "config.service_file"),
    Failure("service_option", in_a_file("service", "[mine]\nbogus=1\n", service="mine"), "config.service_file"),
    Failure("service_nested", in_a_file("service", "[mine]\nservice=other\n", service="mine"), "config.service_file"),
    Failure("service_port", in_a_file("service", "[mine]\nhost=127.0.0.1\nport=abc\n", service="mine"), "config.port"),
    Failure("passfile_other_host", in_a_file("pass", "db.example.com:*:*:*:x\n"), "auth.no_password"),
    Failure("passfile_wrong", in_a_file("pass", "*:*:*:*:wrong\n"), "auth.password"),
    Failure("socket_folder_closed", closed_folder, "permission.socket"),
    Failure("socket_too_long", R(host="/" + "x" * 120), "config.socket_path"),
    Failure("ipv6_refused", ipv6_refused, "service.refused"),
    Failure("name_refused", name_refused, "service.refused"),
    Failure("name_empty_label", R(host="db..example"), "network.unresolved"),
    Failure("name_too_long", R(host="a" * 300), "network.unresolved"),
    Failure("address_not_an_address", R(options={"hostaddr": "300.1.1.1"}), "config.option_value"),
    Failure("talks_auth_unknown", talking(b"R" + struct.pack(">II", 8, 99)), "auth.method"),
    Failure("talks_kerberos", talking(b"R" + struct.pack(">II", 8, 2)), "auth.method"),
    Failure("talks_half_a_message", talking(b"R\0\0"), "service.silent"),
    Failure("talks_huge_message", talking(b"R\x7f\xff\xff\xff"), "service.not_postgres"),
    Failure("talks_smtp", talking(b"220 mail ESMTP\r\n"), "service.not_postgres"),
    Failure("talks_tls_then_closes", talking(b"S", plain=False), "service.not_postgres"),
    Failure("talks_tls_then_garbage", talking(b"S", b"garbage garbage", plain=False), "tls.versions"),
    Failure("talks_nothing_resets", resetting, "service.closed"),
    Failure("session_cut", cut, "service.lost"),
    Failure("session_reset", reset, "service.lost"),
    Failure("session_garbage", garbage, "service.protocol"),
    Failure("slots_reserved", reserved, "resource.connections"),
    Failure("database_dropped", database_gone, "transient.terminated"),
]
