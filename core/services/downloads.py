"""Files that were made for somebody, under addresses that cannot be guessed, for an hour."""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass
from pathlib import Path

KEPT_S = 3600.0


@dataclass(frozen=True)
class Offer:
    """A file to download: where it lies, the name it gets, what it holds, and until when (time.time())."""

    token: str
    path: Path
    name: str
    rows: int
    bytes: int
    until: float


_offers: dict[str, Offer] = {}
_lock = threading.Lock()


def offer(path: Path, name: str, rows: int) -> Offer:
    """Offer a file under a new token; what was offered too long ago is forgotten."""
    made = Offer(secrets.token_urlsafe(32), path, name, rows, path.stat().st_size, time.time() + KEPT_S)
    with _lock:
        for token in [token for token, one in _offers.items() if time.time() >= one.until]:
            del _offers[token]
        _offers[made.token] = made
    return made


def offered(token: str) -> Offer | None:
    """What is offered under a token; None for what is over or never was."""
    with _lock:
        found = _offers.get(token)
    return found if found and time.time() < found.until and found.path.is_file() else None
