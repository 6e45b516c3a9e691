"""Looking for a password: every place in its order, named and never shown, and no harm done to the server."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from core.errors import TradekeepError
from core.log import redact
from core.settings import DatabaseConfig, load_settings
from core.setup import credentials
from core.setup.credentials import Source, defaults
from tests.conformance import machines
from tests.servers import Cluster

SECRET = "Zq7-planted:with\\signs"


@pytest.fixture(autouse=True)
def fresh(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No place of this machine's own, and no earlier try."""
    monkeypatch.setattr(defaults, "APART_S", 0.01)
    defaults.forget()
    yield
    defaults.forget()


def wanted(cluster: Cluster, **changes: object) -> DatabaseConfig:
    return DatabaseConfig(host="127.0.0.1", port=cluster.port).replace(**changes)


def look(server: DatabaseConfig, **options: bool) -> list[Source]:
    return credentials.search(server, load_settings(), **options)


def of_kind(sources: list[Source], kind: str) -> list[Source]:
    return [source for source in sources if source.kind == kind]


def pgpass(text: str | bytes, mode: int = 0o600) -> Path:
    file = Path.home() / ".pgpass"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    file.chmod(mode)
    return file


def failures(cluster: Cluster) -> int:
    return cluster.log.read_text("utf-8", "replace").count("password authentication failed for user")


def test_with_nothing_anywhere_every_place_says_so(cluster: Cluster) -> None:
    sources = look(wanted(cluster), common=False)
    assert [source.kind for source in sources] == ["file", "file", "environment", "service", "pgpass", "trust"]
    assert [source.name for source in sources[:2]] == [".env.local", ".env"]
    assert {source.verdict for source in sources[:5]} == {"nothing"}
    assert sources[5].verdict == "fails"


def test_the_order_is_the_documented_one_and_no_secret_shows(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"postgresql://postgres:{{}}@127.0.0.1:{cluster.port}/postgres"
    Path(".env.local").write_text(f"DATABASE_URL={url.format('Planted-1')}\n")
    Path(".env").write_text(f"DB_URL={url.format('Planted-2')}\nPOSTGRES_PASSWORD=Planted-3\n")
    monkeypatch.setenv("PGPASSWORD", "Planted-4")
    (Path.home() / ".pg_service.conf").write_text(f"[prod]\nhost=localhost\nport={cluster.port}\npassword=Planted-5\n")
    pgpass(f"# mine\n*:{cluster.port}:*:postgres:Planted-6\n")
    sources = look(wanted(cluster), common=False)
    assert [source.name for source in sources[:6]] == [
        ".env.local, DATABASE_URL", ".env, DB_URL", ".env, POSTGRES_PASSWORD", "environment, PG* variables",
        "~/.pg_service.conf, [prod]", "~/.pgpass, line 2",
    ]  # fmt: skip
    assert {source.verdict for source in sources[:6]} == {"fails"}
    assert "Planted" not in json.dumps([source.model_dump() for source in sources])
    assert "Planted" not in repr(credentials.candidates(wanted(cluster), load_settings()))


@pytest.mark.parametrize("place", ["file", "environment", "service", "pgpass"])
def test_a_password_that_works_is_found_and_used(cluster: Cluster, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if place == "file":
        Path(".env.local").write_text(f"DATABASE_URL={cluster.admin.url()}\n")
    elif place == "environment":
        monkeypatch.setenv("PGPASSWORD", cluster.password)
        monkeypatch.setenv("PGUSER", "postgres")
    elif place == "service":
        (Path.home() / ".pg_service.conf").write_text(
            f"[prod]\nhost=127.0.0.1\nport={cluster.port}\nuser=postgres\ndbname=postgres\npassword={cluster.password}\n"
        )
    else:
        pgpass(f"localhost:{cluster.port}:*:postgres:{cluster.password}\n")
    found = [source for source in look(wanted(cluster)) if source.verdict == "works"]
    assert [source.kind for source in found] == [place]
    assert found[0].superuser
    login = credentials.login_of(found[0], wanted(cluster), load_settings())
    assert login.password is not None
    assert login.password.get_secret_value() == cluster.password
    assert (login.user, login.database) == ("postgres", "postgres")


def test_a_login_that_is_gone_is_called_so(cluster: Cluster) -> None:
    Path(".env.local").write_text(f"DATABASE_URL={cluster.admin.url()}\n")
    source = look(wanted(cluster))[0]
    Path(".env.local").unlink()
    with pytest.raises(TradekeepError, match="not there any more"):
        credentials.login_of(source, wanted(cluster), load_settings())


def test_a_login_of_another_server_is_named_and_not_sent_there(cluster: Cluster) -> None:
    Path(".env").write_text(
        "DATABASE_URL=postgresql://u:Planted-1@db.example.com/x\nDB_URL=postgresql://u:Planted-2@h:%zz\n"
    )
    first, second = of_kind(look(wanted(cluster), common=False), "file")[1:]
    assert (first.verdict, first.why) == ("elsewhere", "it is for db.example.com")
    assert second.verdict == "unreadable"
    assert "Planted" not in first.why + second.why


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
@pytest.mark.parametrize(
    ("mode", "verdict"), [(0o644, "unreadable"), (0o640, "unreadable"), (0o600, "works"), (0o400, "works")]
)
def test_a_password_file_that_others_may_read_is_not_used(cluster: Cluster, mode: int, verdict: str) -> None:
    pgpass(f"*:*:*:*:{cluster.password}\n", mode)
    found = of_kind(look(wanted(cluster), common=False), "pgpass")[0]
    assert found.verdict == verdict
    assert verdict == "works" or "chmod 600" in found.why


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_a_password_file_that_is_no_file_does_not_hang(cluster: Cluster) -> None:
    os.mkfifo(Path.home() / ".pgpass")
    found = of_kind(look(wanted(cluster), common=False), "pgpass")[0]
    assert (found.verdict, "no plain file" in found.why) == ("unreadable", True)


def test_one_login_in_two_places_is_tried_once(cluster: Cluster) -> None:
    for name in (".env.local", ".env"):
        Path(name).write_text(f"DATABASE_URL=postgresql://postgres:wrong-1@127.0.0.1:{cluster.port}/postgres\n")
    before = failures(cluster)
    sources = look(wanted(cluster), common=False)
    assert [source.verdict for source in of_kind(sources, "file")] == ["fails", "fails"]
    assert failures(cluster) == before + 1


@pytest.mark.parametrize("rule", ["host", "hostssl", "hostnossl"])
def test_a_wrong_password_counts_once_on_a_server_with_tls(rule: str) -> None:
    """libpq's default would try it again without TLS, and the server would count two."""
    leaf = trustme.CA().issue_cert("localhost")
    with Cluster(binaries=machines.debian_programs()) as cluster:
        cluster.put("server.crt", leaf.cert_chain_pems[0].bytes())
        cluster.put("server.key", leaf.private_key_pem.bytes())
        cluster.sql("ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()")
        cluster.put("pg_hba.conf", f"{rule} all all 127.0.0.1/32 scram-sha-256\n")
        cluster.reload()
        before = failures(cluster)
        Path(".env").write_text("PGPASSWORD=wrong-2\n")
        found = of_kind(look(wanted(cluster), common=False), "file")[1]
        assert failures(cluster) == before + 1, found
        look(wanted(cluster))
        assert failures(cluster) == before + 2 + defaults.MOST


def test_trust_is_found_and_called_a_danger() -> None:
    with Cluster(hba=["host all postgres 127.0.0.1/32 trust"]) as cluster:
        found = look(wanted(cluster))
    trusted = of_kind(found, "trust")[0]
    assert (trusted.verdict, trusted.superuser) == ("works", True)
    assert "without a password" in trusted.danger
    assert not of_kind(found, "default")


def test_peer_through_a_socket_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    with Cluster(hba=["local all postgres trust"]) as cluster:
        server = wanted(cluster, host=str(cluster.socket_dir))
        found = of_kind(look(server), "peer")
        assert found[0].verdict == "works"
        login = credentials.login_of(found[0], server, load_settings())
    assert login.password is None
    assert login.host == str(cluster.socket_dir)


@pytest.fixture
def weak(own_cluster: Cluster) -> Cluster:
    """A server whose superuser has the third of the common passwords."""
    own_cluster.sql("ALTER ROLE postgres PASSWORD 'admin'")
    own_cluster.password = "admin"
    return own_cluster


def test_a_common_password_that_works_is_a_danger_and_can_be_changed(weak: Cluster) -> None:
    server = wanted(weak)
    found = of_kind(look(server), "default")
    assert [source.verdict for source in found] == ["works"]
    assert "Change it" in found[0].danger
    assert failures(weak) == 2
    login = credentials.login_of(found[0], server, load_settings())
    new = credentials.new_password()
    changed = credentials.change_password(login, new)
    weak.password = new.get_secret_value()
    assert weak.sql("SELECT 1") == [(1,)]
    assert changed.login.password == new
    assert new.get_secret_value() not in weak.log.read_text()
    assert of_kind(look(server), "default")[0].verdict == "fails"


def test_common_passwords_are_no_secrets_to_mask() -> None:
    """Else "root" would be *** in every message from then on."""
    with Cluster() as cluster:
        look(wanted(cluster))
    assert redact("role root of database postgres123") == "role root of database postgres123"


def test_at_most_six_tries_and_not_again_at_once(own_cluster: Cluster) -> None:
    first = of_kind(look(wanted(own_cluster)), "default")[0]
    assert first.verdict == "fails"
    assert failures(own_cluster) == len(defaults.PASSWORDS) == defaults.MOST == 6
    second = of_kind(look(wanted(own_cluster)), "default")[0]
    assert (second.verdict, "not tried again" in second.why) == ("skipped", True)
    assert failures(own_cluster) == 6


def test_tries_are_spaced(own_cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(defaults, "APART_S", 0.1)
    begin = time.monotonic()
    look(wanted(own_cluster))
    assert time.monotonic() - begin > 0.5


def test_tries_stop_where_the_server_takes_no_more_connections(own_cluster: Cluster) -> None:
    own_cluster.configure(conf=["max_connections = 4", "superuser_reserved_connections = 3"])
    own_cluster.stop()
    own_cluster.start()
    held = [own_cluster.connect() for _ in range(4)]
    try:
        found = of_kind(look(wanted(own_cluster)), "default")[0]
    finally:
        for one in held:
            one.close()
    assert found.verdict == "skipped"
    assert failures(own_cluster) == 0


class LockingServer:
    """Speaks enough of the protocol to ask for a password and to say after it that the login is locked."""

    def __init__(self, text: str, sqlstate: str = "28000") -> None:
        self.tries, self._text, self._state = 0, text, sqlstate
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(peer,), daemon=True).start()

    def _one(self, peer: socket.socket) -> None:
        with peer, contextlib.suppress(OSError):
            peer.settimeout(2)
            self._talk(peer)

    def _talk(self, peer: socket.socket) -> None:
        first = peer.recv(4096)
        if first[4:8] == b"\x04\xd2\x16\x2f":
            peer.sendall(b"N")
            first = peer.recv(4096)
        if not first:
            return
        peer.sendall(b"R\0\0\0\x08\0\0\0\x03")
        if not peer.recv(4096).startswith(b"p"):
            return
        self.tries += 1
        body = f"SFATAL\0VFATAL\0C{self._state}\0M{self._text}\0\0".encode()
        peer.sendall(b"E" + (len(body) + 4).to_bytes(4, "big") + body)

    def close(self) -> None:
        self._listener.close()


@pytest.mark.parametrize(
    ("text", "sqlstate"),
    [
        ("account is locked after too many failed logins", "28000"),
        ('password authentication failed: user "postgres" is temporarily blocked', "28P01"),
        ("sorry, too many clients already", "53300"),
        ("the database system is starting up", "57P03"),
        ("Anmeldung verweigert", "28000"),
    ],
)
def test_tries_stop_at_the_first_answer_that_is_not_simply_wrong(text: str, sqlstate: str) -> None:
    server = LockingServer(text, sqlstate)
    try:
        found = of_kind(look(DatabaseConfig(host="127.0.0.1", port=server.port)), "default")[0]
    finally:
        server.close()
    assert server.tries <= 1
    assert found.verdict in ("fails", "skipped")


@pytest.mark.parametrize(
    "changes",
    [
        {"host": "192.0.2.1"},
        {"host": "db.example.com"},
        {"host": "127.0.0.1,192.0.2.1", "port_text": "5432,5432"},
        {"host": "localhost", "options": {"hostaddr": "192.0.2.1"}},
        {"host": "", "options": {"hostaddr": "192.0.2.1"}},
        {"host": "no-such-host.invalid"},
        {"host": "", "options": {"service": "prod"}},
    ],
)
def test_common_passwords_never_leave_this_machine(changes: dict[str, object]) -> None:
    assert defaults.why_not(DatabaseConfig(port=5432).replace(**changes))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "::1", "/run/postgresql", ""])
def test_common_passwords_are_for_this_machine(host: str) -> None:
    assert not defaults.why_not(DatabaseConfig(host=host, port=65000))


def test_a_name_that_leads_elsewhere_is_not_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(2, 1, 6, "", ("192.0.2.7", 0))])
    assert "over a network" in defaults.why_not(DatabaseConfig(host="localhost", port=5432))


def test_a_server_that_is_away_ends_the_tries_at_once() -> None:
    Path(".env").write_text("PGPASSWORD=Planted-1\n")
    begin = time.monotonic()
    found = look(DatabaseConfig(host="127.0.0.1", port=1))
    assert time.monotonic() - begin < 3
    assert {source.verdict for source in found if source.kind in ("trust", "default")} == {"skipped"}
