"""What a port answers to the first two messages of PostgreSQL's protocol."""

from __future__ import annotations

import socket
import ssl
import struct
import time
from collections.abc import Iterator
from dataclasses import replace

from core.probe.addresses import Address, Answer, connect, each_address, elapsed_ms

SSL_REQUEST = struct.pack(">II", 8, 80877103)
LONGEST_MESSAGE = 30_000
# What the server asks for after the startup message (PostgreSQL manual, "Message Formats", Authentication*).
AUTH_METHODS = {0: "none", 2: "kerberos", 3: "password", 5: "md5", 7: "gss", 9: "sspi", 10: "scram-sha-256"}
# All three answer 57P03, in the server's language. Source: PostgreSQL's message catalogs (src/backend/po).
_CANNOT_CONNECT_NOW = {
    "shutting_down": (
        "shutting down", "fährt herunter", "apagándose", "s'arrête", "spegnendo", "シャットダウンしています", "중지 중",
        "останавливается", "stänger ner", "завершує роботу", "停止中", "está desligando",
    ),
    "recovering": (
        "recovery mode", "accepting connections", "wiederherstellungsmodus", "keine verbindungen an", "recuperación",
        "aceptando conexiones", "restauration", "n'accepte pas", "ripristino", "non accetta", "リカバリモード",
        "接続を受け付けていません", "복구", "허용하지", "восстановления", "принимает подключения",
        "återställningsläge", "tar inte emot", "відновлення", "приймає підключення", "恢复模式", "modo de recuperação",
    ),
}  # fmt: skip


def probe(
    host: str,
    port: int,
    *,
    user: str = "tradekeep_probe",
    database: str = "postgres",
    timeout_s: float = 1.0,
    tls: bool = False,
) -> Answer:
    """What the port answers up to its request for a password, which is not given.

    tls: ask for TLS first, as the driver does by default, and go on inside it (unverified) where it is offered.
    timeout_s: for everything, name lookup and all addresses included.
    """
    started = time.perf_counter()
    startup = _startup(user, database)

    def attempt(address: Address, seconds: float) -> Answer:
        with connect(address, seconds) as connection:
            return _converse(connection, startup, tls and address.family != getattr(socket, "AF_UNIX", None), seconds)

    return replace(each_address(host, port, timeout_s, attempt), ms=elapsed_ms(started))


def _startup(user: str, database: str) -> bytes:
    body = b"".join(
        text.encode("utf-8", "replace").replace(b"\0", b"") + b"\0" for text in ("user", user, "database", database)
    )
    return struct.pack(">II", len(body) + 9, 196608) + body + b"\0"


def _converse(connection: socket.socket, startup: bytes, tls: bool, seconds: float) -> Answer:
    """SSLRequest where asked for, StartupMessage, and the answer to it; all of it within `seconds`."""
    offered: bool | None = None
    end = time.monotonic() + seconds
    try:
        if tls:
            connection.sendall(SSL_REQUEST)
            first = _first_bytes(connection, end)
            if first[:1] == b"E":
                return _read_answer(connection, first, None, end)
            # An SSH server's banner begins with S too: PostgreSQL sends exactly one byte and waits.
            if first not in (b"S", b"N"):
                return _foreign(first)
            offered = first == b"S"
            if offered:
                with unverified().wrap_socket(connection) as secured:
                    secured.sendall(startup)
                    return _read_answer(secured, _first_bytes(secured, end), offered, end)
        connection.sendall(startup)
        return _read_answer(connection, _first_bytes(connection, end), offered, end)
    except TimeoutError:
        return Answer("silent", tls=offered, message="connected, but no answer in time")
    except ssl.SSLError as error:
        return Answer("not_postgres", tls=offered, message=str(error))
    except OSError as error:
        return Answer("closed", tls=offered, message=error.strerror or str(error))


def _first_bytes(connection: socket.socket, end: float) -> bytes:
    """What the other side says first. One that waits for a line end (HTTP, SMTP) gets one half way through the time."""
    try:
        return _received(connection, end - (end - time.monotonic()) / 2)
    except TimeoutError:
        connection.sendall(b"\r\n\r\n")
        return _received(connection, end)


def _received(connection: socket.socket, end: float) -> bytes:
    """What comes next until then: one that sends a byte at a time gets no more time by it. Raises TimeoutError."""
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError
    connection.settimeout(left)
    return connection.recv(4096)


def _read_answer(connection: socket.socket, received: bytes, offered: bool | None, end: float) -> Answer:
    """The answer to a StartupMessage: a request for authentication, an error, or what is no PostgreSQL."""
    let_in = False
    for kind, body in _messages(connection, received, end):
        if kind == b"E":
            return _rejection(_fields(body), offered, let_in)
        if kind == b"R" and len(body) >= 4:
            code = struct.unpack(">I", body[:4])[0]
            method = AUTH_METHODS.get(code, f"authentication {code}")
            if code != 0:
                return Answer("accepting", auth_method=method, tls=offered)
            let_in = True
        elif kind == b"Z":
            connection.sendall(b"X\0\0\0\4")
            return Answer("accepting", auth_method="none", tls=offered)
        elif kind not in (b"v", b"N", b"S", b"K"):
            return _foreign(received)
    if not received:
        return Answer("closed", tls=offered, message="the connection was closed without an answer")
    return Answer("accepting", auth_method="none", tls=offered) if let_in else _foreign(received)


def _messages(connection: socket.socket, buffer: bytes, end: float) -> Iterator[tuple[bytes, bytes]]:
    """The server's messages: their type and body; ends where the connection does, or where it is no protocol."""
    while buffer:
        while len(buffer) < 5 or len(buffer) < 1 + struct.unpack(">I", buffer[1:5])[0]:
            # A server that cannot fork answers as before version 3 of the protocol: E, text, zero byte.
            if len(buffer) >= 5 and struct.unpack(">I", buffer[1:5])[0] > LONGEST_MESSAGE:
                if buffer[:1] == b"E":
                    yield b"E", b"VFATAL\0M" + buffer[1:].rstrip(b"\0\n") + b"\0\0"
                else:
                    yield b"?", buffer
                return
            more = _received(connection, end)
            if not more:
                return
            buffer += more
        length = 1 + struct.unpack(">I", buffer[1:5])[0]
        if length < 5:
            yield b"?", buffer
            return
        yield buffer[:1], buffer[5:length]
        buffer = buffer[length:] or _received(connection, end)


def _fields(body: bytes) -> dict[str, str]:
    parts = [part.decode("utf-8", "replace") for part in body.split(b"\0") if part]
    return {part[0]: part[1:] for part in parts}


def _rejection(fields: dict[str, str], offered: bool | None, let_in: bool) -> Answer:
    sqlstate, message = fields.get("C"), fields.get("M", "")
    routine = fields.get("R")
    # A server that knows the client, and misses only the role or the database, takes connections.
    state = "accepting" if let_in or routine == "InitializeSessionUserId" else "rejecting"
    if sqlstate == "53300":
        state = "too_many_connections"
    elif sqlstate == "57P03":
        lower = message.lower()
        found = (name for name, words in _CANNOT_CONNECT_NOW.items() if any(word in lower for word in words))
        state = next(found, "starting")
    return Answer(
        state,
        sqlstate=sqlstate,
        severity=fields.get("V") or fields.get("S"),
        message=message,
        routine=routine,
        auth_method="none" if let_in else None,
        tls=offered,
    )


def _foreign(received: bytes) -> Answer:
    if not received:
        return Answer("closed", message="the connection was closed without an answer")
    line = received[:80].split(b"\n")[0].decode("utf-8", "replace")
    banner = "".join(sign if sign.isprintable() else "." for sign in line)
    return Answer("not_postgres", banner=banner, message=f"it answered: {banner}")


def unverified() -> ssl.SSLContext:
    """A context that takes any certificate: nothing secret is sent through it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
