"""What a candle does to the orders that are out: its open, then its low, then its high, then its close.

That order is the convention: where a stop and a target are reached in one candle, the stop counts; and a stop that
follows the price is met where it stood before it is moved up.
"""

from __future__ import annotations

from decimal import Decimal

from eightbells.backtest.book import Book, Place
from eightbells.backtest.exits import guard, held_position
from eightbells.backtest.fills import arrive, fill, worse
from eightbells.trading.outbox import Order


def at_open(book: Book, place: Place, slot: int) -> None:
    """What the open of the place's next candle does to what is out: a stop is triggered by a gap, a limit is met."""
    opened, moved = place.next_open, False
    for order in (place.sale, place.companion, place.buy):
        if order is not None and order in (place.sale, place.companion, place.buy):
            moved |= _meet(book, place, order, slot, opened)
    if moved:
        guard(book, place, slot, opened)


def _meet(book: Book, place: Place, order: Order, slot: int, opened: Decimal) -> bool:
    """Let an order meet the open. Returns whether that has done something to it."""
    if order.client_order_id in place.waiting:
        place.waiting.discard(order.client_order_id)
        arrive(book, place, order, slot, opened)
        return True
    if order.stop_price is not None:
        if opened > level(place, order):
            return False
        if order.price is None or opened >= order.price:  # else the guardian sells what its limit does not
            fill(book, place, order, slot, _sold_at(book, place, order, opened), "taker")
        return True
    if order.price is None or (opened > order.price if order.side == "BUY" else opened < order.price):
        return False
    fill(book, place, order, slot, order.price, "maker")
    return True


def within(book: Book, place: Place, slot: int) -> None:
    """What the range of the place's candle does to what is out."""
    if place.buy is None and place.held.quantity <= 0:
        return
    high, low, close = (place.history.column(name)[place.index] for name in ("high", "low", "close"))
    reached = high
    if place.buy is not None and place.buy.price is not None and low <= place.buy.price:
        price = place.buy.price
        fill(book, place, place.buy, slot, price, "maker")
        guard(book, place, slot, price)
        reached = close  # the high may have come before the purchase
    if place.held.quantity > 0 and (place.sale is not None or not place.has_dust(low)):
        _fall(book, place, slot, low, high)
    if place.held.quantity > 0:
        _rise(book, place, slot, reached, close)
    if place.held.quantity > 0 and place.opened_ms is not None and slot > place.opened_ms:
        place.highest = max(place.highest, high)


def level(place: Place, order: Order) -> Decimal:
    """The price that triggers a stop; one that the exchange moves follows the highest price since it was placed."""
    assert order.stop_price is not None
    if order.trailing_delta is None:
        return order.stop_price
    followed = place.extreme * (1 - Decimal(order.trailing_delta) / 10_000)
    return max(order.stop_price, place.history.rules.price("SELL", followed))


def _sold_at(book: Book, place: Place, stop: Order, price: Decimal) -> Decimal:
    """What a stop brings that is triggered at a price."""
    return max(worse(book, place, "SELL", price), stop.price or Decimal(0))


def _fall(book: Book, place: Place, slot: int, low: Decimal, high: Decimal) -> None:
    """What the low does to a stop, or to a holding that has none at the exchange."""
    order = place.sale
    if order is not None and order.stop_price is not None:
        trigger = level(place, order)
        if low <= trigger:
            book.both += place.target is not None and high >= place.target
            fill(book, place, order, slot, _sold_at(book, place, order, trigger), "taker")
        return
    passed = held_position(place, low, slot).trigger
    if passed is not None and low <= passed:
        guard(book, place, slot, passed)


def _rise(book: Book, place: Place, slot: int, reached: Decimal, close: Decimal) -> None:
    """What the highest price does to limits and targets, and to a stop that follows it; the close comes after it."""
    for order in (place.companion, place.sale):
        if order is None or order.price is None or order.stop_price is not None:
            continue
        if reached >= order.price:
            fill(book, place, order, slot, order.price, "maker")
            return
    if place.target is not None and reached >= place.target:
        guard(book, place, slot, place.target)
    order = place.sale
    if not place.entry.trailing_stop or order is None:
        return
    place.extreme = max(place.extreme, reached)
    guard(book, place, slot, reached)
    order = place.sale
    if order is not None and order.stop_price is not None and close <= (trigger := level(place, order)):
        fill(book, place, order, slot, _sold_at(book, place, order, trigger), "taker")
