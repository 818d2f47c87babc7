"""How commands answer: to people in rows, to scripts as one JSON object on the last line of stdout."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

import typer

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on the last line of stdout.")]


def say(facts: dict[str, Any], as_json: bool) -> None:
    """Print facts."""
    if as_json:
        print(json.dumps(facts))
        return
    for name, value in facts.items():
        print(f"{name:12} {value}")


def plain(value: object) -> str:
    """Times as ISO, amounts as the exchange writes them."""
    from eightbells.exchange.rules import wire

    if isinstance(value, Decimal):
        return wire(value)
    return value.isoformat() if isinstance(value, datetime) else str(value)
