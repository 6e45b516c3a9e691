"""The routes and the gate in front of them, over real HTTP."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from core.api import ROUTES, VERSION, schema_word, security, security_headers
from core.schema.migrate import Revision, SchemaVersion
from tests.browser.harness import free_port

SHAPE = {"error", "message", "details", "retry_after", "error_code"}
HOSTS = ["localhost", "127.0.0.1", "::1", "*.example.com"]


async def framed(request: Request) -> Response:
    return PlainTextResponse("own", headers={"X-Frame-Options": "ALLOWALL"})


async def slow(request: Request) -> Response:
    async def parts() -> AsyncIterator[bytes]:
        yield b"first"
        await asyncio.sleep(1)
        yield b"second"

    return StreamingResponse(parts())


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """A server with the product's routes and gate, and two routes of the test's own."""
    app = Starlette(routes=[*ROUTES, Route("/framed", framed), Route("/slow", slow)], middleware=security(HOSTS, ""))
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield port
    server.should_exit = True
    thread.join()


def ask(
    port: int, path: str, method: str = "GET", host: str = "localhost"
) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, headers={"Host": host})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def test_healthz_says_version_and_uptime(port: int) -> None:
    status, headers, body = ask(port, "/healthz")
    answer = json.loads(body)
    assert (status, headers.get_content_type(), headers["Cache-Control"]) == (200, "application/json", "no-store")
    assert answer["status"] == "ok"
    assert answer["version"] == VERSION
    assert answer["uptime_s"] >= 0


@pytest.mark.parametrize(("path", "status"), [("/healthz", 200), ("/api/nothing", 404)])
def test_head_answers_without_a_body(port: int, path: str, status: int) -> None:
    assert ask(port, path, "HEAD")[::2] == (status, b"")


@pytest.mark.parametrize("path", ["/api", "/api/", "/api/nothing", "/api/a/b?c=d"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])
def test_unknown_address_under_api_is_json_404(port: int, path: str, method: str) -> None:
    status, _, body = ask(port, path, method)
    answer = json.loads(body)
    assert status == 404
    assert set(answer) == SHAPE
    assert answer["error_code"] == "DB_290"
    assert path.partition("?")[0] in answer["message"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
@pytest.mark.parametrize("method", ["POST", "DELETE", "OPTIONS"])
def test_other_methods_are_refused_in_the_error_shape(port: int, path: str, method: str) -> None:
    status, headers, body = ask(port, path, method)
    assert (status, headers["Allow"]) == (405, "GET, HEAD")
    assert set(json.loads(body)) == SHAPE


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:8501",
        "127.0.0.1:8501",
        "[::1]:8501",
        "localhost.:80",
        "a.example.com",
        "a.b.example.com:443",
    ],
)
def test_own_names_are_answered(port: int, host: str) -> None:
    assert ask(port, "/healthz", host=host)[0] == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.com", "evil.com:8501", "localhost.evil.com", "evillocalhost", "example.com", "evilexample.com",
        "127.0.0.2", "[::2]", "[", "", "localhost:x", "localhost:99999", "user@localhost", "localhost/x", "localhost?x",
        "localhost#x",
    ],
)  # fmt: skip
def test_foreign_names_are_refused(port: int, host: str) -> None:
    status, headers, body = ask(port, "/healthz", host=host)
    answer = json.loads(body)
    assert status == 400
    assert set(answer) == SHAPE
    assert answer["error_code"] == "DB_118"
    assert "default-src 'self'" in headers["Content-Security-Policy"]


def test_headers_are_on_every_answer_once(port: int) -> None:
    for path in ("/healthz", "/api/x", "/framed", "/no-such-page"):
        _, headers, _ = ask(port, path)
        for name, value in security_headers("").items():
            assert headers.get_all(name) == [value], (path, name)


def test_streamed_answer_is_not_held_back(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    begin = time.monotonic()
    connection.request("GET", "/slow", headers={"Host": "localhost"})
    first = connection.getresponse().read(5)
    assert first == b"first"
    assert time.monotonic() - begin < 0.9
    connection.close()


def test_policy_admits_the_inline_scripts_of_the_document_alone() -> None:
    policy = security_headers("<script>\n a = 1\n</script><script src='x.js'></script>")["Content-Security-Policy"]
    scripts = next(part for part in policy.split("; ") if part.startswith("script-src"))
    assert scripts == "script-src 'self' 'sha256-HGhYatulGgL/ZLTGXJR7yhMjGpABuXcl0CcsqyflceA='"
    assert "unsafe-eval" not in policy


@pytest.mark.parametrize(
    ("found", "word"),
    [
        ({"current_version": "0001"}, "current"),
        ({"pending": True}, "none"),
        ({"current_version": "0000", "pending": True}, "outdated"),
        ({"current_version": "9999", "compatible": False}, "unknown"),
        ({"pending": True, "unmanaged": ["trades"]}, "unmanaged"),
        ({"current_version": "0001", "migration_needed": True, "missing": ["trades"]}, "incomplete"),
    ],
)
def test_the_schema_is_called_what_it_is(found: dict[str, object], word: str) -> None:
    pending = [Revision(id="0001", title="First", down=None)] if found.get("pending") else []
    defaults = {"current_version": None, "expected_version": "0001", "compatible": True}
    values = defaults | {"migration_needed": bool(pending)} | found | {"pending": pending}
    assert schema_word(SchemaVersion.model_validate(values)) == word
