"""What the app needs of memory while somebody looks around in a big table."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, sync_playwright

from benchmarks.big import SYMBOLS, big_trades
from tests.browser.harness import App, Visitor, launch, serve
from tests.drills import drill
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
        started = _mb(app, "VmRSS")
        Visitor.enter(stack.enter_context(browser.new_context()), app).open("/").wait_for("Connected")
        time.sleep(2)
        idle = _mb(app, "VmRSS")
        for _ in range(2):
            _looks_around(stack.enter_context(browser.new_context()), app)
        most = _mb(app, "VmHWM")
    above = round(most - idle, 1)
    problems = [f"{above} MB above idle, more than {MOST_MB}"] if above > MOST_MB else []
    found = {"started": started, "idle": idle, "most": most, "above_idle": above}
    seconds = round(time.monotonic() - begin, 1)
    return {"ok": not problems, "n": n, "mb": found, "problems": problems, "seconds": seconds}


def _looks_around(context: BrowserContext, app: App) -> None:
    person = Visitor.enter(context, app).open("/explorer").open("/explorer?table=trades&limit=1000")
    for _ in range(PAGES):
        person.click("Next", exact=False)
    person.open(f'/explorer?table=trades&where=["symbol","=","{SYMBOLS[0]}"]&sort=price+desc')
    for _ in range(PAGES):
        person.click("Next", exact=False)


def _mb(app: App, what: str) -> float:
    """What the app's process has (VmRSS) or had at most (VmHWM), in MB. Linux only."""
    lines = Path(f"/proc/{app.process.pid}/status").read_text().splitlines()
    return round(int(next(line for line in lines if line.startswith(what)).split()[1]) / 1024, 1)
