"""`discover`: the PostgreSQL servers on this machine, or what answers on other hosts."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from core.commands.frame import Json, Project, app, run
from core.settings import Settings
from core.setup import discover
from core.terminal import Terminal


@app.command(name="discover")
def discover_command(
    host: Annotated[list[str] | None, typer.Option(help="Where to look; may be given several times.")] = None,
    port: Annotated[
        list[int] | None, typer.Option(min=1, max=65535, help="Which ports; may be given several times.")
    ] = None,
    project: Project = None,
    as_json: Json = False,
) -> None:
    """Find PostgreSQL servers: running, stopped, hanging, in containers; changes nothing."""

    def work(settings: Settings, terminal: Terminal) -> tuple[bool, Any]:
        found = discover.servers(hosts=host or ("localhost",), ports=port or None, home=settings.home)
        for server in found:
            for line in described(server):
                terminal.line(line)
        if not found:
            terminal.line("No PostgreSQL was found here. Start a local one: python -m core setup --embedded")
        return True, [server.model_dump(mode="json") for server in found]

    run("discover", as_json, project, work)


def described(server: discover.Server) -> list[str]:
    """A server in words: state, version, place, and how it is started."""
    place = server.socket if server.host.startswith(("/", "@")) and server.socket else f"{server.host}:{server.port}"
    version = f", PostgreSQL {server.version}" if server.version else ""
    detail = f": {server.detail}" if server.detail else ""
    lines = [f"{server.state.replace('_', ' ')}  {place}{version} (by {', '.join(server.found_by)}){detail}"]
    return [*lines, f"  start it: {server.start_command}"] if server.start_command else lines
