"""Databases that the Explorer has never seen: pgbench's, as pgbench makes it."""

from __future__ import annotations

import io
import os
import subprocess

import pytest

from core.database import Database
from core.explore import Filter, Sort, count_rows, export_rows, facets, page_of_rows, tables
from core.settings import DatabaseConfig
from tests.servers import Cluster

ACCOUNTS, RUNS = 100_000, 120


@pytest.fixture
def pgbench(cluster: Cluster, pg_database: DatabaseConfig) -> DatabaseConfig:
    """Its four tables at scale 1, one of them without a key, after some runs."""
    program = cluster.binaries / "pgbench"
    where = ["-h", "127.0.0.1", "-p", str(cluster.port), "-U", cluster.admin.user, pg_database.database]
    environment = {**os.environ, "PGPASSWORD": cluster.password}
    for options in (["-i", "-q", "-s", "1"], ["-n", "-t", str(RUNS)]):
        subprocess.run([program, *options, *where], env=environment, check=True, capture_output=True, timeout=60)
    return pg_database


def test_pgbench_is_listed_paged_filtered_counted_and_exported(pgbench: DatabaseConfig) -> None:
    with Database(pgbench) as db:
        listed = {one.name: one for one in tables(db)}
        assert listed.keys() == {f"pgbench_{name}" for name in ("accounts", "branches", "history", "tellers")}
        assert listed["pgbench_accounts"].rows_estimate == ACCOUNTS
        # Also of the history, which pgbench analyses while it is empty.
        assert all(one.bytes and not one.area for one in listed.values())

        last = page_of_rows(db, "pgbench_accounts", sort=Sort("aid", descending=True), limit=3)
        assert [row[0] for row in last.rows] == [ACCOUNTS, ACCOUNTS - 1, ACCOUNTS - 2]
        asked = [Filter("aid", "between", [500, 1500])]
        assert count_rows(db, "pgbench_accounts", asked) == 1001
        assert facets(db, "pgbench_accounts", "bid", asked) == [(1, 1001)]

        seen, after = [], None  # of the table without a key every row, each once
        while True:
            page = page_of_rows(db, "pgbench_history", after=after, limit=50)
            assert page.warning
            seen += page.rows
            after = page.last
            if not page.has_next:
                break
        assert len(seen) == RUNS

        out = io.BytesIO()
        assert export_rows(db, "pgbench_accounts", asked, Sort("aid"), out=out, columns=["aid", "bid"]) == 1001
        assert out.getvalue().splitlines()[:2] == [b"aid,bid", b"500,1"]
