"""The certificate that a server shows after SSLRequest, and OpenSSL's verdict on it."""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from core.probe.addresses import Address, Answer, connect, each_address
from core.probe.port import SSL_REQUEST, unverified


@dataclass(frozen=True)
class Certificate:
    """A server's certificate and OpenSSL's verdict on it.

    state: ok, failed (see verify_code), no_tls, unreadable_root, or a state of Answer where the port was not
    reached. verify_code: 0, 10 expired, 9 not yet valid, 18 self-signed, 19 and 20 unknown CA, 62 and 64 another
    host's name, 23 revoked (OpenSSL manual, "X509_STORE_CTX_get_error").
    """

    state: str
    verify_code: int | None = None
    message: str = ""
    subject: str = ""
    issuer: str = ""
    names: tuple[str, ...] = ()
    not_before: datetime | None = None
    not_after: datetime | None = None


def certificate(
    host: str,
    port: int,
    *,
    root: Path | str | None = None,
    name: str | None = None,
    revoked: Path | str | None = None,
    timeout_s: float = 2.0,
) -> Certificate:
    """The certificate that the server shows, and whether it holds against the roots in `root`.

    root: a file of CA certificates, "system" or None for the system's own. name: the host name that it must carry;
    None skips that comparison (verify-ca). revoked: a file of what the CAs have revoked. Three short handshakes, as
    OpenSSL tells nothing of a certificate that it refuses: verdict, bytes, contents; all within timeout_s.
    """
    try:
        context = ssl.create_default_context(cafile=None if root in (None, "system") else str(root))
        if revoked:
            context.load_verify_locations(cafile=str(revoked))
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    except (OSError, ssl.SSLError) as error:
        return Certificate("unreadable_root", message=str(error))
    end = time.monotonic() + timeout_s
    context.check_hostname = False
    verdict = _handshake(host, port, context, None, end)
    if name and verdict.state == "ok":
        context.check_hostname = True
        verdict = _handshake(host, port, context, name, end)
    if verdict.state not in ("ok", "failed"):
        return verdict
    shown: list[bytes] = []
    _handshake(host, port, unverified(), None, end, shown)
    return _described(verdict, host, port, shown[0], end) if shown else verdict


def _described(verdict: Certificate, host: str, port: int, der: bytes, end: float) -> Certificate:
    """The verdict with what stands in the certificate: it is trusted by itself, its dates aside, and read so."""
    no_check_time = 0x200000  # X509_V_FLAG_NO_CHECK_TIME; Python's ssl has no name for it
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | no_check_time
    contents: list[dict[str, object]] = []
    try:
        context.load_verify_locations(cadata=ssl.DER_cert_to_PEM_cert(der))
        _handshake(host, port, context, None, end, decoded=contents)
    except ssl.SSLError:
        return verdict
    if not contents:
        return verdict
    found = contents[0]
    return replace(
        verdict,
        subject=_common_name(found.get("subject")),
        issuer=_common_name(found.get("issuer")),
        names=tuple(str(value) for _, value in found.get("subjectAltName", ())),  # type: ignore[attr-defined]
        not_before=_moment(found.get("notBefore")),
        not_after=_moment(found.get("notAfter")),
    )


def _handshake(
    host: str,
    port: int,
    context: ssl.SSLContext,
    name: str | None,
    end: float,
    shown: list[bytes] | None = None,
    decoded: list[dict[str, object]] | None = None,
) -> Certificate:
    verdict: list[Certificate] = []

    def attempt(address: Address, seconds: float) -> Answer:
        with connect(address, seconds) as connection:
            connection.sendall(SSL_REQUEST)
            first = connection.recv(1)
            if first != b"S":
                verdict.append(Certificate("no_tls" if first == b"N" else "not_postgres"))
                return Answer("open")
            try:
                with context.wrap_socket(connection, server_hostname=name) as secured:
                    if shown is not None and (der := secured.getpeercert(True)):
                        shown.append(der)
                    if decoded is not None and (contents := secured.getpeercert()):
                        decoded.append(dict(contents))
                verdict.append(Certificate("ok", 0))
            except ssl.SSLCertVerificationError as error:
                verdict.append(Certificate("failed", error.verify_code, error.verify_message))
            except ssl.SSLError as error:
                verdict.append(Certificate("closed", message=str(error)))
            return Answer("open")

    answer = each_address(host, port, max(0.01, end - time.monotonic()), attempt)
    return verdict[0] if verdict else Certificate(answer.state, message=answer.message)


def _common_name(name: object) -> str:
    pairs = [pair for part in (name if isinstance(name, tuple) else ()) for pair in part]
    return str(next((value for key, value in pairs if key == "commonName"), ", ".join(str(v) for _, v in pairs)))


def _moment(text: object) -> datetime | None:
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(text), UTC) if isinstance(text, str) else None
