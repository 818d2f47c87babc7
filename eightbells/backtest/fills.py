"""Fills of a backtest: what an order pays or brings, exactly booked as the exchange and the ledger do."""

from __future__ import annotations

from dataclasses import replace
from decimal import ROUND_DOWN, Decimal

from eightbells.backtest.book import ZERO, Book, Place
from eightbells.backtest.result import Filled, Liquidity
from eightbells.backtest.targets import FLAT
from eightbells.backtest.trades import close_trade
from eightbells.trading.ledger import SMALLEST
from eightbells.trading.outbox import Order
from eightbells.trading.sizing import sellable
from eightbells.trading.states import State

_BNB_SHARE = Decimal("0.75")  # of the fee, where it is paid in BNB


def arrive(book: Book, place: Place, order: Order, slot: int, price: Decimal) -> bool:
    """Fill an order that has just been sent, if the market at a price meets it. Returns whether it does."""
    if order.stop_price is not None or order.paired:
        return False
    limit = order.price
    if limit is not None and (price > limit if order.side == "BUY" else price < limit):
        return False
    paid = worse(book, place, order.side, price)
    if limit is not None:
        paid = min(paid, limit) if order.side == "BUY" else max(paid, limit)
    fill(book, place, order, slot, paid, "taker")
    return True


def worse(book: Book, place: Place, side: str, price: Decimal) -> Decimal:
    """What an order at market pays or brings, on the tick."""
    share = book.settings.backtest.slippage
    if not share:
        return price
    tick = place.history.rules.tick or SMALLEST
    steps = price * (1 + share if side == "BUY" else 1 - share) / tick
    whole = int(steps)
    return max(tick, (whole + (side == "BUY" and whole != steps)) * tick)


def fill(book: Book, place: Place, order: Order, slot: int, price: Decimal, liquidity: Liquidity) -> None:
    """Fill an order wholly; what lies in one list with it expires."""
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
    if order.side == "SELL":
        book.cancel(place, order, State.EXPIRED)
    place.waiting.discard(order.client_order_id)
    place.held = place.held.after(order.side, quantity, quote, base_fee, quote_fee)
    done = replace(order, state=State.FILLED, executed_quantity=quantity, booked_quantity=quantity)
    book.result.orders[order.client_order_id] = done
    filled = Filled(done, slot, price, quantity, quote, fee, base_fee, liquidity)
    book.result.fills.append(filled)
    if order.side == "BUY":
        place.flow -= quote + quote_fee
        _bought(place, filled)
    else:
        place.flow += quote - quote_fee
        _sold(book, place, filled)


def _bought(place: Place, filled: Filled) -> None:
    place.buy, place.sold = None, 0
    place.bought += 1
    place.origin = place.called
    place.entries.append(filled)
    if place.opened_ms is None:
        place.opened_ms, place.highest = filled.at_ms, ZERO


def _sold(book: Book, place: Place, filled: Filled) -> None:
    leg = filled.order.leg
    place.exits.append(filled)
    if leg == "trim":
        place.sold += bool(place.wants == FLAT)
    else:
        place.bought, place.sold, place.opened_ms = 0, 0, None
    at_ms = filled.at_ms
    if place.index >= 0 and int(place.history.opens[place.index]) == at_ms:
        at_ms += 1  # within the candle: after its open, at which a cycle may have run
    if leg in ("stop", "target"):
        place.stopped = (at_ms, leg)
    if leg == "stop":
        book.stops.append((at_ms, place.entry.name, place.symbol))
    if not sellable(place.held.quantity, filled.price, place.history.rules, market=False):
        close_trade(book, place, filled.at_ms, leg)
