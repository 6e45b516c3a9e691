"""The data folder of the bundled server: made in one step, with Tradekeep's settings and a generated password."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from core import private
from core.embedded.place import Place, make_private_folder, sync_folder, write_private
from core.embedded.programs import WINDOWS, Account, run_as
from core.errors import TradekeepError, classify_log
from core.log import remember_secret

SUPERUSER = "postgres"
OWN_FILE = "tradekeep.conf"
SETTINGS = """\
# Written by Tradekeep at each start of the server. Your own settings belong below the line in postgresql.conf that
# includes this file, or into ALTER SYSTEM: both win.
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{socket_dir}'
unix_socket_permissions = 0700
password_encryption = 'scram-sha-256'
max_connections = 100
tcp_keepalives_idle = 60
tcp_keepalives_interval = 10
tcp_keepalives_count = 3
track_io_timing = on
timezone = 'UTC'
logging_collector = on
log_directory = '../log'
log_filename = 'postgresql-%Y%m%d-%H%M%S.log'
log_file_mode = 0600
log_rotation_size = '10MB'
log_rotation_age = '7d'
log_line_prefix = '%m [%p] %q%u@%d %a '
log_timezone = 'UTC'
log_connections = off
log_disconnections = off
log_statement = 'none'
# A statement that failed may hold somebody's password: the log does not repeat it.
log_min_error_statement = 'panic'
"""
STATEMENTS = """\
shared_preload_libraries = 'pg_stat_statements'
# Utility statements are kept word for word, passwords included.
pg_stat_statements.track_utility = off
"""


def create(place: Place, account: Account | None, *, program_folder: Path) -> None:
    """Make the data folder: in a folder beside it, which gets its name only when it is complete.

    Raises what the errors' table says about initdb's messages, else DB_012.
    """
    for unfinished in place.folder.glob("new-*"):
        shutil.rmtree(unfinished, ignore_errors=True)  # its initdb may still be dying: the next call finishes it
    new = Path(tempfile.mkdtemp(prefix="new-", dir=place.folder))
    try:
        make_private_folder(new, account)
        password = secrets.token_urlsafe(24)
        remember_secret(password)
        write_private(new / "password", password, account)
        command = [
            program_folder / "initdb", "-D", new / "data", "-U", SUPERUSER, f"--pwfile={new / 'password'}",
            "--auth=scram-sha-256", "--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8",
            "--no-locale", "--data-checksums", "--no-instructions",
        ]  # fmt: skip
        done = run(command, account)
        if done.returncode:
            raise failure(done.stdout + done.stderr, log="initdb")
        _included(new / "data")
        (new / "password").replace(place.password_file)
        (new / "data").rename(place.data_dir)
        sync_folder(place.folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _included(data_dir: Path) -> None:
    """Let postgresql.conf include our own settings; a link in its place is not followed."""
    flags = os.O_WRONLY | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
    if WINDOWS:
        handle = os.open(data_dir / "postgresql.conf", flags)
    else:
        with private.opened(data_dir) as folder:
            handle = os.open("postgresql.conf", flags, dir_fd=folder)
    with os.fdopen(handle, "a", encoding="utf-8") as file:
        file.write(f"\ninclude '{OWN_FILE}'\n")


def run(command: list[Any], account: Account | None) -> subprocess.CompletedProcess[str]:
    words = [str(word) for word in command]
    arguments = run_as(account)
    try:
        return subprocess.run(  # noqa: S603  # our own programs
            words, capture_output=True, text=True, errors="replace", check=False, cwd=Path(words[0]).parent, **arguments
        )
    except OSError as error:
        raise TradekeepError("service.bundled_failed", details=str(error), log=words[0]) from error


def configure(place: Place, account: Account | None, *, port: int, socket_dir: Path | None, statements: bool) -> None:
    """Write the settings that are Tradekeep's own."""
    text = SETTINGS.format(port=port, socket_dir=socket_dir or "")
    write_private(place.data_dir / OWN_FILE, text + (STATEMENTS if statements else ""), account)


def configured_port(place: Place) -> int | None:
    """The port in the settings, None when they are not written yet."""
    try:
        found = re.search(r"^port = (\d+)", (place.data_dir / OWN_FILE).read_text("utf-8"), re.MULTILINE)
    except FileNotFoundError:
        return None
    return int(found[1]) if found else None


def password(place: Place) -> str:
    """The superuser's password. Raises DB_014."""
    try:
        text = place.password_file.read_text("utf-8").strip()
    except FileNotFoundError as error:
        raise TradekeepError("service.bundled_password", path=str(place.password_file)) from error
    remember_secret(text)
    return text


def version_of(program_folder: Path) -> str:
    """The version of the programs: "18.6". Raises DB_012 where they do not run."""
    done = run([program_folder / "postgres", "--version"], None)
    found = re.search(r"\d+(\.\d+)*", done.stdout)
    if found is None:
        raise failure(done.stdout + done.stderr, log="postgres --version")
    return found[0]


def failure(text: str, *, log: str) -> TradekeepError:
    """Why the server did not start, from what it and initdb wrote."""
    error = classify_log(text)
    if error.kind != "service.start_failed":  # which says only that it did not
        return error
    return TradekeepError("service.bundled_failed", details=error.details, log=log)


def bundles_statements(program_folder: Path) -> bool:
    """Whether the programs bring pg_stat_statements."""
    return any((program_folder.parent / "lib").rglob("pg_stat_statements.*"))


def check_version(place: Place, version: str) -> None:
    """Refuse data of another major version. Raises DB_013."""
    data_version = (place.data_dir / "PG_VERSION").read_text("utf-8").strip()
    if data_version != version.split(".")[0]:
        raise TradekeepError(
            "service.bundled_version", data_version=data_version, version=version, path=str(place.data_dir)
        )
