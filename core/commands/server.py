"""`server status|start|stop`: the bundled PostgreSQL of this home."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from core import embedded
from core.commands.frame import Json, Project, app, run
from core.settings import Settings
from core.terminal import Terminal

server = typer.Typer(help="The bundled PostgreSQL: whether it runs, starting it, stopping it.", no_args_is_help=True)
app.add_typer(server, name="server")


@server.command()
def status(project: Project = None, as_json: Json = False) -> None:
    """Whether it runs, and where; exit code 1 when it does not."""

    def work(settings: Settings, terminal: Terminal) -> tuple[bool, Any]:
        found = _shown(settings, terminal)
        return found["state"] == "running", found

    run("server", as_json, project, work)


@server.command()
def start(
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Move it there; 0: to any free port. Change DATABASE_URL then."),
    ] = None,
    project: Project = None,
    as_json: Json = False,
) -> None:
    """Start it, also after it was stopped on purpose; it is made where there is none yet."""

    def work(settings: Settings, terminal: Terminal) -> tuple[bool, Any]:
        embedded.start(home=settings.home, port=port)
        return True, _shown(settings, terminal)

    run("server", as_json, project, work)


@server.command()
def stop(project: Project = None, as_json: Json = False) -> None:
    """Stop it on purpose: it stays stopped, whatever the web app does, until it is started."""

    def work(settings: Settings, terminal: Terminal) -> tuple[bool, Any]:
        embedded.stop(home=settings.home)
        return True, _shown(settings, terminal)

    run("server", as_json, project, work)


def _shown(settings: Settings, terminal: Terminal) -> dict[str, Any]:
    found = embedded.status(home=settings.home)
    place = f" on port {found.port}" if found.port else ""
    terminal.line(f"{found.state}{place}{f': {found.reason}' if found.reason else ''}")
    return {
        "state": found.state,
        "reason": found.reason,
        "port": found.port,
        "version": found.version,
        "pid": found.pid,
        "left_stopped": found.left_stopped,
        "data_dir": str(found.data_dir) if found.data_dir else None,
        "log_dir": str(found.log_dir) if found.log_dir else None,
    }
