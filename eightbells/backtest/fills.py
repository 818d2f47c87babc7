"""The exchange of a backtest: what a candle's open, high and low do to the orders that are out, exactly booked."""

from __future__ import annotations

from dataclasses import replace
from decimal import ROUND_DOWN, Decimal

from eightbells.backtest.book import ZERO, Book, Place
from eightbells.backtest.exits import carry_out, guard, held_position, move_of
from eightbells.backtest.result import Filled, Liquidity
from eightbells.backtest.trades import close_trade
from eightbells.trading.ledger import SMALLEST
from eightbells.trading.outbox import Order
from eightbells.trading.sizing import sellable
from eightbells.trading.states import State

_BNB_SHARE = Decimal("0.75")  # of the fee, where it is paid in BNB
_MOST_STEPS = 5  # of one sale at one candle's open


def trade(book: Book, place: Place, slot: int) -> None:
    """Fill what is out by the candle's range."""
    if place.buy is None and place.sale is None:
        return
    at = place.index
    high, low = (place.history.column(name)[at] for name in ("high", "low"))
    opened = place.history.arrival(at)
    if place.sale is not None:
        _sell_at_open(book, place, slot, opened)
    if place.buy is not None:
        _buy(book, place, slot, opened, low)
    if place.sale is not None:
        _sell_within(book, place, slot, opened, high, low)


def _buy(book: Book, place: Place, slot: int, opened: Decimal, low: Decimal) -> None:
    order = place.buy
    assert order is not None
    limit = order.price
    if limit is None or opened <= limit:
        price = _worse(book, place, "BUY", opened)
        _fill(book, place, order, slot, price if limit is None else min(price, limit), "taker")
    elif low <= limit:
        _fill(book, place, order, slot, limit, "maker")
    else:
        return
    guard(book, place, slot, opened if limit is None else min(opened, limit))


def _sell_at_open(book: Book, place: Place, slot: int, opened: Decimal) -> None:
    """What a sale does at once: fill, be triggered by a gap, or go on to its next step."""
    for _ in range(_MOST_STEPS):
        order = place.sale
        if order is None:
            return
        if order.stop_price is not None:
            if opened <= order.stop_price:
                _fill(book, place, order, slot, _worse(book, place, "SELL", opened), "taker")
            return
        if order.price is None or opened >= order.price:
            price = _worse(book, place, "SELL", opened)
            _fill(book, place, order, slot, max(price, order.price or ZERO), "taker")
            return
        patience = int(book.settings.trading.exit_step_seconds * 1000)
        move = move_of(book, place, opened, slot + patience)
        if move is None:
            return
        origin = place.exit
        book.cancel(place, order)
        place.exit, place.steps = origin, place.steps + 1
        carry_out(book, place, move, slot)


def _sell_within(book: Book, place: Place, slot: int, opened: Decimal, high: Decimal, low: Decimal) -> None:
    """What the candle's range does to a sale; where stop and limit are both reached, the stop comes first."""
    order = place.sale
    assert order is not None
    if order.stop_price is not None:
        if low <= order.stop_price:
            price = min(opened, order.stop_price)
            _fill(book, place, order, slot, _worse(book, place, "SELL", price), "taker")
        return
    trigger = held_position(place, opened).trigger
    if trigger is not None and low <= trigger:
        if move := move_of(book, place, min(opened, trigger), slot):
            book.cancel(place, order)
            carry_out(book, place, move, slot)
            assert place.sale is not None
            price = _worse(book, place, "SELL", min(opened, trigger))
            _fill(book, place, place.sale, slot, price, "taker")
    elif order.price is not None and high >= order.price:
        _fill(book, place, order, slot, order.price, "maker")


def _worse(book: Book, place: Place, side: str, price: Decimal) -> Decimal:
    """What an order at market pays or brings, on the tick."""
    share = book.settings.backtest.slippage
    if not share:
        return price
    tick = place.history.rules.tick or SMALLEST
    steps = price * (1 + share if side == "BUY" else 1 - share) / tick
    whole = int(steps)
    return max(tick, (whole + (side == "BUY" and whole != steps)) * tick)


def _fill(book: Book, place: Place, order: Order, slot: int, price: Decimal, liquidity: Liquidity) -> None:
    """Fill an order wholly, and book it as the exchange and the ledger do."""
    given = book.settings.backtest
    quantity = order.quantity
    quote = (quantity * price).quantize(SMALLEST, ROUND_DOWN)
    rate = given.maker_fee if liquidity == "maker" else given.taker_fee
    base_fee = quote_fee = ZERO
    if given.fees_in == "bnb":
        fee = (quote * rate * _BNB_SHARE).quantize(SMALLEST, ROUND_DOWN)
        place.fees += fee
    elif given.fees_in == "received" and order.side == "BUY":
        base_fee = (quantity * rate).quantize(SMALLEST, ROUND_DOWN)
        fee = (base_fee * price).quantize(SMALLEST)
    else:
        fee = quote_fee = (quote * rate).quantize(SMALLEST, ROUND_DOWN)
    place.held = place.held.after(order.side, quantity, quote, base_fee, quote_fee)
    done = replace(order, state=State.FILLED, executed_quantity=quantity, booked_quantity=quantity)
    book.result.orders[order.client_order_id] = done
    fill = Filled(done, slot, price, quantity, quote, fee, base_fee, liquidity)
    book.result.fills.append(fill)
    if order.side == "BUY":
        place.flow -= quote + quote_fee
        place.buy = None
        place.entries.append(fill)
        return
    place.flow += quote - quote_fee
    place.sale = place.exit = None
    place.exits.append(fill)
    if order.leg == "stop":
        place.stopped_ms = slot
        book.stops.append((slot, place.entry.name, place.symbol))
    if not sellable(place.held.quantity, price, place.history.rules, market=False):
        close_trade(book, place, slot, order.leg)
