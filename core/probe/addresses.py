"""The addresses of a host, each tried within one deadline; the cheap answer whether a port is open."""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

_UNREACHABLE = {
    getattr(errno, name, None)
    for name in ("EHOSTUNREACH", "ENETUNREACH", "EHOSTDOWN", "ENETDOWN", "EADDRNOTAVAIL", "EACCES", "EPERM", "EINVAL")
}
_NO_LISTENER = {errno.ECONNREFUSED, errno.ENOENT, getattr(errno, "WSAECONNREFUSED", 10061)}
LATE = "the name lookup did not end in time"
# Where several addresses fail, the one that says most about the cause is the answer.
_WORTH = {"unresolved": 0, "refused": 1, "unreachable": 2, "timeout": 3}


@dataclass(frozen=True)
class Answer:
    """What one port says.

    state: refused, unreachable, unresolved, timeout (no TCP connection in time), silent (connected, no answer),
    not_postgres, closed, rejecting (see sqlstate), accepting, starting, shutting_down, recovering,
    too_many_connections. auth_method: what the server asks for ("none" = lets in). tls: whether it offers TLS,
    None where it was not asked. routine: the server's own function behind an error, never translated.
    """

    state: str
    sqlstate: str | None = None
    severity: str | None = None
    message: str = ""
    routine: str | None = None
    auth_method: str | None = None
    tls: bool | None = None
    banner: str = ""
    ms: float = 0.0
    address: str = ""


@dataclass(frozen=True)
class Reach:
    """Whether a TCP connection (or one to a socket file) comes about: state as in Answer, "open" where it does."""

    ok: bool
    state: str
    ms: float
    address: str = ""
    message: str = ""


@dataclass(frozen=True)
class Address:
    family: int
    target: object
    text: str


def reach(host: str, port: int, timeout_s: float = 0.25, *, look_up_s: float | None = None) -> Reach:
    """Whether anything accepts connections there, each address of the host tried within the time; nothing is sent.

    look_up_s: the name lookup's own time; by default it shares `timeout_s`.
    """
    started = time.perf_counter()

    def attempt(address: Address, seconds: float) -> Answer:
        with connect(address, seconds):
            return Answer("open")

    answer = each_address(host, port, timeout_s, attempt, look_up_s)
    return Reach(answer.state == "open", answer.state, elapsed_ms(started), answer.address, answer.message)


def each_address(
    host: str,
    port: int,
    timeout_s: float,
    attempt: Callable[[Address, float], Answer],
    look_up_s: float | None = None,
) -> Answer:
    """The first answer of any address, or the most telling failure; the time left is shared among those left.

    look_up_s: the name lookup's own time, before the other begins; by default they share one.
    """
    begin = time.monotonic()
    addresses = _resolve(host, port, timeout_s if look_up_s is None else look_up_s)
    deadline = (begin if look_up_s is None else time.monotonic()) + timeout_s
    if isinstance(addresses, Answer):
        return addresses
    failures: list[Answer] = []
    for index, address in enumerate(addresses):
        share = max((deadline - time.monotonic()) / (len(addresses) - index), 0.001)
        try:
            return replace(attempt(address, share), address=address.text)
        except TimeoutError:
            failures.append(Answer("timeout", message="no connection in time", address=address.text))
        except OSError as error:
            failures.append(Answer(_state(error), message=error.strerror or str(error), address=address.text))
    return max(failures, key=lambda failure: _WORTH.get(failure.state, 9))


def _resolve(host: str, port: int, timeout_s: float) -> list[Address] | Answer:
    """The addresses of a host, a socket folder ("/...") or an abstract socket ("@..."); Answer where there are none."""
    if host.startswith(("/", "@")):
        if not hasattr(socket, "AF_UNIX"):
            return Answer("unresolved", message="this platform has no socket files")
        path = f"{host}/.s.PGSQL.{port}"
        return [Address(socket.AF_UNIX, "\0" + path[1:] if host.startswith("@") else path, path)]
    if not 0 < port < 65536:
        return Answer("unresolved", message=f"{port} is no port number")
    found: list[Address] | Answer = Answer("unresolved", message=LATE)

    def look_up(flags: int = 0) -> None:
        nonlocal found
        try:
            rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
            found = [Address(family, target, str(target[0])) for family, _, _, _, target in rows]
        except (OSError, UnicodeError) as error:
            found = Answer("unresolved", message=getattr(error, "strerror", None) or str(error))

    look_up(socket.AI_NUMERICHOST)
    if isinstance(found, Answer):
        # The system's resolver knows no deadline: one that hangs is left behind in its thread.
        found = Answer("unresolved", message=LATE)
        thread = threading.Thread(target=look_up, daemon=True, name="look-up")
        thread.start()
        thread.join(timeout_s)
    return found


def connect(address: Address, seconds: float) -> socket.socket:
    connection = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        connection.settimeout(seconds)
        connection.connect(address.target)  # type: ignore[arg-type]  # its shape depends on the family
    except BaseException:
        connection.close()
        raise
    return connection


def _state(error: OSError) -> str:
    code = getattr(error, "winerror", None) or error.errno
    if code in _NO_LISTENER or isinstance(error, ConnectionRefusedError):
        return "refused"
    return "unreachable" if code in _UNREACHABLE else "closed"


def elapsed_ms(started: float) -> float:
    return (time.perf_counter() - started) * 1000
