"""Reruns of pages in the real browser, against those of a trivial page."""

from __future__ import annotations

import base64
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from benchmarks import benchmark
from benchmarks.figures import Figure, Goal, in_turns
from benchmarks.folders import fresh_folder, journey, settings_of
from benchmarks.start import trivial_app
from core import demo
from core.database import Database
from core.setup import wizard
from tests.browser.harness import SETTLED, launch, serve
from tests.servers import Cluster

RERUN = "a rerun of st.title, st.button and st.write"
PAGES = {"Overview": "/", "Setup": "/setup"}
WITHIN_MS = 20_000
# When the last press of a key was, and when the run that it began was over and nothing on the page was stale.
WATCH = """
window.watched = {pressed: 0, begun: false, settled: 0};
addEventListener("keydown", () => { watched = {pressed: performance.now(), begun: false, settled: 0}; }, true);
new MutationObserver(() => {
  const app = document.querySelector("[data-testid=stApp]");
  if (!app || !watched.pressed || watched.settled) return;
  const ended = app.dataset.testScriptState === "notRunning";
  if (!ended) watched.begun = true;
  else if (watched.begun && !document.querySelector("[data-stale=true]")) watched.settled = performance.now();
}).observe(document, {subtree: true, childList: true, attributeFilter: ["data-test-script-state", "data-stale"]});
"""


@benchmark(n=25)
def pages(n: int) -> list[Figure]:
    """Reruns of Overview and Setup, connected and with rows, against a trivial page: from the key R to the end."""
    with ExitStack() as stack:
        folder, small = stack.enter_context(fresh_folder()), stack.enter_context(fresh_folder())
        _prepare(folder, stack.enter_context(Cluster()))
        app = stack.enter_context(serve(folder))
        trivial = stack.enter_context(serve(small, script=trivial_app(small)))
        browser = launch(stack.enter_context(sync_playwright()))
        stack.callback(browser.close)
        floor = Window(browser, f"{trivial.url}/")
        return [
            figure
            for name, path in PAGES.items()
            for figure in _figures(name, Window(browser, app.url + path, shows="Connected"), floor, n)
        ]


def _prepare(folder: Path, cluster: Cluster) -> None:
    """A project whose database is migrated and has the demo's rows."""
    wizard.set_up(settings_of(folder), journey(), admin=cluster.admin)
    owner = settings_of(folder).owner
    assert owner is not None
    database = Database(owner)
    with database.connect(statement_timeout_s=None) as connection:
        for table, rows in demo.rows(datetime.now(UTC)):
            connection.execute(table.insert(), rows)
    database.dispose()


def _figures(name: str, window: Window, floor: Window, n: int) -> list[Figure]:
    runs = in_turns(n, window.rerun, floor.rerun)
    own, others = ([run.server_ms for run in each] for each in runs)
    own_seen, others_seen = ([run.seen_ms for run in each] for each in runs)
    window.page.close()
    return [
        Figure(f"{name}, request sent to script finished", RERUN, own, others, goal=Goal("ratio", 2)),
        Figure(f"{name}, key pressed to page settled", RERUN, own_seen, others_seen, goal=Goal("ratio", 2)),
    ]
