"""Fixtures that every test may use: real servers, databases with and without a schema, an isolated home.

`cluster` and what is made of it is shared by all tests of one process; `own_cluster` may be stopped and broken.
REQUIRE_POSTGRES=1 turns a skip for want of a server into a failure.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import signal
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from core.embedded import programs
from tests import prepared
from tests.servers import Cluster, base_folder, new_database, wait_gone

if TYPE_CHECKING:
    from core.database import Database
    from core.settings import DatabaseConfig

RUN = "TRADEKEEP_TEST_RUN"
SETTINGS = re.compile(
    r"PG[A-Z_]+|DATABASE_\w+|DB_\w+|TRADEKEEP_\w+|SQL_ECHO|LOG_LEVEL|TRACKED_SYMBOLS|AUTO_REPAIR", re.IGNORECASE
)
GRACE_S = 5


def pytest_configure(config: pytest.Config) -> None:
    """Mark this process's descendants, so that those that outlive it are found."""
    os.environ[RUN] = secrets.token_hex(8)
    for name in [name for name in os.environ if SETTINGS.fullmatch(name) and name != RUN]:
        del os.environ[name]  # the developer's own database is not the tests'


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mix the files, so that each worker gets some of those that keep a browser busy and of those that wait."""
    items.sort(key=lambda item: zlib.crc32(item.nodeid.partition("::")[0].encode()))


@pytest.fixture(scope="session", autouse=True)
def _no_process_stays() -> Iterator[None]:
    """Kill what the tests of this process left running, and fail because of it."""
    os.environ["TRADEKEEP_HOME"] = str(base_folder() / "home")  # never the developer's own, whatever a test forgets
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    yield
    prepared.end()
    mine = [process for process in _leftovers() if process.pid not in before]
    names = {process.pid: _described(process) for process in mine}
    alive = wait_gone(mine, GRACE_S)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    wait_gone(alive)
    shutil.rmtree(base_folder(), ignore_errors=True)
    if alive:
        pytest.fail("tests left processes behind:\n" + "\n".join(names[process.pid] for process in alive))


def _leftovers() -> list[psutil.Process]:
    """Descendants of this process, those that carry its mark, and those that work in its folders."""
    folder = str(base_folder())
    found = {process.pid: process for process in psutil.Process().children(recursive=True)}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            marked = process.environ().get(RUN) == os.environ[RUN]
            if marked or process.cwd().startswith(folder) or any(folder in word for word in process.cmdline()):
                found[process.pid] = process
    found.pop(os.getpid(), None)
    return [process for process in found.values() if "multiprocessing.resource_tracker" not in _described(process)]


def _described(process: psutil.Process) -> str:
    try:
        return f"{process.pid} {' '.join(process.cmdline()) or process.name()}"
    except psutil.Error:
        return f"{process.pid} (gone)"


def _require_postgres() -> None:
    reason = programs.available()
    if reason and os.environ.get("REQUIRE_POSTGRES"):
        pytest.fail(f"REQUIRE_POSTGRES is set, but: {reason}")
    if reason:
        pytest.skip(reason)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL server for all tests of this process. Leave it running, and its roles as they are."""
    _require_postgres()
    with Cluster() as server:
        yield server


@pytest.fixture
def own_cluster() -> Iterator[Cluster]:
    """A PostgreSQL server for one test, which may stop, kill, suspend and reconfigure it."""
    _require_postgres()
    with Cluster() as server:
        yield server


@pytest.fixture
def pg_database(cluster: Cluster) -> Iterator[DatabaseConfig]:
    """A fresh, empty database of the superuser."""
    with new_database(cluster) as name:
        yield cluster.config(name)


@pytest.fixture(scope="session")
def _migrated_template(cluster: Cluster) -> str:
    name = "migrated_template"
    cluster.sql(f"CREATE DATABASE {name}")
    _upgrade(cluster.config(name))
    return name


@pytest.fixture(scope="session")
def _migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("migrated") / "template.sqlite"
    _upgrade(_sqlite(file))
    return file


def _upgrade(config: DatabaseConfig) -> None:
    from core.database import Database
    from core.schema import migrate

    db = Database(config)
    try:
        migrate.upgrade(db)
    finally:
        db.dispose()


def _sqlite(file: Path) -> DatabaseConfig:
    from core.settings import DatabaseConfig

    return DatabaseConfig(backend="sqlite", database=str(file))


@pytest.fixture
def migrated(cluster: Cluster, _migrated_template: str) -> Iterator[DatabaseConfig]:
    """A database on PostgreSQL with the whole schema and no rows."""
    with new_database(cluster, template=_migrated_template) as name:
        yield cluster.config(name)


@pytest.fixture
def migrated_sqlite(_migrated_file: Path, tmp_path: Path) -> DatabaseConfig:
    """A SQLite file with the whole schema and no rows."""
    file = tmp_path / "migrated.sqlite"
    shutil.copy(_migrated_file, file)
    return _sqlite(file)


@pytest.fixture(params=["postgresql", "sqlite"])
def db(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A Database with the whole schema and no rows; the test runs on PostgreSQL and on SQLite."""
    from core.database import Database

    database = Database(request.getfixturevalue("migrated" if request.param == "postgresql" else "migrated_sqlite"))
    yield database
    database.dispose()


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """TRADEKEEP_HOME as a fresh folder, the working directory a fresh project, no setting in the environment.

    A bundled server that was started in it is stopped at the end.
    """
    folder = Path(tempfile.mkdtemp(prefix="h-", dir=base_folder()))
    folder.chmod(0o755)  # so that its bundled server can live in it when the tests run as root
    project = folder / "project"
    home = folder / "home"
    project.mkdir()
    home.mkdir()
    for name in [name for name in os.environ if SETTINGS.fullmatch(name) and name != RUN]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TRADEKEEP_HOME", str(home))
    monkeypatch.setenv("HOME", str(folder))  # ~/.pgpass and ~/.pg_service.conf are not the tests'
    monkeypatch.chdir(project)
    yield home
    _stop_servers(home)
    for attempt in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            break
        time.sleep(0.01 * attempt)


def _stop_servers(home: Path) -> None:
    """End every server whose data is the home's, at once; a test that wants a clean stop does it itself."""
    from core import embedded

    places = {str(home), str(embedded.status(home=home).data_dir or home)}
    family: dict[int, int] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.name().startswith("postgres") and any(process.cwd().startswith(place) for place in places):
                family[process.pid] = process.ppid()
    mine = [process for process in psutil.process_iter() if process.pid in family]
    for process in mine:
        if family[process.pid] not in family:  # a postmaster: SIGKILL would leave its shared memory behind
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGQUIT)
    for process in wait_gone(mine):
        process.kill()
    wait_gone(mine)
