"""The books: fills keyed by trade id, what each strategy owns and may spend, and what it all is worth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection, text

from eightbells.settings import Settings
from eightbells.trading.outbox import Order
from eightbells.trading.sizing import Means


@dataclass(frozen=True)
class Fill:
    """One trade of one of our orders, as the exchange reports it."""

    trade_id: int
    price: Decimal
    quantity: Decimal
    quote_quantity: Decimal
    commission: Decimal
    commission_asset: str
    traded_at: datetime


@dataclass(frozen=True)
class Position:
    """What a strategy holds of a symbol, net of fees, and the quote it has taken in less what it has paid."""

    strategy: str
    symbol: str
    quantity: Decimal
    quote_flow: Decimal


def book(connection: Connection, order: Order, fills: Iterable[Fill]) -> int:
    """Book fills; one that is in the books already is not booked again. Returns how many were new."""
    return sum(
        connection.execute(
            text("""
            INSERT INTO fills (
                account, symbol, trade_id, order_id, side, price, quantity, quote_quantity, commission,
                commission_asset, traded_at
            ) VALUES (
                :account, :symbol, :trade_id, :order_id, :side, :price, :quantity, :quote_quantity, :commission,
                :commission_asset, :traded_at
            ) ON CONFLICT DO NOTHING
            """),
            {
                **vars(fill),
                "account": order.account,
                "symbol": order.symbol,
                "order_id": order.id,
                "side": order.side,
            },
        ).rowcount
        for fill in fills
    )


def fills_since(connection: Connection, account: str, since: datetime) -> int:
    """How many fills are booked that were traded at or after a time."""
    count: int = connection.execute(
        text("SELECT count(*) FROM fills WHERE account = :account AND traded_at >= :since"),
        {"account": account, "since": since},
    ).scalar_one()
    return count


def positions(connection: Connection, account: str) -> list[Position]:
    rows = connection.execute(
        text(
            "SELECT strategy, symbol, quantity, quote_flow FROM positions WHERE account = :account "
            "ORDER BY strategy, symbol"
        ),
        {"account": account},
    )
    return [Position(*row) for row in rows]


_RESERVED = """
SELECT coalesce(sum((quantity - executed_quantity) * coalesce(o.price, s.price)), 0)
FROM orders AS o INNER JOIN signals AS s ON o.signal_id = s.id
WHERE o.account = :account AND o.strategy = :strategy AND o.side = 'BUY'
AND o.state IN ('PLANNED', 'SENDING', 'UNKNOWN', 'OPEN', 'PARTIALLY_FILLED')
"""


def means(
    connection: Connection, account: str, strategy: str, symbol: str, capital: Decimal, shares: int
) -> Means:
    """What the strategy owns of the symbol, and what it may spend on it.

    It may spend an equal share of its capital, and never more than is left of the capital after all its trades
    and the orders that are still out.
    """
    held = [position for position in positions(connection, account) if position.strategy == strategy]
    reserved: Decimal = connection.execute(
        text(_RESERVED), {"account": account, "strategy": strategy}
    ).scalar_one()
    left = capital + sum((position.quote_flow for position in held), Decimal(0)) - reserved
    owned = sum((position.quantity for position in held if position.symbol == symbol), Decimal(0))
    return Means(owned, min(capital / shares, left))


def equity(connection: Connection, settings: Settings, prices: Mapping[str, Decimal]) -> Decimal:
    """Allocated capital, plus what was taken in, less what was paid, plus what is held, in the quote asset."""
    capital = sum((strategy.capital for strategy in settings.strategies), Decimal(0))
    held = positions(connection, settings.account)
    return capital + sum(
        (
            position.quote_flow + position.quantity * prices.get(position.symbol, Decimal(0))
            for position in held
        ),
        Decimal(0),
    )


def save_balances(
    connection: Connection, account: str, balances: Iterable[Mapping[str, str]], seen_at: datetime
) -> None:
    """Keep the account's balances as the exchange states them; an asset it no longer lists is zero."""
    connection.execute(
        text("UPDATE balances SET free = 0, locked = 0, seen_at = :seen WHERE account = :account"),
        {"account": account, "seen": seen_at},
    )
    for balance in balances:
        connection.execute(
            text("""
            INSERT INTO balances (account, asset, free, locked, seen_at)
            VALUES (:account, :asset, :free, :locked, :seen)
            ON CONFLICT (account, asset) DO UPDATE SET
                free = excluded.free, locked = excluded.locked, seen_at = excluded.seen_at
            """),
            {
                "account": account, "asset": balance["asset"], "seen": seen_at,
                "free": Decimal(balance["free"]), "locked": Decimal(balance["locked"]),
            },
        )  # fmt: skip
