"""Folders and settings of a benchmark's own, so that nobody's database or files are touched."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core import embedded
from core.settings import VARIABLES, Settings, load_settings
from core.setup import wizard
from core.tasks import Progress, Step, Task

ROOT = Path(__file__).parent.parent
KEPT = ("PATH", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT", "VIRTUAL_ENV", "LD_LIBRARY_PATH")


@contextmanager
def alone() -> Iterator[None]:
    """Take what says where a database is out of the environment as long as the block."""
    names = {name for variable in VARIABLES for name in (variable.name, *variable.also)}
    taken = {name: value for name, value in os.environ.items() if name in names or name.startswith("PG")}
    for name in taken:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(taken)


@contextmanager
def fresh_folder() -> Iterator[Path]:
    """An empty folder on the disk that every account may enter, with `home` and `project`; removed at the end.

    A bundled server that was started in its home is stopped and removed, too.
    """
    folder = Path(tempfile.mkdtemp(prefix="tradekeep-benchmark-"))
    folder.chmod(0o755)
    home = folder / "home"
    for each in (home, folder / "project"):
        each.mkdir()
    try:
        yield folder
    finally:
        place = embedded.status(home=home).data_dir
        embedded.stop(home=home)
        if place is not None:
            shutil.rmtree(place.parent, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


def settings_of(folder: Path) -> Settings:
    """The settings of a folder made by `fresh_folder`."""
    os.environ["TRADEKEEP_HOME"] = str(folder / "home")
    try:
        return load_settings(folder / "project")
    finally:
        del os.environ["TRADEKEEP_HOME"]


def environment_of(folder: Path) -> dict[str, str]:
    """The environment of a process that works in a folder made by `fresh_folder`; no variable of the caller's."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    return kept | {
        "HOME": str(folder),
        "TRADEKEEP_HOME": str(folder / "home"),
        "TRADEKEEP_PROJECT": str(folder / "project"),
        "PYTHONPATH": str(ROOT),
        "STREAMLIT_SERVER_HEADLESS": "true",
    }


def journey() -> Progress:
    """Somebody to report a setup to."""
    return Progress(Task("setup", "Setup", [Step(*step) for step in wizard.JOURNEY]))
