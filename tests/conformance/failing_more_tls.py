"""More connections with TLS that do not come about: files, certificates, revocation, versions, a session cut."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import psycopg
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from core.settings import DatabaseConfig
from tests.conformance.failing_connections import R, tls
from tests.conformance.lab import Failure, Lab, raised
from tests.servers import give_to_server

Provoked = tuple[BaseException | str, DatabaseConfig | None]


def passphrase(lab: Lab) -> Provoked:
    """A client key that is locked, and nobody who knows the word."""
    leaf = lab.certificates.issue("locked", "x@example.com", common_name="certuser")
    key = serialization.load_pem_private_key(leaf.private_key_pem.bytes(), None)
    sealed = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"word")
    )
    Path(lab.certificates.path("locked.key")).write_bytes(sealed)
    return tls(user="certuser", sslcert="@locked.crt", sslkey="@locked.key", sslpassword="wrong")(lab)


def revoked(lab: Lab) -> Provoked:
    """A server's certificate that its CA has revoked."""
    from datetime import UTC, datetime, timedelta

    ca = lab.certificates.ca
    leaf = x509.load_pem_x509_certificate(Path(lab.certificates.path("server.crt")).read_bytes())
    now = datetime.now(UTC)
    gone = x509.RevokedCertificateBuilder().serial_number(leaf.serial_number).revocation_date(now).build()
    key = ca._private_key  # trustme shows it in no other way
    signed = x509.CertificateRevocationListBuilder(
        leaf.issuer, now - timedelta(days=1), now + timedelta(days=1), [], [gone]
    ).sign(key, hashes.SHA256())  # type: ignore[arg-type]
    Path(lab.certificates.path("crl")).write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    return tls(sslcrl="@crl")(lab)


def self_signed(lab: Lab) -> Provoked:
    """A server with a certificate that it signed itself, as the one that Debian makes."""
    import datetime as dt

    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    Path(lab.certificates.path("self.crt")).write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    Path(lab.certificates.path("self.key")).write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    )
    return tls("self")(lab)


def strange_client(lab: Lab) -> Provoked:
    """A client's certificate from a CA that the server does not know."""
    lab.certificates.issue("foreign", "x@example.com", common_name="certuser", by=lab.certificates.stranger)
    return tls(user="certuser", sslcert="@foreign.crt", sslkey="@foreign.key")(lab)


def old_client(lab: Lab) -> Provoked:
    """A client's certificate that has expired."""
    from datetime import UTC, datetime, timedelta

    past = datetime.now(UTC) - timedelta(days=5)
    lab.certificates.issue(
        "late", "x@example.com", common_name="certuser", not_before=past - timedelta(days=5), not_after=past
    )
    return tls(user="certuser", sslcert="@late.crt", sslkey="@late.key")(lab)


def unreadable_root(lab: Lab) -> Provoked:
    path = Path(lab.certificates.path("folder"))
    path.mkdir(exist_ok=True)
    give_to_server(path)
    return tls(sslrootcert="@folder")(lab)


def tls_session_cut(lab: Lab) -> Provoked:
    """A session with TLS whose backend is ended from outside without a word."""
    import signal

    cluster = lab.showing("server")
    config = lab.tls_config("plain", "require")
    with contextlib.closing(psycopg.connect(**config.libpq_params())) as session:
        os.kill(session.info.backend_pid, signal.SIGKILL)
        time.sleep(0.2)
        exc = raised(lambda: session.execute("SELECT 1"))
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:  # it recovers by itself
        with contextlib.suppress(psycopg.Error):
            cluster.sql("SELECT 1")
            break
        time.sleep(0.05)
    return exc, None


FAILURES = [
    Failure("tls_passphrase", passphrase, "tls.client_key"),
    Failure("tls_revoked", revoked, "tls.revoked"),
    Failure("tls_self_signed", self_signed, "tls.unknown_ca"),
    Failure("tls_root_folder", unreadable_root, "tls.root_unreadable"),
    Failure("tls_client_of_strange_ca", strange_client, "tls.client_certificate_refused"),
    Failure("tls_client_expired", old_client, "tls.client_certificate_refused"),
    Failure(
        "tls_client_key_missing", tls(user="certuser", sslcert="@someone.crt", sslkey="@none.key"), "tls.client_key"
    ),
    Failure(
        "tls_client_cert_missing",
        tls(user="certuser", sslcert="@none.crt", sslkey="@someone.key"),
        "tls.client_certificate_missing",
    ),
    Failure(
        "tls_client_key_garbage", tls(user="certuser", sslcert="@someone.crt", sslkey="@garbage.key"), "tls.client_key"
    ),
    Failure(
        "tls_client_cert_garbage", tls(user="certuser", sslcert="@garbage", sslkey="@someone.key"), "tls.client_key"
    ),
    Failure(
        "tls_only_1_3_wanted",
        tls(ssl_min_protocol_version="TLSv1.3", ssl_max_protocol_version="TLSv1.2"),
        "tls.versions",
    ),
    Failure("tls_direct_to_plain", R(options={"sslmode": "require", "sslnegotiation": "direct"}), "tls.handshake"),
    Failure("tls_direct_but_weak", R(options={"sslmode": "prefer", "sslnegotiation": "direct"}), "config.option_value"),
    Failure("tls_system_but_weak", R(options={"sslmode": "require", "sslrootcert": "system"}), "config.option_value"),
    Failure("tls_full_but_off", R(options={"sslmode": "verify-full", "sslrootcert": "/none"}), "tls.not_offered"),
    Failure("tls_expired_wrong_password", tls("old", mode="require", user="nobody"), "auth.pg_hba"),
    Failure("tls_verify_ca_expired", tls("old", mode="verify-ca"), "tls.expired"),
    Failure("tls_verify_ca_stranger", tls(mode="verify-ca", sslrootcert="@stranger"), "tls.unknown_ca"),
    Failure("tls_session_cut", tls_session_cut, "service.lost"),
]
