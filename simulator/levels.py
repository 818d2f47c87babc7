"""Levels: the prices at which orders are filled or start working, and when the price will come to them."""

from __future__ import annotations

from simulator.accounts import ZERO
from simulator.candles import SCALE
from simulator.market import Market
from simulator.orders import Order, Ticket


def next_touch(market: Market, order: Order, after: int) -> tuple[int | None, int]:
    """When the price will reach an order's level, if it is known to; and up to when the price is known."""
    if order.working:
        level, rising = order.price, not order.buys
    elif order.trailing_delta is not None and order.trailing_time >= 0:
        return _next_trailing_touch(market, order, after)
    else:
        level, rising = order.stop_price, order.triggers_rising
    return market.touch(order.symbol, int(level * SCALE), rising, after)


def _next_trailing_touch(market: Market, order: Order, after: int) -> tuple[int | None, int]:
    """A trailing stop's level follows the extreme that the price has reached since it became active."""
    since = order.extreme_at
    pieces, known_until = market.path_segments(order.symbol, since)
    rising, extreme = order.triggers_rising, order.extreme
    price = market.price(order.symbol, after)
    if not pieces and price is not None:  # it stands still
        extreme = min(extreme, price) if rising else max(extreme, price)
        return market.touch(order.symbol, _trailing_level(order, extreme), rising, after)
    for t0, p0, t1, p1 in pieces:
        if t1 < since:
            continue
        start = max(since, t0)
        here = p0 + (p1 - p0) * (start - t0) // max(t1 - t0, 1)
        extreme = min(extreme, here) if rising else max(extreme, here)
        level = _trailing_level(order, extreme)
        if t1 >= after and ((p1 >= level) if rising else (p1 <= level)):
            return market.touch(order.symbol, level, rising, max(start, after))
        extreme = min(extreme, p1) if rising else max(extreme, p1)
    return None, known_until


def follow_extreme(market: Market, order: Order, now: int) -> None:
    """Note the extreme that the price has reached since a trailing stop became active."""
    pieces, _ = market.path_segments(order.symbol, order.extreme_at)
    better = min if order.triggers_rising else max
    price = market.price(order.symbol, now)
    if not pieces and price is not None:
        order.extreme = better(order.extreme, price)
    for t0, p0, t1, p1 in pieces:
        if t0 > now:
            break
        for time in (max(t0, order.extreme_at), min(t1, now)):
            if t0 <= time <= t1:
                order.extreme = better(order.extreme, p0 + (p1 - p0) * (time - t0) // max(t1 - t0, 1))
    order.extreme_at = max(order.extreme_at, now)


def marketable(order: Order | Ticket, price: int) -> bool:
    """Whether a limit price meets the market."""
    limit = int((order.price or ZERO) * SCALE)
    return limit >= price if order.buys else limit <= price


def _trailing_level(order: Order, extreme: int) -> int:
    """The price that triggers a trailing stop; `trailing_delta` is in hundredths of a percent."""
    delta = order.trailing_delta or 0
    return extreme * (10_000 + delta if order.triggers_rising else 10_000 - delta) // 10_000


def triggered(ticket: Ticket, price: int) -> bool:
    """Whether a stop would start working at once."""
    stop = int((ticket.stop_price or ZERO) * SCALE)
    return price >= stop if ticket.triggers_rising else price <= stop
