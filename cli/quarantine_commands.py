"""`eightbells quarantine`: look at the rows that failed validation, and decide on them."""

from __future__ import annotations

import json
from dataclasses import asdict
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from cli.answers import AsJson, listed, plain, who

if TYPE_CHECKING:
    from eightbells.quarantine import Action

quarantine_commands = typer.Typer(
    help="List rows that failed validation; decide on them.", no_args_is_help=True
)

Numbers = Annotated[list[int], typer.Argument(help="Numbers of the rows, as `list` shows them.")]
Reason = Annotated[str, typer.Option(help="Why, for the record.")]


class State(Enum):
    """What can become of a quarantined row."""

    OPEN = "open"
    RELEASED = "released"
    DISMISSED = "dismissed"


@quarantine_commands.command("list")
def list_rows(
    symbols: Annotated[str | None, typer.Option(help="Comma-separated, for example BTCUSDT,ETHUSDT.")] = None,
    state: Annotated[State, typer.Option(help="Only those in this state.")] = State.OPEN,
    limit: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="How many to list at most, newest first.")
    ] = 20,
    as_json: AsJson = False,
) -> None:
    """List quarantined rows, newest first, with the rules that they break."""
    from eightbells.database.reading import open_read_only
    from eightbells.quarantine import quarantined
    from eightbells.settings import load_settings

    wanted = None if symbols is None else listed(symbols)
    with open_read_only(load_settings()) as engine, engine.connect() as connection:
        found = quarantined(connection, wanted, state.value, limit)
    if as_json:
        print(json.dumps({"quarantined": [asdict(row) for row in found]}, default=plain))
        return
    for row in found:
        slot = f"{row.open_time:%Y-%m-%d %H:%M}" if row.open_time else "no readable time"
        print(f"{row.id} {row.symbol} {slot}: {', '.join(row.reasons).replace('_', ' ')}")
        if row.why:
            print(f"  {row.state} by {row.by_whom}: {row.why}")
    if not found:
        print(f"no row in quarantine is {state.value}")


@quarantine_commands.command()
def release(numbers: Numbers, reason: Reason) -> None:
    """Store quarantined rows as candles: the right one of duplicates, or rows that were not asked for."""
    _decide("release", numbers, reason)


@quarantine_commands.command()
def dismiss(numbers: Numbers, reason: Reason) -> None:
    """Record that rows were rightly refused. Their slots are no longer open."""
    _decide("dismiss", numbers, reason)


def _decide(action: Action, numbers: list[int], reason: str) -> None:
    from eightbells.database.engine import open_database
    from eightbells.quarantine import decide
    from eightbells.settings import load_settings

    settings = load_settings()
    with open_database(settings) as engine:
        for line in decide(engine, settings.account, action, numbers, reason, who()):
            print(line)
