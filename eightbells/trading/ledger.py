"""The books: fills keyed by trade id, what each strategy owns, and what it may spend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import ROUND_DOWN, Decimal
from types import MappingProxyType

from sqlalchemy import Connection, text

from eightbells.exchange.json_fields import Readable
from eightbells.exchange.models import Balance
from eightbells.trading.outbox import Order
from eightbells.trading.sizing import BuyingPower

SMALLEST = Decimal("1E-8")  # amounts of the exchange have eight places


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


# A fee in a third asset is worth what the newest stored close says, else the price that was looked up.
_BOOK = """
INSERT INTO fills (
    account, symbol, trade_id, order_id, side, price, quantity, quote_quantity, commission, commission_asset,
    traded_at, flow_run, commission_quote
)
SELECT
    :account, :symbol, :trade_id, :order_id, :side, :price, :quantity, :quote_quantity, :commission,
    :commission_asset, :traded_at, :flow_run,
    CASE
        WHEN :commission = 0 THEN 0
        WHEN :commission_asset = quote_asset THEN :commission
        WHEN :commission_asset = base_asset THEN round(:commission * :price, 8)
        ELSE coalesce(
            value_in_quote(:commission_asset, quote_asset, :commission, :traded_at),
            round(:commission * CAST(:fee_price AS numeric), 8)
        )
    END
FROM symbols WHERE symbol = :symbol
ON CONFLICT DO NOTHING
"""


def book(
    connection: Connection,
    order: Order,
    fills: Iterable[Fill],
    flow_run: str | None = None,
    prices: Mapping[str, Decimal] = MappingProxyType({}),
) -> int:
    """Book fills; one that is in the books already is not booked again. Returns how many were new.

    Args:
        prices: in the quote asset, of assets that fees were taken in and of which no close is stored.
    """
    return sum(
        connection.execute(
            text(_BOOK),
            {
                **vars(fill),
                "fee_price": prices.get(fill.commission_asset),
                "account": order.account,
                "symbol": order.symbol,
                "order_id": order.id,
                "side": order.side,
                "flow_run": flow_run,
            },
        ).rowcount
        for fill in fills
    )


def average_price(connection: Connection, order: int) -> Decimal:
    """What an order's fills in the books cost on average, in the quote asset; eight places. 0 without fills."""
    price: Decimal = connection.execute(
        text(
            "SELECT coalesce(round(sum(quote_quantity) / sum(quantity), 8), 0) FROM fills WHERE order_id = :id"
        ),
        {"id": order},
    ).scalar_one()
    return price


def fills_booked_by(connection: Connection, account: str, flow_run: str | None) -> int:
    """How many fills a run has booked."""
    count: int = connection.execute(
        text("SELECT count(*) FROM fills WHERE account = :account AND flow_run = :run"),
        {"account": account, "run": flow_run},
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


def scaled(quantity: Decimal, ratio: Decimal) -> Decimal:
    """What becomes of a quantity where each coin is exchanged for `ratio` new ones; the totals in sql/ do the same."""
    return (quantity * ratio).quantize(SMALLEST, ROUND_DOWN)


@dataclass(frozen=True)
class Holding:
    """What came of a sequence of fills: quantity owned, its cost, and what was realised, in the quote asset."""

    quantity: Decimal = Decimal(0)
    cost: Decimal = Decimal(0)
    realised: Decimal = Decimal(0)

    def after(
        self, side: str, quantity: Decimal, quote: Decimal, base_fee: Decimal, quote_fee: Decimal
    ) -> Holding:
        """The holding after one more fill, at average cost.

        A fee in the base asset makes the rest dearer; what is sold beyond what is owned, which only a drift can
        bring about, has no cost.
        """
        if side == "SPLIT":  # so many new coins for an old one; money does not change
            return replace(self, quantity=scaled(self.quantity, quantity))
        if side == "BUY":
            return Holding(self.quantity + quantity - base_fee, self.cost + quote + quote_fee, self.realised)
        gone = quantity + base_fee
        released = self.cost
        if gone < self.quantity:
            # cut off as the exchange does, so that no digit is lost between cost and profit
            released = (self.cost * gone / self.quantity).quantize(SMALLEST, ROUND_DOWN)
        return Holding(
            self.quantity - gone, self.cost - released, self.realised + quote - quote_fee - released
        )


_RESERVED = """
SELECT o.strategy, sum((o.quantity - o.executed_quantity) * coalesce(o.price, s.price)) AS cost
FROM live_orders AS o INNER JOIN signals AS s ON o.signal_id = s.id
WHERE o.account = :account AND o.side = 'BUY'
GROUP BY o.strategy
"""


def reservations(connection: Connection, account: str) -> dict[str, Decimal]:
    """What the open buys of each strategy that has any may still cost, in the quote asset."""
    rows = connection.execute(text(_RESERVED), {"account": account})
    return {row.strategy: row.cost for row in rows}


def buying_power(
    held: list[Position], symbol: str, capital: Decimal, shares: int, reserved: Decimal
) -> BuyingPower:
    """What a strategy owns of the symbol, and what it may spend on it.

    It may spend an equal share of its capital, and never more than is left of the capital after all its trades
    and the orders that are still out.

    Args:
        held: the strategy's positions.
        reserved: what its open buys may still cost.
    """
    left = capital + sum((position.quote_flow for position in held), Decimal(0)) - reserved
    owned = sum((position.quantity for position in held if position.symbol == symbol), Decimal(0))
    return BuyingPower(owned, min(capital / shares, left))


# A position begins with the first purchase after a sale that was not of a part only.
_PARTS = """
SELECT count(*) FILTER (WHERE o.leg = 'entry'),
    count(*) FILTER (WHERE o.leg = 'trim' AND s.target = 'flat' AND o.id > (
        SELECT coalesce(max(e.id), 0) FROM orders AS e
        WHERE e.account = :account AND e.strategy = :strategy AND e.symbol = :symbol AND e.leg = 'entry'
        AND e.executed_quantity > 0
    ))
FROM orders AS o INNER JOIN signals AS s ON o.signal_id = s.id
WHERE o.account = :account AND o.strategy = :strategy AND o.symbol = :symbol AND o.executed_quantity > 0
AND o.id > (
    SELECT coalesce(max(q.id), 0) FROM orders AS q
    WHERE q.account = :account AND q.strategy = :strategy AND q.symbol = :symbol AND q.side = 'SELL'
    AND q.leg <> 'trim' AND q.executed_quantity > 0
)
"""


def parts(connection: Connection, account: str, strategy: str, symbol: str) -> tuple[int, int]:
    """How many purchases a position is made of, and how many sales of a part came after the last of them."""
    bought, sold = connection.execute(
        text(_PARTS), {"account": account, "strategy": strategy, "symbol": symbol}
    ).one()
    return bought, sold


def capital(connection: Connection, account: str) -> Decimal:
    """What of the equity was put in, less what was taken out, as the books have it."""
    amount: Decimal = connection.execute(
        text("SELECT coalesce(sum(amount), 0) FROM capital_changes WHERE account = :account"),
        {"account": account},
    ).scalar_one()
    return amount


def save_balances(
    connection: Connection, account: str, balances: Readable[Balance], seen_at: datetime
) -> None:
    """Keep the account's balances as the exchange states them; an asset it no longer lists is zero.

    A balance that could not be read stays as it was.
    """
    connection.execute(
        text(
            "UPDATE balances SET free = 0, locked = 0, seen_at = :seen "
            "WHERE account = :account AND asset <> ALL(CAST(:odd AS text[]))"
        ),
        {"account": account, "seen": seen_at, "odd": [it.name for it in balances.odd]},
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
                "account": account,
                "asset": balance.asset,
                "seen": seen_at,
                "free": balance.free,
                "locked": balance.locked,
            },
        )
