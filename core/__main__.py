"""The command line: `python -m core COMMAND [--project DIR] [--json]`; the same functions as the pages."""

from __future__ import annotations

import itertools
import logging
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import SecretStr
from rich.table import Table

from core import embedded, envfile, log
from core.database import Databases
from core.errors import TradekeepError, classify
from core.format import duration
from core.schema import migrate as migrations
from core.settings import DatabaseConfig, Settings, environment_for, load_settings, parse_connection
from core.setup import bundled, diagnose, provision, verify, wizard
from core.terminal import Terminal

logger = logging.getLogger(__name__)
INTERRUPTED = 130  # what typer makes of Ctrl-C


def _switch(*names: str, says: str) -> Any:
    """An option without a value; the empty metavar keeps "<bool>" out of the help."""
    return typer.Option(*names, help=says, metavar="")


def _not_blank(text: str | None) -> str | None:
    """The text; libpq would read a blank URL as its own defaults, which nobody asked for."""
    if text is not None and not text.strip():
        raise typer.BadParameter("it is empty; write postgresql://USER@HOST:PORT/DATABASE")
    return text


Project = Annotated[Path | None, typer.Option(help="Your trading platform's folder, where .env.local is written.")]
Json = Annotated[bool, _switch("--json", says="One JSON object on stdout.")]
Url = Annotated[str | None, typer.Option(help="Where to sign in; leave the password out of it.", callback=_not_blank)]
Stdin = Annotated[bool, _switch("--stdin", says="Read the password from standard input.")]

app = typer.Typer(
    help="Set up, check and serve the database of a trading platform.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
env_app = typer.Typer(help="Look at and change .env.local, byte by byte.", invoke_without_command=True)
app.add_typer(env_app, name="env")


def _run(
    name: str, as_json: bool, project: Path | None, work: Callable[[Settings, Terminal], tuple[bool, Any]]
) -> None:
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


def _login(url: str | None, stdin: bool, settings: Settings, terminal: Terminal) -> DatabaseConfig:
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


@app.command()
def setup(
    embedded_server: Annotated[bool, _switch("--embedded", says="Use the bundled PostgreSQL.")] = False,
    url: Url = None,
    stdin: Stdin = False,
    database: Annotated[str, typer.Option(help="Name of the database to make.")] = "trading",
    adopt: Annotated[bool, _switch("--adopt", says="Make no roles: use the given login for everything.")] = False,
    yes: Annotated[bool, _switch("--yes", "-y", says="Do not ask.")] = False,
    project: Project = None,
    as_json: Json = False,
) -> None:
    """From nothing to a verified database; safe to run again."""
    if embedded_server == (url is not None):
        raise typer.BadParameter("give either --embedded or --url")

    def work(settings: Settings, terminal: Terminal) -> tuple[bool, Any]:
        admin = None if embedded_server else _login(url, stdin, settings, terminal)
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

    _run("setup", as_json, project, work)


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


@app.command(name="test")
def connection_test(url: Url = None, stdin: Stdin = False, project: Project = None, as_json: Json = False) -> None:
    """Test a connection step by step: the configured one, or --url."""

    def work(settings: Settings, terminal: Terminal) -> tuple[bool, Any]:
        result = diagnose.diagnose(_login(url, stdin, settings, terminal))
        terminal.connection(result)
        terminal.verdict(result.success)
        return result.success, result.model_dump(mode="json")

    _run("test", as_json, project, work)


@app.command()
def check(project: Project = None, as_json: Json = False) -> None:
    """Everything at a glance: configuration, connection, schema, bundled server."""

    def work(settings: Settings, terminal: Terminal) -> tuple[bool, Any]:
        issues = settings.issues()
        for issue in issues:
            terminal.line(f"{issue.severity}: {issue.component}: {issue.message} {issue.suggested_fix}")
        server = embedded.status(home=settings.home)
        place = f"on port {server.port}" if server.state == "running" else f"({server.reason})" if server.reason else ""
        terminal.line(f"bundled server: {server.state} {place}".rstrip())
        databases = Databases.from_settings(settings)
        try:
            ms = databases.writer.ping()
            schema = migrations.status(databases.writer)
        finally:
            databases.dispose()
        up_to_date = schema.compatible and not schema.migration_needed
        terminal.line(f"connected to {databases.writer.name} in {duration(ms / 1000)}")
        terminal.line(f"schema at {schema.current_version or 'nothing yet'}, expected {schema.expected_version}")
        ok = up_to_date and not any(issue.severity == "error" for issue in issues)
        terminal.verdict(ok)
        return ok, {
            "database": databases.writer.name,
            "connection_time_ms": ms,
            "schema": schema.model_dump(mode="json"),
            "issues": [issue.model_dump() for issue in issues],
            "bundled_server": server.state,
        }

    _run("check", as_json, project, work)


@app.command(name="verify")
def verify_command(project: Project = None, as_json: Json = False) -> None:
    """Prove that the database works: every table written, read back and rolled back."""

    def work(settings: Settings, terminal: Terminal) -> tuple[bool, Any]:
        databases = Databases.from_settings(settings)
        try:
            lines = verify.verify(databases, progress=terminal)
        finally:
            databases.dispose()
        terminal.verifications(lines)
        terminal.verdict(verify.passed(lines))
        return verify.passed(lines), [line.model_dump() for line in lines]

    _run("verify", as_json, project, work)


@app.command()
def migrate(
    to: Annotated[str, typer.Option(help="The revision to reach.")] = "head",
    status: Annotated[bool, _switch("--status", says="Only say where the schema is.")] = False,
    sql: Annotated[bool, _switch("--sql", says="Only print the SQL.")] = False,
    down: Annotated[bool, _switch("--down", says="Go down to --to; rows of dropped tables are lost.")] = False,
    stamp: Annotated[bool, _switch("--stamp", says="Only note that the database is at --to.")] = False,
    yes: Annotated[bool, _switch("--yes", "-y", says="Do not ask before going down.")] = False,
    project: Project = None,
    as_json: Json = False,
) -> None:
    """Bring the schema to a revision, all or nothing."""

    def work(settings: Settings, terminal: Terminal) -> tuple[bool, Any]:
        databases = Databases.from_settings(settings)
        owner = databases.owner
        try:
            if status:
                pass
            elif sql:
                text = migrations.sql(owner, to)
                terminal.out(text)
                return True, text
            elif down:
                if not yes:
                    raise TradekeepError("config.not_confirmed")
                migrations.downgrade(owner, to)
            elif stamp:
                migrations.stamp(owner, to)
            else:
                made = migrations.upgrade(owner, to, progress=terminal)
                terminal.line(f"{len(made.tables_created)} tables created, {len(made.tables_skipped)} already there")
                terminal.verdict(made.success)
                return made.success, made.model_dump(mode="json")
            found = migrations.status(owner)
        finally:
            databases.dispose()
        terminal.line(f"schema at {found.current_version or 'nothing yet'}, expected {found.expected_version}")
        terminal.verdict(found.compatible)
        return found.compatible, found.model_dump(mode="json")

    _run("migrate", as_json, project, work)


@app.command()
def serve(
    port: Annotated[int, typer.Option(help="The port of the web app.")] = 8501,
    project: Project = None,
) -> None:
    """Start the web app; the same as `streamlit run app.py`."""
    root = Path(__file__).parent.parent
    command = [sys.executable, "-m", "streamlit", "run", str(root / "app.py"), "--server.port", str(port)]
    variables = environment_for(load_settings(project).project)
    raise typer.Exit(subprocess.call(command, cwd=root, env=variables))  # noqa: S603  # our own app


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

    _run("env", as_json, project, work)


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
    remove: Annotated[bool, _switch("--remove", says="Remove the key.")] = False,
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

    _run("env", as_json, project, work)


@env_app.command()
def backups(
    file: Annotated[str, typer.Option(help="Which file of the project.")] = ".env.local",
    project: Project = None,
    as_json: Json = False,
) -> None:
    """The backups of an env file, newest first."""

    def work(settings: Settings, terminal: Terminal) -> tuple[bool, Any]:
        found = [str(backup.path) for backup in envfile.backups(settings.project / file)]
        for path in found:
            terminal.out(path)
        if not found:
            terminal.say(f"There are no backups of {settings.project / file}; the first change of it makes one.")
        return True, found

    _run("env", as_json, project, work)


@env_app.command()
def restore(
    backup: Path,
    file: Annotated[str, typer.Option(help="Which file of the project.")] = ".env.local",
    project: Project = None,
    as_json: Json = False,
) -> None:
    """Put a backup back; the present file is backed up first."""

    def work(settings: Settings, terminal: Terminal) -> tuple[bool, Any]:
        written = envfile.restore(settings.project / file, backup)
        terminal.line(f"{settings.project / file}: {'restored' if written.changed else 'nothing to change'}")
        return True, {"changed": written.changed, "backup": str(written.backup or "")}

    _run("env", as_json, project, work)


def main() -> int:
    """Run the command that the arguments name; gives its exit code: 0 fine, 1 not, 2 wrong usage."""
    # Whether JSON is wanted must be known even where the arguments cannot be read.
    terminal = Terminal("--json" in itertools.takewhile(lambda word: word != "--", sys.argv[1:]))
    try:
        code = int(app(standalone_mode=False) or 0)
    except typer.TyperException as error:
        if said := error.format_message():  # without a command the help was printed already
            context = getattr(error, "ctx", None)
            usage = context.get_usage() if context else ""
            terminal.failed(TradekeepError("config.usage", said, details=usage), beside_json=True)
        return error.exit_code
    except (typer.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    if code == INTERRUPTED:
        terminal.failed(TradekeepError("transient.interrupted"), beside_json=True)
        code = 1
    return code


if __name__ == "__main__":
    exit_code = main()
    # The result is out; the interpreter only tidies up now, and would answer Ctrl-C with a traceback.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(exit_code)
