"""A few passwords that many servers still have: tried on this machine only, few, slowly, and never twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import psutil

from core.settings import DatabaseConfig
from core.settings.config import this_machine
from core.setup.credentials.attempt import Caller, Try
from core.setup.credentials.sources import USUAL, Source
from core.setup.dial import Place, pairs, resolve

# What images, tutorials and installers set. At most six tries: more is guessing, and noise in somebody's log.
PASSWORDS = ("postgres", "password", "admin", "123456", "root", "postgres123")
MOST = 6
APART_S = 0.6
RESOLVE_S = 1.0
NOT_AGAIN_S = 900.0
# What listens on loopback for a server that is somewhere else.
TUNNELS = (
    "ssh",
    "kubectl",
    "cloud_sql_proxy",
    "cloud-sql-proxy",
    "socat",
    "plink",
    "autossh",
    "session-manager-plugin",
)
WRONG = "auth.password"
_tried: dict[tuple[str, str], float] = {}
_lock = threading.Lock()


def tries(wanted: DatabaseConfig, caller: Caller, *, stopped: str = "") -> Iterator[Source]:
    """What common passwords came to, one source for all of them; a working one is a danger.

    stopped: why no further try may be made on this server, from what was tried before. Nothing is tried over a
    network, on a tunnel's end, twice within a quarter of an hour, or after the first answer that is not simply
    "wrong".
    """
    user = wanted.user or USUAL
    reason = stopped or why_not(wanted) or _begun(wanted)
    if reason:
        yield _source(user, "skipped", reason)
        return
    place = _places(wanted)[0]
    config = wanted.replace(
        host=place.host,
        user=user,
        database=wanted.database or USUAL,
        password=None,
        options=_pinned(wanted, place.address),
    )
    for number, password in enumerate(PASSWORDS[:MOST]):
        if number:
            time.sleep(APART_S)
        found = caller.try_login(config, password=password)
        if found.ok:
            yield _worked(user, config, found, number)
            return
        if found.ends or found.kind != WRONG:
            yield _source(user, "fails", f"stopped after {number + 1} of {MOST}: {found.why}")
            return
    yield _source(user, "fails", f"none of {MOST} is this server's")


def _source(user: str, verdict: str, why: str) -> Source:
    name = f"common default passwords of {user}"
    return Source(key="default:", kind="default", name=name, verdict=verdict, why=why, user=user)


def _worked(user: str, config: DatabaseConfig, found: Try, number: int) -> Source:
    if not found.used_password:
        why = "the server lets everybody of this machine in without looking at the password"
        return _source(user, "skipped", why)
    return Source(
        key=f"default:{number}",
        kind="default",
        name=f"a common default password of {user}",
        verdict="works",
        user=user,
        database=config.database,
        superuser=found.superuser,
        danger=f"{user} has a password that everybody tries first. Whoever reaches this server gets in"
        f"{', with every right' if found.superuser else ''}. Change it.",
        ms=found.ms,
    )


def password_of(key: str) -> str:
    """The password behind the key of a source that works."""
    return PASSWORDS[int(key.removeprefix("default:"))]


def why_not(wanted: DatabaseConfig) -> str:
    """Why no common password may be tried on this server; "" where they may."""
    places = _places(wanted)
    if not places:
        return "the host is not known"
    # A name counts by what it resolves to.
    if not all((asked := place.address or place.host) and this_machine(asked) for place in places):
        return "they are tried on servers of this machine only, never over a network"
    if len({place.host for place in places}) > 1:
        return "they are tried on one server only"
    tunnel = _tunnel(wanted.port or 5432) if not places[0].host.startswith("/") else ""
    if tunnel:
        return f"{tunnel} listens on that port: the server may be somewhere else"
    return ""


def _places(wanted: DatabaseConfig) -> list[Place]:
    named = wanted if wanted.host or "hostaddr" in wanted.options else wanted.replace(host="localhost")
    found = pairs(named)
    if found is None:
        return []
    places, lost = resolve(found, time.perf_counter() + RESOLVE_S)
    return [] if lost else places


def _pinned(wanted: DatabaseConfig, address: str) -> dict[str, str]:
    """The address that was looked at is the one that is asked: a name could mean another one a moment later."""
    return wanted.options | ({"hostaddr": address} if address else {})


def _tunnel(port: int) -> str:
    """The program that forwards the port to somewhere else, as far as this account may see it."""
    try:
        holders = [
            psutil.Process(found.pid).name()
            for found in psutil.net_connections("tcp")
            if found.status == psutil.CONN_LISTEN and found.pid and found.laddr.port == port
        ]
    except (psutil.Error, OSError, RuntimeError):
        return ""
    return next((name for name in holders if name.removesuffix(".exe") in TUNNELS), "")


def _begun(wanted: DatabaseConfig) -> str:
    """Note that tries begin on this server, or say that they were made already."""
    key = (wanted.user or USUAL, wanted.port_text or "5432")
    now = time.monotonic()
    with _lock:
        before = _tried.get(key)
        if before is not None and now - before < NOT_AGAIN_S:
            minutes = max(1, round((now - before) / 60))
            return f"they were tried {minutes} min ago, and are not tried again within {NOT_AGAIN_S / 60:.0f}"
        _tried[key] = now
    return ""


def forget() -> None:
    """Allow the tries again, after a password was changed by us."""
    with _lock:
        _tried.clear()
