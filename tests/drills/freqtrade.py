"""A drill with the real thing: databases that freqtrade itself makes, imported and reconciled to the last digit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

from core.database import Database
from core.explore.imports import BotImport, import_bot
from core.schema import migrate
from core.settings import DatabaseConfig
from tests.drills import drill
from tests.drills.project import server
from tests.servers import Cluster, new_database

SCRIPT = Path(__file__).parent.parent.parent / "scripts" / "freqtrade_database.py"


@drill
def freqtrade_databases(n: int = 400, cluster: Cluster | None = None) -> dict[str, Any]:
    """n trades made by freqtrade on SQLite (its log left behind) and on PostgreSQL, into both of ours.

    FREQTRADE_PYTHON names a Python that has freqtrade and psycopg2; without it one is made for the moment.
    """
    problems: list[str] = []
    said: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="tradekeep-freqtrade-") as folder, server(cluster) as running:
        python = _python(Path(folder))
        with new_database(running) as theirs, new_database(running) as ours:
            config = running.config(theirs)
            assert config.password is not None
            secret = config.password.get_secret_value()
            urls = {
                f"sqlite:///{folder}/tradesv3.sqlite": f"{folder}/tradesv3.sqlite",
                f"postgresql+psycopg2://postgres:{secret}@127.0.0.1:{config.port}/{theirs}": config,
            }
            targets = (running.config(ours), DatabaseConfig(backend="sqlite", database=f"{folder}/ours.sqlite"))
            for url, source in urls.items():
                said = _made(python, url, n, Path(folder))
                for target in targets:
                    with Database(target) as db:
                        migrate.upgrade(db)
                        name = f"{url.partition(':')[0]}"
                        problems += _checked(import_bot(db, source, name=name), said, name, first=True)
                        problems += _checked(import_bot(db, source, name=name), said, name, first=False)
    return {"ok": not problems, "n": n, "problems": problems[:20], "freqtrade_says": said}


def _python(folder: Path) -> str:
    if known := os.environ.get("FREQTRADE_PYTHON"):
        return known
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    python = str(folder / "venv" / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "-q", "freqtrade", "psycopg2-binary"], check=True)
    return python


def _made(python: str, url: str, n: int, folder: Path) -> dict[str, Any]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    command = [python, str(SCRIPT), url, str(n)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def _checked(done: BotImport, said: dict[str, Any], name: str, *, first: bool) -> list[str]:
    figures = {one.name: one for one in done.reconciled}
    problems = [f"{name}: {one.name}: {one.theirs} and {one.ours}" for one in done.reconciled if not one.ok]
    expected = {
        "closed trades": Decimal(said["closed"]),
        "open trades": Decimal(said["open"]),
        "filled orders": Decimal(said["filled"]),
        "profit of closed trades, USDT": Decimal(said["profit"]),
    }
    for figure, value in expected.items():
        if figures[figure].theirs != value or abs(figures[figure].ours - value) >= Decimal("0.01"):
            problems.append(f"{name}: {figure}: freqtrade says {value}, we {figures[figure].ours}")
    new = [counts.inserted + counts.updated for counts in done.counts.values()]
    if not first and any(new):
        problems.append(f"{name}: the second import wrote {new} rows")
    return problems
