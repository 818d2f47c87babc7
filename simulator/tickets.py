"""From a request's parameters to an order ticket: what each order type needs and what it forbids."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from simulator import errors
from simulator.orders import PRICED, STOPS, Ticket
from simulator.params import Params
from simulator.pegs import read_peg
from simulator.symbols import STP_MODES, Rules, SymbolTable

TYPES = ("LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT")
TIMED = frozenset({"LIMIT", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT"})
NAMES = {
    "MARKET": "Market",
    "LIMIT": "Limit",
    "LIMIT_MAKER": "Limit maker",
    "STOP_LOSS": "Stop loss",
    "STOP_LOSS_LIMIT": "Stop loss limit",
    "TAKE_PROFIT": "Take profit",
    "TAKE_PROFIT_LIMIT": "Take profit limit",
}


def read_ticket(params: Params, symbols: SymbolTable, new_id: Callable[[], str]) -> Ticket:
    """The order a request asks for; every malformed request is refused here, with Binance's code."""
    rules = symbols.get(params.symbol())
    params.need("side")
    side = params.choice("side", ("BUY", "SELL"), errors.Refusal(-1117, "Invalid side."))
    params.need("type")
    kind = params.choice("type", TYPES, errors.Refusal(-1116, "Invalid orderType."))
    assert side is not None
    assert kind is not None
    time_in_force = _time_in_force(params, kind)
    ticket = Ticket(
        rules,
        side,
        kind,
        time_in_force,
        *_quantities(params, kind),
        price=_price(params, kind),
        stop_price=params.amount("stopPrice"),
        trailing_delta=params.integer("trailingDelta"),
        iceberg=params.amount("icebergQty"),
        client_id=params.client_id("newClientOrderId") or new_id(),
        response=_response(params, kind),
        stp_mode=_stp_mode(params, rules),
        extra=_strategy(params),
        peg=read_peg(params, kind, time_in_force, rules),
    )
    _check_stop(ticket)
    _check_supported(ticket)
    _check_positive(ticket)
    return ticket


def _time_in_force(params: Params, kind: str) -> str:
    invalid = errors.Refusal(-1115, "Invalid timeInForce.")
    if kind not in TIMED:
        if params.text("timeInForce") is not None:
            raise errors.not_required("timeInForce")
        return "GTC"
    params.need("timeInForce")
    return params.choice("timeInForce", ("GTC", "IOC", "FOK"), invalid) or "GTC"


def _quantities(params: Params, kind: str) -> tuple[Decimal | None, Decimal | None]:
    quantity, quote = params.amount("quantity"), params.amount("quoteOrderQty")
    if kind != "MARKET":
        if quote is not None:
            raise errors.not_required("quoteOrderQty")
        if quantity is None:
            raise errors.missing("quantity")
    elif quantity is None and quote is None:
        raise errors.missing_either("quantity", "quoteOrderQty")
    elif quantity is not None and quote is not None:
        raise errors.Refusal(-1128, "Combination of optional parameters invalid.")
    return quantity, quote


def _price(params: Params, kind: str) -> Decimal | None:
    price = params.amount("price")
    if kind in PRICED and price is None and params.text("pegPriceType") is None:
        raise errors.missing("price")
    if kind not in PRICED and price is not None:
        raise errors.not_required("price")
    return price


def _response(params: Params, kind: str) -> str:
    invalid = errors.not_valid("newOrderRespType")
    given = params.choice("newOrderRespType", ("ACK", "RESULT", "FULL"), invalid)
    return given or ("FULL" if kind in ("LIMIT", "MARKET") else "ACK")


def _stp_mode(params: Params, rules: Rules) -> str:
    invalid = errors.not_valid("selfTradePreventionMode")
    given = params.choice("selfTradePreventionMode", STP_MODES, invalid)
    if given is not None and given not in rules.entry.get("allowedSelfTradePreventionModes", STP_MODES):
        msg = "This symbol does not allow the specified self-trade prevention mode."
        raise errors.Refusal(-1013, msg)
    return given or str(rules.entry.get("defaultSelfTradePreventionMode", "NONE"))


def _strategy(params: Params) -> tuple[tuple[str, int], ...]:
    kind = params.integer("strategyType")
    if kind is not None and kind < 1_000_000:
        raise errors.Refusal(-1134, "strategyType was less than 1000000.")
    given = (("strategyId", params.integer("strategyId")), ("strategyType", kind))
    return tuple((name, value) for name, value in given if value is not None)


def _check_stop(ticket: Ticket) -> None:
    if ticket.type in STOPS:
        if ticket.stop_price is None and ticket.trailing_delta is None:
            raise errors.missing_either("stopPrice", "trailingDelta")
        return
    if ticket.stop_price is not None:
        raise errors.not_required("stopPrice")
    if ticket.trailing_delta is not None:
        raise errors.not_required("trailingDelta")


def _check_supported(ticket: Ticket) -> None:
    entry, kind = ticket.rules.entry, ticket.type
    if kind not in entry.get("orderTypes", TYPES):
        raise errors.Refusal(-1013, f"{NAMES[kind]} orders are not supported for this symbol.")
    if ticket.quote_quantity is not None and not entry.get("quoteOrderQtyMarketAllowed", True):
        raise errors.Refusal(-1013, "Quote order qty market orders are not support for this symbol.")
    if ticket.trailing_delta is not None and not entry.get("allowTrailingStop", True):
        raise errors.Refusal(-1013, "Trailing stop orders are not supported for this symbol.")
    if not ticket.iceberg:
        return
    if not entry.get("icebergAllowed", True):
        raise errors.Refusal(-1013, "Iceberg orders are not supported for this symbol.")
    if kind not in PRICED or ticket.time_in_force != "GTC":
        raise errors.Refusal(-1014, "Unsupported order combination.")
    if ticket.quantity is not None and ticket.iceberg > ticket.quantity:
        raise errors.Refusal(-1013, "IcebergQty exceeds QTY.")


def _check_positive(ticket: Ticket) -> None:
    for value, name in (
        (ticket.quantity, "quantity"),
        (ticket.quote_quantity, "quote order qty"),
        (ticket.price, "price"),
        (ticket.stop_price, "stop price"),
    ):
        if value is not None and value == 0:
            raise errors.Refusal(-1013, f"Invalid {name}.")
