"""What the tests of settings share: an environment without settings, and a forgetful redaction."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from core import log
from core.settings import VARIABLES


@pytest.fixture(autouse=True)
def _forget_secrets() -> Iterator[None]:
    """Thousands of generated passwords would slow the redaction of every later test."""
    known, forms = set(log._secrets), log._forms
    yield
    log._secrets.clear()
    log._secrets.update(known)
    log._forms = forms


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = {name for variable in VARIABLES for name in (variable.name, *variable.also)}
    for name in list(os.environ):
        if name in ours or name.startswith("PG"):
            monkeypatch.delenv(name)
