"""Balances that multiply: a coin that is exchanged for many shows in the account before it shows in any price."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection, text

from eightbells.exchange.models import Balance
from eightbells.exchange.rules import wire
from eightbells.trading import holds, valuation

_FACTOR = Decimal("1.5")  # what changes by less may be a deposit of the owner's, and is passed over


@dataclass(frozen=True)
class Look:
    """What the account holds of an asset, what positions say, and what the one should be by the look before.

    Args:
        symbols: those by which strategies hold more than dust of it.
        owned: what the positions say.
        expected: what was there at the look before, and what positions have gained since; None at the first look.
    """

    asset: str
    symbols: list[str]
    total: Decimal
    owned: Decimal
    expected: Decimal | None

    @property
    def is_multiplied(self) -> bool:
        """Whether there is so much more or less than expected that no trade of ours can be the reason."""
        if self.expected is None or not self.symbols:
            return False
        less, more = sorted((self.total, max(self.expected, Decimal(0))))
        return more >= less * _FACTOR and more > 0


def looks(connection: Connection, account: str, balances: Iterable[Balance]) -> list[Look]:
    """A look at each asset that positions are in, but not where coins are missing: that is drift."""
    there = {balance.asset: balance.free + balance.locked for balance in balances}
    held = valuation.symbols_held(connection, account)
    rows = connection.execute(
        text(
            "SELECT s.base_asset AS asset, array_agg(DISTINCT p.symbol) AS symbols, sum(p.quantity) AS owned, "
            "l.total + sum(p.quantity) - l.owned AS expected "
            "FROM positions AS p INNER JOIN symbols AS s ON p.symbol = s.symbol "
            "LEFT JOIN balance_looks AS l ON l.account = p.account AND l.asset = s.base_asset "
            "WHERE p.account = :account GROUP BY s.base_asset, l.total, l.owned ORDER BY s.base_asset"
        ),
        {"account": account},
    )
    found = [
        Look(
            row.asset,
            [symbol for symbol in row.symbols if symbol in held],
            there.get(row.asset, Decimal(0)),
            row.owned,
            row.expected,
        )
        for row in rows
    ]
    return [look for look in found if look.total >= look.owned]


def keep(connection: Connection, account: str, found: Iterable[Look], at: datetime) -> None:
    """Keep looks for the next time; the symbols of what has multiplied are held."""
    for look in found:
        if look.is_multiplied:
            facts = {
                "asset": look.asset,
                "before": wire(look.expected or Decimal(0)),
                "after": wire(look.total),
            }
            for symbol in look.symbols:
                holds.begin(connection, account, symbol, "balance", "all", facts, at)
        connection.execute(
            text(
                "INSERT INTO balance_looks (account, asset, total, owned, looked_at) "
                "VALUES (:account, :asset, :total, :owned, :at) ON CONFLICT (account, asset) DO UPDATE "
                "SET total = excluded.total, owned = excluded.owned, looked_at = excluded.looked_at"
            ),
            {"account": account, "asset": look.asset, "total": look.total, "owned": look.owned, "at": at},
        )


def forget(connection: Connection, account: str, symbol: str) -> None:
    """Begin again with a symbol's asset: a person has said what became of it."""
    connection.execute(
        text(
            "DELETE FROM balance_looks WHERE account = :account "
            "AND asset = (SELECT base_asset FROM symbols WHERE symbol = :symbol)"
        ),
        {"account": account, "symbol": symbol},
    )
