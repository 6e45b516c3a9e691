"""`demo status|load|remove`: invented rows in an empty real database, for a look at every page."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from core.commands.frame import Json, Project, app, run, switch
from core.database import Databases
from core.errors import TradekeepError
from core.format import count, duration
from core.services import demo_data
from core.services.alerts import local_operator
from core.settings import Settings
from core.terminal import Terminal

demo = typer.Typer(help="Demo data in an empty database: whether it is there, loading it, removing it.",
                   no_args_is_help=True)  # fmt: skip
app.add_typer(demo, name="demo")
Yes = Annotated[bool, switch("--yes", "-y", says="Do not ask.")]
WARNING = (
    "A year of invented trades, with open positions, goes into {name}. Bots that read it would take the positions for "
    "their own: load it only where none trades, and remove it before one does."
)


@demo.command()
def status(project: Project = None, as_json: Json = False) -> None:
    """Whether demo data is loaded, and whether it could be."""

    def work(terminal: Terminal, databases: Databases) -> tuple[bool, Any]:
        found = databases.reader.ask(demo_data.standing)
        if found.mark is not None:
            rows = count(found.mark.total, "row")
            terminal.line(f"demo data: {rows}, loaded {found.mark.loaded_at:%Y-%m-%d %H:%M} UTC by {found.mark.by}")
        elif found.occupied:
            terminal.line(f"no demo data; rows in {', '.join(found.occupied)}")
        else:
            terminal.line("no demo data; the database is empty, so it could be loaded")
        return True, {"loaded": found.mark is not None, "loadable": found.loadable, "occupied": found.occupied} | (
            found.mark.model_dump(mode="json", include={"loaded_at", "by", "rows", "total"}) if found.mark else {}
        )

    _run(project, as_json, work)


@demo.command()
def load(yes: Yes = False, project: Project = None, as_json: Json = False) -> None:
    """Load it into an empty database, labelled; all or nothing."""

    def work(terminal: Terminal, databases: Databases) -> tuple[bool, Any]:
        from core.demo import load as loading  # its generator loads numpy

        if not yes:
            _confirm(terminal, WARNING.format(name=databases.owner.name), "Load it?")
        done = loading.load(databases.owner, by=local_operator(), progress=terminal)
        terminal.line(f"{count(done.total, 'row')} loaded in {duration(done.ms / 1000)}")
        terminal.verdict(True)
        return True, done.model_dump(mode="json") | {"total": done.total}

    _run(project, as_json, work)


@demo.command()
def remove(yes: Yes = False, project: Project = None, as_json: Json = False) -> None:
    """Take exactly the loaded rows away; all or nothing."""

    def work(terminal: Terminal, databases: Databases) -> tuple[bool, Any]:
        if not yes:
            _confirm(terminal, f"The demo data goes from {databases.owner.name}; no other row does.", "Remove it?")
        done = demo_data.remove(databases.owner, by=local_operator(), progress=terminal)
        terminal.line(f"{count(done.total, 'row')} removed")
        for name in done.kept:
            terminal.line(f"kept, because something was written to it since: position {name}")
        terminal.verdict(True)
        return True, done.model_dump(mode="json") | {"total": done.total}

    _run(project, as_json, work)


def _run(project: Any, as_json: bool, work: Callable[[Terminal, Databases], tuple[bool, Any]]) -> None:
    def inner(settings: Settings, terminal: Terminal) -> tuple[bool, Any]:
        with Databases.from_settings(settings) as databases:
            return work(terminal, databases)

    run("demo", as_json, project, inner)


def _confirm(terminal: Terminal, text: str, question: str) -> None:
    terminal.say(text)
    if not sys.stdin.isatty() or terminal.as_json:
        raise TradekeepError("config.not_confirmed")
    if not typer.confirm(question, err=True):
        raise typer.Exit(1)
