"""Orders, trades and balances as the exchange states them, each answer read once.

Amounts are exact decimals, times are in ms. A field that a caller needs and that is missing or odd makes the whole
answer unreadable; one that only informs is then None, and fields that are not known here are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Self, TypeVar

from eightbells.exchange.answers import UnreadableAnswer, shown

T = TypeVar("T")
Entry = Mapping[str, Any]

_AMOUNT = re.compile(r"[0-9]{1,25}(\.[0-9]{1,25})?")
_END_OF_TIME_MS = 253_402_300_800_000  # the year 10000
_LARGEST = 2**63
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
            trade_id=_need(entry, "id", _whole),
            order_id=_need(entry, "orderId", _whole),
            price=_need(entry, "price", _amount),
            quantity=_need(entry, "qty", _amount),
            quote_quantity=_need(entry, "quoteQty", _amount),
            commission=_need(entry, "commission", _amount),
            commission_asset=_need(entry, "commissionAsset", _text),
            time_ms=_need(entry, "time", _time),
        )

    @classmethod
    def of_fill(cls, answer: object, order_id: int, time_ms: int) -> Self:
        """An entry of `fills` in the answer to an order, which does not state the amount in the quote asset."""
        entry = an_object(answer)
        price, quantity = _need(entry, "price", _amount), _need(entry, "qty", _amount)
        return cls(
            trade_id=_need(entry, "tradeId", _whole),
            order_id=order_id,
            price=price,
            quantity=quantity,
            quote_quantity=price * quantity,
            commission=_need(entry, "commission", _amount),
            commission_asset=_need(entry, "commissionAsset", _text),
            time_ms=time_ms,
        )

    @classmethod
    def of_event(cls, event: Entry) -> Self:
        """The trade that an executionReport tells of."""
        return cls(
            trade_id=_need(event, "t", _whole),
            order_id=_need(event, "i", _whole),
            price=_need(event, "L", _amount),
            quantity=_need(event, "l", _amount),
            quote_quantity=_need(event, "Y", _amount),
            commission=_need(event, "n", _amount),
            commission_asset=_need(event, "N", _text),
            time_ms=_need(event, "T", _time),
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
            order_id=_need(event, "i", _whole),
            status=_need(event, "X", _text),
            executed_quantity=_need(event, "z", _amount),
            symbol=_may(event, "s", _text),
            client_order_id=_may(event, "c", _text),
            orig_client_order_id=_may(event, "C", _text),
            side=_may(event, "S", _text),
            type=_may(event, "o", _text),
            time_in_force=_may(event, "f", _text),
            price=_may(event, "p", _amount),
            stop_price=_may(event, "P", _amount),
            quantity=_may(event, "q", _amount),
            quote_quantity=_may(event, "Z", _amount),
            created_ms=_may(event, "O", _time),
            updated_ms=_may(event, "T", _time),
            order_list_id=_may(event, "g", _whole),
            expiry_reason=_may(event, "eR", _text),
            fills=(TradeReport.of_event(event),) if _need(event, "x", _text) == _TRADE else (),
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
            "symbol": _need(entry, "symbol", _text),
            "client_order_id": _need(entry, "clientOrderId", _text),
            "side": _need(entry, "side", _text),
            "type": _need(entry, "type", _text),
            "quantity": _need(entry, "origQty", _amount),
            "created_ms": _need(entry, "time", _time),
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
            asset=_need(entry, "asset", _text),
            free=_need(entry, "free", _amount),
            locked=_need(entry, "locked", _amount),
        )


@dataclass(frozen=True)
class Odd:
    """An entry of a list that cannot be read: the symbol or asset that it names, empty where it names none, and why."""

    name: str
    why: str


class Readable(list[T]):
    """What of a list could be read; `odd` is the rest. One bad entry keeps no other from being used."""

    def __init__(self, found: Iterable[T] = (), odd: Iterable[Odd] = ()) -> None:
        super().__init__(found)
        self.odd = list(odd)


def readable(read: Callable[[object], T], name: str) -> Callable[[object], Readable[T]]:
    """Read a JSON list, and set aside the entries that cannot be read.

    Args:
        name: the field that says what an entry is about.
    """

    def read_all(answer: object) -> Readable[T]:
        found = Readable[T]()
        for entry in a_list(answer):
            try:
                found.append(read(entry))
            except UnreadableAnswer as error:
                named = entry.get(name) if isinstance(entry, dict) else None
                found.odd.append(Odd(named if isinstance(named, str) else "", error.why))
        return found

    return read_all


def balances(answer: object) -> Readable[Balance]:
    """The balances in the answer to `account`."""
    return readable(Balance.read, "asset")(an_object(answer).get("balances"))


def statuses(info: Mapping[str, Any]) -> dict[str, str]:
    """Whether the exchange trades its symbols, in its own words, from exchangeInfo; an odd entry is passed over."""
    entries = (entry for entry in info["symbols"] if isinstance(entry, dict))
    return {
        entry["symbol"]: str(entry.get("status")) for entry in entries if isinstance(entry.get("symbol"), str)
    }


def delistings(answer: object) -> list[tuple[str, int]]:
    """Symbols and times (ms) in the answer to spot/delist-schedule; an entry that cannot be read is left out."""
    found = []
    for entry in a_list(answer):
        symbols = entry.get("symbols") if isinstance(entry, dict) else None
        if not isinstance(symbols, list):
            continue
        at = _may(entry, "delistTime", _time)
        found += [(symbol, at) for symbol in symbols if isinstance(symbol, str) and at is not None]
    return found


def order_number(answer: object) -> int:
    """The order that an entry of myTrades belongs to."""
    return _need(an_object(answer), "orderId", _whole)


def server_time(answer: object) -> int:
    """The answer to `time`, in ms."""
    return _need(an_object(answer), "serverTime", _time)


def listing(answer: object) -> dict[str, Any]:
    """The answer to `exchangeInfo`; whether its entries can be read is another matter."""
    info = an_object(answer)
    a_list(info.get("symbols"))
    return info


def an_object(answer: object) -> dict[str, Any]:
    """An answer that must be a JSON object."""
    if not isinstance(answer, dict):
        raise UnreadableAnswer("the answer is no JSON object")
    return answer


def a_list(answer: object) -> list[Any]:
    """An answer that must be a JSON list."""
    if not isinstance(answer, list):
        raise UnreadableAnswer("the answer is no JSON list")
    return answer


def each(read: Callable[[object], T]) -> Callable[[object], list[T]]:
    """Read a JSON list, entry by entry; an entry that cannot be read is named by its place."""

    def read_all(answer: object) -> list[T]:
        found = []
        for place, entry in enumerate(a_list(answer)):
            try:
                found.append(read(entry))
            except UnreadableAnswer as error:
                raise UnreadableAnswer(f"entry {place + 1}: {error.why}") from None
        return found

    return read_all


def _order_fields(entry: Entry) -> dict[str, Any]:
    return {
        "order_id": _need(entry, "orderId", _whole),
        "status": _need(entry, "status", _text),
        "executed_quantity": _need(entry, "executedQty", _amount),
        "symbol": _may(entry, "symbol", _text),
        "client_order_id": _may(entry, "clientOrderId", _text),
        "orig_client_order_id": _may(entry, "origClientOrderId", _text),
        "side": _may(entry, "side", _text),
        "type": _may(entry, "type", _text),
        "time_in_force": _may(entry, "timeInForce", _text),
        "price": _may(entry, "price", _amount),
        "stop_price": _may(entry, "stopPrice", _amount),
        "quantity": _may(entry, "origQty", _amount),
        "quote_quantity": _may(entry, "cummulativeQuoteQty", _amount),
        "created_ms": _may(entry, "time", _time),
        "updated_ms": _may(entry, "updateTime", _time) or _may(entry, "transactTime", _time),
        "order_list_id": _may(entry, "orderListId", _whole),
        "expiry_reason": _may(entry, "expiryReason", _text),
    }


def _fills(entry: Entry) -> tuple[TradeReport, ...]:
    if not entry.get("fills"):
        return ()
    order, at = _need(entry, "orderId", _whole), _need(entry, "transactTime", _time)
    return tuple(each(lambda fill: TradeReport.of_fill(fill, order, at))(entry["fills"]))


def _need(entry: Entry, name: str, read: Callable[[object], T]) -> T:
    value = entry.get(name)
    try:
        return read(value)
    except ValueError:
        stands = "null or missing" if value is None else shown(repr(value))[:60]
        raise UnreadableAnswer(f"{name} is {stands}") from None


def _may(entry: Entry, name: str, read: Callable[[object], T]) -> T | None:
    try:
        return read(entry.get(name))
    except ValueError:
        return None


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError
    return value


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError
    number = int(value)
    if not -_LARGEST <= number < _LARGEST:
        raise ValueError
    return number


def _amount(value: object) -> Decimal:
    """An amount of 0 or more. A JSON number with a point is refused: what was read of it need not be exact."""
    if isinstance(value, bool) or not isinstance(value, int | str) or not _AMOUNT.fullmatch(str(value)):
        raise ValueError
    return Decimal(value)


def _time(value: object) -> int:
    moment = _whole(value)
    if not 0 <= moment < _END_OF_TIME_MS:
        raise ValueError
    return moment
