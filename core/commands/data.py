"""`import` and `export`: rows of files into a table, and a table's rows into a file."""

from __future__ import annotations

import sys
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Annotated, Any, BinaryIO, cast

import typer

from core.commands.frame import Json, Project, app, run, switch
from core.commands.outfile import Gone, Pipe, replaced
from core.database import Databases
from core.errors import TradekeepError
from core.settings import Settings
from core.terminal import Terminal

SHOWN = 5
FORMATS = {".csv": "csv", ".parquet": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl"}
Pairs = Annotated[list[str] | None, typer.Option("--map", metavar="FROM=TO", help="File column to table column.")]
Fixed = Annotated[list[str] | None, typer.Option("--set", metavar="COLUMN=VALUE", help="One value for every row.")]


def _pairs(given: list[str] | None, option: str) -> dict[str, str]:
    found = {}
    for one in given or []:
        name, equals, value = one.rpartition("=") if option == "--map" else one.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{option} takes NAME=VALUE, not {one!r}")
        found[name] = value
    return found


@app.command(name="import")
def import_file(
    file: Annotated[str, typer.Argument(help="CSV, JSON lines (also .gz), Parquet or SQLite; - for standard input.")],
    table: Annotated[str | None, typer.Argument(help="The table to write into; none for a bot's database.")] = None,
    mapping: Pairs = None,
    values: Fixed = None,
    dry_run: Annotated[bool, switch("--dry-run", says="Only say what would happen.")] = False,
    append: Annotated[bool, switch("--append", says="Add every row, without a look at what is there.")] = False,
    source_table: Annotated[str | None, typer.Option("--from", help="Which table of a SQLite file.")] = None,
    zone: Annotated[str, typer.Option(help="Of times without a time zone: Europe/Berlin.")] = "UTC",
    comma: Annotated[bool, switch("--decimal-comma", says="Numbers are written as 1.234,56.")] = False,
    day_first: Annotated[bool, switch("--day-first", says="01/02/2024 is a day of February.")] = False,
    month_first: Annotated[bool, switch("--month-first", says="01/02/2024 is a day of January.")] = False,
    bot: Annotated[str | None, typer.Option(help="Whose rows they are; a new name makes a bot.")] = None,
    errors: Annotated[Path | None, typer.Option(help="Write the rows at fault, at most 10,000, here.")] = None,
    faulty: Annotated[Path | None, typer.Option("--to-correct", help="Write those rows as they stood here.")] = None,
    project: Project = None,
    as_json: Json = False,
) -> None:
    """Rows of a file into a table, or the database of freqtrade or hummingbot; what is there already is skipped."""
    if table is None:
        _import_bot(file, bot, dry_run, project, as_json)
        return
    if day_first and month_first:
        raise typer.BadParameter("either the day or the month comes first")
    pairs, fixed = _pairs(mapping, "--map"), _pairs(values, "--set")

    def work(settings: Settings, terminal: Terminal) -> tuple[bool, Any]:
        from core.explore.imports import errors_csv, import_rows

        with ExitStack() as files:  # opened before anything is imported: a file that cannot be written says so first
            listed = files.enter_context(replaced(errors)) if errors else None
            as_stood = files.enter_context(replaced(faulty)) if faulty else None
            with Databases.from_settings(settings) as databases:
                done = import_rows(
                    databases.owner,
                    table,
                    sys.stdin.buffer if file == "-" else file,
                    mapping={name: to or None for name, to in pairs.items()},
                    upsert=not append,
                    dry_run=dry_run,
                    progress=terminal,
                    values=fixed,
                    source_table=source_table,
                    zone=zone,
                    bot=bot,
                    comma=comma,
                    day_first=day_first or (False if month_first else None),
                )
            if listed:
                listed.write(errors_csv(done.errors))
            if as_stood and done.faulty:
                as_stood.write(done.faulty.csv(done.errors))
        for name, to in done.mapping.items():
            terminal.line(f"{name} -> {to}")
        for note in done.notes:
            terminal.line(f"note: {note}")
        for one in done.errors[:SHOWN]:
            terminal.line(f"row {one.row}: {one.column}: {one.value!r}: {one.reason}")
        if len(done.errors) > SHOWN:
            most = "them all" if done.error_count == len(done.errors) else f"the first {len(done.errors):,}"
            where = f"see {errors}" if errors else f"--errors FILE writes {most}"
            terminal.line(f"and {done.error_count - SHOWN:,} more rows at fault; {where}")
        terminal.line(("dry run, nothing written: " if dry_run else "") + done.sentence)
        return bool(done.inserted + done.updated + done.skipped) or not done.error_count, done.as_dict()

    run("import", as_json, project, work)


def _import_bot(file: str, name: str | None, dry_run: bool, project: Path | None, as_json: bool) -> None:
    def work(settings: Settings, terminal: Terminal) -> tuple[bool, Any]:
        from core.explore.imports import import_bot

        with Databases.from_settings(settings) as databases:
            done = import_bot(databases.owner, file, name=name, dry_run=dry_run, progress=terminal)
        terminal.line(f"{done.kind}: {done.bot}" + (" (dry run, nothing written)" if dry_run else ""))
        for table, counts in done.counts.items():
            terminal.line(
                f"{table}: {counts.inserted:,} new, {counts.updated:,} changed, {counts.skipped:,} there already"
            )
        for one in done.reconciled:
            mark = "✓" if one.ok else "✗"
            terminal.line(f"{mark} {one.name}: {one.theirs:f}, here {one.ours:f} {one.why}".rstrip())
        for left in done.left:
            terminal.line(f"not carried over: {left}")
        for note in done.notes:
            terminal.line(f"note: {note}")
        ok = all(one.ok for one in done.reconciled)
        terminal.verdict(ok)
        return ok, done.as_dict()

    run("import", as_json, project, work)


@app.command()
def export(
    table: Annotated[str, typer.Argument(help="The table or view to read.")],
    file: Annotated[str, typer.Argument(help="The new file; its ending says the format. - for standard output.")],
    format: Annotated[str | None, typer.Option(help="csv, jsonl or parquet.")] = None,
    columns: Annotated[str | None, typer.Option(help="Only these, comma separated.")] = None,
    where: Annotated[
        list[str] | None, typer.Option(metavar="'COLUMN OP VALUE'", help="A filter; may be given often.")
    ] = None,
    sort: Annotated[list[str] | None, typer.Option(metavar="COLUMN", help="Order; -COLUMN for descending.")] = None,
    force: Annotated[bool, switch("--force", says="Replace a file that exists.")] = False,
    project: Project = None,
    as_json: Json = False,
) -> None:
    """Everything that matches into a file: CSV, JSON lines or Parquet."""
    if file == "-" and as_json:
        raise typer.BadParameter("standard output takes either the rows or --json")

    def work(settings: Settings, terminal: Terminal) -> tuple[bool, Any]:
        from core.explore import Sort, export_rows
        from core.explore.address import View
        from core.services import exports
        from core.services.alerts import local_operator

        to = Path(file)
        chosen: Any = format or FORMATS.get(to.suffix.lower(), "csv")
        if file != "-" and to.exists() and not force:
            raise TradekeepError("config.usage", f"{to} exists; --force replaces it.")
        so_far, whole = 0, True

        def progress(done: int, total: int, message: str) -> None:
            nonlocal so_far
            so_far = done
            terminal(done, total, message)

        with Databases.from_settings(settings) as databases:
            view = View(
                table,
                filters=tuple(_filter(one) for one in where or []),
                sort=tuple(Sort(one.removeprefix("-"), one.startswith("-")) for one in sort or []),
                columns=tuple(one.strip() for one in columns.split(",")) if columns else (),
            )
            options: dict[str, Any] = {"columns": view.columns or None, "format": chosen, "progress": progress}
            try:
                with replaced(to) if file != "-" else nullcontext(cast(BinaryIO, Pipe())) as out:
                    rows = export_rows(databases.reader, table, view.filters, view.sort, out=out, **options)
                    out.flush()
            except Gone:  # who read the rows had enough of them
                rows, whole = so_far, False
            exports.note(databases.writer, view, chosen, rows, by=local_operator())
        size = to.stat().st_size if file != "-" else 0
        if whole:
            terminal.say(f"{rows:,} rows of {table} in {file}")
        return True, {"table": table, "file": file, "format": chosen, "rows": rows, "bytes": size}

    run("export", as_json, project, work)


def _filter(text: str) -> Any:
    """A filter as somebody types it: COLUMN OP VALUE. Raises data.filter."""
    from core.explore import OPS, Filter

    found = [(text.find(f" {op}" if op[0].isalpha() else op), -len(op), op) for op in OPS]
    place, _, op = min((one for one in found if one[0] > 0), default=(0, 0, ""))
    if op:
        value = text[place:].lstrip().removeprefix(op).strip()
        parts: Any = [part.strip() for part in value.split(",")] if op in ("in", "between") else value
        return Filter(text[:place].strip(), op, None if op in ("is null", "is not null") else parts)
    raise TradekeepError("data.filter", f"A filter is written as COLUMN OP VALUE, with one of {', '.join(OPS)}.")
