"""What the user data stream says about an order or a list of orders."""

from __future__ import annotations

from typing import Any

from simulator.accounts import money
from simulator.engine import Engine
from simulator.lists import OrderList
from simulator.orders import PEG_UNIT, Fill, Order


def list_status(listed: OrderList, engine: Engine, time: int) -> dict[str, Any]:
    """A listStatus as the user data stream sends it."""
    view = listed.view(engine)
    return {
        "e": "listStatus",
        "E": time,
        "s": listed.symbol,
        "g": listed.id,
        "c": listed.kind,
        "l": view["listStatusType"],
        "L": view["listOrderStatus"],
        "r": "NONE",
        "C": listed.client_id,
        "T": time,
        "O": [{"s": it["symbol"], "i": it["orderId"], "c": it["clientOrderId"]} for it in view["orders"]],
    }


def execution_report(
    order: Order, execution: str, fill: Fill | None, time: int, number: int
) -> dict[str, Any]:
    """An executionReport as the user data stream sends it."""
    canceled = execution == "CANCELED"
    nothing = money(order.price * 0)
    report: dict[str, Any] = {
        "e": "executionReport",
        "E": time,
        "s": order.symbol,
        "c": order.cancel_id if canceled else order.client_id,
        "S": order.side,
        "o": order.type,
        "f": order.time_in_force,
        "q": money(order.qty),
        "p": money(order.shown_price),
        "P": money(order.stop_price),
        "F": money(order.iceberg),
        "g": order.list_id,
        "C": order.client_id if canceled else order.amendments[-1][1] if execution == "REPLACED" else "",
        "x": execution,
        "X": order.status,
        "r": "NONE",
        "i": order.id,
        "l": money(fill.qty) if fill else nothing,
        "z": money(order.executed),
        "L": money(fill.price) if fill else nothing,
        "n": money(fill.commission) if fill else "0",
        "N": fill.commission_asset if fill else None,
        "T": time,
        "t": fill.trade_id if fill else -1,
        "I": number,
        "w": order.working and order.open,
        "m": fill.maker if fill else False,
        "M": fill is not None,
        "O": order.time,
        "Z": money(order.quote_executed),
        "Y": money(fill.quote_qty) if fill else nothing,
        "Q": money(order.quote_qty),
    }
    if order.working:
        report["W"] = order.working_time
    report["V"] = order.stp_mode
    if order.peg:
        side, levels = order.peg[0]
        report |= {"gP": side, **({"gOT": PEG_UNIT, "gOV": levels} if levels is not None else {})}
        report |= {"gp": money(order.price)} if order.pegged else {}
    if order.expiry_reason:
        report["eR"] = order.expiry_reason
    if order.prevention:
        report |= _prevented(order, execution)
    if order.trailing_delta is not None:
        report["d"] = order.trailing_delta
        if order.trailing_time >= 0:
            report["D"] = order.trailing_time
    return report | {{"strategyId": "j", "strategyType": "J"}[name]: value for name, value in order.extra}


def _prevented(order: Order, execution: str) -> dict[str, Any]:
    """What an executionReport says about self-trade prevention."""
    number, part, price, cost, group, other, quantity = order.prevention[0]
    shown: dict[str, Any] = {"v": number, "A": money(order.prevented)}
    if execution != "TRADE_PREVENTION":
        return shown
    shown |= {"B": quantity, "U": other, "Cs": order.symbol, "pl": part, "pL": price, "pY": cost}
    return shown | ({"u": group} if group >= 0 else {})
