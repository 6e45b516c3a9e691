"""`serve`: the web app."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from core.commands.frame import Project, app
from core.settings import environment_for, load_settings


@app.command()
def serve(
    port: Annotated[int, typer.Option(help="The port of the web app.")] = 8501,
    project: Project = None,
) -> None:
    """Start the web app; the same as `streamlit run app.py`."""
    root = Path(__file__).parent.parent.parent
    command = [sys.executable, "-m", "streamlit", "run", str(root / "app.py"), "--server.port", str(port)]
    variables = environment_for(load_settings(project).project)
    raise typer.Exit(subprocess.call(command, cwd=root, env=variables))  # noqa: S603  # our own app
