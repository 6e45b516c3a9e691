"""What the tests of settings share: an environment without settings, and no memory of generated passwords."""

from __future__ import annotations

import os

import pytest

from core.settings import VARIABLES, config, parse


@pytest.fixture(autouse=True)
def remembered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The secrets that the redaction would get.

    It gets none here: thousands of generated ones would slow every later test, and no message may rely on it.
    """
    secrets: list[str] = []
    monkeypatch.setattr(config, "remember_secret", secrets.append)
    monkeypatch.setattr(parse, "remember_secret", secrets.append)
    return secrets


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = {name for variable in VARIABLES for name in (variable.name, *variable.also)}
    for name in list(os.environ):
        if name in ours or name.startswith("PG"):
            monkeypatch.delenv(name)
