"""The symbol's filters: each refuses an order with -1013 "Filter failure: <NAME>".

A limit, tick or step of 0 is switched off.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import ROUND_UP, Decimal
from typing import Any

from simulator.accounts import Account
from simulator.candles import as_decimal
from simulator.errors import filter_failure
from simulator.market import Market
from simulator.orders import STOPS, Order, Ticket


def check(ticket: Ticket, account: Account, open_orders: Iterable[Order], market: Market, now: int) -> None:
    """Refuse the ticket if it breaks any filter of its symbol, as seen at this moment."""
    orders = list(open_orders)
    _price_filter(ticket)
    _percent_price(ticket, market, now)
    _lot_sizes(ticket)
    _notional(ticket, market, now)
    _iceberg_parts(ticket)
    _trailing_delta(ticket)
    _max_position(ticket, account, orders)
    _max_orders(ticket, orders)


def _outside(value: Decimal, least: Decimal, most: Decimal, step: Decimal) -> bool:
    too_far = value < least or (most > 0 and value > most)
    return too_far or (step > 0 and value % step != 0)


def _range(ticket: Ticket, name: str, least: str, most: str, step: str) -> tuple[Decimal, Decimal, Decimal]:
    number = ticket.rules.number
    return number(name, least), number(name, most), number(name, step)


def _price_filter(ticket: Ticket) -> None:
    limits = _range(ticket, "PRICE_FILTER", "minPrice", "maxPrice", "tickSize")
    for price in (ticket.price, ticket.stop_price):
        if price is not None and _outside(price, *limits):
            raise filter_failure("PRICE_FILTER")


def _percent_price(ticket: Ticket, market: Market, now: int) -> None:
    side = "bid" if ticket.buys else "ask"
    for name, up, down in (
        ("PERCENT_PRICE", "multiplierUp", "multiplierDown"),
        ("PERCENT_PRICE_BY_SIDE", f"{side}MultiplierUp", f"{side}MultiplierDown"),
    ):
        rule = ticket.rules.filters.get(name)
        if rule is None or ticket.price is None:
            continue
        average = _average(ticket, market, rule, now)
        if average is None:
            continue
        if not average * Decimal(rule[down]) <= ticket.price <= average * Decimal(rule[up]):
            raise filter_failure(name)


def _average(ticket: Ticket, market: Market, rule: dict[str, Any], now: int) -> Decimal | None:
    average = market.average(ticket.rules.symbol, int(rule.get("avgPriceMins", 5)), now)
    return None if average is None else as_decimal(average)


def _lot_sizes(ticket: Ticket) -> None:
    limits = _range(ticket, "LOT_SIZE", "minQty", "maxQty", "stepSize")
    for quantity in (ticket.quantity, ticket.iceberg):
        if quantity and _outside(quantity, *limits):
            raise filter_failure("LOT_SIZE")
    if ticket.type == "MARKET" and ticket.quantity is not None:
        limits = _range(ticket, "MARKET_LOT_SIZE", "minQty", "maxQty", "stepSize")
        if _outside(ticket.quantity, *limits):
            raise filter_failure("MARKET_LOT_SIZE")


def _notional(ticket: Ticket, market: Market, now: int) -> None:
    """NOTIONAL and its older form MIN_NOTIONAL; a market order is valued at the average price."""
    for name in ("MIN_NOTIONAL", "NOTIONAL"):
        rule = ticket.rules.filters.get(name)
        if rule is None:
            continue
        value = _value(ticket, market, rule, now)
        if value is None:
            continue
        market_order = ticket.price is None
        use_min = rule.get("applyMinToMarket", rule.get("applyToMarket", True)) if market_order else True
        use_max = rule.get("applyMaxToMarket", False) if market_order else True
        most = ticket.rules.number(name, "maxNotional")
        if use_min and value < ticket.rules.number(name, "minNotional"):
            raise filter_failure(name)
        if use_max and 0 < most < value:
            raise filter_failure(name)


def _value(ticket: Ticket, market: Market, rule: dict[str, Any], now: int) -> Decimal | None:
    if ticket.quote_quantity is not None:
        return ticket.quote_quantity
    price = ticket.price if ticket.price is not None else _average(ticket, market, rule, now)
    return None if price is None or ticket.quantity is None else price * ticket.quantity


def _iceberg_parts(ticket: Ticket) -> None:
    limit = ticket.rules.number("ICEBERG_PARTS", "limit")
    if not ticket.iceberg or not ticket.quantity or not limit:
        return
    if (ticket.quantity / ticket.iceberg).to_integral_value(ROUND_UP) > limit:
        raise filter_failure("ICEBERG_PARTS")


def _trailing_delta(ticket: Ticket) -> None:
    if ticket.trailing_delta is None:
        return
    side = "Above" if ticket.triggers_rising else "Below"
    least = ticket.rules.number("TRAILING_DELTA", f"minTrailing{side}Delta")
    most = ticket.rules.number("TRAILING_DELTA", f"maxTrailing{side}Delta")
    if _outside(Decimal(ticket.trailing_delta), least, most, Decimal(0)):
        raise filter_failure("TRAILING_DELTA")


def _max_position(ticket: Ticket, account: Account, orders: list[Order]) -> None:
    most = ticket.rules.number("MAX_POSITION", "maxPosition")
    if not most or not ticket.buys or ticket.quantity is None:
        return
    buying = sum((o.remaining for o in orders if o.symbol == ticket.rules.symbol and o.buys), Decimal(0))
    if account.total(ticket.rules.base) + buying + ticket.quantity > most:
        raise filter_failure("MAX_POSITION")


def _max_orders(ticket: Ticket, orders: list[Order]) -> None:
    here = [order for order in orders if order.symbol == ticket.rules.symbol]
    for name, field, count in _order_counts(ticket, here):
        most = ticket.rules.number(name, field)
        if most and count >= most:
            raise filter_failure(name)


def _order_counts(ticket: Ticket, orders: list[Order]) -> Iterator[tuple[str, str, int]]:
    yield "MAX_NUM_ORDERS", "maxNumOrders", len(orders)
    if ticket.type in STOPS:
        yield "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders", sum(order.type in STOPS for order in orders)
    if ticket.iceberg:
        yield "MAX_NUM_ICEBERG_ORDERS", "maxNumIcebergOrders", sum(order.iceberg > 0 for order in orders)
