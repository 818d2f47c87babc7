"""What a person has done by hand, kept with who did it and why; and what must be settled before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from sqlalchemy import Connection, text

from eightbells.errors import EightbellsError
from eightbells.trading.drift import blocked_symbols
from eightbells.trading.holds import held_symbols

Command = Literal["sell", "pause", "resume", "adopt"]


def record(
    connection: Connection, account: str, command: Command, arguments: Mapping[str, Any], why: str, by: str
) -> int:
    """Keep a command; returns its number.

    Raises:
        EightbellsError: there is no reason.
    """
    if not why.strip():
        raise EightbellsError("a reason is needed: the books keep it")
    number: int = connection.execute(
        text(
            "INSERT INTO commands (account, command, arguments, why, by_whom) "
            "VALUES (:account, :command, CAST(:arguments AS jsonb), :why, :by) RETURNING id"
        ),
        {
            "account": account,
            "command": command,
            "arguments": json.dumps(dict(arguments)),
            "why": why.strip(),
            "by": by,
        },
    ).scalar_one()
    return number


def obstacle(connection: Connection, account: str, symbol: str) -> str | None:
    """What of a symbol must be settled before it is sold by hand, or None."""
    if drift := blocked_symbols(connection, account).get(symbol):
        return drift
    hold = held_symbols(connection, account, buying=False).get(symbol)
    return None if hold is None else f"the symbol is held: {hold}"


def goes_anyway(connection: Connection, command: int | None) -> bool:
    """Whether a sale by hand was ordered whatever stands in its way."""
    found: bool = connection.execute(
        text("SELECT coalesce((arguments ->> 'anyway')::boolean, FALSE) FROM commands WHERE id = :id"),
        {"id": command},
    ).scalar_one()
    return found
