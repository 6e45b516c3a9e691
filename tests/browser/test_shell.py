"""What holds on every page: the frame, the policy, the hosts, the schemes, the end of the process."""

from __future__ import annotations

import ast
import base64
import http.client
import json
import re
import shutil
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from core.api import security_headers
from tests.browser.harness import ROOT, App, Visitor, serve

pytestmark = pytest.mark.browser
THEME = tomllib.loads((ROOT / ".streamlit/config.toml").read_text("utf-8"))["theme"]
SOURCE = ast.parse((ROOT / "app.py").read_text("utf-8"))
# Importing app.py would make a second server's app.
PAGES = next(ast.literal_eval(n.value) for n in SOURCE.body if isinstance(n, ast.Assign) and n.col_offset == 0)
TITLES = [title for _, _, title, _ in PAGES]


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """Every kind of widget, behind the product's middleware and theme."""
    folder = tmp_path_factory.mktemp("gallery")
    (folder / "app").mkdir()
    shutil.copy(Path(__file__).parent / "gallery.py", folder / "app")
    (folder / "app/static").symlink_to(ROOT / "static")
    with serve(folder, script=folder / "app/gallery.py") as running:
        yield running


def links(visitor: Visitor) -> list[str]:
    texts = visitor.page.get_by_test_id("stSidebarNavLink").all_inner_texts()
    return [text.split("\n")[-1] for text in texts]


def colour(visitor: Visitor, selector: str) -> str:
    """The background of an element as #rrggbb."""
    value = visitor.page.eval_on_selector(selector, "e => getComputedStyle(e).backgroundColor")
    return "#" + "".join(f"{int(part):02x}" for part in re.findall(r"\d+", value)[:3])


def test_deep_link_that_is_opened_first_has_the_frame(
    start_app: Callable[..., App], window: Callable[..., Visitor]
) -> None:
    visitor = window(start_app()).open("/schema")
    assert links(visitor) == TITLES
    assert visitor.page.get_by_test_id("stSidebarLogo").or_(visitor.page.get_by_test_id("stLogo")).count()
    assert visitor.page.title() == "Schema - Tradekeep"


@pytest.mark.parametrize(("scheme", "width"), [pytest.param("dark", 1440, marks=pytest.mark.long), ("light", 390)])
def test_links_lead_to_pages_with_the_scheme_the_fonts_and_the_width(
    app: App, window: Callable[..., Visitor], scheme: str, width: int
) -> None:
    visitor = window(app, scheme=scheme, width=width)
    visitor.open("/")
    for title in TITLES:
        expect(visitor.go(title).page).to_have_title(f"{title} - Tradekeep")
        assert colour(visitor, "[data-testid=stApp]") == THEME[scheme]["backgroundColor"]
        fonts = visitor.page.evaluate("[...document.fonts].filter(f => f.status == 'loaded').map(f => f.family)")
        assert "Inter" in fonts
        visitor.assert_clean()
    if width > 390:  # a narrow window shows the icon, which is the same in both schemes
        drawn = visitor.page.locator("img[data-testid*=Logo]").first.get_attribute("src") or ""
        expected = (ROOT / f"static/logo-{scheme}.svg").read_text("utf-8")
        assert base64.b64decode(drawn.partition("base64,")[2]).decode().strip() == expected.strip()


def test_keys_lead_to_the_search_and_say_what_they_do(app: App, window: Callable[..., Visitor]) -> None:
    visitor = window(app).open("/explorer?table=trades")
    page, keys = visitor.page, visitor.page.get_by_role("dialog", name="Keys")
    page.wait_for_selector("html[data-keys]", state="attached")
    page.keyboard.press("/")
    search = page.get_by_label("Search", exact=True)
    expect(search).to_be_focused()
    page.keyboard.type("a/?")
    expect(search).to_have_value("a/?")
    expect(keys).to_have_count(0)
    page.get_by_role("heading", name="Explorer").click()
    page.keyboard.press("?")
    expect(keys).to_contain_text("Search, or filter")
    page.keyboard.press("Escape")
    expect(keys).to_have_count(0)
    visitor.settle().go("Portfolio")
    page.keyboard.press("?")
    page.keyboard.press("?")
    expect(keys).to_have_count(0)
    page.keyboard.press("/")
    expect(page.get_by_label("Kind")).to_be_focused()
    visitor.go("Setup")
    page.keyboard.press("/")  # nothing to search in
    expect(page.locator("input:focus")).to_have_count(0)
    visitor.assert_clean()


def answers(app: App) -> list[str]:
    """One path of every kind: document, deep link, script, own file, Streamlit's and our own routes, none."""
    document = app.request("/")[2].decode()
    script = re.search(r'src="\.(/static/js/[^"]+)"', document)
    assert script
    return [
        "/",
        "/setup",
        script[1],
        "/app/static/style.css",
        "/keys.js",
        "/_stcore/health",
        "/healthz",
        "/readyz",
        "/api/x",
    ]


def test_security_headers_are_on_every_answer(app: App) -> None:
    document = app.request("/")[2].decode()
    for path in answers(app):
        _, headers, _ = app.request(path)
        for name, value in security_headers(document).items():
            assert headers.get_all(name) == [value], (path, name)


def test_forged_host_is_refused_everywhere(app: App) -> None:
    for path in answers(app):
        status, _, body = app.request(path, headers={"Host": "evil.example:8501"})
        assert (status, json.loads(body)["error_code"]) == (400, "DB_118"), path
    handshake = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    key = {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
    forged = app.request("/_stcore/stream", headers=handshake | key | {"Host": "evil.example:8501"})
    assert forged[0] == 403


def test_routes_are_json_beside_the_pages(app: App) -> None:
    assert json.loads(app.request("/healthz")[2])["status"] == "ok"
    assert app.request("/readyz")[0] == 200
    assert json.loads(app.request("/readyz")[2])["mode"] == "demo"
    for method in ("GET", "POST"):
        status, _, body = app.request("/api/nothing", method)
        assert (status, json.loads(body)["error_code"]) == (404, "DB_290")
    assert app.request("/healthz", "HEAD")[::2] == (200, b"")


@pytest.mark.long
def test_every_widget_works_under_the_policy(gallery: App, window: Callable[..., Visitor], tmp_path: Path) -> None:
    visitor = window(gallery).open("/")
    page = visitor.page
    for test_id in ("stVegaLiteChart", "stPlotlyChart"):
        page.get_by_test_id(test_id).first.locator("canvas, svg").first.wait_for()
        page.get_by_test_id(test_id).first.hover()
    page.get_by_test_id("stMermaidChart").locator("img").wait_for()
    page.get_by_test_id("stDataFrame").first.hover()
    page.get_by_test_id("stCode").first.hover()
    assert visitor.download("Download") == b"text"
    visitor.click("Dialog")
    page.get_by_role("dialog").get_by_label("Type its name").fill("trades")
    page.keyboard.press("Escape")
    # Last: the run that an upload causes would close a dialog.
    upload = tmp_path / "trades.csv"
    upload.write_text("symbol\nBTC\n")
    page.get_by_test_id("stFileUploaderDropzoneInput").set_input_files(upload)
    page.get_by_text("trades.csv").first.wait_for()
    icons = page.evaluate("[...document.fonts].some(f => f.status == 'loaded' && f.family.includes('Material'))")
    assert icons
    visitor.assert_clean()


def test_policy_stops_what_data_could_smuggle_in(page: Visitor) -> None:
    page.open("/")
    loaded = page.page.evaluate(
        """new Promise(done => {
            const image = new Image()
            image.onload = () => done('loaded'); image.onerror = () => done('refused')
            image.src = 'http://127.0.0.2:9/x.png'
        })"""
    )
    evaluated = page.page.evaluate(
        "new Promise(done => { const s = document.createElement('script'); s.textContent = 'window.smuggled = 1';"
        " document.body.append(s); setTimeout(() => done(window.smuggled || 'refused'), 50) })"
    )
    assert (loaded, evaluated) == ("refused", "refused")
    assert any("img-src" in problem for problem in page.problems)
    page.problems.clear()


def test_unexpected_failure_is_a_card_without_trace_or_secret(gallery: App, window: Callable[..., Visitor]) -> None:
    visitor = window(gallery).open("/?fail=1")
    visitor.wait_for("Something unexpected went wrong")
    assert "DB_900" in visitor.page.content()
    assert "hunter22" not in visitor.page.content()
    assert "Traceback" not in visitor.page.content()
    assert visitor.page.get_by_test_id("stException").count() == 0
    assert "Something unexpected went wrong" in gallery.log()
    assert "Traceback" in gallery.log()
    assert "hunter22" not in gallery.log()
    visitor.page.goto("about:blank")


@pytest.mark.long
def test_log_is_quiet_while_all_is_well_and_sigterm_ends_it_with_a_window_open(
    start_app: Callable[..., App], window: Callable[..., Visitor]
) -> None:
    app = start_app(fresh=True)
    visitor = window(app).open("/")
    lines = [line.strip() for line in app.log().splitlines() if line.strip()]
    assert lines == ["You can now view your Streamlit app in your browser.", f"URL: {app.url}"]
    assert app.stop() < 5
    visitor.page.wait_for_timeout(300)
    visitor.problems.clear()


@pytest.mark.long
def test_uvicorn_serves_it_too(start_app: Callable[..., App], window: Callable[..., Visitor]) -> None:
    app = start_app(uvicorn=True, fresh=True)
    assert links(window(app).open("/setup")) == TITLES
    assert app.request("/", headers={"Host": "evil.example"})[0] == 400
    assert json.loads(app.request("/healthz")[2])["status"] == "ok"


def test_page_of_another_site_cannot_open_the_websocket(app: App) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", app.port, timeout=10)
    connection.request(
        "GET",
        "/_stcore/stream",
        headers={
            "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Origin": "http://evil.example",
        },
    )  # fmt: skip
    assert connection.getresponse().status == 403
    connection.close()
