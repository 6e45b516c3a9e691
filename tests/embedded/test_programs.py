"""The bundled programs: found, copied to where the server's account can run them, or missing with a reason."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core import embedded
from core.embedded import programs
from core.errors import TradekeepError
from tests.embedded.test_secrets import AS_ROOT, modes_other_than_private
from tests.servers import base_folder, free_folder


@pytest.fixture
def _forgotten() -> Iterator[None]:
    """The programs are looked for anew, now and after the test."""
    programs._bundled.cache_clear()
    yield
    programs._bundled.cache_clear()


def wheel_in(folder: Path) -> None:
    """Copy the package and its libraries into a folder, as an installation would."""
    package = embedded.client("psql").parent.parent.parent
    shutil.copytree(package, folder / package.name, ignore=shutil.ignore_patterns("include", "__pycache__"))
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, folder / libraries.name)


def test_clients_are_found() -> None:
    for tool in ("psql", "pg_dump", "pg_restore", "pg_basebackup"):
        done = subprocess.run([embedded.client(tool), "--version"], capture_output=True, text=True, check=True)
        assert "(PostgreSQL) 18" in done.stdout


def test_unknown_client_is_an_error() -> None:
    with pytest.raises(TradekeepError) as caught:
        embedded.client("psqll")
    assert caught.value.kind == "service.bundled_unavailable"


@pytest.mark.usefixtures("_forgotten")
def test_without_the_package_everything_says_so(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, programs.PACKAGE, None)
    reason = embedded.available()
    assert reason is not None
    assert "pip install" in reason
    status = embedded.status(home=home)
    assert (status.state, status.reason) == ("unavailable", reason)
    with pytest.raises(TradekeepError) as caught:
        embedded.start(home=home)
    assert (caught.value.kind, caught.value.message) == ("service.bundled_unavailable", reason)


@pytest.mark.usefixtures("_forgotten")
@pytest.mark.parametrize(
    ("system", "machine", "libc", "words"),
    [
        ("linux", "x86_64", "", "Linux on x86_64 with musl"),
        ("win32", "ARM64", "", "on ARM64"),
        ("freebsd14", "amd64", "", "on amd64"),
    ],
)
def test_platform_without_a_wheel_is_named(
    monkeypatch: pytest.MonkeyPatch, system: str, machine: str, libc: str, words: str
) -> None:
    monkeypatch.setitem(sys.modules, programs.PACKAGE, None)
    monkeypatch.setattr(programs.sys, "platform", system)
    monkeypatch.setattr(programs.platform, "machine", lambda: machine)
    monkeypatch.setattr(programs.platform, "libc_ver", lambda: (libc, ""))
    assert words in str(embedded.available())


@AS_ROOT
@pytest.mark.usefixtures("_forgotten")
def test_programs_in_a_closed_folder_are_copied_once(monkeypatch: pytest.MonkeyPatch) -> None:
    account = programs.account_for_server()
    closed = free_folder("closed-")
    os.chown(closed, 0, 0)
    wheel_in(closed)
    system = free_folder("system-")
    os.chown(system, 0, 0)
    monkeypatch.setattr(programs, "SYSTEM_FOLDER", system)
    monkeypatch.syspath_prepend(str(closed))
    programs._bundled.cache_clear()
    before = os.umask(0o077)
    try:
        with ThreadPoolExecutor(2) as pool:
            folders = set(pool.map(lambda _: programs.server_folder(account), range(2)))
    finally:
        os.umask(before)
    (folder,) = folders
    assert folder.is_relative_to(system / "programs")
    assert [path.name for path in (system / "programs").iterdir()] == [folder.relative_to(system).parts[1]]
    for program in ("postgres", "initdb", "psql"):
        run = programs.run_as(account) | {"cwd": "/"}
        done = subprocess.run([folder / program, "--version"], capture_output=True, text=True, check=False, **run)
        assert done.returncode == 0, done.stderr


@AS_ROOT
def test_ordinary_user_runs_the_server_itself() -> None:
    """Everything as a user without rights: a child of this process becomes `nobody` and starts a server."""
    user = pwd.getpwnam("nobody")
    place = Path(base_folder()) / "nobody"
    place.mkdir()
    os.chown(place, user.pw_uid, user.pw_gid)
    wheel = Path(base_folder()) / "wheel"
    wheel.mkdir()
    wheel_in(wheel)
    home = place / "new" / "home"
    child = os.fork()
    if child == 0:  # an own interpreter is not possible: the user may not enter the folder that it is in
        code = 1
        try:
            sys.path.insert(0, str(wheel))
            programs._bundled.cache_clear()
            sys.path_importer_cache.clear()
            os.chdir("/")
            os.setgroups([])
            os.setgid(user.pw_gid)
            os.setuid(user.pw_uid)
            os.umask(0)
            server = embedded.start(home=home)
            assert server.data_dir.is_relative_to(home)
            assert embedded.status(home=home).state == "running"
            assert not modes_other_than_private(place / "new")
            embedded.stop(home=home)
            assert embedded.status(home=home).state == "stopped"
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert (home / "server" / "password").stat().st_uid == user.pw_uid
