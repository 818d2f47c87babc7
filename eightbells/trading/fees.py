"""What the account lacks of an asset, and fees as its cause: who pays in BNB pays with what strategies hold of it.

The exchange takes the fee of any trade in BNB where that is switched on and there is some, no matter whose it is. The
owner's comes first: only what is missing from a position is charged to it, and no more than was taken in fees.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection, text

from eightbells.exchange.models import Balance
from eightbells.exchange.rules import wire


@dataclass(frozen=True)
class Shortage:
    """An asset of which the account holds less than the positions in `symbols` say."""

    asset: str
    symbols: list[str]
    owned: Decimal
    there: Decimal

    @property
    def missing(self) -> Decimal:
        return self.owned - self.there

    @property
    def facts(self) -> dict[str, str]:
        """What identifies the shortage in a drift."""
        return {"asset": self.asset, "books": wire(self.owned), "exchange": wire(self.there)}


def shortages(connection: Connection, account: str, balances: Iterable[Balance]) -> list[Shortage]:
    """Assets of which there is less than the positions say; more may be the owner's."""
    held = {balance.asset: balance.free + balance.locked for balance in balances}
    rows = connection.execute(
        text(
            "SELECT s.base_asset, array_agg(DISTINCT p.symbol), sum(p.quantity) FROM positions AS p "
            "INNER JOIN symbols AS s ON p.symbol = s.symbol WHERE p.account = :account GROUP BY s.base_asset"
        ),
        {"account": account},
    )
    found = [Shortage(asset, symbols, owned, held.get(asset, Decimal(0))) for asset, symbols, owned in rows]
    return [shortage for shortage in found if shortage.missing > 0]


# Fees in an asset that was neither bought, sold nor paid with, less what positions were charged for them.
_UNCHARGED = """
SELECT (
    SELECT coalesce(sum(amount), 0) FROM fee_totals WHERE account = :account AND asset = :asset
) - (
    SELECT coalesce(sum(c.quantity), 0) FROM fee_charges AS c INNER JOIN symbols AS s ON c.symbol = s.symbol
    WHERE c.account = :account AND s.base_asset = :asset
)
"""


def explained(connection: Connection, account: str, found: Iterable[Shortage]) -> list[Shortage]:
    """The shortages that fees can have caused."""

    def uncharged(asset: str) -> Decimal:
        fees: Decimal = connection.execute(
            text(_UNCHARGED), {"account": account, "asset": asset}
        ).scalar_one()
        return fees

    return [shortage for shortage in found if shortage.missing <= uncharged(shortage.asset)]


_UNPRICED = """
SELECT f.asset, s.quote_asset FROM symbols AS s
CROSS JOIN unnest(
    CAST(:trades AS bigint[]), CAST(:assets AS text[]), CAST(:times AS timestamptz[])
) AS f (trade_id, asset, at)
WHERE s.symbol = :symbol AND f.asset NOT IN (s.base_asset, s.quote_asset) AND NOT EXISTS (
    SELECT FROM fills AS b WHERE b.account = :account AND b.symbol = s.symbol AND b.trade_id = f.trade_id
)
AND value_in_quote(f.asset, s.quote_asset, 1, f.at) IS NULL
"""


def unpriced(
    connection: Connection, account: str, symbol: str, fees: Collection[tuple[int, str, datetime]]
) -> dict[str, str]:
    """Assets of fees that are not booked and that no stored close values, each with its symbol at the exchange.

    Args:
        fees: the trade, the asset and the time of each.
    """
    if not fees:
        return {}
    trades, assets, times = zip(*fees, strict=True)
    values = {"trades": list(trades), "assets": list(assets), "times": list(times)}
    rows = connection.execute(text(_UNPRICED), {"account": account, "symbol": symbol, **values})
    return {asset: f"{asset}{quote}" for asset, quote in rows}


def charge(connection: Connection, account: str, shortage: Shortage, at: datetime) -> None:
    """Charge what is missing to the largest position in the asset that holds as much.

    Its strategy is credited what that is worth: those whose fees it were have it taken off their profit.
    """
    connection.execute(
        text("""
        INSERT INTO fee_charges (account, strategy, symbol, quantity, charged_at, quote_value)
        SELECT
            p.account, p.strategy, p.symbol, :missing, :at,
            coalesce(value_in_quote(s.base_asset, s.quote_asset, :missing, :at), 0)
        FROM positions AS p INNER JOIN symbols AS s ON p.symbol = s.symbol
        WHERE p.account = :account AND p.symbol = ANY(:symbols) AND p.quantity >= :missing
        ORDER BY p.quantity DESC, p.strategy, p.symbol LIMIT 1
        """),
        {"account": account, "symbols": shortage.symbols, "missing": shortage.missing, "at": at},
    )


def unvalued_fees(connection: Connection, account: str) -> dict[tuple[str, str], str]:
    """Fees that nothing says the worth of, in words, by strategy and symbol: they are in no profit."""
    rows = connection.execute(
        text(
            "SELECT strategy, symbol, asset, amount FROM unvalued_fees WHERE account = :account "
            "ORDER BY strategy, symbol, asset"
        ),
        {"account": account},
    )
    found: dict[tuple[str, str], str] = {}
    for row in rows:
        before = found.get((row.strategy, row.symbol))
        words = f"{wire(row.amount)} {row.asset}"
        found[row.strategy, row.symbol] = f"{before}, {words}" if before else words
    return found
