"""Start the real app on a free port with folders of its own, and visit it with Chromium."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, FilePayload, Locator, Page, Playwright

from tests import prepared
from tests.demo import made

ROOT = Path(__file__).parent.parent.parent
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SYSTEMS = [Path("/usr/bin/chromium-headless-shell"), Path("/usr/bin/chromium")]  # the first has no windows to draw
SETTLED = "[data-testid=stApp][data-test-script-state=notRunning]"
KEPT = ("PATH", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT", "VIRTUAL_ENV", "LD_LIBRARY_PATH")


def launch(playwright: Playwright) -> Browser:
    """Chromium: Playwright's own where it was installed, else the system's. Raises playwright's Error without one."""
    own = Path(playwright.chromium.executable_path)
    found = [each for each in (own, *SYSTEMS) if each.exists()]
    return playwright.chromium.launch(executable_path=found[0] if found else None, args=FLAGS)


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody uses at this moment."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@dataclass
class App:
    """A running app: where it answers, its folders, its process."""

    url: str
    port: int
    home: Path
    project: Path
    process: subprocess.Popen[bytes] | prepared.Program
    log_file: Path

    def log(self) -> str:
        """Everything that it wrote to stdout and stderr."""
        return self.log_file.read_text("utf-8", "replace")

    def request(
        self, path: str, method: str = "GET", headers: dict[str, str] | None = None
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Status, headers and body of one HTTP request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def stop(self, within_s: float = 10) -> float:
        """End it as a service manager does, with SIGTERM; the seconds that it took. Kills it after `within_s`."""
        begin = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(within_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return time.monotonic() - begin


@contextmanager
def serve(
    folder: Path,
    *,
    script: Path = ROOT / "app.py",
    uvicorn: bool = False,
    env: dict[str, str] | None = None,
    fresh: bool = False,
) -> Iterator[App]:
    """The app with `folder`/home and `folder`/project as its folders and no variable of the caller's.

    uvicorn: served by `uvicorn app:app` instead of `streamlit run`. fresh: as a person starts it, by a Python that
    loads everything itself, and without demo data. Raises RuntimeError with its log where it does not answer in 30 s.
    """
    home, project, port = folder / "home", folder / "project", free_port()
    for each in (home, project):
        each.mkdir(parents=True, exist_ok=True)
    if not fresh:
        made.put(home)
    variables = {name: os.environ[name] for name in KEPT if name in os.environ} | {
        "HOME": str(folder),
        "TRADEKEEP_HOME": str(home),
        "TRADEKEEP_PROJECT": str(project),
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "STREAMLIT_SERVER_HEADLESS": "true",
    }
    words = (
        ["uvicorn", f"{script.stem}:app", "--port", str(port), "--app-dir", str(script.parent)]
        if uvicorn
        else ["streamlit", "run", str(script), "--server.port", str(port)]
    )
    variables |= env or {}
    log_file = folder / "app.log"
    process: subprocess.Popen[bytes] | prepared.Program
    with log_file.open("wb") as log, Path(os.devnull).open("rb") as nothing:
        if fresh:
            process = subprocess.Popen([sys.executable, "-m", *words], cwd=ROOT, env=variables, stdout=log, stderr=log)
        else:
            process = prepared.Program(words, cwd=ROOT, env=variables, stdin=nothing, out=log, err=log)
    app = App(f"http://127.0.0.1:{port}", port, home, project, process, log_file)
    try:
        _await_answer(app)
        yield app
    finally:
        app.stop()


def _await_answer(app: App, within_s: float = 30) -> None:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline and app.process.poll() is None:
        try:
            if app.request("/healthz")[0] == 200:
                return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"the app did not answer; exit code {app.process.poll()}\n{app.log()}")


@dataclass
class Visitor:
    """A person at a browser window: acts, waits until the page has settled, and notes what must not happen."""

    page: Page
    app: App
    problems: list[str] = field(default_factory=list)

    @classmethod
    def enter(cls, context: BrowserContext, app: App) -> Visitor:
        """A new window that notes console errors, errors of scripts and requests to other hosts."""
        visitor = cls(context.new_page(), app)
        page, note = visitor.page, visitor.problems.append
        page.on("console", lambda message: note(f"console: {message.text[:300]}") if _is_wrong(message) else None)
        page.on("pageerror", lambda error: note(f"script: {str(error)[:300]}"))
        own = (f"{app.url}/", app.url.replace("http", "ws", 1), "data:", "blob:")
        for kind in ("request", "websocket"):
            page.on(kind, lambda to: None if to.url.startswith(own) else note(f"foreign: {to.url[:200]}"))
        return visitor

    def open(self, path: str = "/") -> Visitor:
        """Go to a path and wait for the end of its run."""
        self.page.goto(self.app.url + path)
        return self.settle()

    def settle(self, timeout_s: float = 30) -> Visitor:
        """Wait until no run is under way and nothing on the page is stale."""
        # A run begins a moment after the click that causes it.
        self.page.wait_for_timeout(120)
        self.page.wait_for_selector(SETTLED, timeout=timeout_s * 1000)
        # Not wait_for_function: it evaluates text in the page, which the content policy forbids.
        self.page.wait_for_selector("[data-stale=true]", state="detached", timeout=timeout_s * 1000)
        return self

    def click(self, name: str, *, exact: bool = True) -> Visitor:
        """Press the button of this name."""
        self.page.get_by_role("button", name=name, exact=exact).first.click()
        return self.settle()

    def fill(self, label: str, text: str) -> Visitor:
        """Type into the field of this label, and leave it."""
        box = self.page.get_by_label(label, exact=True).first
        box.fill(text)
        box.press("Tab")
        return self.settle()

    def upload(self, name: str, content: bytes) -> Visitor:
        """Choose a file of this name, and wait until the app has it: until then the page is about the one before."""
        file = FilePayload(name=name, mimeType="application/octet-stream", buffer=content)
        with self.page.expect_response(lambda answer: "/upload_file/" in answer.url and answer.request.method == "PUT"):
            self.page.locator("input[type=file]").set_input_files(file)
        return self.settle()

    def download(self, button: str) -> bytes:
        """What the file holds that the button of this name gives."""
        with self.page.expect_download() as download:
            self.page.get_by_role("button", name=button, exact=True).click()
        return Path(download.value.path()).read_bytes()

    def go(self, title: str) -> Visitor:
        """Follow the sidebar's link of this title; opens the sidebar first where the window is narrow."""
        closed = self.page.get_by_test_id("stExpandSidebarButton")
        if closed.is_visible():
            closed.click()
        self.page.get_by_test_id("stSidebarNavLink").filter(has_text=title).first.click()
        return self.settle()

    def text(self) -> str:
        """What can be read in the main part of the page."""
        return self.page.get_by_test_id("stMain").inner_text()

    def wait_for(self, text: str, timeout_s: float = 30) -> Locator:
        """Wait until this text can be seen."""
        found = self.page.get_by_text(text).first
        found.wait_for(timeout=timeout_s * 1000)
        return found

    def overflows(self) -> bool:
        """Whether the page can be scrolled sideways."""
        return bool(
            self.page.evaluate(
                "[document.documentElement, ...document.querySelectorAll('[data-testid=stMain]')]"
                ".some(e => e.scrollWidth > e.clientWidth + 1)"
            )
        )

    def assert_clean(self) -> None:
        """No console error, no request to another host, no trace, no card for the unexpected, no overflow."""
        assert self.problems == [], self.problems
        assert self.page.get_by_test_id("stException").count() == 0
        assert "DB_900" not in self.page.content(), self.app.log()[-3000:]
        assert not self.overflows()

    def picture(self, file: Path) -> Path:
        """A picture of the whole page, which scrolls inside an element of its own."""
        size = self.page.viewport_size or {"width": 1440, "height": 900}
        tall = self.page.evaluate(
            "Math.max(...[...document.querySelectorAll('[data-testid=stMain], body')].map(e => e.scrollHeight))"
        )
        self.page.set_viewport_size({"width": size["width"], "height": min(max(int(tall), size["height"]), 6000)})
        self.page.wait_for_timeout(600)
        file.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=file)
        self.page.set_viewport_size(size)
        return file


def _is_wrong(message: ConsoleMessage) -> bool:
    """Errors, and what the content policy reports; Streamlit's probe of a deep link's folder is its own affair."""
    if message.type != "error" and "Content Security Policy" not in message.text:
        return False
    return not ("404" in message.text and "_stcore" in message.location.get("url", ""))
