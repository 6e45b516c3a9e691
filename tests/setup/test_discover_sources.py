"""What each source makes of the recorded output of its command: usual ones, odd ones, other systems' ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.setup.discover import (
    containers,
    debian,
    folder,
    installed,
    listeners,
    macos,
    processes,
    sockets,
    systemd,
    windows,
)
from core.setup.discover.ask import said
from core.setup.discover.model import Sighting

LONG = "3f9a1c0d2b4e6f8091a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708"
RECORDED = Path(__file__).parent / "recorded"


def recorded(name: str) -> str:
    return (RECORDED / name).read_text("utf-8")


def command(one: Sighting) -> str:
    assert one.start is not None
    return one.start.text or " ".join(one.start.command)


def found(text: str, tool: str = "docker") -> dict[str, Sighting]:
    return {one.detail.split(",")[0].removeprefix("container "): one for one in containers.parse(text, tool)}


def test_docker_lists_servers_with_their_ports_and_nothing_else() -> None:
    rows = found(recorded("docker-ps.jsonl"))
    assert {name: (one.port, one.addresses, one.running, one.version) for name, one in rows.items()} == {
        "trading-db": (5433, ("0.0.0.0", "::"), True, "16.4"),
        "ticks": (5440, ("127.0.0.1", "::1"), True, "16"),
        "stack_db.1.x7": (None, (), False, "16.3"),
        "größe-ß": (None, (), True, "17"),
        "geo": (5450, ("0.0.0.0", "::"), True, "15"),
        "custom": (5460, ("0.0.0.0",), True, None),
        "pinned": (5461, ("0.0.0.0",), True, None),
    }
    assert command(rows["stack_db.1.x7"]) == "docker start stack_db.1.x7"
    assert "docker unpause geo" in rows["geo"].detail
    assert "docker logs pinned" in rows["pinned"].detail


def test_docker_inspect_tells_the_port_of_a_stopped_container_and_the_address_of_one_without() -> None:
    rows = containers.completed(containers.parse(recorded("docker-ps.jsonl")), recorded("docker-inspect.txt"))
    by_port = {one.port: one for one in rows}
    assert by_port[5435].running is False
    assert by_port[5432].addresses in (("172.17.0.3",), ("",))  # only Linux reaches containers themselves
    assert "publishes no port" in by_port[5432].detail


def test_podman_lists_its_containers() -> None:
    rows = found(recorded("podman-ps.jsonl"), "podman")
    assert {name: (one.port, one.running, one.version) for name, one in rows.items()} == {
        "pg17": (5470, True, "17"),
        "pg14": (5471, False, "14.13"),
    }
    assert command(rows["pg14"]) == "podman start pg14"
    as_list = json.dumps([json.loads(line) for line in recorded("podman-ps.jsonl").splitlines()])
    assert found(as_list, "podman").keys() == rows.keys()


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("postgres", None),
        ("postgres:latest", None),
        ("postgres:16", "16"),
        ("postgres:16.4-bookworm", "16.4"),
        ("localhost:5000/postgres", None),
        ("localhost:5000/postgres:13", "13"),
        ("timescale/timescaledb:2.17.2-pg16", "16"),
        ("timescale/timescaledb-ha:pg16.4-ts2.17", "16.4"),
        ("timescale/timescaledb:latest-pg14-oss", "14"),
        ("citusdata/citus:12.1", None),
        ("citusdata/citus:12.1-pg15", "15"),
        ("supabase/postgres:15.1.1.78", "15.1"),
        ("bitnamilegacy/postgresql:17.5.0-debian-12-r8", "17.5"),
        ("ankane/pgvector:v0.5.1", None),
        ("postgres@sha256:4ec37d2a07a0067f", None),
    ],
)
def test_tag_of_an_image_names_the_version(image: str, version: str | None) -> None:
    assert containers.version_of(image) == version


@pytest.mark.parametrize(
    ("ports", "expected"),
    [
        ("", []),
        (None, []),
        ("5432/tcp", []),
        ("0.0.0.0:5433->5432/tcp, :::5433->5432/tcp", [("0.0.0.0", 5433, 5432), ("::", 5433, 5432)]),
        ("0.0.0.0:5433->5432/tcp, [::]:5433->5432/tcp", [("0.0.0.0", 5433, 5432), ("::", 5433, 5432)]),
        ("127.0.0.2:5433->5432/tcp", [("127.0.0.2", 5433, 5432)]),
        ("[fd00::1]:5433->5432/tcp", [("fd00::1", 5433, 5432)]),
        ("0.0.0.0:5433->5432/udp", []),
        ("0.0.0.0:7000-7001->5432-5433/tcp", [("0.0.0.0", 7000, 5432), ("0.0.0.0", 7001, 5433)]),
        ([{"host_ip": "", "container_port": 5432, "host_port": 5470, "range": 1, "protocol": "tcp"}],
         [("0.0.0.0", 5470, 5432)]),
        ([{"nonsense": 1}, "x"], []),
    ],
)  # fmt: skip
def test_published_ports_are_read(ports: Any, expected: list[tuple[str, int, int]]) -> None:
    assert list(containers.parse_ports(ports)) == expected


def test_systemd_names_services_and_no_templates() -> None:
    names = systemd.parse_names(recorded("systemctl-unit-files.txt") + recorded("systemctl-units.txt"))
    assert names == [
        "postgresql-15.service", "postgresql-16.service", "postgresql-tick.service", "postgresql.service",
        "postgresql@15-main.service",
    ]  # fmt: skip


def test_systemd_tells_stopped_failed_and_running_services_apart() -> None:
    rows = {one.detail.split()[1]: one for one in systemd.parse(recorded("systemctl-show.txt"))}
    assert {name: (one.running, one.version, one.port, one.pid) for name, one in rows.items()} == {
        "postgresql-15": (False, "15", 5432, None),
        "postgresql-16": (False, "16", 5444, None),
        "postgresql@15-main": (True, "15", None, 1234),
    }
    assert command(rows["postgresql-15"]).endswith("systemctl start postgresql-15")
    assert "journalctl -u postgresql-16" in rows["postgresql-16"].detail
    assert rows["postgresql-15"].data_dir == "/var/lib/pgsql/15/data"


def test_homebrew_lists_its_services() -> None:
    rows = {one.version: one for one in macos.parse(recorded("brew-services.json"), prefixes=("/nowhere",))}
    assert {name: one.running for name, one in rows.items()} == {"14": False, "16": None, "17": False}
    assert command(rows["14"]) == "brew services start postgresql@14"
    assert command(rows["17"]) == "brew services start petere/postgresql/postgresql@17"
    assert "failed" in rows["17"].detail


def test_postgres_app_lists_its_data_folders_or_its_newest_version(tmp_path: Path) -> None:
    for version in ("9.6", "16", "17"):
        (tmp_path / "app/Contents/Versions" / version / "bin").mkdir(parents=True)
    (only,) = macos.app_versions(str(tmp_path / "app"), str(tmp_path / "support"))
    assert only.version == "17"
    data = tmp_path / "support" / "var-16"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("16\n")
    (data / "postgresql.conf").write_text("#port = 1\nport = 5439 # mine\n")
    (one,) = macos.app_versions(str(tmp_path / "app"), str(tmp_path / "support"))
    assert (one.version, one.port, command(one)) == ("16", 5439, "open -a Postgres")


def test_windows_services_are_listed() -> None:
    rows = windows.parse(json.loads(recorded("windows-services.json")))
    assert [(one.running, one.version, command(one)) for one in rows] == [
        (True, "16", "net start postgresql-x64-16"),
        (False, "14", "net start postgresql-x64-14"),
        (False, None, 'net start "Trading DB"'),
        (True, "9.6", "net start postgresql-x64-9.6"),
    ]
    assert "pg 14" in rows[1].data_dir
    assert "disabled" in rows[1].detail
    assert rows[1].start is not None
    assert not rows[1].start.allowed


def test_debian_clusters_are_listed_whatever_stands_around_them() -> None:
    first, second = debian.parse(recorded("pg-lsclusters.json"))
    assert (first.port, first.running, first.version, first.sockets) == (
        5432, False, "15", ("/var/run/postgresql", "/srv/pg"),
    )  # fmt: skip
    assert command(first).endswith("pg_ctlcluster 15 main start")
    assert (second.port, second.running, second.detail) == (5433, True, "cluster 9.6/größe")


def test_debian_clusters_are_read_from_their_files_where_the_tool_is_broken(tmp_path: Path) -> None:
    (tmp_path / "16" / "ticks").mkdir(parents=True)
    (tmp_path / "16" / "ticks" / "postgresql.conf").write_text("port = 5444\ndata_directory = '/srv/it''s'\n")
    (one,) = debian.from_files(tmp_path)
    assert (one.port, one.version, one.running, one.data_dir) == (5444, "16", None, "/srv/it's")


@pytest.mark.parametrize(
    "source",
    [
        debian.parse, macos.parse, systemd.parse, systemd.parse_names, containers.parse, containers.parse_inspected,
        listeners.parse, sockets.parse,
    ],
    ids=lambda source: f"{source.__module__.rpartition('.')[2]}.{source.__name__}",
)  # fmt: skip
@pytest.mark.parametrize(
    "text",
    [
        "", "\n\n", "null", "{}", "[]", "[null, 1, {}]", '{"a": ', "\0\0\0", "Zugriff verweigert", "x" * 100_000,
        "=\n=",
        "System has not been booted with systemd as init system (PID 1). Can't operate.\n",
        pytest.param("docker-denied.txt", id="docker-denied"), pytest.param("docker-stopped.txt", id="docker-stopped"),
    ],
)  # fmt: skip
def test_source_finds_nothing_in_what_is_no_output_of_its_command(source: Callable[[str], Any], text: str) -> None:
    assert not source(recorded(text) if text.startswith("docker-") else text)


def test_listeners_of_linux_have_their_owners() -> None:
    rows = listeners.parse(recorded("proc-net-tcp.txt")) + listeners.parse(recorded("proc-net-tcp6.txt"))
    assert [(one.address, one.port, one.uid, one.reached_at) for one in rows] == [
        ("127.0.0.1", 5432, 101, "127.0.0.1"),
        ("0.0.0.0", 5433, 0, "127.0.0.1"),
        ("::1", 5432, 102, "::1"),
        ("127.0.0.1", 5434, 103, "127.0.0.1"),
    ]


def test_sockets_of_linux_are_those_that_listen() -> None:
    assert sockets.parse(recorded("proc-net-unix.txt")) == [
        ("/run/postgresql", 5432), ("/srv/my data", 5433), ("@/abstract", 5434),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["/x/bin/postgres", "-D", "/a b", "-c", "config_file=/etc/x.conf"], ("/a b", None, "/etc/x.conf", "")),
        (["postgres", "-D/data", "-p5433", "-k", "/run/x"], ("/data", 5433, "", "/run/x")),
        (["postgres", "--port=5434", "--data-directory=/d", "-cunix_socket_directories=/s,/t"], ("/d", 5434, "", "/s")),
        (["postgres", "-D", "/d", "-p", "none"], ("/d", None, "", "")),
        (["postgres", "-D"], ("", None, "", "")),
        (["postgres"], ("", None, "", "")),
        ([], ("", None, "", "")),
        (["postgres", "--single", "-D", "/d"], None),
        (["postgres", "-D", "/d", "-C", "port"], None),
        (["postgres", "--version"], None),
    ],
)  # fmt: skip
def test_command_line_of_a_server_is_read(words: list[str], expected: tuple[Any, ...] | None) -> None:
    options = processes.parse(words)
    if expected is None:
        assert options is None
    else:
        assert options is not None
        assert (options.data_dir, options.port, options.config_file, options.socket_dir) == expected


@pytest.mark.parametrize(
    ("cgroup", "container"),
    [
        (f"0::/system.slice/docker-{LONG}.scope", "3f9a1c0d2b4e"),
        (f"12:pids:/docker/{LONG}\n11:cpu:/", "3f9a1c0d2b4e"),
        ("0::/user.slice/user@1000.service/libpod-bb00000000000000000000.scope/container", "bb0000000000"),
        ("0::/system.slice/postgresql.service", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_process_in_a_container_is_known_by_its_control_group(cgroup: str, container: str) -> None:
    assert processes.container_of(cgroup) == container


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("x\n", None),
        ("0\n", None),
        ("12", (12, "", None, "")),
        ("12\n/d\n1\n5433\n/run\nlocalhost\n  1 2\nready   \n", (12, "/d", 5433, "ready")),
        ("12\n/d\n1\n5433\n\n", (12, "/d", 5433, "")),
    ],
)
def test_lock_file_is_read_in_every_state(text: str, expected: tuple[Any, ...] | None) -> None:
    lock = folder.parse_lock(text)
    assert (lock and (lock.pid, lock.data_dir, lock.port, lock.state)) == expected


@pytest.mark.parametrize(
    ("path", "version"),
    [
        ("/usr/lib/postgresql/15/bin/postgres", "15"),
        ("/usr/lib/postgresql/9.6/bin/postgres", "9.6"),
        ("/usr/pgsql-16/bin/postgres", "16"),
        ("/opt/homebrew/Cellar/postgresql@16/16.4_1/bin/postgres", "16.4"),
        ("/opt/homebrew/opt/postgresql@14/bin/postgres", "14"),
        ("/Applications/Postgres.app/Contents/Versions/17/bin/postgres", "17"),
        ("C:\\Program Files\\PostgreSQL\\16\\bin\\postgres.exe", "16"),
        ("/usr/local/bin/postgres", None),
        ("", None),
    ],
)
def test_path_of_a_program_names_its_version(path: str, version: str | None) -> None:
    assert folder.version_in(path) == version


def test_programs_without_a_cluster_say_how_one_is_made(tmp_path: Path) -> None:
    place = tmp_path / "postgresql" / "16" / "bin"
    place.mkdir(parents=True)
    (place / "postgres").write_text("")
    (one,) = installed.programs((str(tmp_path / "postgresql/*/bin"),))
    assert (one.version, one.running) == ("16", False)
    assert "initdb" in command(one)


def test_program_that_hangs_is_killed_with_what_it_started(tmp_path: Path) -> None:
    program = tmp_path / "hangs"
    program.write_text("#!/bin/sh\necho first\nsleep 600 &\nsleep 600\n")
    program.chmod(0o755)
    assert said([str(program)], 0.2) == ""
    program.write_text("#!/bin/sh\necho out; echo err >&2; exit 3\n")
    assert said([str(program)], 5) == ""
    assert said([str(program)], 5, fail_ok=True) == "out\n"
    assert said([str(tmp_path / "absent")], 5) == ""
