"""Order lists over REST: placing OCO, OTO and OTOCO, cancelling and querying them."""

from __future__ import annotations

from typing import Any

from simulator import errors
from simulator.endpoints import TRADE, USER_DATA, Call, registry
from simulator.errors import Refusal
from simulator.lists import OrderList
from simulator.orders import Ticket
from simulator.params import Params
from simulator.rest_trade import judged, time_range
from simulator.tickets import read_ticket

LIST = "symbol listClientOrderId newOrderRespType selfTradePreventionMode"
ONE = "orderListId listClientOrderId"
# What a part's parameters are called in an order of its own.
NAMES = {
    "Type": "type",
    "ClientOrderId": "newClientOrderId",
    "Price": "price",
    "StopPrice": "stopPrice",
    "TrailingDelta": "trailingDelta",
    "IcebergQty": "icebergQty",
    "TimeInForce": "timeInForce",
    "StrategyId": "strategyId",
    "StrategyType": "strategyType",
    "PegPriceType": "pegPriceType",
    "PegOffsetType": "pegOffsetType",
    "PegOffsetValue": "pegOffsetValue",
}
COMMON = ("symbol", "newOrderRespType", "selfTradePreventionMode")
STOPPING = ("STOP_LOSS", "STOP_LOSS_LIMIT")
TAKING = ("LIMIT_MAKER", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT")


def _names(prefix: str) -> str:
    return " ".join(f"{prefix}{name}" for name in NAMES)


def _part(call: Call, prefix: str, side: str, quantity: str) -> Ticket:
    """One order of a list; what is wrong with it is told with the name that the parameter has in the list."""
    values = call.params.values
    own = {name: values[f"{prefix}{part}"] for part, name in NAMES.items() if f"{prefix}{part}" in values}
    shared = {name: values[name] for name in COMMON if name in values}
    given = {"side": values.get(side), "quantity": values.get(quantity)}
    params = Params(
        {**shared, **{name: text for name, text in given.items() if text is not None}, **own}.items()
    )
    spelt = {name: f"{prefix}{part}" for part, name in NAMES.items()} | {"side": side, "quantity": quantity}
    engine = call.exchange.engine
    try:
        ticket = read_ticket(params, call.exchange.symbols, lambda: engine.new_client_id() + prefix)
    except Refusal as refusal:
        for name, full in spelt.items():
            refusal.msg = refusal.msg.replace(f"'{name}'", f"'{full}'")
        raise
    settled = judged(call, ticket)
    return ticket if prefix.startswith("pending") else settled  # a pending one gets its price when it starts


def _pair(call: Call, above: str, below: str, side: str, quantity: str) -> list[Ticket]:
    """The two orders of an OCO, the lower one first: one takes the profit, the other one stops the loss."""
    lower, upper = _part(call, below, side, quantity), _part(call, above, side, quantity)
    stop, take = (upper, lower) if upper.buys else (lower, upper)
    if stop.type not in STOPPING or take.type not in TAKING:
        raise Refusal(-1014, "Unsupported order combination.")
    return [lower, upper]


@registry.add(
    "POST", "/api/v3/orderList/oco", TRADE, 1, f"{LIST} side quantity {_names('above')} {_names('below')}"
)
def new_oco(call: Call) -> Any:
    _require(call, "ocoAllowed", "OCO")
    for name in ("side", "quantity", "aboveType", "belowType"):
        call.params.need(name)
    return _place(call, _pair(call, "above", "below", "side", "quantity"), None)


@registry.add(
    "POST",
    "/api/v3/orderList/oto",
    TRADE,
    1,
    f"{LIST} workingSide workingQuantity pendingSide pendingQuantity {_names('working')} {_names('pending')}",
)
def new_oto(call: Call) -> Any:
    _require(call, "otoAllowed", "OTO")
    return _place(call, [_part(call, "pending", "pendingSide", "pendingQuantity")], _working(call))


@registry.add(
    "POST",
    "/api/v3/orderList/otoco",
    TRADE,
    1,
    f"{LIST} workingSide workingQuantity pendingSide pendingQuantity {_names('working')} "
    f"{_names('pendingAbove')} {_names('pendingBelow')}",
)
def new_otoco(call: Call) -> Any:
    _require(call, "otoAllowed", "OTOCO")
    pair = _pair(call, "pendingAbove", "pendingBelow", "pendingSide", "pendingQuantity")
    return _place(call, pair, _working(call))


def _working(call: Call) -> Ticket:
    working = _part(call, "working", "workingSide", "workingQuantity")
    if working.type not in ("LIMIT", "LIMIT_MAKER"):
        raise Refusal(-1014, "Unsupported order combination.")
    return working


def _require(call: Call, permission: str, kind: str) -> None:
    rules = call.exchange.symbols.get(call.params.symbol())
    if not rules.entry.get(permission, False):
        raise Refusal(-1013, f"{kind} orders are not supported for this symbol.")


def _place(call: Call, pair: list[Ticket], working: Ticket | None) -> dict[str, Any]:
    engine, limits = call.exchange.engine, call.exchange.limits
    name = call.params.client_id("listClientOrderId") or engine.lists.new_client_id()
    tickets = [*([working] if working else []), *pair]
    counts: dict[str, str] = {}
    for _ in tickets:  # the unfilled orders that the list adds
        counts = limits.take_order(call.account.name)
    try:
        listed = engine.lists.place(call.account, name, pair, working, call.now)
    except Refusal:
        for _ in tickets:
            limits.give_back(call.account.name)
        raise
    call.headers |= counts
    orders = [engine.orders[number] for number in listed.orders]
    reports = [
        order.answer(ticket.response, engine.fills_of[order.id], call.now)
        for order, ticket in zip(orders, tickets, strict=True)
    ]
    return {**listed.view(engine), "orderReports": reports}


@registry.add("DELETE", "/api/v3/orderList", TRADE, 1, f"symbol {ONE} newClientOrderId")
def cancel_list(call: Call) -> Any:
    symbol = call.exchange.symbols.get(call.params.symbol()).symbol
    listed = _find(call, "listClientOrderId")
    if listed is None or listed.symbol != symbol:
        raise Refusal(-2011, "Unknown order list sent.")
    return cancelled(call, listed, call.params.client_id("newClientOrderId"))


def cancelled(call: Call, listed: OrderList, cancel_id: str | None) -> dict[str, Any]:
    """Cancel a list; as DELETE orderList answers."""
    engine = call.exchange.engine
    engine.lists.cancel(call.account, listed, cancel_id, call.now)
    reports = [engine.orders[number].canceled(call.now) for number in listed.orders]
    return {**listed.view(engine), "orderReports": reports}


@registry.add("GET", "/api/v3/orderList", USER_DATA, 4, "orderListId origClientOrderId")
def query_list(call: Call) -> Any:
    listed = _find(call, "origClientOrderId")
    if listed is None or not call.exchange.visible(listed.time, call.now):
        raise Refusal(-2013, "Order list does not exist.")
    return listed.view(call.exchange.engine)


def _find(call: Call, name: str) -> OrderList | None:
    number, client_id = call.params.integer("orderListId"), call.params.client_id(name)
    if number is None and client_id is None:
        raise errors.missing_either("orderListId", name)
    return call.exchange.engine.lists.find(call.account, number, client_id)


@registry.add("GET", "/api/v3/openOrderList", USER_DATA, 6)
def open_lists(call: Call) -> Any:
    engine = call.exchange.engine
    return [each.view(engine) for each in engine.lists.of(call.account) if not each.done]


@registry.add("GET", "/api/v3/allOrderList", USER_DATA, 20, "fromId startTime endTime limit")
def all_lists(call: Call) -> Any:
    params, engine = call.params, call.exchange.engine
    first, limit = params.integer("fromId"), params.limit()
    start, end = time_range(params)
    if first is not None and (start is not None or end is not None):
        raise Refusal(-1128, "Combination of optional parameters invalid.")
    found = engine.lists.of(call.account)
    if first is not None:
        return [each.view(engine) for each in found if each.id >= first][:limit]
    found = [each for each in found if (start or 0) <= each.time and (end is None or each.time <= end)]
    return [each.view(engine) for each in (found[:limit] if start is not None else found[-limit:])]
