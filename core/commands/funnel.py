"""`funnel`: where setups got stuck on this machine."""

from typing import Annotated, Any

from rich.table import Table

from core.commands.frame import Json, Project, app, run, switch
from core.format import duration
from core.settings import Settings
from core.setup import analytics
from core.terminal import Terminal


@app.command()
def funnel(
    forget: Annotated[bool, switch("--forget", says="Delete what is known.")] = False,
    project: Project = None,
    as_json: Json = False,
) -> None:
    """Where setups got stuck on this machine: steps, failures, what helped. Nothing of it is sent anywhere."""

    def work(settings: Settings, terminal: Terminal) -> tuple[bool, Any]:
        if forget:
            analytics.forget(settings.home)
        found = analytics.funnel(settings.home)
        table = Table(box=None)
        for title in ("Step", "Reached", "Done", "Failed", "Median", "Failures"):
            table.add_column(title, overflow="fold")
        for step in found.steps:
            took = "" if step.median_ms is None else duration(step.median_ms / 1000)
            failures = ", ".join(f"{name} {number}" for name, number in step.by_type.items())
            table.add_row(step.name, str(step.reached), str(step.done), str(step.failed), took, failures)
        terminal.table(table)
        for path in found.recoveries:
            times = (
                f"{path.times} of {path.times} times" if path.helped == path.times else f"{path.helped} of {path.times}"
            )
            terminal.line(f"after {path.error_type} in {path.step}: {path.then}; it helped {times}")
        terminal.line(f"{found.completed} of {found.begun} setups were completed")
        return True, {
            "begun": found.begun,
            "completed": found.completed,
            "completion_pct": found.completion_pct,
            "steps": [vars(step) for step in found.steps],
            "recoveries": [vars(path) for path in found.recoveries],
        }

    run("funnel", as_json, project, work)
