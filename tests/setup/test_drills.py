"""Each drill of setups with a small n: kills, several at once, any password."""

from __future__ import annotations

import sys

import pytest

from tests.drills import Drill
from tests.drills.at_once import two_at_once
from tests.drills.envfiles import kill_config
from tests.drills.kills import kill_migration, kill_provisioning, kill_rotation, kill_setup
from tests.drills.passwords import password_round_trip
from tests.drills.project import dropped
from tests.servers import Cluster

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the drills fork")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ptrace is Linux's")
def test_kill_config() -> None:
    result = kill_config(12)
    assert result["ok"], result
    assert result["killed"] > 9


@pytest.mark.parametrize(
    ("drill", "n"),
    [
        (kill_provisioning, 1),
        (kill_migration, 1),
        (kill_setup, 1),
        (kill_rotation, 1),
        (two_at_once, 1),
        (password_round_trip, 20),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_drill(drill: Drill, n: int, cluster: Cluster) -> None:
    result = drill(n, cluster)
    dropped(cluster)
    assert result["ok"], result
