"""`coverage`: whether every coin that is followed is being saved."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from core.commands.frame import Json, Project, app, run
from core.database import Databases
from core.format import age
from core.settings import Settings
from core.setup import coverage as coins
from core.terminal import Terminal

WORDS = {True: "covered", False: "late", None: "no data"}


@app.command()
def coverage(
    multiple: Annotated[
        float, typer.Option(min=1.0, help="How many lengths of its timeframe the newest candle may be old.")
    ] = coins.MULTIPLE,
    project: Project = None,
    as_json: Json = False,
) -> None:
    """Every coin with its newest candle in each timeframe and its newest decision trace."""

    def work(settings: Settings, terminal: Terminal) -> tuple[bool, Any]:
        with Databases.from_settings(settings) as databases:
            found = databases.reader.ask(coins.coverage, settings.tracked_symbols, multiple=multiple)
        if found.coins:
            terminal.table(_table(found))
        terminal.line(coins.sentence(found))
        terminal.verdict(found.ok is True)
        return found.ok is True, found.model_dump(mode="json") | {
            "ok": found.ok,
            "coins": [coin.model_dump(mode="json") | {"ok": coin.ok} for coin in found.coins],
        }

    run("coverage", as_json, project, work)


def _table(found: coins.Coverage) -> Table:
    table = Table("Coin", "Verdict", *found.timeframes, coins.TRACE.capitalize(), box=None, pad_edge=False)
    for coin in found.coins:
        cells = [
            "no data" if one.at is None else age(one.at, found.at) + ("" if one.ok else " (late)") for one in coin.seen
        ]
        table.add_row(coin.symbol, WORDS[coin.ok], *cells)
    return table
