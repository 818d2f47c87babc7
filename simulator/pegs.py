"""Pegged orders: limit orders whose price is a level of the book at the moment when they come to it.

A price that is given beside is the limit that the pegged price may not pass.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

from simulator import errors
from simulator.accounts import Account
from simulator.book import touch
from simulator.candles import as_decimal
from simulator.errors import Refusal, rejected
from simulator.market import Market
from simulator.orders import PEG_UNIT, STOPS, Order, Ticket
from simulator.params import Params
from simulator.symbols import Rules

if TYPE_CHECKING:
    from simulator.engine import Engine

PRIMARY, OPPOSITE = "PRIMARY_PEG", "MARKET_PEG"
MOST_LEVELS = 100
PEGGED = frozenset({"LIMIT", "LIMIT_MAKER", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT"})
COMBINATION = "Unsupported order combination."


def read_peg(params: Params, kind: str, time_in_force: str, rules: Rules) -> tuple[str, int | None] | None:
    """A new order's peg: which side of the book, and by how many levels off its best; None for other orders."""
    side = params.choice("pegPriceType", (PRIMARY, OPPOSITE), errors.not_valid("pegPriceType"))
    unit = params.choice("pegOffsetType", (PEG_UNIT,), errors.not_valid("pegOffsetType"))
    levels = params.integer("pegOffsetValue")
    if side is None:
        for name in ("pegOffsetType", "pegOffsetValue"):
            if params.text(name) is not None:
                raise errors.not_required(name)
        return None
    if (unit is None) != (levels is None):
        raise errors.missing("pegOffsetValue" if levels is None else "pegOffsetType")
    if levels is not None and not 1 <= levels <= MOST_LEVELS:
        raise errors.not_valid("pegOffsetValue")
    if not rules.entry.get("pegInstructionsAllowed", False):
        raise Refusal(-1013, "Pegged orders are not supported for this symbol.")
    takes = kind == "LIMIT_MAKER" and side == OPPOSITE
    waits = kind == "LIMIT" and side == PRIMARY and time_in_force != "GTC"
    if kind not in PEGGED or takes or waits:
        raise Refusal(-1014, COMBINATION)
    return side, levels


def priced(ticket: Ticket, market: Market, now: int) -> Ticket:
    """The ticket with the price that the book gives it; a stop gets its price when it is triggered."""
    if ticket.peg is None or ticket.type in STOPS:
        return ticket
    price = _price(market, ticket.rules.symbol, ticket.buys, ticket.peg, ticket.price, now)
    if price is None:
        raise rejected("Order book liquidity is less than symbol minimum quantity.")
    return replace(ticket, price=price, peg_limit=ticket.price, pegged=True)


def settle(market: Market, order: Order, now: int) -> bool:
    """Give an order that comes to the book its pegged price; False where the book has none."""
    if not order.peg or order.pegged:
        return True
    price = _price(market, order.symbol, order.buys, order.peg[0], order.peg_limit or None, now)
    if price is None:
        return False
    order.price, order.pegged = price, True
    return True


def trigger(engine: Engine, account: Account, order: Order, now: int) -> bool:
    """Price a stop that has been triggered, and set aside what it may cost now; False where neither can be."""
    if not order.peg:
        return True
    if not settle(engine.market, order, now):
        return False
    engine.settlement.release(account, order, now)
    try:
        engine.settlement.reserve(account, order)
    except Refusal:
        return False
    return True


def _price(
    market: Market, symbol: str, buys: bool, peg: tuple[str, int | None], limit: Decimal | None, now: int
) -> Decimal | None:
    at, (side, levels) = touch(market, symbol, now), peg
    if at is None:
        return None
    bids = buys == (side == PRIMARY)
    off = (levels or 0) * market.tick(symbol)
    price = as_decimal(max(at.bid - off, market.tick(symbol)) if bids else at.ask + off)
    if limit is None:
        return price
    return min(price, limit) if buys else max(price, limit)
