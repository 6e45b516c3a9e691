"""The instructions for a forgotten password: run for real where this machine can, word by word elsewhere."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from core.settings import DatabaseConfig
from core.setup import installation as places
from core.setup import reset
from core.setup.discover import containers, processes, windows
from core.setup.discover.model import Sighting
from core.setup.installation import Installation
from core.setup.reset import Guide, ResetStep
from tests.conformance.machines import needed, only_root
from tests.servers import Cluster, free_port, system_binaries

NEW = "n3w pass'word"
ROLES = ("postgres", "plain", 'O"dd Rolé')


def run(command: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    """The command as a person's shell runs it, without a terminal of ours; typed: what the person answers."""
    return subprocess.run(
        ["bash", "-c", command], input=typed, capture_output=True, text=True, timeout=30, check=False,
        start_new_session=True, cwd="/",
    )  # fmt: skip


def signs_in(port: int, role: str, password: str) -> bool:
    try:
        psycopg.connect(
            host="127.0.0.1", port=port, user=role, password=password, dbname="postgres", connect_timeout=3
        ).close()
    except psycopg.OperationalError:
        return False
    return True


@pytest.fixture(scope="module")
def debian() -> Iterator[int]:
    """The port of a cluster made by Debian's own tools, under a name that is no plain word."""
    only_root()
    needed(shutil.which("pg_createcluster"), "pg_createcluster of Debian")
    port, name = free_port(), f"tk_reset-{os.getpid()}"
    made = run(f"pg_createcluster 15 {name} -p {port} --start -- --auth-host=scram-sha-256 --auth-local=peer --no-sync")
    assert made.returncode == 0, made.stderr
    try:
        for role in ROLES[1:]:
            quoted = '"' + role.replace('"', '""') + '"'
            run(f"runuser -u postgres -- psql -p {port} -c {shlex.quote(f'CREATE ROLE {quoted} LOGIN')}")
        yield port
    finally:
        run(f"pg_dropcluster --stop 15 {name}")


def guide_of(port: int, role: str, home: Path) -> Guide:
    return reset.instructions(DatabaseConfig(host="localhost", port=port, user=role), home)


@pytest.mark.parametrize("role", ROLES)
def test_the_steps_for_debian_set_a_password_that_signs_in(debian: int, role: str, home: Path) -> None:
    guide = guide_of(debian, role, home)
    assert "Debian's cluster 15/tk_reset-" in guide.title
    done = run(guide.steps[0].command, f"{NEW}\n{NEW}\n")
    assert done.returncode == 0, done.stderr
    assert signs_in(debian, role, NEW)


def test_the_longer_way_lets_in_where_peer_does_not_and_puts_the_file_back(debian: int, home: Path) -> None:
    guide = guide_of(debian, "plain", home)
    file = Path(places.installation(DatabaseConfig(host="localhost", port=debian), home).hba_file)
    strict = "local all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n"
    file.write_text(strict)
    owner = file.stat().st_uid
    assert run(guide.otherwise[2].command).returncode == 0  # the reload, so that the strict rules hold
    refused = run(guide.steps[0].command + " </dev/null", "")
    assert refused.returncode != 0
    for step in guide.otherwise:
        done = run(step.command, "other-pw-2\nother-pw-2\n")
        assert done.returncode == 0, (step.command, done.stderr)
    assert signs_in(debian, "plain", "other-pw-2")
    assert file.read_text() == strict
    assert file.stat().st_uid == owner
    assert not Path(f"{file}{reset.BACKUP}").exists()


HOUSES = {
    "debian": Installation("debian", "main", "15", "/etc/postgresql/15/main/pg_hba.conf"),
    "linux": Installation("linux", version="16", hba_file="/var/lib/pgsql/16/my data/pg_hba.conf",
                          data_dir="/var/lib/pgsql/16/my data", programs="/usr/pgsql-16/bin"),
    "linux_unknown": Installation("linux"),
    "homebrew": Installation("homebrew", version="16", hba_file="/opt/homebrew/var/postgresql@16/pg_hba.conf",
                             data_dir="/opt/homebrew/var/postgresql@16",
                             programs="/opt/homebrew/Cellar/postgresql@16/16.4/bin", account="jane doe"),
    "postgres_app": Installation("postgres_app", version="16",
                                 hba_file="/Users/jane/Library/Application Support/Postgres/var-16/pg_hba.conf",
                                 programs="/Applications/Postgres.app/Contents/Versions/16/bin", account="jane"),
    "macos": Installation("macos", version="16", data_dir="/Library/PostgreSQL/16/data",
                          hba_file="/Library/PostgreSQL/16/data/pg_hba.conf", programs="/Library/PostgreSQL/16/bin"),
    "docker": Installation("docker", "my-db_1"),
    "podman": Installation("podman", "my-db_1"),
    "windows": Installation("windows", "postgresql-x64-16", "16", r"C:\Program Files\PostgreSQL\16\data\pg_hba.conf",
                            r"C:\Program Files\PostgreSQL\16\data", r"C:\Program Files\PostgreSQL\16\bin", ""),
    "bundled": Installation("bundled"),
    "remote": places.provider("db.example.com"),
    "rds": places.provider("x.eu-west-1.rds.amazonaws.com"),
}  # fmt: skip


def commands(guide: Guide) -> list[ResetStep]:
    return [step for step in (*guide.steps, *guide.otherwise) if step.command]


@pytest.mark.parametrize("role", ["postgres", 'it\'s a "role"; rm -rf /'])
@pytest.mark.parametrize("house", HOUSES)
def test_every_guide_quotes_what_it_names(house: str, role: str) -> None:
    guide = reset.guide(HOUSES[house], role=role, port=5433)
    assert guide.steps
    assert guide.role == role
    for step in commands(guide):
        if step.shell == "bash":
            checked = subprocess.run(["bash", "-n", "-c", step.command], capture_output=True, text=True, check=False)
            assert not checked.returncode, (step.command, checked.stderr)
        elif step.shell == "powershell":
            assert step.command.replace("''", "").count("'") % 2 == 0
    if HOUSES[house].hba_file:
        kept = [step.command for step in commands(guide) if reset.BACKUP in step.command]
        assert len(kept) == 4, "kept, read from, put back, removed"


def test_windows_stops_and_starts_its_service_and_asks_for_the_password_in_psql() -> None:
    guide = reset.guide(HOUSES["windows"], role="trading", port=5433)
    texts = [step.command for step in guide.steps]
    assert texts.count("net stop 'postgresql-x64-16'; net start 'postgresql-x64-16'") == 2
    assert r"& 'C:\Program Files\PostgreSQL\16\bin\psql.exe' -h 127.0.0.1 -p 5433 -U postgres -d postgres" in texts
    assert r"\password trading" in texts


def test_the_container_gets_psql_s_own_command_whole() -> None:
    command = reset.guide(HOUSES["docker"], role='a "b', port=5432).steps[0].command
    words = shlex.split(command)
    assert words[:6] == ["docker", "exec", "-it", "my-db_1", "sh", "-c"]
    inner = subprocess.run(
        ["sh", "-c", words[6].replace("psql", "printf '%s|'")], capture_output=True, text=True, env={}, check=True
    )
    assert inner.stdout.split("|")[:-1] == ["-U", "postgres", "-d", "postgres", "-c", '\\password "a ""b"']


DOCKER = (
    '{"ID":"aa11bb22cc33","Names":"other","State":"running","Ports":"0.0.0.0:5433->5432/tcp, [::]:5433->5432/tcp"}\n'
    "not json\n"
    '{"ID":"aa11bb22cc34","Names":"shop-db-1","Image":"postgres:16","State":"running",'
    '"Ports":"127.0.0.1:15430-15439->5430-5439/tcp"}\n'
    '{"ID":"aa11bb22cc35","Names":"inside","Image":"postgres:16","State":"running","Ports":"5432/tcp"}\n'
)
PODMAN = (
    '{"Id":"aa11bb22cc36","Names":["pod-db"],"State":"running",'
    '"Ports":[{"host_ip":"","container_port":5432,"host_port":5444,"range":1}]}\n'
)


@pytest.mark.parametrize(
    ("output", "tool", "port", "kind", "name"),
    [
        (DOCKER, "docker", 5433, "docker", "other"),
        (DOCKER, "docker", 15432, "docker", "shop-db-1"),
        (DOCKER, "docker", 5432, "linux", ""),
        (PODMAN, "podman", 5444, "podman", "pod-db"),
        ("", "docker", 1, "linux", ""),
    ],
)
def test_the_container_behind_a_port(output: str, tool: str, port: int, kind: str, name: str) -> None:
    found = containers.completed(containers.parse(output, tool), "aa11bb22cc35 {} 172.17.0.2")
    place = places.serving(found, port, "linux")
    assert (place.kind, place.name) == (kind, name)


def test_a_stopped_container_does_not_hide_the_server_that_runs() -> None:
    stopped = containers.parse(DOCKER.replace('"running"', '"exited"'))
    running = Sighting(processes.SOURCE, port=5433, running=True, programs="/usr/pgsql-16/bin", worth=1)
    assert places.serving([*stopped, running], 5433, "linux").kind == "linux"
    assert places.serving(stopped, 5433, "linux").name == "other"


@pytest.mark.parametrize(
    ("programs", "kind"),
    [
        ("/opt/homebrew/Cellar/postgresql@16/16.4/bin", "homebrew"),
        ("/usr/local/opt/postgresql@16/bin", "homebrew"),
        ("/Applications/Postgres.app/Contents/Versions/16/bin", "postgres_app"),
        ("/Library/PostgreSQL/16/bin", "macos"),
    ],
)
def test_an_installation_is_known_by_its_programs(programs: str, kind: str) -> None:
    found = Sighting(processes.SOURCE, port=5432, running=True, programs=programs)
    assert places.serving([found], 5432, "darwin").kind == kind
    assert places.serving([], 5432, "darwin").kind == "macos"


def test_the_steps_for_a_server_of_no_package_set_a_password_that_signs_in(home: Path) -> None:
    """Its socket is in no usual folder, and its rules are in a file of another name."""
    only_root()
    programs = system_binaries().get(15)
    needed(programs is not None, "PostgreSQL 15 of Debian")
    with Cluster(binaries=programs) as server:
        server.put("rules.conf", "local all all peer\nhost all all 127.0.0.1/32 scram-sha-256\n")
        server.configure(conf=["hba_file = 'rules.conf'"])
        server.restart()
        server.sql("CREATE ROLE plain LOGIN")
        place = places.installation(server.config(), home)
        assert (place.kind, place.version, place.programs) == ("linux", "15", str(programs))
        assert Path(place.hba_file).samefile(server.sql("SHOW hba_file")[0][0])
        command = guide_of(server.port, "plain", home).steps[0].command
        done = run(command, f"{NEW}\n{NEW}\n")
        assert done.returncode == 0, (command, done.stderr)
        assert signs_in(server.port, "plain", NEW)


def test_the_windows_service_is_known_by_its_command() -> None:
    command = (
        r'"C:\Program Files\PostgreSQL\16\bin\pg_ctl.exe" runservice -N "postgresql-x64-16" '
        r'-D "C:\Program Files\PostgreSQL\16\data" -w'
    )
    services = windows.parse([{"name": "postgresql-x64-16", "binpath": command, "status": "stopped"}])
    for port in (5432, 5433):  # its configuration cannot be read here: the only one is meant
        found = places.serving(services, port, "win32")
        assert replace(found, data_dir="") == replace(HOUSES["windows"], data_dir="")
    assert places.serving([*services, *services], 5433, "win32") == Installation("windows", account="")


@pytest.mark.parametrize(
    ("host", "name"),
    [("x.rds.amazonaws.com", "Amazon RDS"), ("DB.ABC.supabase.co", "Supabase"), ("db.example.com", "db.example.com")],
)
def test_a_hosted_server_leads_to_its_console(host: str, name: str) -> None:
    guide = reset.guide(places.provider(host), role="postgres", port=5432)
    assert guide.title == name
    assert guide.steps
