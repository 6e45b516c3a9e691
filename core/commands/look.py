"""`test`, `check` and `verify`: what works, without changing anything."""

from __future__ import annotations

from typing import Any

from core import embedded
from core.commands.frame import Json, Project, Stdin, Url, app, login, run
from core.database import Databases
from core.format import duration
from core.schema import migrate as migrations
from core.settings import Settings
from core.setup import bundled, diagnose, verify
from core.terminal import Terminal


@app.command(name="test")
def connection_test(url: Url = None, stdin: Stdin = False, project: Project = None, as_json: Json = False) -> None:
    """Test a connection step by step: the configured one, or --url."""

    def work(settings: Settings, terminal: Terminal) -> tuple[bool, Any]:
        config = login(url, stdin, settings, terminal)
        result = bundled.tested(diagnose.diagnose(config), config, settings.home)
        terminal.connection(result)
        terminal.verdict(result.success)
        return result.success, result.model_dump(mode="json")

    run("test", as_json, project, work)


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
        with Databases.from_settings(settings) as databases:
            ms = databases.writer.ping()
            schema = migrations.status(databases.writer)
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

    run("check", as_json, project, work)


@app.command(name="verify")
def verify_command(project: Project = None, as_json: Json = False) -> None:
    """Prove that the database works: every table written, read back and rolled back, and every coin being saved."""

    def work(settings: Settings, terminal: Terminal) -> tuple[bool, Any]:
        with Databases.from_settings(settings) as databases:
            lines = verify.verify(databases, tracked=settings.tracked_symbols, progress=terminal)
        terminal.verifications(lines)
        terminal.verdict(verify.passed(lines))
        return verify.passed(lines), [line.model_dump() for line in lines]

    run("verify", as_json, project, work)
