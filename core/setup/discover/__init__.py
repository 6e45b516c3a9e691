"""PostgreSQL servers on this machine: what listens, what each says of itself, and what is installed but stopped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from core.setup.discover.merge import merged
from core.setup.discover.model import BUNDLED, Server, Start
from core.setup.discover.starting import start
from core.setup.discover.survey import PORTS, survey

__all__ = ["BUNDLED", "PORTS", "Server", "Start", "servers", "start"]


def servers(
    *,
    timeout_s: float = 1.0,
    hosts: Sequence[str] = ("localhost",),
    ports: Sequence[int] | None = None,
    home: Path | None = None,
) -> list[Server]:
    """Every server found, those that accept connections first; all places are asked at the same time.

    A port of this machine that refuses is left out, unless it was asked for in `ports`. What is installed here but
    stopped is listed, with the bundled server of `home` (default TRADEKEEP_HOME). It takes at most a third of a
    second longer than timeout_s, and does not raise for what it finds.
    """
    return merged(survey(hosts, ports, timeout_s, home))
