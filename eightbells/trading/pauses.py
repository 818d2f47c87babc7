"""Pauses: a strategy that a person paused is asked as before, and buys nothing. What it holds is protected and sold."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from eightbells.errors import EightbellsError
from eightbells.settings import Settings
from eightbells.trading import commands


@dataclass(frozen=True)
class Pause:
    """Why a strategy buys nothing, of `symbol` or, where that is None, of any; `since` when.

    A sale by hand is such a pause too, until the strategy was flat: then `until_flat` is true.
    """

    strategy: str
    symbol: str | None
    reason: str
    since: datetime
    until_flat: bool = False

    @property
    def words(self) -> str:
        of = f"{self.strategy} on {self.symbol}" if self.symbol else self.strategy
        if self.until_flat:
            return f"{of}, until it is flat: {self.reason} at {self.since:%Y-%m-%d %H:%M} UTC"
        return f"{of}, since {self.since:%Y-%m-%d %H:%M} UTC: {self.reason}"

    @property
    def refusal(self) -> str:
        """Why nothing is bought, and what ends that."""
        end = f"`eightbells resume {self.strategy}` ends that"
        if self.until_flat:
            return (
                f"it was {self.reason} at {self.since:%Y-%m-%d %H:%M} UTC, "
                f"and the strategy has not been flat since; {end}"
            )
        return f"the strategy is paused since {self.since:%Y-%m-%d %H:%M} UTC: {self.reason}; {end}"


_PAUSES = """
SELECT strategy, symbol, why || ' (' || by_whom || ')' AS reason, at AS since, FALSE AS until_flat
FROM open_pauses WHERE account = :account
UNION ALL
SELECT strategy, symbol, 'sold by hand', sold_at, TRUE FROM sold_by_hand WHERE account = :account
"""


def open_pauses(connection: Connection, account: str) -> list[Pause]:
    """Everything that keeps a strategy from buying because a person wanted it so."""
    rows = connection.execute(
        text(f"SELECT * FROM ({_PAUSES}) AS pauses ORDER BY strategy, symbol NULLS FIRST, since"),
        {"account": account},
    )
    return [Pause(*row) for row in rows]


def pause_of(pauses: Iterable[Pause], strategy: str, symbol: str) -> Pause | None:
    """What keeps a strategy from buying a symbol, or None; one of the whole strategy before one of the symbol."""
    found = [it for it in pauses if it.strategy == strategy and it.symbol in (None, symbol)]
    return min(found, key=lambda it: (it.until_flat, it.symbol is not None), default=None)


def pause(
    connection: Connection, settings: Settings, strategy: str, symbol: str | None, why: str, by: str
) -> bool:
    """Let a strategy buy nothing, of one symbol or of any. False where it is paused already; nothing is changed then.

    Raises:
        EightbellsError: the settings have no such strategy, or it does not trade the symbol.
    """
    entry = next((it for it in settings.strategies if it.name == strategy), None)
    if entry is None:
        names = ", ".join(it.name for it in settings.strategies) or "none"
        raise EightbellsError(f"there is no strategy {strategy} in the settings; there are: {names}")
    traded = settings.symbols_of(entry)
    if symbol is not None and symbol not in traded:
        raise EightbellsError(f"{strategy} does not trade {symbol}; it trades {', '.join(traded)}")
    values = {"account": settings.account, "strategy": strategy, "symbol": symbol}
    is_open = connection.execute(
        text(
            "SELECT EXISTS (SELECT FROM open_pauses WHERE account = :account AND strategy = :strategy "
            "AND symbol IS NOT DISTINCT FROM CAST(:symbol AS text))"
        ),
        values,
    ).scalar_one()
    if is_open:
        return False
    command = commands.record(connection, settings.account, "pause", _arguments(strategy, symbol), why, by)
    connection.execute(
        text(
            "INSERT INTO pauses (account, strategy, symbol, begun_by) "
            "VALUES (:account, :strategy, :symbol, :command) ON CONFLICT DO NOTHING"
        ),
        {**values, "command": command},
    )
    return True


def resume(
    connection: Connection, account: str, strategy: str, symbol: str | None, why: str, by: str
) -> list[Pause]:
    """End a strategy's pauses, those of one symbol or all, also those after a sale by hand; returns what ended.

    Raises:
        EightbellsError: nothing of it is paused, or the strategy as a whole and not this symbol.
    """
    found = [it for it in open_pauses(connection, account) if it.strategy == strategy]
    ended = [it for it in found if symbol is None or it.symbol == symbol]
    if not ended:
        if any(it.symbol is None for it in found):
            raise EightbellsError(f"{strategy} is paused as a whole: resume it without a symbol")
        raise EightbellsError(f"{strategy} is not paused{f' on {symbol}' if symbol else ''}")
    command = commands.record(connection, account, "resume", _arguments(strategy, symbol), why, by)
    connection.execute(
        text(
            "UPDATE pauses SET ended_by = :command WHERE account = :account AND strategy = :strategy "
            "AND ended_by IS NULL AND (CAST(:symbol AS text) IS NULL OR symbol = :symbol)"
        ),
        {"account": account, "strategy": strategy, "symbol": symbol, "command": command},
    )
    return ended


def _arguments(strategy: str, symbol: str | None) -> dict[str, Any]:
    return {"strategy": strategy, "symbol": symbol}
