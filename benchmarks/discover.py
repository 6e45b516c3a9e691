"""Finding servers against one question to one port."""

from __future__ import annotations

from contextlib import closing
from socket import create_server

from benchmarks import benchmark
from benchmarks.figures import Figure, Goal, in_turns, timed
from core.probe import probe
from core.setup.discover import servers
from tests.servers import Cluster
from tests.setup.lineup import blackhole

FLOOR = "one question to the silent port, which takes its whole time"
TIMEOUT_S = 1.0


@benchmark(n=10)
def discover(n: int) -> list[Figure]:
    """`core.setup.discover.servers` with a server, a silent and a blackholed port among what it asks."""
    with Cluster() as cluster, blackhole() as hole, closing(create_server(("127.0.0.1", 0))) as silent:
        quiet = int(silent.getsockname()[1])
        ports = [cluster.port, hole, quiet]

        def look() -> None:
            found = {one.port: one.state for one in servers(ports=ports, timeout_s=TIMEOUT_S)}
            assert found == {cluster.port: "accepting", hole: "silent", quiet: "silent"}, found

        def one() -> None:
            assert probe("127.0.0.1", quiet, timeout_s=TIMEOUT_S).state == "silent"

        def everything() -> None:
            servers(hosts=("localhost", "192.0.2.1"), timeout_s=TIMEOUT_S)

        own, whole, floor = in_turns(n, timed(look), timed(everything), timed(one))
        return [
            Figure("a silent and a blackholed port among three", FLOOR, own, floor, Goal("seconds", 1.5)),
            Figure("this machine and a host that does not answer", FLOOR, whole, floor, Goal("seconds", 1.5)),
        ]
