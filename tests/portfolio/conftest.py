"""The page's fixtures: an isolated project, the process's state begun anew, and a database with round trips."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from core.database import Database
from core.portfolio import refresh
from core.settings import DatabaseConfig
from tests.portfolio.trips import bots, trip, write
from tests.ui.conftest import configured, own_migrated, project, visit, when

__all__ = ["configured", "own_migrated", "project", "visit", "when"]


@pytest.fixture
def filled(migrated: DatabaseConfig) -> DatabaseConfig:
    """A database with 120 round trips of the last 60 days, and rollups that are up to date."""
    database, now = Database(migrated), datetime.now(UTC)
    bots(database)
    write(database, [
        trip(now - timedelta(days=n % 60, hours=1), "2" if n % 3 else "-3", symbol=f"C{n % 15}") for n in range(120)
    ])  # fmt: skip
    refresh.refresh(database)
    database.dispose()
    return migrated


@pytest.fixture
def connected(filled: DatabaseConfig, configured: Callable[..., None], when: Callable[..., object]) -> DatabaseConfig:
    configured(filled)
    when(lambda status: status.mode == "connected" and status.ready)
    return filled
