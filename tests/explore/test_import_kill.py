"""Imports that are cut in the middle; the long drill is `python -m tests.drills import_kill`."""

from __future__ import annotations

from tests.drills.import_kill import import_kill
from tests.servers import Cluster


def test_a_cut_import_leaves_whole_batches_and_the_next_one_nothing_twice(own_cluster: Cluster) -> None:
    found = import_kill(n=3, cluster=own_cluster)
    assert found["problems"] == []
    assert found["landed_before_completion_pct"] > 60
