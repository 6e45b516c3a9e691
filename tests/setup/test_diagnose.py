"""The connection test against a real server in every mood."""

from __future__ import annotations

import resource
import socket
import threading
import time

import pytest

from core.settings import DatabaseConfig
from core.setup.diagnose import STEPS, diagnose
from tests.servers import Cluster


def verdicts(result) -> dict[str, bool | None]:  # type: ignore[no-untyped-def]
    return {step.name: step.ok for step in result.steps}


def test_success_tells_everything(pg_database: DatabaseConfig) -> None:
    result = diagnose(pg_database)
    assert result.success
    assert tuple(step.name for step in result.steps) == STEPS
    assert verdicts(result) | {"tls": None} == {name: True for name in STEPS} | {"tls": None}
    assert result.connection_time_ms is not None
    assert 0 < result.connection_time_ms < 5000
    assert result.server is not None
    assert result.server.superuser
    assert abs(result.server.clock_skew_s) < 1
    assert all(privilege.granted for privilege in result.privileges)
    assert result.error_type is None


def test_socket_folder_works(cluster: Cluster) -> None:
    result = diagnose(cluster.config(host=str(cluster.socket_dir)))
    assert result.success, result.error_message


@pytest.mark.parametrize(
    ("changes", "error_type", "step"),
    [
        ({"password": "Zq7-planted"}, "auth", "login"),
        ({"password": None}, "auth", "login"),
        ({"user": "nobody-here"}, "auth", "login"),
        ({"database": "nowhere"}, "schema", "database"),
        ({"port": 1}, "service", "port"),
        ({"host": "no-such-host.invalid"}, "network", "resolve"),
        ({"options": {"sslmode": "require"}}, "tls", "tls"),
    ],
)
def test_failures_stand_on_their_step(cluster: Cluster, changes: dict[str, object], error_type: str, step: str) -> None:
    result = diagnose(cluster.admin.replace(**changes))
    assert not result.success
    assert result.error_type == error_type, result.error
    assert verdicts(result)[step] is False
    later = STEPS[STEPS.index(step) + 1 :]
    assert all(verdicts(result)[name] is None for name in later)
    assert result.suggested_fix
    assert "Zq7-planted" not in result.model_dump_json()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"password": "wrong"}, "takes connections; signing in failed"),
        ({"database": "nowhere"}, "takes connections; signing in failed"),
        ({"options": {"sslmode": "require"}}, "takes connections; TLS failed"),
    ],
)
def test_the_port_s_step_blames_no_port_for_what_came_later(
    cluster: Cluster, changes: dict[str, object], said: str
) -> None:
    result = diagnose(cluster.admin.replace(**changes))
    port = next(step for step in result.steps if step.name == "port")
    assert (port.ok, port.message) == (True, f"127.0.0.1:{cluster.port} {said}")


def test_the_deadline_holds_against_a_port_that_stays_silent() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        config = DatabaseConfig(host="127.0.0.1", port=listener.getsockname()[1], user="x", database="x")
        begin = time.monotonic()
        result = diagnose(config, deadline_s=1.0)
    assert not result.success
    assert result.error_type in ("service", "network")
    assert time.monotonic() - begin < 4


def test_the_deadline_holds_against_a_suspended_server(own_cluster: Cluster) -> None:
    own_cluster.suspend()
    begin = time.monotonic()
    try:
        result = diagnose(own_cluster.admin, deadline_s=1.0)
    finally:
        own_cluster.resume()
    assert not result.success
    assert time.monotonic() - begin < 4


def test_something_else_on_the_port_is_called_so() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def answer() -> None:
            for _ in range(3):
                try:
                    peer, _address = listener.accept()
                except OSError:
                    return
                with peer:
                    peer.settimeout(1)
                    try:
                        peer.recv(1024)
                        peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                    except OSError:
                        pass

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        result = diagnose(DatabaseConfig(host="127.0.0.1", port=listener.getsockname()[1], user="x", database="x"))
    assert not result.success
    assert result.error_type == "service"


def test_missing_rights_come_with_their_grant(cluster: Cluster) -> None:
    cluster.sql("DROP ROLE IF EXISTS small", "CREATE ROLE small LOGIN PASSWORD 'small-pw'")
    result = diagnose(cluster.config(user="small", password="small-pw"))
    assert result.success
    missing = {p.name: p.grant for p in result.privileges if not p.granted}
    assert missing["CREATEDB"] == 'ALTER ROLE "small" CREATEDB;'
    assert missing["pg_monitor"] == 'GRANT pg_monitor TO "small";'
    cluster.sql("DROP ROLE small")


def test_sqlite_is_tested_too(migrated_sqlite: DatabaseConfig) -> None:
    assert diagnose(migrated_sqlite).success


@pytest.mark.parametrize(("port", "named"), [(0, "0"), (70000, "70000"), (99999999999, "11 digits"), ("x", "port")])
def test_a_port_that_cannot_be_is_called_so(port: object, named: str) -> None:
    result = diagnose(DatabaseConfig(host="127.0.0.1", port_text=str(port), user="x", database="x"))
    assert (result.success, result.error_type) == (False, "config")
    assert verdicts(result)["port"] is False
    assert named in (result.error_message or "")


def test_many_open_files_do_not_matter(pg_database: DatabaseConfig) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2000:
        pytest.skip("this machine allows no 2,000 open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2000), hard))
    opened = [socket.socket() for _ in range(1100)]
    try:
        assert diagnose(pg_database).success
    finally:
        for one in opened:
            one.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_role_that_lacks_what_pages_need_is_no_success(cluster: Cluster, pg_database: DatabaseConfig) -> None:
    name = pg_database.database
    cluster.sql("CREATE ROLE shut LOGIN PASSWORD 'shut-pw'", "REVOKE ALL ON SCHEMA public FROM PUBLIC", database=name)
    try:
        result = diagnose(cluster.config(name, user="shut", password="shut-pw"))
    finally:
        cluster.sql("DROP ROLE shut")
    assert (result.success, result.error_type) == (False, "permission")
    assert verdicts(result)["privileges"] is False
    assert result.suggested_fix
    assert result.server is not None


def test_too_old_a_server_is_no_success(pg_database: DatabaseConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.setup.diagnose.OLDEST_SERVER", 990000)
    result = diagnose(pg_database)
    assert (result.success, result.error_type) == (False, "config")
    assert verdicts(result)["version"] is False
    assert "too old" in (result.error_message or "")


def test_a_database_that_the_role_may_not_enter_stands_on_its_step(
    cluster: Cluster, pg_database: DatabaseConfig
) -> None:
    name = pg_database.database
    cluster.sql("CREATE ROLE out LOGIN PASSWORD 'out-pw'", f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC")
    try:
        result = diagnose(cluster.config(name, user="out", password="out-pw"))
    finally:
        cluster.sql("DROP ROLE out")
    assert (result.error_type, verdicts(result)["database"]) == ("permission", False)


def test_times_have_three_digits(pg_database: DatabaseConfig) -> None:
    result = diagnose(pg_database)
    times = [result.connection_time_ms, *(step.ms for step in result.steps)]
    assert all(ms is None or ms == round(ms, 3) for ms in times)
