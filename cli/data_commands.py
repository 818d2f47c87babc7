"""Commands on the stored data: take it elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cli.answers import listed, moment

data_commands = typer.Typer()

Symbols = Annotated[str | None, typer.Option(help="Comma-separated, for example BTCUSDT,ETHUSDT.")]


@data_commands.command()
def export(
    folder: Annotated[Path, typer.Argument(help="Where to; it is made if it is not there.")],
    symbols: Symbols = None,
    first: Annotated[str | None, typer.Option("--from", help="First day or time, 2021-03-01.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Day or time before which it ends.")] = None,
) -> None:
    """Write the stored candles as Parquet files, one per symbol and year."""
    from eightbells.database.reading import open_read_only
    from eightbells.export import export as write
    from eightbells.settings import load_settings

    wanted = None if symbols is None else listed(symbols)
    console, files, rows = Console(), 0, 0
    shown = console.status("exporting") if sys.stdout.isatty() else None
    with open_read_only(load_settings()) as engine:
        if shown is not None:
            shown.start()
        try:
            for done in write(engine, folder, wanted, moment(first), moment(last)):
                files, rows = files + 1, rows + done.rows
                if shown is None:
                    print(f"{done.file} {done.rows} rows", flush=True)
                else:
                    shown.update(f"{done.symbol} {done.year}: {rows:,} rows in {files} files")
        finally:
            if shown is not None:
                shown.stop()
    print(f"{rows} rows in {files} files")
