"""One bundled server for all tests that only look at it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from core import embedded
from tests.drills.embedded import fresh_home


@pytest.fixture(scope="package")
def running() -> Iterator[embedded.EmbeddedServer]:
    """A bundled server that stays as it is: tests that stop, kill or move it make their own in `home`."""
    folder = fresh_home()
    yield embedded.start(home=folder)
    embedded.stop(home=folder)
