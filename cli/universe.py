"""The command `universe`: who is traded by the rule, since when and why, and who left."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import Annotated

import typer

from cli.answers import AsJson, moment

universe_commands = typer.Typer()


@universe_commands.command()
def universe(
    at: Annotated[str | None, typer.Option("--at", help="A past day or time; default: now.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the members of the universe by rule, since when and why, and who left in the thirty days before."""
    from cli.universe_view import show
    from eightbells.candles import grid
    from eightbells.database.reading import open_read_only
    from eightbells.settings import load_settings
    from eightbells.universe.standing import standing_at

    settings, given = load_settings(), moment(at)
    if not settings.universe.top:
        if as_json:
            print(json.dumps({"rule": None, "symbols": settings.symbols}))
        else:
            print(f"no rule is set (universe.top is 0): the universe is {', '.join(settings.symbols)}")
        return
    at_ms = time.time_ns() // 1_000_000 if given is None else grid.to_ms(given)
    with open_read_only(settings) as engine, engine.connect() as connection:
        found = standing_at(connection, settings, at_ms)
    if as_json:
        print(json.dumps(asdict(found)))
    else:
        show(found)
