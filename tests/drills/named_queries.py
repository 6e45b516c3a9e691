"""Every named query of the repositories, explained on tables of any size."""

from __future__ import annotations

import time
from typing import Any

from core.database import Database
from core.schema import migrate
from tests.drills import drill
from tests.repositories.named import BIG, NAMED, fill, without_index
from tests.servers import Cluster


@drill
def named_queries(n: int = BIG) -> dict[str, Any]:
    """n trades, and as many rows of the other tables as stand beside them: no query reads such a table as a whole."""
    begin = time.monotonic()
    with Cluster() as cluster:
        cluster.sql("CREATE DATABASE big")
        with Database(cluster.config("big")) as database:
            migrate.upgrade(database)
            fill(database, n)
            asked = [name for name, (_query, tables) in NAMED.items() if tables]
            problems = [problem for name in asked if (problem := without_index(database, name))]
    return {
        "ok": not problems, "n": n, "queries": len(asked), "problems": problems,
        "seconds": round(time.monotonic() - begin, 1),
    }  # fmt: skip
