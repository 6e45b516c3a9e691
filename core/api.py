"""The HTTP routes and the middleware in front of every page and route; no logic of its own."""

from __future__ import annotations

import base64
import hashlib
import logging
import re
import time
import tomllib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from anyio import to_thread
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core import state
from core.errors import TradekeepError
from core.services import downloads

if TYPE_CHECKING:
    from core.schema.migrate import SchemaVersion

logger = logging.getLogger(__name__)
STARTED = time.monotonic()
VERSION = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text("utf-8"))["project"]["version"]
KEYS = Path(__file__).parent.parent / "static" / "keys.js"
STOP_WITHIN_S = 3.0
RETRY_AFTER_S = 5.0
NOT_KEPT = {"Cache-Control": "no-store"}


async def healthz(request: Request) -> JSONResponse:
    """200 while the process lives: status, version, uptime_s. Looks at nothing else, so it never waits."""
    return _json({"status": "ok", "version": VERSION, "uptime_s": round(time.monotonic() - STARTED, 1)})


def readyz(request: Request) -> JSONResponse:
    """200 with the mode when pages can be served in full; 503 with the error while a configured database is away.

    Demo mode is ready: nothing was configured, so nothing is missing. A database whose schema is not as expected is
    ready too, or a load balancer would keep people from the Setup page; `schema` says what it is, as `schema_word`.
    """
    status = state.status()
    if status.error is not None and status.mode != "connected":
        return _refusal(status.error, status=503)
    if status.mode not in ("connected", "demo"):
        return _refusal(TradekeepError("transient.starting"), status=503)
    found: dict[str, Any] = {"status": "ready", "mode": status.mode}
    if status.schema is not None:
        found["schema"] = schema_word(status.schema)
    return _json(found)


def schema_word(version: SchemaVersion) -> str:
    """none (no tables), unmanaged (tables of ours without a revision), unknown (a revision that this version does not
    know), incomplete (tables are missing), outdated (revisions are pending) or current.
    """
    if not version.compatible:
        return "unknown"
    if version.unmanaged:
        return "unmanaged"
    if version.current_version is None:
        return "none"
    if version.pending:
        return "outdated"
    return "incomplete" if version.migration_needed else "current"


def exported(request: Request) -> Response:
    """The file that an export made, under the token that its maker was given; 404 when its hour is over."""
    found = downloads.offered(request.path_params["token"])
    if found is None:
        return _refusal(TradekeepError("data.address", path="/exports/", method=request.method))
    return FileResponse(found.path, media_type="application/octet-stream", filename=found.name, headers=NOT_KEPT)


async def keys(request: Request) -> FileResponse:
    """The script of the pages' keys; Streamlit's own static files are never served as scripts."""
    return FileResponse(KEYS, media_type="text/javascript", headers={"Cache-Control": "no-cache"})


class Refusal:
    """An endpoint that answers every method with one kind of error."""

    def __init__(self, kind: str, headers: dict[str, str] | None = None) -> None:
        self.kind = kind
        self.headers = headers or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = TradekeepError(self.kind, path=scope["path"], method=scope["method"])
        await _refusal(error, self.headers)(scope, receive, send)


def _json(content: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse(content, status, NOT_KEPT | (headers or {}))


def _refusal(error: TradekeepError, headers: dict[str, str] | None = None, status: int | None = None) -> JSONResponse:
    """The one error shape, with its own status or the given one; a 503 says when to ask again."""
    answer = error.as_dict()
    status = status or error.http_status
    if status == 503 and not answer["retry_after"]:
        answer["retry_after"] = RETRY_AFTER_S
    retry = {"Retry-After": f"{answer['retry_after']:.0f}"} if answer["retry_after"] else {}
    return _json(answer, status, retry | (headers or {}))


def _get(path: str, endpoint: Callable[..., Any]) -> list[Route]:
    """A route for GET and HEAD; every other method is refused in the error shape."""
    return [Route(path, endpoint), Route(path, Refusal("data.method", {"Allow": "GET, HEAD"}))]


ROUTES = [
    *_get("/healthz", healthz),
    *_get("/readyz", readyz),
    *_get("/exports/{token}", exported),
    *_get("/keys.js", keys),
    # Streamlit answers an unknown path with its page and status 200; a program must see that there is nothing.
    Route("/api", Refusal("data.address")),
    Route("/api/{rest:path}", Refusal("data.address")),
]


@asynccontextmanager
async def lifespan(app: object) -> AsyncIterator[dict[str, Any]]:
    """Start the process's own work beside the server, and end it within a few seconds when the server ends.

    The event loop is the pages' own, so everything happens in threads; a failure is logged, because one that is
    raised here would end the process.
    """
    _beside(state.start)
    try:
        yield {}
    finally:
        await to_thread.run_sync(_beside(state.stop).join, STOP_WITHIN_S)


def _beside(work: Callable[[], object]) -> Thread:
    def run() -> None:
        try:
            work()
        except Exception:  # the thread's top: nobody above could log it
            logger.exception("%s failed", work.__qualname__)

    thread = Thread(target=run, name=work.__qualname__, daemon=True)
    thread.start()
    return thread


def security(hosts: Sequence[str], document: str) -> list[Middleware]:
    """The middleware for pages and routes alike.

    hosts: the names under which the app answers, `*.example.com` and `*` included; empty means any (Streamlit's
    `server.allowedHosts`, which guards the websocket by the same rule). document: the HTML page whose inline scripts
    may run.
    """
    return [Middleware(Gate, hosts=hosts, headers=security_headers(document))]


def security_headers(document: str) -> dict[str, str]:
    """The headers of every response; the policy admits this origin alone, and the inline scripts of `document`."""
    inline = re.findall(r"<script>(.*?)</script>", document, re.S)
    hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}'" for code in inline]
    policy = {
        "default-src": ["'self'"],
        "script-src": ["'self'", *hashes],
        # Streamlit's component styles are written into the page as they are needed.
        "style-src": ["'self'", "'unsafe-inline'"],
        "img-src": ["'self'", "data:", "blob:"],
        "font-src": ["'self'", "data:"],
        "media-src": ["'self'", "blob:"],
        "worker-src": ["'self'", "blob:"],
        "connect-src": ["'self'"],
        "object-src": ["'none'"],
        "base-uri": ["'self'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {' '.join(sources)}" for name, sources in policy.items()),
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
    }


class Gate:
    """Refuses a request for a foreign Host with 400, and adds the security headers to every answer.

    Plain ASGI, so that nothing is buffered; websockets pass, Streamlit checks their host and origin itself.
    """

    def __init__(self, app: ASGIApp, hosts: Sequence[str], headers: dict[str, str]) -> None:
        self.app = app
        self.hosts = [host.strip().lower().rstrip(".") for host in hosts]
        self.headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        self.names = {name for name, _ in self.headers}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [pair for pair in message.get("headers", ()) if pair[0].lower() not in self.names]
                message["headers"] = kept + self.headers
            await send(message)

        host = Headers(scope=scope).get("host", "")
        app = self.app if self.admits(host) else _refusal(TradekeepError("permission.host", name=_hostname(host)))
        await app(scope, receive, send_with_headers)

    def admits(self, host: str) -> bool:
        """Whether a Host header names this app; the port does not matter."""
        if not self.hosts or "*" in self.hosts:
            return True
        name = _hostname(host)
        return bool(name) and any(name == own or (own[:2] == "*." and name.endswith(own[1:])) for own in self.hosts)


def _hostname(host: str) -> str:
    """The name in a Host header, lower case; empty where it is not a plain `name` or `name:port`."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return ""
    plain = parts.netloc == host and "@" not in host
    return (parts.hostname or "").lower().rstrip(".") if plain else ""
