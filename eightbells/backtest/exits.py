"""Stops, targets and exits of a backtest: what a holding needs next, as the guardian asks it of `next_move`."""

from __future__ import annotations

from decimal import Decimal

from eightbells.backtest.book import Book, Place
from eightbells.backtest.fills import arrive
from eightbells.backtest.targets import FLAT
from eightbells.candles import grid
from eightbells.trading.holdings import LEFT, HeldPosition, Origin
from eightbells.trading.moves import Move, next_move

_ROUNDS = 12  # of one look, as the guardian's


def held_position(place: Place, last: Decimal, now_ms: int) -> HeldPosition:
    """The holding as the guardian sees it at a price."""
    floor, basis = _floor(place)
    trigger, trail = floor, place.entry.trailing_stop
    if trail:
        level = max(place.highest, last) * (1 - trail)
        if floor is None or level > floor:
            trigger, basis = level, f"{trail} below its highest price"
    return HeldPosition(
        place.entry.name,
        place.symbol,
        place.held.quantity,
        place.history.rules,
        place.sale,
        place.origin,
        _exit(place, now_ms),
        place.wants == FLAT,
        place.steps,
        trigger,
        basis,
        last,
        target=place.target,
        companion=place.companion,
        floor=floor,
        trailing=int(trail * 10_000) if trail else None,
        leaving=LEFT if place.has_left(now_ms) else "",
    )


def _floor(place: Place) -> tuple[Decimal | None, str]:
    """Where the stop lies that does not follow the price, and what that is made of."""
    if place.stop is not None:
        return place.stop, "the stop that the strategy set"
    stop = place.entry.stop_loss
    if not stop:
        return (place.sale.stop_price if place.sale is not None else None), "its stop as it was"
    cost = place.held.cost / place.held.quantity
    return cost * (1 - stop), f"{stop} below its cost of {cost:f}"


def _exit(place: Place, now_ms: int) -> Origin | None:
    """The newest decision, where it is to be flat and its sale is out, or was tried and its candle is fresh."""
    signal = place.signal
    if place.wants != FLAT or signal is None:
        return None
    tried = place.steps > 0 or place.refused
    fresh = signal.open_ms >= grid.last_closed(now_ms) - grid.STEP_MS
    return signal if (place.sale is not None and place.sale.leg == "exit") or (tried and fresh) else None


def guard(book: Book, place: Place, slot: int, last: Decimal, now_ms: int | None = None) -> None:
    """Do what the holding needs at a price, until it needs nothing.

    Args:
        slot: the candle in which what is sold at once is sold.
        now_ms: the time, where it is not that candle's open.
    """
    if place.sale is not None and place.held.quantity <= 0:
        book.cancel(place, place.sale)
    now = slot if now_ms is None else now_ms
    for _ in range(_ROUNDS):
        if place.held.quantity <= 0 or (_is_in_order(place, last) and not place.has_left(now)):
            return
        move = next_move(held_position(place, last, now), book.settings.trading, now)
        if not isinstance(move, Move):
            place.guarded = _seen(place)
            return
        if move.old is not None:
            book.cancel(place, move.old)
        if move.sized is not None:
            assert move.origin is not None
            book.out(place, move.sized, move.origin, now)
            place.extreme = last
            _send(book, place, slot, last)


def _send(book: Book, place: Place, slot: int, last: Decimal) -> None:
    """Let the sale that is out arrive, unless its symbol pauses."""
    order = place.sale
    assert order is not None
    if place.trades_at(slot):
        arrive(book, place, order, slot, last)
    else:
        place.waiting.add(order.client_order_id)


def _is_in_order(place: Place, last: Decimal) -> bool:
    """Whether the guardian need not look: nothing has changed that it would have to answer."""
    entry, sale = place.entry, place.sale
    if sale is None and place.has_dust(last):
        return True
    if place.target is not None or entry.trailing_stop:
        return False
    if sale is None:
        return not entry.stop_loss and place.stop is None and _untried(place)
    if sale.stop_price is None or (sale.price is not None and last < sale.price):
        return False
    return place.guarded == _seen(place)


def _untried(place: Place) -> bool:
    return place.wants != FLAT or not (place.steps or place.refused)


def _seen(place: Place) -> object:
    return place.held, place.sale, place.companion, place.stop, place.signal if place.wants == FLAT else None
