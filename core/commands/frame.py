"""What every command shares: the app, its options, how it runs and fails, and where its login comes from."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import SecretStr

from core import log
from core.errors import TradekeepError, classify
from core.settings import DatabaseConfig, Settings, load_settings, parse_connection
from core.setup import bundled
from core.terminal import Terminal

logger = logging.getLogger(__name__)


def switch(*names: str, says: str) -> Any:
    """An option without a value; the empty metavar keeps "<bool>" out of the help."""
    return typer.Option(*names, help=says, metavar="")


def _not_blank(text: str | None) -> str | None:
    """The text; libpq would read a blank URL as its own defaults, which nobody asked for."""
    if text is not None and not text.strip():
        raise typer.BadParameter("it is empty; write postgresql://USER@HOST:PORT/DATABASE")
    return text


Project = Annotated[Path | None, typer.Option(help="Your trading platform's folder, where .env.local is written.")]
Json = Annotated[bool, switch("--json", says="One JSON object on stdout.")]
Url = Annotated[str | None, typer.Option(help="Where to sign in; leave the password out of it.", callback=_not_blank)]
Stdin = Annotated[bool, switch("--stdin", says="Read the password from standard input.")]

app = typer.Typer(
    help="Set up, check and serve the database of a trading platform.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def commands() -> None:
    """A group of commands, also where only one of them is loaded."""


def run(name: str, as_json: bool, project: Path | None, work: Callable[[Settings, Terminal], tuple[bool, Any]]) -> None:
    """Run a command: its result under its own name, exit code 0, or 1 with the error in the one shape."""
    terminal = Terminal(as_json)
    settings: Settings | None = None
    try:
        settings = load_settings(project)
        log.configure(settings.home / "logs", level=settings.log_level, echo_sql=settings.sql_echo)
        ok, result = work(settings, terminal)
    except (typer.Exit, typer.Abort):
        raise
    except Exception as exc:  # the command's edge: whatever it is becomes one classified error
        error = classify(exc)
        if settings and settings.database:
            error = bundled.concerning(error, settings.database, settings.home)
        if error.kind == "unexpected":
            logger.info("%s failed: %s", name, error.message, exc_info=exc, extra={"code": error.error_code})
        terminal.failed(error)
        raise typer.Exit(1) from None
    terminal.result(name, ok, result)
    raise typer.Exit(0 if ok else 1)


def login(url: str | None, stdin: bool, settings: Settings, terminal: Terminal) -> DatabaseConfig:
    """The login to use: the URL's, its password from standard input, TRADEKEEP_ADMIN_PASSWORD or a prompt."""
    if url is None:
        if settings.database is None:
            raise settings.error or TradekeepError("config.no_database")
        return settings.database
    config = parse_connection(url)
    if stdin:
        return config.replace(password=SecretStr(sys.stdin.readline().rstrip("\r\n")))
    if config.password is None and settings.admin_password is not None:
        return config.replace(password=settings.admin_password)
    if config.password is None and sys.stdin.isatty() and not terminal.as_json:
        return config.replace(password=SecretStr(typer.prompt("Password", hide_input=True, err=True, default="")))
    return config
