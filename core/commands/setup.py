"""`setup`: the whole journey from nothing to a verified database."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from core.commands.frame import Json, Project, Stdin, Url, app, login, run, switch
from core.errors import TradekeepError
from core.settings import DatabaseConfig, Settings
from core.setup import provision, wizard
from core.terminal import Terminal


@app.command()
def setup(
    embedded_server: Annotated[bool, switch("--embedded", says="Use the bundled PostgreSQL.")] = False,
    url: Url = None,
    stdin: Stdin = False,
    database: Annotated[str, typer.Option(help="Name of the database to make.")] = "trading",
    adopt: Annotated[bool, switch("--adopt", says="Make no roles: use the given login for everything.")] = False,
    yes: Annotated[bool, switch("--yes", "-y", says="Do not ask.")] = False,
    project: Project = None,
    as_json: Json = False,
) -> None:
    """From nothing to a verified database; safe to run again."""
    if embedded_server == (url is not None):
        raise typer.BadParameter("give either --embedded or --url")

    def work(settings: Settings, terminal: Terminal) -> tuple[bool, Any]:
        admin = None if embedded_server else login(url, stdin, settings, terminal)
        if not yes:
            _confirm(settings, terminal, admin, database, adopt)
        if admin is not None and adopt:
            outcome = wizard.finish(settings, terminal, provision.adopt(admin))
        else:
            outcome = wizard.set_up(settings, terminal, admin=admin, database=database)
        made = outcome.provisioned
        terminal.line(f"database: {made.runtime.masked_url()}")
        terminal.line(f"roles: {', '.join(dict.fromkeys([made.owner.user, made.runtime.user, made.viewer.user]))}")
        terminal.line(f"files changed: {', '.join(str(path) for path in outcome.written) or 'none'}")
        for warning in made.warnings:
            terminal.line(f"warning: {warning}")
        terminal.verifications([line for line in outcome.verifications if not line.ok])
        terminal.verdict(outcome.ready)
        return outcome.ready, {
            "database": made.runtime.masked_url(),
            "owner": made.owner.user,
            "runtime": made.runtime.user,
            "viewer": made.viewer.user,
            "created": made.created,
            "kept": made.kept,
            "warnings": made.warnings,
            "written": [str(path) for path in outcome.written],
            "schema": outcome.schema.model_dump() if outcome.schema else None,
            "verified": outcome.ready,
        }

    run("setup", as_json, project, work)


def _confirm(settings: Settings, terminal: Terminal, admin: DatabaseConfig | None, database: str, adopt: bool) -> None:
    if admin is None:
        terminal.say(f"A PostgreSQL server in {settings.home}, database {database} and its three roles.")
    elif not adopt:
        for action in provision.plan(admin, database=database, known=wizard.known_logins(settings)):
            terminal.say(f"- {action.title}. {action.harm}".rstrip())
    terminal.say(f"Then .env.local and .env.tradekeep in {settings.project}, the tables, and a verification.")
    if not sys.stdin.isatty() or terminal.as_json:
        raise TradekeepError("config.not_confirmed")
    if not typer.confirm("Go on?", err=True):
        raise typer.Exit(1)
