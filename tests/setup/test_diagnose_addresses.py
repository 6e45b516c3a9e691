"""The connection test over several hosts and addresses, and its deadline, whatever the other side does."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.settings import DatabaseConfig
from core.setup.diagnose import diagnose
from tests.servers import Cluster, free_port

ROOT = Path(__file__).parent.parent.parent
ROOM_S = 0.7  # what a loaded machine may add to a deadline


@contextlib.contextmanager
def silent_port() -> Iterator[int]:
    """A port that takes connections and never says anything."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield listener.getsockname()[1]


@contextlib.contextmanager
def full_port() -> Iterator[int]:
    """A port whose queue is full: a new connection gets no answer at all, as behind a firewall that drops."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(8):
            caller = stack.enter_context(socket.socket())
            caller.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                caller.connect(listener.getsockname())
        yield listener.getsockname()[1]


def timed(config: DatabaseConfig, deadline_s: float):  # type: ignore[no-untyped-def]
    begin = time.monotonic()
    result = diagnose(config, deadline_s=deadline_s)
    took_s = time.monotonic() - begin
    assert took_s < deadline_s + ROOM_S, result
    return result


def several(cluster: Cluster, *places: tuple[str, int], **options: str) -> DatabaseConfig:
    hosts, ports = zip(*places, strict=True)
    return cluster.admin.replace(
        host=",".join(hosts), port_text=",".join(str(port) for port in ports), options=dict(options)
    )


def test_the_second_host_is_used_and_each_has_its_verdict(cluster: Cluster) -> None:
    result = timed(several(cluster, ("127.0.0.1", free_port()), ("127.0.0.1", cluster.port)), 5)
    assert result.success, result.error
    assert [(one.ok, one.message) for one in result.addresses] == [(False, "refused"), (True, "takes connections")]
    assert "refused; " in next(step.message for step in result.steps if step.name == "port")


def test_a_name_without_an_address_does_not_stop_the_others(cluster: Cluster) -> None:
    result = timed(several(cluster, ("no-such-host.invalid", 5432), ("127.0.0.1", cluster.port)), 5)
    assert result.success, result.error
    assert result.addresses[0].ok is False
    assert "no-such-host.invalid" in next(step.message for step in result.steps if step.name == "resolve")


def test_silent_hosts_leave_time_for_the_one_that_answers(cluster: Cluster) -> None:
    with silent_port() as silent, full_port() as full:
        places = (("127.0.0.1", silent), ("127.0.0.1", full), ("127.0.0.1", cluster.port))
        result = timed(several(cluster, *places), 2)
    assert result.success, result.error
    assert [one.ok for one in result.addresses] == [False, False, True]


@pytest.mark.parametrize("deadline_s", [0.4, 1.0])
def test_the_deadline_holds_over_several_dead_addresses(cluster: Cluster, deadline_s: float) -> None:
    with silent_port() as silent, full_port() as full:
        places = [("127.0.0.1", port) for port in (silent, full, silent, full)]
        result = timed(several(cluster, *places), deadline_s)
    assert not result.success
    assert result.error_type in ("service", "network")


def test_the_deadline_holds_where_the_server_is_stopped_after_signing_in(own_cluster: Cluster) -> None:
    """The backend waits for a lock in the middle of the questions: no time-out of the server ends that."""
    with own_cluster.connect() as holder, holder.transaction():
        holder.execute("LOCK TABLE pg_catalog.pg_extension IN ACCESS EXCLUSIVE MODE")
        result = timed(own_cluster.admin, 1.5)
    assert not result.success
    assert result.error_type in ("network", "service", "transient")
    found = {step.name: step.ok for step in result.steps}
    assert (found["port"], found["login"], found["database"]) == (True, True, False)


def test_the_deadline_holds_over_a_suspended_server_and_a_living_one(cluster: Cluster, own_cluster: Cluster) -> None:
    config = several(cluster, ("127.0.0.1", own_cluster.port), ("127.0.0.1", cluster.port))
    own_cluster.suspend()
    try:
        result = timed(config, 2)
        alone = timed(own_cluster.admin, 0.6)
    finally:
        own_cluster.resume()
    assert result.success, result.error
    assert not alone.success


def test_a_wrong_password_does_not_lead_on_to_the_next_host(cluster: Cluster) -> None:
    config = several(cluster, ("127.0.0.1", cluster.port), ("localhost", cluster.port))
    result = timed(config.replace(password="Zq7-planted"), 5)
    assert result.error_type == "auth"
    assert len(result.addresses) == 1
    assert "Zq7-planted" not in result.model_dump_json()


def test_a_primary_is_passed_over_where_a_standby_is_wanted(cluster: Cluster) -> None:
    places = (("127.0.0.1", cluster.port), ("127.0.0.1", cluster.port))
    assert not timed(several(cluster, *places, target_session_attrs="standby"), 3).success
    assert timed(several(cluster, *places, target_session_attrs="prefer-standby"), 3).success
    assert timed(several(cluster, *places, load_balance_hosts="random"), 3).success


def test_a_service_is_left_to_libpq(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "services"
    place = f"host=localhost\nport={cluster.port}\nuser=postgres\ndbname=postgres\npassword={cluster.password}"
    file.write_text(f"[prod]\n{place}\n")
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    result = timed(DatabaseConfig(options={"service": "prod"}), 5)
    assert result.success, result.error
    assert not timed(DatabaseConfig(options={"service": "nope"}), 5).success


def test_more_ports_than_hosts_is_called_so(cluster: Cluster) -> None:
    result = timed(cluster.admin.replace(host="a,b", port_text="1,2,3"), 3)
    assert not result.success
    assert result.error_message


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root on Linux can change the resolver")
def test_the_deadline_holds_where_the_resolver_hangs(tmp_path: Path) -> None:
    """A name server that never answers: the system's resolver waits for tens of seconds."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        try:
            server.bind(("127.0.0.99", 53))
        except OSError as error:
            pytest.skip(f"no name server can be played here: {error}")
        (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.99\noptions timeout:20 attempts:3\n")
        (tmp_path / "nsswitch.conf").write_text("hosts: dns\n")
        program = textwrap.dedent("""
            import time
            from core.settings import DatabaseConfig
            from core.setup.diagnose import diagnose
            for host in ("db.hangs.example", "db.hangs.example,127.0.0.1"):
                begin = time.monotonic()
                found = diagnose(DatabaseConfig(host=host, port_text="1", user="x", database="x"), deadline_s=1.0)
                print(time.monotonic() - begin, found.success, found.error_type, sep=",")
        """)
        script = (
            f"mount --bind {tmp_path}/resolv.conf /etc/resolv.conf && "
            f"mount --bind {tmp_path}/nsswitch.conf /etc/nsswitch.conf && exec {sys.executable} -c '{program}'"
        )
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", script],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=ROOT,
            check=False,
        )
    if done.returncode and "unshare" in done.stderr:
        pytest.skip(f"no mounts of our own here: {done.stderr[:100]}")
    rows = [line.split(",") for line in done.stdout.splitlines()]
    assert len(rows) == 2, done.stderr
    for took_s, success, error_type in rows:
        assert float(took_s) < 1.0 + ROOM_S
        assert (success, error_type in ("network", "service")) == ("False", True)
