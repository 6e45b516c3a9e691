"""What the app needs of memory while somebody looks around in a big table."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Any

from playwright.sync_api import BrowserContext, sync_playwright

from benchmarks.big import SYMBOLS, big_trades
from tests.browser.harness import App, Visitor, launch, serve
from tests.drills import drill
from tests.drills.memory import memory_mb
from tests.servers import free_folder

MOST_MB = 150
PAGES = 20


@drill
def explorer_memory(n: int = 1_000_000) -> dict[str, Any]:
    """Two people page, filter and sort n trades: the app needs at most 150 MB more than idle."""
    begin = time.monotonic()
    with ExitStack() as stack:
        cluster = stack.enter_context(big_trades(n))
        url = cluster.admin.url()
        app = stack.enter_context(serve(free_folder("memory-"), env={"DATABASE_URL": url}, fresh=True))
        browser = launch(stack.enter_context(sync_playwright()))
        stack.callback(browser.close)
        started = memory_mb("VmRSS", app.process.pid)
        Visitor.enter(stack.enter_context(browser.new_context()), app).open("/").wait_for("Connected")
        time.sleep(2)
        idle = memory_mb("VmRSS", app.process.pid)
        for _ in range(2):
            _looks_around(stack.enter_context(browser.new_context()), app)
        most = memory_mb("VmHWM", app.process.pid)
    above = round(most - idle, 1)
    problems = [f"{above} MB above idle, more than {MOST_MB}"] if above > MOST_MB else []
    found = {"started": round(started, 1), "idle": round(idle, 1), "most": round(most, 1), "above_idle": above}
    seconds = round(time.monotonic() - begin, 1)
    return {"ok": not problems, "n": n, "mb": found, "problems": problems, "seconds": seconds}


def _looks_around(context: BrowserContext, app: App) -> None:
    person = Visitor.enter(context, app).open("/explorer").open("/explorer?table=trades&limit=1000")
    for _ in range(PAGES):
        person.click("Next", exact=False)
    person.open(f'/explorer?table=trades&where=["symbol","=","{SYMBOLS[0]}"]&sort=price+desc')
    for _ in range(PAGES):
        person.click("Next", exact=False)
