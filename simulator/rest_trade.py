"""Orders over REST: placing, testing, cancelling, replacing, querying."""

from __future__ import annotations

from typing import Any

from simulator import errors, filters
from simulator.endpoints import TRADE, USER_DATA, Call, registry
from simulator.errors import Refusal
from simulator.orders import Order, Ticket
from simulator.params import Params
from simulator.pegs import priced
from simulator.tickets import read_ticket

ORDER = (
    "symbol side type timeInForce quantity quoteOrderQty price newClientOrderId strategyId strategyType "
    "stopPrice trailingDelta icebergQty newOrderRespType selfTradePreventionMode "
    "pegPriceType pegOffsetType pegOffsetValue"
)
ONE = "symbol orderId origClientOrderId"
ARCHIVED_AFTER = 90 * 86_400_000
ARCHIVED = "Order was canceled or expired with no executed qty over 90 days ago and has been archived."
NOT_FOUND = "Order does not exist."


def ticket_of(call: Call) -> Ticket:
    """The order that is asked for, past every check that does not need the engine."""
    engine = call.exchange.engine
    return judged(call, read_ticket(call.params, call.exchange.symbols, engine.new_client_id))


def judged(call: Call, ticket: Ticket) -> Ticket:
    """The ticket past the filters, which judge a pegged one by its price and by the one given beside."""
    market, orders = call.exchange.market, call.exchange.engine.open_orders(call.account)
    settled = priced(ticket, market, call.now)
    filters.check(settled, call.account, orders, market, call.now)
    if settled.peg_limit is not None:
        filters.check(ticket, call.account, orders, market, call.now)
    return settled


@registry.add("POST", "/api/v3/order", TRADE, 1, ORDER)
def new_order(call: Call) -> Any:
    ticket = ticket_of(call)
    return place(call, ticket)


def place(call: Call, ticket: Ticket) -> dict[str, Any]:
    engine, limits = call.exchange.engine, call.exchange.limits
    counts = limits.take_order(call.account.name)
    try:
        order = engine.place(call.account, ticket, call.now)
    except Refusal:
        limits.give_back(call.account.name)
        raise
    call.headers |= counts
    return order.answer(ticket.response, engine.fills_of[order.id], call.now)


def test_weight(params: Params) -> int:
    return 20 if params.flag("computeCommissionRates") else 1


@registry.add("POST", "/api/v3/order/test", TRADE, test_weight, ORDER + " computeCommissionRates")
def check_order(call: Call) -> Any:
    ticket = ticket_of(call)
    if not call.params.flag("computeCommissionRates"):
        return {}
    account = call.account
    rates = {"maker": f"{account.maker_fee:.8f}", "taker": f"{account.taker_fee:.8f}"}
    nothing = {"maker": "0.00000000", "taker": "0.00000000"}
    return {
        "standardCommissionForOrder": rates,
        "specialCommissionForOrder": nothing,
        "taxCommissionForOrder": nothing,
        "discount": {
            "enabledForAccount": account.fees_in_bnb,
            "enabledForSymbol": True,
            "discountAsset": "BNB",
            "discount": "0.25000000",
        },
        "symbol": ticket.rules.symbol,
    }


@registry.add("GET", "/api/v3/order", USER_DATA, 4, ONE)
def query_order(call: Call) -> Any:
    order = _find(call, call.params)
    if order is None or not call.exchange.visible(order.time, call.now):
        raise Refusal(-2013, NOT_FOUND)
    if not order.open and not order.executed and call.now - order.updated > ARCHIVED_AFTER:
        raise Refusal(-2026, ARCHIVED)
    return order.view()


def _find(call: Call, params: Params, order_id: str = "orderId") -> Order | None:
    symbol = call.exchange.symbols.get(params.symbol()).symbol
    number, client_id = params.integer(order_id), params.client_id("origClientOrderId")
    if number is None and client_id is None:
        raise errors.missing_either("origClientOrderId", "orderId")
    return call.exchange.engine.find(call.account, symbol, number, client_id)


@registry.add("DELETE", "/api/v3/order", TRADE, 1, ONE + " newClientOrderId cancelRestrictions")
def cancel_order(call: Call) -> Any:
    return cancel(call, _find(call, call.params), call.params.client_id("newClientOrderId"))


def cancel(call: Call, order: Order | None, cancel_id: str | None) -> dict[str, Any]:
    engine = call.exchange.engine
    if order is None:
        raise Refusal(-2011, "Unknown order sent.")
    _check_restrictions(call.params, order)
    engine.cancel(call.account, order, cancel_id, call.now)
    return order.canceled(call.now)


def _check_restrictions(params: Params, order: Order) -> None:
    allowed = {"ONLY_NEW": "NEW", "ONLY_PARTIALLY_FILLED": "PARTIALLY_FILLED"}
    invalid = Refusal(-1145, "cancelRestrictions has to be either ONLY_NEW or ONLY_PARTIALLY_FILLED.")
    chosen = params.choice("cancelRestrictions", allowed, invalid)
    if chosen is not None and order.open and order.status != allowed[chosen]:
        raise Refusal(-2011, "Order was not canceled due to cancel restrictions.")


@registry.add("DELETE", "/api/v3/openOrders", TRADE, 1, "symbol")
def cancel_open_orders(call: Call) -> Any:
    symbol = call.exchange.symbols.get(call.params.symbol()).symbol
    orders = call.exchange.engine.open_orders(call.account, symbol)
    if not orders:
        raise Refusal(-2011, "Unknown order sent.")
    answers = []
    for order in orders:
        listed = call.exchange.engine.lists.by_id.get(order.list_id)
        if not order.open:  # with another one of its list
            continue
        if listed is None:
            answers.append(cancel(call, order, None))
            continue
        call.exchange.engine.cancel(call.account, order, None, call.now)
        engine = call.exchange.engine
        reports = [engine.orders[number].canceled(call.now) for number in listed.orders]
        answers.append({**listed.view(engine), "orderReports": reports})
    return answers


def open_weight(params: Params) -> int:
    return 6 if "symbol" in params.values else 80


@registry.add("GET", "/api/v3/openOrders", USER_DATA, open_weight, "symbol")
def open_orders(call: Call) -> Any:
    names = call.params.symbols()
    symbol = call.exchange.symbols.get(names[0]).symbol if names else None
    orders = call.exchange.engine.open_orders(call.account, symbol)
    return [order.view() for order in orders if call.exchange.visible(order.time, call.now)]


@registry.add("GET", "/api/v3/allOrders", USER_DATA, 20, "symbol orderId startTime endTime limit")
def all_orders(call: Call) -> Any:
    params, exchange = call.params, call.exchange
    symbol = exchange.symbols.get(params.symbol()).symbol
    start, end = time_range(params)
    limit, first = params.limit(), params.integer("orderId")
    orders = [o for o in exchange.engine.history(call.account, symbol) if exchange.visible(o.time, call.now)]
    if first is not None:
        return [o.view() for o in orders if o.id >= first][:limit]
    orders = [o for o in orders if (start or 0) <= o.time and (end is None or o.time <= end)]
    return [o.view() for o in (orders[:limit] if start is not None else orders[-limit:])]


def time_range(params: Params) -> tuple[int | None, int | None]:
    """startTime and endTime; -1127 when they lie more than 24 hours apart."""
    start, end = params.integer("startTime"), params.integer("endTime")
    if start is not None and end is not None and end - start > 86_400_000:
        raise Refusal(-1127, "More than 24 hours between startTime and endTime.")
    return start, end
