"""`rotate`: new passwords for the project's roles."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from core.commands.frame import Json, Project, Stdin, app, login, run, switch
from core.errors import TradekeepError
from core.settings import Settings
from core.setup import rotate as rotation
from core.terminal import Terminal

_ADMIN = "An administrator's login, for roles whose password is lost; leave its password out of it."


@app.command()
def rotate(
    role: Annotated[
        list[str] | None, typer.Option(help="owner, runtime or viewer; give it again for several. Default: all.")
    ] = None,
    url: Annotated[str | None, typer.Option(help=_ADMIN)] = None,
    stdin: Stdin = False,
    yes: Annotated[bool, switch("--yes", "-y", says="Do not ask.")] = False,
    project: Project = None,
    as_json: Json = False,
) -> None:
    """New passwords for owner, runtime and viewer, on server and in files; a second run finishes a broken one."""
    if stdin and url is None:
        raise typer.BadParameter("--stdin goes with --url: it is the administrator's password")
    roles = tuple(role or rotation.ROLES)
    if unknown := [name for name in roles if name not in rotation.ROLES]:
        raise typer.BadParameter(f"{unknown[0]} is no role; give owner, runtime or viewer")

    def work(settings: Settings, terminal: Terminal) -> tuple[bool, Any]:
        admin = login(url, stdin, settings, terminal) if url is not None else None
        if not yes:
            _confirm(terminal, roles)
        done = rotation.rotate(settings, admin=admin, roles=roles, progress=terminal)
        if done.recovered:
            terminal.line(f"finished first, of an interrupted rotation: {', '.join(done.recovered)}")
        terminal.line(f"new passwords: {', '.join(done.roles)}")
        terminal.line(f"files changed: {', '.join(str(path) for path in done.written)}")
        terminal.line(rotation.AFTERWARDS)
        terminal.verdict(True)
        return True, {
            "roles": done.roles,
            "written": [str(path) for path in done.written],
            "recovered": done.recovered,
            "next": rotation.AFTERWARDS,
        }

    run("rotate", as_json, project, work)


def _confirm(terminal: Terminal, roles: tuple[str, ...]) -> None:
    terminal.say(f"New passwords for {', '.join(roles)}. {rotation.AFTERWARDS}")
    if not sys.stdin.isatty() or terminal.as_json:
        raise TradekeepError("config.not_confirmed")
    if not typer.confirm("Go on?", err=True):
        raise typer.Exit(1)
