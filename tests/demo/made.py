"""The demo's file, made once a process, for the homes of tests that only look at it."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path

from core import demo
from tests.servers import base_folder


@cache
def _made() -> Path:
    home = base_folder() / "demo-home"
    demo.database(home)
    return home / "demo"


def put(home: Path) -> None:
    """Put the file where an app with this home looks for it before it makes one, which takes a second."""
    shutil.copytree(_made(), home / "demo", dirs_exist_ok=True)
