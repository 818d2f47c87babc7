"""Orders, trades and balances as the exchange states them, each answer read once.

Amounts are exact decimals, times are in ms. A field that a caller needs and that is missing or odd makes the whole
answer unreadable; one that only informs is then None, and fields that are not known here are passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Self

from eightbells.exchange.answers import UnreadableAnswer
from eightbells.exchange.json_fields import (
    Entry,
    Readable,
    a_list,
    amount,
    an_object,
    each,
    may,
    milliseconds,
    need,
    readable,
    text,
    whole,
)

_TRADE = "TRADE"


@dataclass(frozen=True, kw_only=True)
class TradeReport:
    """One trade of an order. Amounts are in the base asset, `quote_quantity` in the quote asset."""

    trade_id: int
    order_id: int
    price: Decimal
    quantity: Decimal
    quote_quantity: Decimal
    commission: Decimal
    commission_asset: str
    time_ms: int

    @classmethod
    def read(cls, answer: object) -> Self:
        """An entry of myTrades. Raises UnreadableAnswer, which names the field."""
        entry = an_object(answer)
        return cls(
            trade_id=need(entry, "id", whole),
            order_id=need(entry, "orderId", whole),
            price=need(entry, "price", amount),
            quantity=need(entry, "qty", amount),
            quote_quantity=need(entry, "quoteQty", amount),
            commission=need(entry, "commission", amount),
            commission_asset=need(entry, "commissionAsset", text),
            time_ms=need(entry, "time", milliseconds),
        )

    @classmethod
    def of_fill(cls, answer: object, order_id: int, time_ms: int) -> Self:
        """An entry of `fills` in the answer to an order, which does not state the amount in the quote asset."""
        entry = an_object(answer)
        price, quantity = need(entry, "price", amount), need(entry, "qty", amount)
        return cls(
            trade_id=need(entry, "tradeId", whole),
            order_id=order_id,
            price=price,
            quantity=quantity,
            quote_quantity=price * quantity,
            commission=need(entry, "commission", amount),
            commission_asset=need(entry, "commissionAsset", text),
            time_ms=time_ms,
        )

    @classmethod
    def of_event(cls, event: Entry) -> Self:
        """The trade that an executionReport tells of."""
        return cls(
            trade_id=need(event, "t", whole),
            order_id=need(event, "i", whole),
            price=need(event, "L", amount),
            quantity=need(event, "l", amount),
            quote_quantity=need(event, "Y", amount),
            commission=need(event, "n", amount),
            commission_asset=need(event, "N", text),
            time_ms=need(event, "T", milliseconds),
        )


@dataclass(frozen=True, kw_only=True)
class OrderReport:
    """An order as an answer or an event states it.

    The answer to a cancel may hold the first three fields only. `status` is the exchange's own word, known here or not.
    After a cancel `client_order_id` is the id of the cancel, and `orig_client_order_id` that of the order.
    """

    order_id: int
    status: str
    executed_quantity: Decimal
    symbol: str | None = None
    client_order_id: str | None = None
    orig_client_order_id: str | None = None
    side: str | None = None
    type: str | None = None
    time_in_force: str | None = None
    price: Decimal | None = None
    stop_price: Decimal | None = None
    quantity: Decimal | None = None
    quote_quantity: Decimal | None = None  # executed so far
    created_ms: int | None = None
    updated_ms: int | None = None
    order_list_id: int | None = None  # -1 where the order belongs to no list
    expiry_reason: str | None = None
    fills: tuple[TradeReport, ...] = ()

    @property
    def names(self) -> list[str]:
        """The client order ids that the report carries; the order itself has one of them."""
        return [name for name in (self.orig_client_order_id, self.client_order_id) if name]

    @classmethod
    def read(cls, answer: object) -> Self:
        """An order in an answer over REST. Raises UnreadableAnswer, which names the field."""
        entry = an_object(answer)
        return cls(**_order_fields(entry), fills=_fills(entry))

    @classmethod
    def of_cancel(cls, answer: object, order_id: int) -> Self:
        """The order in the answer to a cancel, which tells of the whole list where the order belongs to one."""
        entry = an_object(answer)
        if "orderReports" not in entry:
            return cls.read(entry)
        for report in each(cls.read)(entry["orderReports"]):
            if report.order_id == order_id:
                return report
        raise UnreadableAnswer(f"order {order_id} is not among orderReports")

    @classmethod
    def of_event(cls, event: Entry) -> Self:
        """An executionReport of the user data stream. Raises UnreadableAnswer, which names the field."""
        return cls(
            order_id=need(event, "i", whole),
            status=need(event, "X", text),
            executed_quantity=need(event, "z", amount),
            symbol=may(event, "s", text),
            client_order_id=may(event, "c", text),
            orig_client_order_id=may(event, "C", text),
            side=may(event, "S", text),
            type=may(event, "o", text),
            time_in_force=may(event, "f", text),
            price=may(event, "p", amount),
            stop_price=may(event, "P", amount),
            quantity=may(event, "q", amount),
            quote_quantity=may(event, "Z", amount),
            created_ms=may(event, "O", milliseconds),
            updated_ms=may(event, "T", milliseconds),
            order_list_id=may(event, "g", whole),
            expiry_reason=may(event, "eR", text),
            fills=(TradeReport.of_event(event),) if need(event, "x", text) == _TRADE else (),
        )


@dataclass(frozen=True, kw_only=True)
class ListedOrder(OrderReport):
    """An order as the exchange lists it, ours or not: what names and describes it is there."""

    symbol: str
    client_order_id: str
    side: str
    type: str
    quantity: Decimal
    created_ms: int

    @classmethod
    def read(cls, answer: object) -> Self:
        entry = an_object(answer)
        named = {
            "symbol": need(entry, "symbol", text),
            "client_order_id": need(entry, "clientOrderId", text),
            "side": need(entry, "side", text),
            "type": need(entry, "type", text),
            "quantity": need(entry, "origQty", amount),
            "created_ms": need(entry, "time", milliseconds),
        }
        return cls(**_order_fields(entry) | named)


@dataclass(frozen=True, kw_only=True)
class Replacement:
    """The answer to a replacement that went well: the order that was placed, and the one that was cancelled for it."""

    placed: OrderReport
    cancelled: OrderReport

    @classmethod
    def read(cls, answer: object, replaced: int) -> Self:
        """The answer to order/cancelReplace. Raises UnreadableAnswer, which names the field.

        Args:
            replaced: the exchange's number of the order that was cancelled.
        """
        entry = an_object(answer)
        return cls(
            placed=OrderReport.read(entry.get("newOrderResponse")),
            cancelled=OrderReport.of_cancel(entry.get("cancelResponse"), replaced),
        )


def pair(answer: object) -> list[OrderReport]:
    """The two orders in the answer to orderList/oco. Raises UnreadableAnswer, which names the field."""
    reports = each(OrderReport.read)(an_object(answer).get("orderReports"))
    if len(reports) != 2:
        raise UnreadableAnswer(f"orderReports has {len(reports)} orders, not 2")
    return reports


@dataclass(frozen=True, kw_only=True)
class Balance:
    """What the account holds of an asset."""

    asset: str
    free: Decimal
    locked: Decimal

    @classmethod
    def read(cls, answer: object) -> Self:
        entry = an_object(answer)
        return cls(
            asset=need(entry, "asset", text),
            free=need(entry, "free", amount),
            locked=need(entry, "locked", amount),
        )


def balances(answer: object) -> Readable[Balance]:
    """The balances in the answer to `account`."""
    return readable(Balance.read, "asset")(an_object(answer).get("balances"))


def statuses(info: Mapping[str, Any]) -> dict[str, str]:
    """Whether the exchange trades its symbols, in its own words, from exchangeInfo; an odd entry is passed over."""
    entries = (entry for entry in info["symbols"] if isinstance(entry, dict))
    return {
        entry["symbol"]: str(entry.get("status")) for entry in entries if isinstance(entry.get("symbol"), str)
    }


def prices(answer: object) -> dict[str, Decimal]:
    """Last price of every symbol in the answer to `ticker/price` that has one above 0; an odd entry is passed over."""
    found = {}
    for row in a_list(answer):
        with suppress(KeyError, TypeError, ValueError, ArithmeticError):
            if (price := Decimal(row["price"])) > 0:  # what is no number is not above 0 either
                found[str(row["symbol"])] = price
    return found


def delistings(answer: object) -> list[tuple[str, int]]:
    """Symbols and times (ms) in the answer to spot/delist-schedule; an entry that cannot be read is left out."""
    found = []
    for entry in a_list(answer):
        symbols = entry.get("symbols") if isinstance(entry, dict) else None
        if not isinstance(symbols, list):
            continue
        at = may(entry, "delistTime", milliseconds)
        found += [(symbol, at) for symbol in symbols if isinstance(symbol, str) and at is not None]
    return found


def order_number(answer: object) -> int:
    """The order that an entry of myTrades belongs to."""
    return need(an_object(answer), "orderId", whole)


def server_time(answer: object) -> int:
    """The answer to `time`, in ms."""
    return need(an_object(answer), "serverTime", milliseconds)


def listing(answer: object) -> dict[str, Any]:
    """The answer to `exchangeInfo`; whether its entries can be read is another matter."""
    info = an_object(answer)
    a_list(info.get("symbols"))
    return info


def _order_fields(entry: Entry) -> dict[str, Any]:
    return {
        "order_id": need(entry, "orderId", whole),
        "status": need(entry, "status", text),
        "executed_quantity": need(entry, "executedQty", amount),
        "symbol": may(entry, "symbol", text),
        "client_order_id": may(entry, "clientOrderId", text),
        "orig_client_order_id": may(entry, "origClientOrderId", text),
        "side": may(entry, "side", text),
        "type": may(entry, "type", text),
        "time_in_force": may(entry, "timeInForce", text),
        "price": may(entry, "price", amount),
        "stop_price": may(entry, "stopPrice", amount),
        "quantity": may(entry, "origQty", amount),
        "quote_quantity": may(entry, "cummulativeQuoteQty", amount),
        "created_ms": may(entry, "time", milliseconds),
        "updated_ms": may(entry, "updateTime", milliseconds) or may(entry, "transactTime", milliseconds),
        "order_list_id": may(entry, "orderListId", whole),
        "expiry_reason": may(entry, "expiryReason", text),
    }


def _fills(entry: Entry) -> tuple[TradeReport, ...]:
    if not entry.get("fills"):
        return ()
    order, at = need(entry, "orderId", whole), need(entry, "transactTime", milliseconds)
    return tuple(each(lambda fill: TradeReport.of_fill(fill, order, at))(entry["fills"]))
