"""Amending an order over REST: a smaller quantity, with its number and its place in the book kept."""

from __future__ import annotations

from typing import Any

from simulator import errors
from simulator.accounts import money
from simulator.endpoints import TRADE, USER_DATA, Call, registry
from simulator.errors import Refusal, filter_failure
from simulator.orders import Order

REJECTED = -2038


@registry.add(
    "PUT",
    "/api/v3/order/amend/keepPriority",
    TRADE,
    4,
    "symbol orderId origClientOrderId newClientOrderId newQty",
)
def amend(call: Call) -> Any:
    params, engine = call.params, call.exchange.engine
    rules = call.exchange.symbols.get(params.symbol())
    number, client_id = params.integer("orderId"), params.client_id("origClientOrderId")
    if number is None and client_id is None:
        raise errors.missing_either("origClientOrderId", "orderId")
    params.need("newQty")
    wanted = params.amount("newQty")
    assert wanted is not None
    if not rules.entry.get("amendAllowed", False):
        raise Refusal(REJECTED, "Order amend is not supported for this symbol.")
    order = engine.find(call.account, rules.symbol, number, client_id)
    if order is None or not order.open:
        raise Refusal(-2013, "Order does not exist.")
    if wanted > order.qty:
        raise Refusal(REJECTED, "Order amend (quantity increase) is not supported.")
    if wanted == order.qty or wanted <= order.executed + order.prevented:
        raise Refusal(REJECTED, "The requested action would change no state; rejecting.")
    step = rules.number("LOT_SIZE", "stepSize")
    if wanted < rules.number("LOT_SIZE", "minQty") or (step and wanted % step):
        raise filter_failure("LOT_SIZE")
    name = params.client_id("newClientOrderId") or engine.new_client_id()[::-1]
    before = order.client_id
    execution = engine.amend(call.account, order, wanted, name, call.now)
    answer = {"transactTime": call.now, "executionId": execution, "amendedOrder": _amended(order, before)}
    listed = engine.lists.by_id.get(order.list_id)
    return answer if listed is None else {**answer, "listStatus": listed.view(engine)}


def _amended(order: Order, before: str) -> dict[str, Any]:
    return {
        "symbol": order.symbol,
        "orderId": order.id,
        "orderListId": order.list_id,
        "origClientOrderId": before,
        "clientOrderId": order.client_id,
        "price": money(order.shown_price),
        "qty": money(order.qty),
        "executedQty": money(order.executed),
        "preventedQty": money(order.prevented),
        "quoteOrderQty": money(order.quote_qty),
        "cumulativeQuoteQty": money(order.quote_executed),
        "status": order.status,
        "timeInForce": order.time_in_force,
        "type": order.type,
        "side": order.side,
        "workingTime": order.working_time,
        "selfTradePreventionMode": order.stp_mode,
    }


@registry.add("GET", "/api/v3/order/amendments", USER_DATA, 4, "symbol orderId fromExecutionId limit")
def amendments(call: Call) -> Any:
    params = call.params
    symbol = call.exchange.symbols.get(params.symbol()).symbol
    params.need("orderId")
    order = call.exchange.engine.find(call.account, symbol, params.integer("orderId"), None)
    first = params.integer("fromExecutionId") or 0
    found = [it for it in (order.amendments if order else ()) if int(it[0]) >= first]
    return [
        {
            "symbol": symbol,
            "orderId": order.id if order else 0,
            "executionId": execution,
            "origClientOrderId": before,
            "newClientOrderId": after,
            "origQty": old,
            "newQty": new,
            "time": time,
        }
        for execution, before, after, old, new, time in found[: params.limit()]
    ]
