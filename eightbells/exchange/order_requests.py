"""Orders as they go to the exchange: one alone, one in place of another, a stop with a limit above it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Parameters = dict[str, Any]


@dataclass(frozen=True)
class OrderRequest:
    """An order as it goes to the exchange: amounts are strings, the timestamp is in it already.

    With a trailing delta the exchange sets the stop's price itself.
    """

    symbol: str
    side: str
    type: str
    quantity: str
    client_order_id: str
    timestamp_ms: int
    recv_window_ms: int
    price: str | None = None
    stop_price: str | None = None
    time_in_force: str | None = None
    trailing_delta: int | None = None

    @property
    def fixed_stop(self) -> str | None:
        """The stop's price, where the exchange does not move it."""
        return self.stop_price if self.trailing_delta is None else None


def single(order: OrderRequest) -> Parameters:
    """Parameters of `order`: an order alone."""
    params = {
        "symbol": order.symbol, "side": order.side, "type": order.type, "quantity": order.quantity,
        "price": order.price, "stopPrice": order.fixed_stop, "trailingDelta": order.trailing_delta,
        "timeInForce": order.time_in_force,
        "newClientOrderId": order.client_order_id,
        "newOrderRespType": "FULL", "timestamp": order.timestamp_ms, "recvWindow": order.recv_window_ms,
    }  # fmt: skip
    return _given(params)


def replacement(order: OrderRequest, replaced: int) -> Parameters:
    """Parameters of `order/cancelReplace`: an order in place of the one with the exchange's number `replaced`."""
    return {
        **single(order), "cancelReplaceMode": "STOP_ON_FAILURE", "cancelOrderId": replaced,
        "cancelRestrictions": "ONLY_NEW",
    }  # fmt: skip


def pair(stop: OrderRequest, limit: OrderRequest) -> Parameters:
    """Parameters of `orderList/oco`: a stop and a limit above it, with the stop's timestamp."""
    params = {
        "symbol": stop.symbol, "side": stop.side, "quantity": stop.quantity, "aboveType": limit.type,
        "abovePrice": limit.price, "aboveClientOrderId": limit.client_order_id, "belowType": stop.type,
        "belowStopPrice": stop.fixed_stop, "belowTrailingDelta": stop.trailing_delta,
        "belowPrice": stop.price, "belowTimeInForce": stop.time_in_force,
        "belowClientOrderId": stop.client_order_id, "newOrderRespType": "RESULT",
        "timestamp": stop.timestamp_ms, "recvWindow": stop.recv_window_ms,
    }  # fmt: skip
    return _given(params)


def _given(params: Mapping[str, Any]) -> Parameters:
    return {name: value for name, value in params.items() if value is not None}
