"""Paging in the Explorer, in the real browser, against a bare Streamlit page that draws the same frame."""

from __future__ import annotations

import json
from contextlib import ExitStack
from datetime import UTC
from pathlib import Path

from playwright.sync_api import BrowserContext, Page

from benchmarks import benchmark
from benchmarks.big import big_trades
from benchmarks.browser import visitor
from benchmarks.figures import Figure, Goal, in_turns
from benchmarks.folders import ROOT, fresh_folder
from benchmarks.start import served
from core import envfile
from core.database import Database
from core.explore import page_of_rows
from core.explore.made import needed, shown_of
from core.explore.related import described
from core.explore.typed import usual_order
from core.ui.explorer import frame
from tests.browser.harness import SETTLED
from tests.servers import Cluster

PAGES = 6
PAUSE_MS = 250
FLOOR = "st.button and st.dataframe with the next 500 rows, which are in memory as texts already"
BARE = """
import json
import pyarrow as pa
import streamlit as st

@st.cache_resource
def pages():
    return [pa.table(page) for page in json.load(open("pages.json"))]

st.set_page_config(layout="wide")
st.session_state.setdefault("page", 0)
st.dataframe(pages()[st.session_state.page % len(pages())], hide_index=True, height=493)
st.button("Next", on_click=lambda: st.session_state.update(page=st.session_state.page + 1))
"""
# From the click to the first frame in which the grid has other cells; the browser's own clock.
CLICK = """async () => {
  const cells = () => [...document.querySelectorAll("[data-testid=stDataFrame] [role=gridcell]")]
    .slice(0, 12).map(cell => cell.textContent).join("|");
  const button = [...document.querySelectorAll("button")].find(one => one.textContent.includes("Next"));
  const before = cells(), begin = performance.now();
  button.click();
  while (performance.now() - begin < 20000) {
    await new Promise(requestAnimationFrame);
    const now = cells();
    if (now && now !== before) return performance.now() - begin;
  }
  throw new Error("no other rows came");
}"""


@benchmark(n=15)
def screen(n: int) -> list[Figure]:
    """From a click on Next in the Explorer of a big table to its rows, against a bare page with the same frame."""
    with ExitStack() as stack:
        cluster = stack.enter_context(big_trades())
        own, bare = stack.enter_context(fresh_folder()), stack.enter_context(fresh_folder())
        envfile.set_values(own / "project" / ".env.local", {"DATABASE_URL": cluster.admin.url()})
        script = _bare(bare, cluster)
        urls = (
            stack.enter_context(served(ROOT / "app.py", own)) + "/explorer?table=trades",
            stack.enter_context(served(script, bare)),
        )
        explorer, floor = (_opened(stack.enter_context(visitor()), url) for url in urls)
        times, floor_times = in_turns(n, lambda: _clicked(explorer), lambda: _clicked(floor))
        return [Figure("Explorer, click to the next 500 rows", FLOOR, times, floor_times, Goal("ratio", 1.5))]


def _bare(folder: Path, cluster: Cluster) -> Path:
    """The floor's script, with some pages of what the Explorer shows."""
    with Database(cluster.admin) as database:
        of = described(database, "trades")
        columns, pages, after = shown_of(of, (), 40), [], None
        for _ in range(PAGES):
            page = page_of_rows(database, "trades", columns=needed(columns, of), sort=usual_order(of), after=after)
            pages.append(frame.texts([page.named(row) for row in page.rows], columns, UTC))
            after = page.last
    (folder / "pages.json").write_text(json.dumps(pages), "utf-8")
    script = folder / "bare.py"
    script.write_text(BARE, "utf-8")
    return script


def _opened(context: BrowserContext, url: str) -> Page:
    page = context.new_page()
    page.goto(url)
    page.locator("[data-testid=stDataFrame] [role=gridcell]").first.wait_for(state="attached")
    page.wait_for_selector(SETTLED)
    return page


def _clicked(page: Page) -> float:
    page.bring_to_front()
    page.wait_for_selector(SETTLED)
    page.wait_for_timeout(PAUSE_MS)
    return float(page.evaluate(CLICK))
