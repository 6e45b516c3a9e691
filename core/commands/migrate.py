"""`migrate`: the schema to another revision."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from core.commands.frame import Json, Project, app, run, switch
from core.database import Databases
from core.errors import TradekeepError
from core.schema import migrate as migrations
from core.settings import Settings
from core.terminal import Terminal


@app.command()
def migrate(
    to: Annotated[str | None, typer.Option(help="The revision to reach; by default head.")] = None,
    status: Annotated[bool, switch("--status", says="Only say where the schema is.")] = False,
    sql: Annotated[bool, switch("--sql", says="Only print the SQL.")] = False,
    down: Annotated[bool, switch("--down", says="Go down to --to; rows of dropped tables are lost.")] = False,
    stamp: Annotated[
        bool, switch("--stamp", says="Only note that the database is at --to, by default what its tables match.")
    ] = False,
    yes: Annotated[bool, switch("--yes", "-y", says="Do not ask before going down.")] = False,
    project: Project = None,
    as_json: Json = False,
) -> None:
    """Bring the schema to a revision, all or nothing."""

    def work(settings: Settings, terminal: Terminal) -> tuple[bool, Any]:
        with Databases.from_settings(settings) as databases:
            owner = databases.owner
            if status:
                pass
            elif sql:
                text = migrations.sql(owner, to or "head")
                terminal.out(text)
                return True, text
            elif down:
                if not yes:
                    raise TradekeepError("config.not_confirmed")
                migrations.downgrade(owner, to or "head")
            elif stamp:
                migrations.stamp(owner, to or migrations.MATCHING)
            else:
                made = migrations.upgrade(owner, to or "head", progress=terminal, lock_wait_s=settings.init_timeout_s)
                terminal.line(f"{len(made.tables_created)} tables created, {len(made.tables_skipped)} already there")
                terminal.verdict(made.success)
                return made.success, made.model_dump(mode="json")
            found = migrations.status(owner)
        terminal.line(f"schema at {found.current_version or 'nothing yet'}, expected {found.expected_version}")
        terminal.verdict(found.compatible)
        return found.compatible, found.model_dump(mode="json")

    run("migrate", as_json, project, work)
