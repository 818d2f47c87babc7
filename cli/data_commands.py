"""Commands on the stored data: see whether it is whole, take it elsewhere."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cli.answers import CYCLE_INTERVAL, AsJson, Interval, listed, moment

data_commands = typer.Typer()

Symbols = Annotated[str | None, typer.Option(help="Comma-separated, for example BTCUSDT,ETHUSDT.")]


@data_commands.command()
def export(
    folder: Annotated[
        Path, typer.Argument(help="The folder to write to. It is created if it does not exist.")
    ],
    symbols: Symbols = None,
    first: Annotated[str | None, typer.Option("--from", help="First day or time, 2021-03-01.")] = None,
    last: Annotated[
        str | None,
        typer.Option("--to", help="Day or time at which it ends; candles that open then are left out."),
    ] = None,
    interval: Interval = CYCLE_INTERVAL,
) -> None:
    """Write the stored candles as Parquet files, one per symbol and year."""
    from eightbells.candles.timeframe import Timeframe
    from eightbells.database.reading import open_read_only
    from eightbells.export import export as write
    from eightbells.settings import load_settings

    wanted, timeframe = None if symbols is None else listed(symbols), Timeframe.named(interval)
    console, files, rows = Console(), 0, 0
    shown = console.status("exporting") if sys.stdout.isatty() else None
    with open_read_only(load_settings()) as engine:
        if shown is not None:
            shown.start()
        try:
            for done in write(engine, folder, wanted, moment(first), moment(last), timeframe):
                files, rows = files + 1, rows + done.rows
                if shown is None:
                    print(f"{done.file} {done.rows} rows", flush=True)
                else:
                    shown.update(f"{done.symbol} {done.year}: {rows:,} rows in {files} files")
        finally:
            if shown is not None:
                shown.stop()
    print(f"{rows} rows in {files} files")


@data_commands.command()
def coverage(symbols: Symbols = None, interval: Interval = CYCLE_INTERVAL, as_json: AsJson = False) -> None:
    """Show which share of each symbol's slots is stored, by month."""
    from cli.coverage_view import show
    from eightbells.candles.coverage import coverage as look
    from eightbells.candles.timeframe import Timeframe
    from eightbells.database.reading import open_read_only
    from eightbells.settings import load_settings

    wanted, timeframe = None if symbols is None else listed(symbols), Timeframe.named(interval)
    with open_read_only(load_settings()) as engine, engine.connect() as connection:
        found = look(connection, time.time_ns() // 1_000_000, wanted, timeframe)
    if as_json:
        rows = [{**asdict(it), "month": f"{it.month:%Y-%m}", "share": it.share} for it in found]
        print(json.dumps({"coverage": rows}))
    else:
        show(found)
