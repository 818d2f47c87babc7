"""The books as lists: what is held and how it is protected, the orders, and their fills. Nothing is changed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text

from eightbells.settings import Settings
from eightbells.trading import fees, outbox, valuation
from eightbells.trading.outbox import Order
from eightbells.trading.states import State
from eightbells.trading.unprotected import unprotected
from eightbells.trading.valuation import PositionReport


@dataclass(frozen=True)
class ListedPosition:
    """A position at the newest stored close; money in the quote asset.

    Args:
        fees: those in a third asset, such as BNB; all others are in cost and profit.
        unvalued_fees: those of which nothing says what they were worth, in words.
        unprotected: why there is no stop, or "" where there is one.
        in_settings: whether its strategy is still in the settings.
    """

    strategy: str
    symbol: str
    quantity: Decimal
    average_cost: Decimal | None
    value: Decimal
    unrealised: Decimal
    realised: Decimal
    fees: Decimal
    unvalued_fees: str
    stop_price: Decimal | None
    unprotected: str
    in_settings: bool


@dataclass(frozen=True)
class ListedOrder:
    """An order of the books. `planned_at` and `changed_at` are the exchange's time."""

    client_order_id: str
    strategy: str
    symbol: str
    leg: str
    side: str
    type: str
    quantity: Decimal
    price: Decimal | None
    stop_price: Decimal | None
    state: str
    executed_quantity: Decimal
    planned_at: datetime
    changed_at: datetime


@dataclass(frozen=True)
class Trade:
    """A fill of one of our orders; `commission_quote` is what the fee is worth. `traded_at` is the exchange's time."""

    trade_id: int
    client_order_id: str
    strategy: str
    symbol: str
    leg: str
    side: str
    price: Decimal
    quantity: Decimal
    quote_quantity: Decimal
    commission: Decimal
    commission_asset: str
    commission_quote: Decimal | None
    state: str
    traded_at: datetime


@dataclass(frozen=True)
class Wanted:
    """Which orders or fills are listed, the newest first.

    Args:
        states: of the order; empty for any.
        since: the oldest planning or trade.
    """

    symbols: Collection[str] = ()
    strategy: str | None = None
    states: Collection[State] = ()
    since: datetime | None = None
    limit: int = 20


def list_positions(
    connection: Connection, settings: Settings, *, closed: bool = False
) -> list[ListedPosition]:
    """What is held, by strategy and symbol.

    Args:
        closed: whether what is sold is listed too, for what it has realised.
    """
    account = settings.account
    sales = {
        (order.strategy, order.symbol): order
        for order in outbox.live(connection, account)
        if order.side == "SELL" and not order.yields and not order.paired
    }
    bare = {(it.strategy, it.symbol): it.reason for it in unprotected(connection, account)}
    stops = {strategy.name: strategy.stop_loss for strategy in settings.strategies}
    unvalued = fees.unvalued_fees(connection, account)
    found = []
    for it in valuation.position_reports(connection, settings):
        if it.quantity <= 0 and not closed:
            continue
        place = it.strategy, it.symbol
        sale = sales.get(place)
        stop_price = None if sale is None else sale.stop_price
        why = _unprotected(it, sale, bare.get(place), stops.get(it.strategy))
        found.append(
            ListedPosition(
                it.strategy,
                it.symbol,
                it.quantity,
                it.average_cost,
                it.value,
                it.unrealised,
                it.realised,
                it.fees,
                unvalued.get(place, ""),
                stop_price,
                why,
                it.strategy in stops,
            )
        )
    return found


def _unprotected(
    position: PositionReport, sale: Order | None, reason: str | None, stop: Decimal | None
) -> str:
    """Why a position has no stop; "" where it has one."""
    if sale is not None:
        return "" if sale.stop_price is not None else f"on sale: {sale.leg} {sale.client_order_id}"
    if position.quantity <= 0:
        return "nothing is held"
    if reason is not None:
        return reason
    if not stop:
        return (
            "the strategy has no stop_loss"
            if stop == 0
            else "the strategy is not in the settings, and had no stop"
        )
    return "dust: too little to sell" if position.quantity == position.dust else "placed at the next look"


_CHOSEN = """
o.account = :account AND (:any_symbol OR o.symbol = ANY(:symbols))
AND (CAST(:strategy AS text) IS NULL OR o.strategy = :strategy) AND (:any_state OR o.state = ANY(:states))
"""
_ORDERS = f"""
SELECT
    o.client_order_id, o.strategy, o.symbol, o.leg, o.side, o.type, o.quantity, o.price, o.stop_price, o.state,
    o.executed_quantity, o.planned_at, o.changed_at
FROM orders AS o WHERE {_CHOSEN} AND o.planned_at >= coalesce(CAST(:since AS timestamptz), '-infinity')
ORDER BY o.id DESC LIMIT :limit
"""
_TRADES = f"""
SELECT
    f.trade_id, o.client_order_id, o.strategy, o.symbol, o.leg, f.side, f.price, f.quantity, f.quote_quantity,
    f.commission, f.commission_asset, f.commission_quote, o.state, f.traded_at
FROM fills AS f INNER JOIN orders AS o ON f.order_id = o.id
WHERE {_CHOSEN} AND f.traded_at >= coalesce(CAST(:since AS timestamptz), '-infinity')
ORDER BY f.traded_at DESC, f.trade_id DESC LIMIT :limit
"""


def list_orders(connection: Connection, account: str, wanted: Wanted) -> list[ListedOrder]:
    """The account's orders, the newest first."""
    rows = connection.execute(text(_ORDERS), _values(account, wanted))
    return [ListedOrder(*row) for row in rows]


def list_trades(connection: Connection, account: str, wanted: Wanted) -> list[Trade]:
    """The account's fills, the newest first."""
    return [Trade(*row) for row in connection.execute(text(_TRADES), _values(account, wanted))]


def _values(account: str, wanted: Wanted) -> dict[str, Any]:
    return {
        "account": account,
        "strategy": wanted.strategy,
        "since": wanted.since,
        "limit": wanted.limit,
        "any_symbol": not wanted.symbols,
        "symbols": list(wanted.symbols),
        "any_state": not wanted.states,
        "states": [str(state) for state in wanted.states],
    }
