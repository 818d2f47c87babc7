"""How commands answer: to people in rows, to scripts as one JSON object on the last line of stdout."""

from __future__ import annotations

import getpass
import json
import os
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

import typer
from rich.console import Console

from eightbells.addresses import hidden
from eightbells.errors import EightbellsError

CYCLE_INTERVAL = "4h"  # as candles.timeframe.CYCLE, which loads numpy: too slow for `--help`
Interval = Annotated[str, typer.Option(help="Length of the candles: 1m to 1w.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on the last line.")]


def say(facts: dict[str, Any], as_json: bool) -> None:
    """Print facts."""
    if as_json:
        print(json.dumps(facts))
        return
    for name, value in facts.items():
        print(f"{name:12} {value}")


def complain(problem: object) -> None:
    """Say on stderr what went wrong: a line, or one for each thing that is wrong."""
    console = Console(stderr=True)
    for line in hidden(str(problem)).splitlines():
        console.print(f"eightbells: {line}", style="red", markup=False, highlight=False, soft_wrap=True)


def plain(value: object) -> str:
    """Times as ISO, amounts as the exchange writes them."""
    from eightbells.exchange.rules import wire

    if isinstance(value, Decimal):
        return wire(value)
    return value.isoformat() if isinstance(value, datetime) else str(value)


def listed(symbols: str) -> list[str]:
    """The symbols of a comma-separated option.

    Raises:
        EightbellsError: there is none, or one that cannot be the name of a symbol.
    """
    from eightbells.settings.symbols import chosen

    found = chosen(symbol for symbol in symbols.split(",") if symbol.strip())
    if not found:
        raise EightbellsError("--symbols is empty: give names such as BTCUSDT,ETHUSDT")
    return found


def amount(written: str) -> Decimal:
    """An amount of money as a person writes it.

    Raises:
        EightbellsError: it is no number.
    """
    try:
        return Decimal(written)
    except InvalidOperation:
        raise EightbellsError(f"{written!r} is no amount: write it as 512.30") from None


def moment(given: str | None) -> datetime | None:
    """A day or a time as a person writes it, in UTC where it names no zone.

    Raises:
        EightbellsError: it is neither.
    """
    try:
        found = None if given is None else datetime.fromisoformat(given)
    except ValueError:
        raise EightbellsError(f"{given} is not a time: write it like 2021-03-01T04:00Z") from None
    return found if found is None or found.tzinfo else found.replace(tzinfo=UTC)


def who() -> str:
    """The person at the terminal, as far as the machine knows."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except OSError:  # a container's user need not have a name
        return f"user {os.getuid()}"
