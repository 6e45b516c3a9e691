"""`passwords`: where a login for a server stands on this machine, and how to set a new one."""

from __future__ import annotations

from typing import Annotated, Any

from core.commands.frame import Json, Project, Url, app, run, switch
from core.errors import TradekeepError
from core.settings import DatabaseConfig, Settings, parse_connection
from core.setup import credentials, reset
from core.setup.credentials import Source
from core.setup.reset import Guide
from core.terminal import Terminal

MARKS = {"works": "✓", "fails": "✗", "unreadable": "!"}
WORDS = {
    "works": "works", "fails": "does not work", "unreadable": "cannot be read", "elsewhere": "for another server",
    "nothing": "nothing there", "skipped": "not tried", "found": "found, not tried",
}  # fmt: skip


@app.command()
def passwords(
    url: Url = None,
    no_common: Annotated[bool, switch("--no-common", says="Do not try a few common passwords.")] = False,
    reset_only: Annotated[bool, switch("--reset", says="Only say how to set a new password.")] = False,
    project: Project = None,
    as_json: Json = False,
) -> None:
    """Look for a password of a server (default: the one of this machine), and say how to set a new one.

    Every place is named, and no password is shown. A few common ones are tried on this machine only.
    """

    def work(settings: Settings, terminal: Terminal) -> tuple[bool, Any]:
        wanted = _server(url, settings)
        sources = [] if reset_only else credentials.search(wanted, settings, progress=terminal, common=not no_common)
        for source in sources:
            _say(source, terminal)
        works = any(source.verdict == "works" for source in sources)
        guide = None if works else reset.instructions(wanted, settings.home)
        if guide is not None:
            _say_guide(guide, terminal)
        found = {
            "sources": [source.model_dump(mode="json") for source in sources],
            "reset": guide.model_dump(mode="json") if guide else None,
        }
        return works or reset_only, found

    run("passwords", as_json, project, work)


def _server(url: str | None, settings: Settings) -> DatabaseConfig:
    """The server to sign in to: the URL's, the configured one, else what listens on this machine's usual port."""
    config = parse_connection(url) if url else settings.database
    config = config or DatabaseConfig(host="localhost")
    if config.backend != "postgresql":
        raise TradekeepError("config.connection_string", "A SQLite file has no password.")
    return config.replace(password=None)


def _say(source: Source, terminal: Terminal) -> None:
    who = f" as {source.user}" if source.user and source.user not in source.name else ""
    why = f": {source.why}" if source.why else ""
    terminal.line(f"{MARKS.get(source.verdict, '·')} {source.name}{who}: {WORDS[source.verdict]}{why}")
    if source.danger:
        terminal.line(f"  Danger: {source.danger}")


def _say_guide(guide: Guide, terminal: Terminal) -> None:
    terminal.line(f"\nTo set a new password for {guide.role}: {guide.title}")
    for steps, heading in ((guide.steps, ""), (guide.otherwise, "If that does not let you in:")):
        if steps and heading:
            terminal.line(heading)
        for number, step in enumerate(steps, 1):
            terminal.line(f"  {number}. {step.text}{':' if step.command else '.'}")
            if step.command:
                terminal.line(f"     {step.command}")
    if guide.note:
        terminal.line(guide.note)
