"""`env`: the settings and the files that they stand in."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from core import envfile, log
from core.commands.frame import Json, Project, app, run, switch
from core.errors import TradekeepError
from core.settings import Settings
from core.terminal import Terminal

env_app = typer.Typer(help="Look at and change .env.local, byte by byte.", invoke_without_command=True)
app.add_typer(env_app, name="env")


@env_app.callback()
def env(context: typer.Context, project: Project = None, as_json: Json = False) -> None:
    """Every setting with its value (secrets masked) and the place that it comes from; commands to change them."""
    if context.invoked_subcommand is None:
        show(project, as_json)


@env_app.command()
def show(project: Project = None, as_json: Json = False) -> None:
    """Every setting with its value (secrets masked) and the place that it comes from."""

    def work(settings: Settings, terminal: Terminal) -> tuple[bool, Any]:
        rows = settings.shown()
        table = Table(box=None)
        for title in ("Setting", "Value", "From"):
            table.add_column(title, overflow="fold")
        for name, row in rows.items():
            table.add_row(name, str(row["value"]), str(row["source"]))
        terminal.table(table)
        return True, rows

    run("env", as_json, project, work)


def _value(key: str) -> str:
    """The one line that standard input holds, or that somebody types. Raises config.env_value."""
    if sys.stdin.isatty():
        return str(typer.prompt(f"Value of {key}", hide_input=True, err=True, default="", show_default=False))
    text = sys.stdin.read()
    value = text.removesuffix("\n").removesuffix("\r")
    log.remember_secret(value)
    if not text:
        message = "Standard input is empty; give an empty line for an empty value, or --remove to remove the key."
        raise TradekeepError("config.env_value", message, key=key)
    if "\n" in value:
        message = f"Standard input has {len(value.splitlines())} lines; a value is one line. Nothing was changed."
        raise TradekeepError("config.env_value", message, key=key)
    return value


@env_app.command(name="set")
def set_value(
    key: str,
    file: Annotated[str, typer.Option(help="Which file of the project.")] = ".env.local",
    remove: Annotated[bool, switch("--remove", says="Remove the key.")] = False,
    project: Project = None,
    as_json: Json = False,
) -> None:
    """Set one key; its value is one line of standard input, so that it stands in no process list."""

    def work(settings: Settings, terminal: Terminal) -> tuple[bool, Any]:
        value = None if remove else _value(key)
        log.remember_secret(value)
        path = settings.project / file
        written = envfile.set_values(path, {key: value})
        terminal.line(f"{path}: {'changed' if written.changed else 'nothing to change'}")
        return True, {"file": str(path), "changed": written.changed, "backup": str(written.backup or "")}

    run("env", as_json, project, work)


@env_app.command()
def backups(
    file: Annotated[str, typer.Option(help="Which file of the project.")] = ".env.local",
    diff: Annotated[bool, switch("--diff", says="Also what restoring each would change, secrets masked.")] = False,
    project: Project = None,
    as_json: Json = False,
) -> None:
    """The backups of an env file, newest first."""

    def work(settings: Settings, terminal: Terminal) -> tuple[bool, Any]:
        path = settings.project / file
        found = [backup.path for backup in envfile.backups(path)]
        changes = {str(backup): envfile.restore_preview(path, backup) for backup in found} if diff else {}
        for backup in found:
            terminal.out(str(backup))
            if diff:
                terminal.out(changes[str(backup)] or "the same as the present file")
        if not found:
            terminal.say(f"There are no backups of {path}; the first change of it makes one.")
        return True, changes if diff else [str(backup) for backup in found]

    run("env", as_json, project, work)


@env_app.command()
def restore(
    backup: Path,
    file: Annotated[str, typer.Option(help="Which file of the project.")] = ".env.local",
    project: Project = None,
    as_json: Json = False,
) -> None:
    """Put a backup back (its path, or its name alone); the present file is backed up first."""

    def work(settings: Settings, terminal: Terminal) -> tuple[bool, Any]:
        path = settings.project / file
        chosen = envfile.backups_folder(path) / backup if backup.name == str(backup) else backup
        written = envfile.restore(path, chosen)
        terminal.line(f"{path}: {'restored' if written.changed else 'nothing to change'}")
        if written.changed:
            terminal.line("A password in it may no longer be the server's. See: python -m core check")
        return True, {"changed": written.changed, "backup": str(written.backup or "")}

    run("env", as_json, project, work)
