"""Stops and exits of a backtest: what a holding needs next, as the guardian asks it of `next_move`."""

from __future__ import annotations

from decimal import Decimal

from eightbells.backtest.book import Book, Place
from eightbells.trading.holdings import HeldPosition
from eightbells.trading.moves import Move, next_move


def held_position(place: Place, last: Decimal) -> HeldPosition:
    """The holding as the guardian sees it."""
    stop, trigger, basis = place.entry.stop_loss, None, ""
    if stop and place.held.quantity > 0:
        cost = place.held.cost / place.held.quantity
        trigger, basis = cost * (1 - stop), f"{stop} below its cost of {cost:f}"
    return HeldPosition(
        place.entry.name,
        place.symbol,
        place.held.quantity,
        place.history.rules,
        place.sale,
        place.origin,
        place.exit,
        place.exit is not None,
        place.steps,
        trigger,
        basis,
        last,
    )


def move_of(book: Book, place: Place, last: Decimal, now_ms: int) -> Move | None:
    """What the holding needs at a price, where that ends in an order."""
    move = next_move(held_position(place, last), book.settings.trading, now_ms)
    return move if isinstance(move, Move) and move.sized is not None else None


def guard(book: Book, place: Place, slot: int, last: Decimal) -> None:
    """Place the stop of a holding that has none."""
    if place.sale is not None or not place.entry.stop_loss or place.held.quantity <= 0:
        return
    if move := move_of(book, place, last, slot):
        carry_out(book, place, move, slot)


def carry_out(book: Book, place: Place, move: Move, slot: int) -> None:
    assert move.sized is not None
    assert move.origin is not None
    book.out(place, move.sized, move.origin, slot)
