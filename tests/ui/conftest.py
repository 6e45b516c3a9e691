"""Pages in every state that they have: an isolated project, and the process's state begun anew."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core import envfile, state
from core.database import Database
from core.schema import migrate
from core.settings import DatabaseConfig
from core.setup import flow
from core.state import Status
from core.ui import cache
from tests.demo import made
from tests.servers import Cluster

ROOT = Path(__file__).parent.parent.parent
Open = Callable[[str], AppTest]


@pytest.fixture
def project(home: Path) -> Iterator[Path]:
    """The project folder, with nothing known yet."""
    forget()
    made.put(home)
    yield Path.cwd()
    forget()


def forget() -> None:
    """Bring the process back to where it began."""
    state.stop()
    flow.start_over()
    cache.clear()


@pytest.fixture
def configured(project: Path) -> Callable[[DatabaseConfig], None]:
    """A function that writes a database into .env.local."""

    def write(config: DatabaseConfig) -> None:
        envfile.set_values(project / ".env.local", {"DATABASE_URL": config.url()})

    return write


@pytest.fixture
def own_migrated(own_cluster: Cluster) -> DatabaseConfig:
    """A database with all tables on the test's own server, which it may stop."""
    config = own_cluster.config("postgres")
    with Database(config) as database:
        migrate.upgrade(database)
    return config


@pytest.fixture
def when(project: Path) -> Callable[[Callable[[Status], bool]], Status]:
    """A function that waits until the watcher has found what a test needs."""

    def wait(condition: Callable[[Status], bool]) -> Status:
        deadline = time.monotonic() + 20
        while not condition(found := state.refresh(1.0)):
            assert time.monotonic() < deadline, found
        return found

    return wait


@pytest.fixture
def visit(project: Path) -> Open:
    """A function that opens the app on one of its pages."""

    def open_page(name: str) -> AppTest:
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=30).run()
        if name != "overview":
            app.switch_page(f"pages/{name}.py").run()
        assert not app.exception
        return app

    return open_page


def a_minute_passes() -> None:
    """Every answer that pages keep is a minute older."""
    for entry in cache._entries.values():
        entry.at -= 60


def read(app: AppTest) -> str:
    """Everything that stands on the page as text, without the marks of markdown."""
    texts = [element.value for element in (*app.title, *app.subheader, *app.markdown, *app.caption)]
    return "\n".join(texts).replace("\\", "")


def words(app: AppTest) -> str:
    """Everything that the main part of a page says."""
    parts = [*app.title, *app.caption, *app.markdown, *app.code, *app.metric, *app.button]
    return "\n".join(str(getattr(part, "value", "")) + str(getattr(part, "label", "")) for part in parts)
