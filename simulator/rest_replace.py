"""Cancel-replace over REST: cancel one order and place another, with an account of which half succeeded."""

from __future__ import annotations

from typing import Any

from simulator.endpoints import TRADE, Call, registry
from simulator.errors import Refusal, missing, missing_either, not_valid
from simulator.orders import Ticket
from simulator.rest_trade import ORDER, cancel, place, ticket_of

MODES = ("STOP_ON_FAILURE", "ALLOW_FAILURE")
REPLACE = (
    " cancelReplaceMode cancelNewClientOrderId cancelOrigClientOrderId cancelOrderId cancelRestrictions"
    " orderRateLimitExceededMode"
)


@registry.add("POST", "/api/v3/order/cancelReplace", TRADE, 1, ORDER + REPLACE)
def cancel_replace(call: Call) -> Any:
    params = call.params
    mode = params.choice("cancelReplaceMode", MODES, not_valid("cancelReplaceMode"))
    if mode is None:
        raise missing("cancelReplaceMode")
    if params.text("cancelOrigClientOrderId") is None and params.text("cancelOrderId") is None:
        raise missing_either("cancelOrigClientOrderId", "cancelOrderId")
    ticket = ticket_of(call)  # filters are judged before anything is cancelled
    canceled, cancel_error = _try_cancel(call)
    if cancel_error and mode == "STOP_ON_FAILURE":
        raise _failed(-2022, "Order cancel-replace failed.", 400, canceled, cancel_error, None, None)
    placed, place_error = _try_place(call, ticket)
    if not cancel_error and not place_error:
        return _report(canceled, None, placed, None)
    if cancel_error and place_error:
        raise _failed(-2022, "Order cancel-replace failed.", 400, None, cancel_error, None, place_error)
    raise _failed(
        -2021, "Order cancel-replace partially failed.", 409, canceled, cancel_error, placed, place_error
    )


Half = tuple[dict[str, Any] | None, Refusal | None]


def _try_cancel(call: Call) -> Half:
    params, engine = call.params, call.exchange.engine
    number, client_id = params.integer("cancelOrderId"), params.client_id("cancelOrigClientOrderId")
    try:
        order = engine.find(call.account, params.symbol(), number, client_id)
        return cancel(call, order, params.client_id("cancelNewClientOrderId")), None
    except Refusal as refusal:
        return None, refusal


def _try_place(call: Call, ticket: Ticket) -> Half:
    try:
        return place(call, ticket), None
    except Refusal as refusal:
        return None, refusal


def _report(
    canceled: dict[str, Any] | None,
    cancel_error: Refusal | None,
    placed: dict[str, Any] | None,
    place_error: Refusal | None,
) -> dict[str, Any]:
    attempted = placed is not None or place_error is not None
    return {
        "cancelResult": "FAILURE" if cancel_error else "SUCCESS",
        "newOrderResult": "SUCCESS" if placed else "FAILURE" if attempted else "NOT_ATTEMPTED",
        "cancelResponse": cancel_error.body() if cancel_error else canceled,
        "newOrderResponse": place_error.body() if place_error else placed,
    }


def _failed(
    code: int,
    msg: str,
    status: int,
    canceled: dict[str, Any] | None,
    cancel_error: Refusal | None,
    placed: dict[str, Any] | None,
    place_error: Refusal | None,
) -> Refusal:
    refusal = Refusal(code, msg, status)
    refusal.data = _report(canceled, cancel_error, placed, place_error)
    return refusal
