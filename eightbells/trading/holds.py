"""Holds: symbols whose price or balance changed in a way that trading does not explain, until a person has said why."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection, text

Scope = Literal["all", "entries"]  # nothing is sent for the symbol, or nothing is bought
Reason = Literal["jump", "balance"]

_WORDS: dict[tuple[str, str], str] = {
    ("jump", "all"): "its price changed from {before} to {after} across a pause of {pause} candles",
    ("jump", "entries"): "its price changed from {before} to {after} in the candle of {candle}",
    ("balance", "all"): "its balance changed from {before} to {after} {asset} without a trade of ours",
}
_HELD: dict[Scope, str] = {"all": "nothing is sent for it", "entries": "nothing is bought of it"}


@dataclass(frozen=True)
class Hold:
    """A symbol that waits for a person. `facts` are what changed, by name; `found_at` is the exchange's time."""

    id: int
    symbol: str
    reason: Reason
    scope: Scope
    facts: Mapping[str, str]
    found_at: datetime

    @property
    def change(self) -> str:
        """What happened, in words."""
        return _WORDS[self.reason, self.scope].format_map(self.facts)

    @property
    def words(self) -> str:
        """What happened, and what waits for it."""
        return f"{self.change}: {_HELD[self.scope]}"

    @property
    def advice(self) -> str:
        """What a person can do about it."""
        confirm = f"`eightbells confirm {self.symbol} --reason ...` trades it again"
        if self.scope == "entries":
            return confirm
        return f"`eightbells split {self.symbol} RATIO --reason ...` books RATIO new coins for an old one; {confirm}"


def open_holds(connection: Connection, account: str) -> list[Hold]:
    """The account's open holds, oldest first."""
    rows = connection.execute(
        text(
            "SELECT id, symbol, reason, scope, facts, found_at FROM holds "
            "WHERE account = :account AND released_at IS NULL ORDER BY id"
        ),
        {"account": account},
    )
    return [Hold(*row) for row in rows]


def in_words(found: Iterable[Hold]) -> Iterator[str]:
    """A sentence for each symbol that is held: what happened to it, and what a person can do."""
    by_symbol: dict[str, list[Hold]] = {}
    for hold in found:
        by_symbol.setdefault(hold.symbol, []).append(hold)
    for symbol, its in by_symbol.items():
        widest = next((hold for hold in its if hold.scope == "all"), its[0])
        changes = "; ".join(hold.change for hold in its)
        yield f"{symbol} is held, {_HELD[widest.scope]}: {changes}; {widest.advice}"


def held_symbols(connection: Connection, account: str, *, buying: bool) -> dict[str, str]:
    """The symbols for which nothing may be sent, each with the reason in words.

    Args:
        buying: also those of which nothing may be bought.
    """
    found: dict[str, str] = {}
    for hold in open_holds(connection, account):
        if buying or hold.scope == "all":
            found.setdefault(hold.symbol, hold.words)
    return found


def begin(
    connection: Connection,
    account: str,
    symbol: str,
    reason: Reason,
    scope: Scope,
    facts: Mapping[str, str],
    at: datetime,
    candle: datetime | None = None,
) -> bool:
    """Hold a symbol; whether it is new: a jump is held once, and a balance while no such hold is open."""
    return bool(
        connection.execute(
            text(
                "INSERT INTO holds (account, symbol, reason, scope, candle, facts, found_at) VALUES "
                "(:account, :symbol, :reason, :scope, :candle, CAST(:facts AS jsonb), :at) ON CONFLICT DO NOTHING"
            ),
            {
                "account": account,
                "symbol": symbol,
                "reason": reason,
                "scope": scope,
                "candle": candle,
                "facts": json.dumps(dict(facts)),
                "at": at,
            },
        ).rowcount
    )


def release(connection: Connection, account: str, symbol: str, by: str, why: str, at: datetime) -> list[Hold]:
    """Release a symbol's open holds, and keep who did it and why; returns them."""
    found = [hold for hold in open_holds(connection, account) if hold.symbol == symbol]
    connection.execute(
        text("UPDATE holds SET released_at = :at, released_by = :by, why = :why WHERE id = ANY(:ids)"),
        {"ids": [hold.id for hold in found], "at": at, "by": by, "why": why},
    )
    return found
