"""Reruns of pages in the real browser, against those of a trivial page."""

from __future__ import annotations

import base64
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

from playwright.sync_api import BrowserContext, Page
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from benchmarks import benchmark
from benchmarks.browser import visitor
from benchmarks.figures import Figure, Goal, in_turns
from benchmarks.folders import ROOT, fresh_folder, journey, settings_of
from benchmarks.start import served, trivial_app
from core import demo
from core.database import Database
from core.setup import wizard
from tests.browser.harness import SETTLED
from tests.servers import Cluster

FLOOR = "a rerun of st.title, st.button and st.write with Streamlit's own settings"
STRICT = "the same with Tradekeep's settings, which collect no garbage after a run"
TUNED = {"STREAMLIT_RUNNER_POST_SCRIPT_GC": "false"}
PAGES = {"Overview": "/", "Setup": "/setup"}
NOT_SHOWN = ("candles", "system_events")  # the largest tables; neither page reads them
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
        trivial = trivial_app(small)
        app = stack.enter_context(served(ROOT / "app.py", folder))
        plain = stack.enter_context(served(trivial, small))
        tuned = stack.enter_context(served(trivial, small, env=TUNED))
        own, other = stack.enter_context(visitor()), stack.enter_context(visitor())
        floor, strict = Window(other, plain), Window(other, tuned)
        found = []
        for name, path in PAGES.items():
            window = Window(own, app + path, shows="Connected")
            found += _figures(name, n, window, floor, strict)
            window.page.close()
        return found


def _prepare(folder: Path, cluster: Cluster) -> None:
    """A project whose database is migrated and has the demo's rows."""
    wizard.set_up(settings_of(folder), journey(), admin=cluster.admin)
    owner = settings_of(folder).owner
    assert owner is not None
    with Database(owner) as database, database.connect(statement_timeout_s=None) as connection:
        for table, rows in demo.rows(datetime.now(UTC)):
            if table.name not in NOT_SHOWN:
                connection.execute(table.insert(), rows)


def _figures(name: str, n: int, window: Window, floor: Window, strict: Window) -> list[Figure]:
    """What the server takes and what a person waits; then the server's time against the strict floor."""
    runs = in_turns(n, window.rerun, floor.rerun, strict.rerun)
    own, plain, tuned = ([run.server_ms for run in way] for way in runs)
    own_seen, plain_seen, _ = ([run.seen_ms for run in way] for way in runs)
    goal = Goal("ratio", 2)
    return [
        Figure(f"{name}, request to end of run", FLOOR, own, plain, goal),
        Figure(f"{name}, key to settled page", FLOOR, own_seen, plain_seen, goal),
        Figure(f"{name}, request to end of run", STRICT, own, tuned),
    ]


@dataclass(frozen=True)
class Run:
    """One rerun. server_ms: as the websocket's frames tell. seen_ms: until nothing on the page was stale."""

    server_ms: float
    seen_ms: float


class Window:
    """A browser window on a page, which tells how long its reruns take by the browser's own clock."""

    def __init__(self, context: BrowserContext, url: str, *, shows: str = "") -> None:
        context.set_default_timeout(WITHIN_MS)
        self.page: Page = context.new_page()
        self._sent = self._finished = 0.0
        protocol = context.new_cdp_session(self.page)
        protocol.send("Network.enable")
        protocol.on("Network.webSocketFrameSent", self._note_sent)
        protocol.on("Network.webSocketFrameReceived", self._note_received)
        self.page.add_init_script(WATCH)
        self.page.goto(url)
        self.page.get_by_test_id("stHeading").first.wait_for()
        if shows:
            self.page.get_by_text(shows).first.wait_for()
        self.page.wait_for_selector(SETTLED)

    def rerun(self) -> Run:
        """Have the page run again, as a person does it with the key R, and wait for the end."""
        self.page.wait_for_selector(SETTLED)
        self._sent = self._finished = 0.0
        self.page.keyboard.press("r")
        self._wait(lambda: self._finished > 0)
        self._wait(lambda: self.page.evaluate("watched.settled") > 0)
        seen_ms = self.page.evaluate("watched.settled - watched.pressed")
        return Run((self._finished - self._sent) * 1000, seen_ms)

    def _wait(self, done: Callable[[], bool]) -> None:
        deadline = perf_counter() + WITHIN_MS / 1000
        while not done():
            if perf_counter() > deadline:
                raise TimeoutError(f"{self.page.url} did not run again")
            self.page.wait_for_timeout(5)

    def _note_sent(self, event: dict[str, Any]) -> None:
        message = BackMsg.FromString(_payload(event))
        # Fragments run again by themselves; a run of the whole page has no fragment.
        if message.WhichOneof("type") == "rerun_script" and not message.rerun_script.fragment_id:
            self._sent = self._sent or event["timestamp"]

    def _note_received(self, event: dict[str, Any]) -> None:
        message = ForwardMsg.FromString(_payload(event))
        ended = message.WhichOneof("type") == "script_finished"
        if ended and self._sent and message.script_finished == ForwardMsg.FINISHED_SUCCESSFULLY:
            self._finished = self._finished or event["timestamp"]


def _payload(event: dict[str, Any]) -> bytes:
    response = event["response"]
    return base64.b64decode(response["payloadData"]) if response["opcode"] == 2 else b""
