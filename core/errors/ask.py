"""What the port says, asked where an exception's text is the same for several causes or says nothing."""

from __future__ import annotations

import contextlib
import re
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from core.errors import match
from core.probe import Answer, certificate, probe

if TYPE_CHECKING:
    from core.settings import DatabaseConfig

Settled = tuple[str, dict[str, object]]
BY_STATE = {
    "refused": "service.refused",
    "unreachable": "network.unreachable",
    "unresolved": "network.unresolved",
    "timeout": "network.timeout",
    "silent": "service.silent",
    "not_postgres": "service.not_postgres",
    "closed": "service.closed",
    "starting": "service.starting",
    "shutting_down": "service.shutting_down",
    "recovering": "service.recovering",
    "too_many_connections": "resource.connections",
}
# OpenSSL's verify codes (manual, "X509_STORE_CTX_get_error"); everything else is "tls.verify".
BY_VERIFY_CODE = {
    2: "tls.unknown_ca", 9: "tls.not_yet_valid", 10: "tls.expired", 18: "tls.unknown_ca", 19: "tls.unknown_ca",
    20: "tls.unknown_ca", 21: "tls.unknown_ca", 23: "tls.revoked", 62: "tls.wrong_host", 64: "tls.wrong_host",
}  # fmt: skip
_CONNECTS = {"psycopg", "psycopg_pool", "psycopg2", "asyncpg", "sqlalchemy", "asyncio", "socket"}


def settled(kind: str, exc: BaseException, text: str, config: DatabaseConfig, timeout_s: float) -> Settled:
    """The kind after the port was asked where that helps, and the facts that the answer adds."""
    question = QUESTIONS.get(kind)
    if question is None or getattr(config, "backend", "postgresql") != "postgresql":
        return kind, {}
    return question(kind, exc, text, config, timeout_s)


def _state(kind: str, exc: BaseException, text: str, config: DatabaseConfig, timeout_s: float) -> Settled:
    """What the port says now, where it is not simply "come in", nor what the driver said of one of several hosts."""
    answers = _answers(config, timeout_s)
    if not answers or any(BY_STATE.get(answer.state) == kind for answer in answers):
        return kind, {}
    answer = answers[-1] if answers[-1].state == "accepting" else answers[0]
    if answer.state == "rejecting" and kind == "unexpected":
        return _rejected(answer) or kind, {}
    return BY_STATE.get(answer.state, kind), _seen(answer)


def _unknown(kind: str, exc: BaseException, text: str, config: DatabaseConfig, timeout_s: float) -> Settled:
    """Only an exception of a driver is about the connection."""
    packages = {cls.__module__.partition(".")[0] for cls in type(exc).__mro__}
    if not packages & _CONNECTS and not isinstance(exc, OSError):
        return kind, {}
    return _state(kind, exc, text, config, timeout_s)


def _ended(kind: str, exc: BaseException, text: str, config: DatabaseConfig, timeout_s: float) -> Settled:
    """A session ended by command: the server is being stopped, or only this session was ended."""
    answer = _answer(config, timeout_s)
    gone = answer is not None and answer.state in ("refused", "shutting_down", "closed", "unreachable")
    return "service.stopped" if gone else kind, {}


def _rule(kind: str, exc: BaseException, text: str, config: DatabaseConfig, timeout_s: float) -> Settled:
    """No line of pg_hba.conf: none at all, or only one for the other kind of encryption."""
    mode = _option(config, "sslmode") or "prefer"
    if mode in ("require", "verify-ca", "verify-full"):
        plain = _answer(config, timeout_s, tls=False)
        if plain is not None and plain.state == "accepting":
            return "tls.refused_by_rule", {}
    elif mode == "disable":
        encrypted = _answer(config, timeout_s, tls=True)
        if encrypted is not None and encrypted.tls and encrypted.state == "accepting":
            return "tls.required", {}
    return kind, {}


def _verdict(kind: str, exc: BaseException, text: str, config: DatabaseConfig, timeout_s: float) -> Settled:
    """Which of its reasons OpenSSL had."""
    root = _option(config, "sslrootcert")
    usual = Path.home() / ".postgresql" / "root.crt"
    trusted = root or (str(usual) if usual.is_file() else None)
    compared = _option(config, "sslmode") == "verify-full" or root == "system"
    places = _places(config)
    names = str(getattr(config, "host", "") or "").split(",")
    found = None
    for number, place in enumerate(places):
        # The name in the certificate is the host's, also where its address is given.
        name = (names[number] if len(names) == len(places) else place[0]).strip() if compared else None
        revoked = _option(config, "sslcrl") or None
        share = timeout_s / len(places)
        found = certificate(*place, root=trusted, name=name or None, revoked=revoked, timeout_s=share)
        if found.state == "failed":
            break
    if found is None or found.state != "failed" or found.verify_code is None:
        return kind, {}
    dates = {"not_before": found.not_before, "not_after": found.not_after}
    facts: dict[str, object] = {key: f"{date:%Y-%m-%d %H:%M} UTC" for key, date in dates.items() if date}
    return BY_VERIFY_CODE.get(found.verify_code, kind), facts | {"subject": found.subject, "issuer": found.issuer}


def _encoding(kind: str, exc: BaseException, text: str, config: DatabaseConfig, timeout_s: float) -> Settled:
    """A refused password that works once it is decoded: it was encoded for a form, or twice."""
    secret = secret_of(config)
    decoded = unquote_plus(secret)
    if decoded == secret or not re.search(r"\+|%[0-9A-Fa-f]{2}", secret) or "\0" in decoded:
        return kind, {}
    import psycopg

    params: dict[str, Any] = config.libpq_params() | {
        "password": decoded,
        "connect_timeout": str(max(2, int(timeout_s))),
    }
    works: list[bool] = []

    def attempt() -> None:
        with contextlib.suppress(psycopg.Error, UnicodeError):
            psycopg.connect(**params).close()
            works.append(True)

    # The driver's own deadline is two seconds at least, for each host: one that takes longer is left behind.
    thread = threading.Thread(target=attempt, daemon=True, name="decoded-password")
    thread.start()
    thread.join(timeout_s)
    return ("config.password_encoding" if works else kind), {}


QUESTIONS: dict[str, Callable[..., Settled]] = {
    "unexpected": _unknown,
    "transient.connection": _state,
    "transient.terminated": _ended,
    "config.closed_here": _state,
    "network.timeout": _state,
    "network.reset": _state,
    "service.lost": _state,
    "service.closed": _state,
    "service.refused": _state,
    "resource.pool": _state,
    "auth.pg_hba": _rule,
    "auth.pg_hba_rejects": _rule,
    "tls.verify": _verdict,
    "auth.password": _encoding,
}


def secret_of(config: DatabaseConfig | None) -> str:
    """The password in clear, empty where there is none."""
    password: Any = getattr(config, "password", None)
    return str(password.get_secret_value() if hasattr(password, "get_secret_value") else password or "")


def connection_broke(exc: BaseException) -> bool | None:
    """Whether the psycopg connection that an exception was raised from was cut, not closed by us; None = unknown."""
    for frame, _ in reversed(list(traceback.walk_tb(exc.__traceback__))):
        owner = frame.f_locals.get("self")
        if type(owner).__module__.partition(".")[0] != "psycopg":
            continue  # SQLAlchemy's objects raise when they are asked for a connection that is closed
        owner = getattr(owner, "connection", owner)
        driver = type(owner).__module__.partition(".")[0] == "psycopg"
        if driver and isinstance(broken := getattr(owner, "broken", None), bool):
            return broken
    return None


def _rejected(answer: Answer) -> str | None:
    """The kind of what the server told the probe."""
    if answer.sqlstate == "28000":
        return match.by_text(answer.message) or ("auth.pg_hba" if answer.routine == "ClientAuthentication" else None)
    return match.by_sqlstate(answer.sqlstate or "", answer.message, answer.routine)


def _answer(config: DatabaseConfig, timeout_s: float, tls: bool | None = None) -> Answer | None:
    """The answer of the first host that takes connections, else of the first one; None where no host is known."""
    answers = _answers(config, timeout_s, tls)
    return next((answer for answer in answers if answer.state == "accepting"), answers[0] if answers else None)


def _answers(config: DatabaseConfig, timeout_s: float, tls: bool | None = None) -> list[Answer]:
    """The answers of the hosts, all within timeout_s, up to the first that takes connections."""
    wanted = (_option(config, "sslmode") != "disable") if tls is None else tls
    user = str(getattr(config, "user", "") or "tradekeep_probe")
    database = str(getattr(config, "database", "") or user)
    places = _places(config)
    answers: list[Answer] = []
    end = time.monotonic() + timeout_s
    for number, (host, port) in enumerate(places):
        left = (end - time.monotonic()) / (len(places) - number)
        if left <= 0:
            break
        answers.append(probe(host, port, user=user, database=database, timeout_s=left, tls=wanted))
        if answers[-1].state == "accepting":
            break
    return answers


def _places(config: DatabaseConfig) -> list[tuple[str, int]]:
    """The hosts and ports of a config, as libpq pairs them."""
    hosts = (_option(config, "hostaddr") or str(getattr(config, "host", "") or "")).split(",")
    texts = str(getattr(config, "port_text", "") or getattr(config, "port", "") or "5432").split(",")
    ports = [int(text) if re.fullmatch(r"[0-9]{1,5}", text) else 5432 for text in texts]
    pairs = zip(hosts, ports if len(ports) == len(hosts) else ports[:1] * len(hosts), strict=True)
    return [(host.strip(), port) for host, port in pairs if host.strip() and "@" not in host[1:]]


def _option(config: DatabaseConfig, name: str) -> str:
    options = getattr(config, "options", None)
    return str(options.get(name) or "") if isinstance(options, dict) else ""


def _seen(answer: Answer) -> dict[str, object]:
    return {"banner": answer.banner} if answer.banner else {}
