"""README and docs name every page, setting, check, command and error code that exists."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"


def documentation() -> str:
    """README and everything under docs/, as one text."""
    files = [README, *sorted(ROOT.glob("docs/**/*.md"))]
    return "\n".join(file.read_text("utf-8") for file in files if file.is_file())


def exists(module: str) -> bool:
    """Whether a module of the product was written yet."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def pages() -> list[str]:
    """The titles of the pages, as the files are called."""
    return [file.stem.replace("_", " ").capitalize() for file in ROOT.glob("pages/*.py") if file.stem != "__init__"]


def settings() -> list[str]:
    """The environment variables that the product reads."""
    from core.settings import VARIABLES

    return [variable.name for variable in VARIABLES]


def checks() -> list[str]:
    """The ids of the health checks."""
    if not exists("core.health"):
        return []
    import core.health

    return list(getattr(core.health, "CHECKS", ()))


def commands() -> list[str]:
    """The commands of `python -m core`."""
    from core.commands import MODULES

    return sorted(MODULES)


def error_codes() -> list[str]:
    """The codes that people see with an error."""
    from core.errors import KINDS

    return sorted(kind.code for kind in KINDS.values())


NAMED: dict[str, Callable[[], list[str]]] = {
    "page": pages,
    "setting": settings,
    "check": checks,
    "command": commands,
    "error code": error_codes,
}


def test_readme_exists() -> None:
    assert README.is_file()


@pytest.mark.parametrize("noun", NAMED)
def test_every_one_is_documented(noun: str) -> None:
    text = documentation()
    missing = [f"python -m core {name}" if noun == "command" else name for name in NAMED[noun]()]
    missing = [name for name in missing if name not in text]
    assert not missing, f"not in README.md or docs/: {', '.join(missing)}"


def test_error_codes_are_unique() -> None:
    codes = error_codes()
    assert sorted(set(codes)) == codes
