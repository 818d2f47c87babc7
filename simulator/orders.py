"""Orders and fills: what the engine keeps of them, and how answers show them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from simulator.accounts import ZERO, money
from simulator.symbols import Rules

STOPS = frozenset({"STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT"})
PRICED = frozenset({"LIMIT", "LIMIT_MAKER", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT"})
PEG_UNIT = "PRICE_LEVEL"  # what a peg is set off by
OPEN = frozenset({"NEW", "PARTIALLY_FILLED", "PENDING_NEW"})


@dataclass(frozen=True)
class Ticket:
    """What a client asks for in a new order, checked for form."""

    rules: Rules
    side: str
    type: str
    time_in_force: str
    quantity: Decimal | None
    quote_quantity: Decimal | None
    price: Decimal | None
    stop_price: Decimal | None
    trailing_delta: int | None
    iceberg: Decimal | None
    client_id: str
    response: str
    stp_mode: str
    extra: tuple[tuple[str, int], ...] = ()
    peg: tuple[str, int | None] | None = None  # side of the book, levels off its best
    peg_limit: Decimal | None = None  # the price that was given beside
    pegged: bool = False  # whether `price` is the book's

    @property
    def buys(self) -> bool:
        return self.side == "BUY"

    @property
    def triggers_rising(self) -> bool:
        """Whether a stop order waits for the price to rise (stop buy, take-profit sell) or to fall."""
        return self.type.startswith("STOP_LOSS") == self.buys


@dataclass(slots=True)
class Fill:
    """One trade of an order."""

    trade_id: int
    order_id: int
    symbol: str
    client_id: str
    side: str
    price: Decimal
    qty: Decimal
    quote_qty: Decimal
    commission: Decimal
    commission_asset: str
    time: int
    maker: bool
    list_id: int = -1

    def in_order(self) -> dict[str, Any]:
        """As in the `fills` of an order's answer."""
        return {
            "price": money(self.price),
            "qty": money(self.qty),
            "commission": money(self.commission),
            "commissionAsset": self.commission_asset,
            "tradeId": self.trade_id,
        }

    def in_my_trades(self) -> dict[str, Any]:
        return {
            "symbol": self.symbol,
            "id": self.trade_id,
            "orderId": self.order_id,
            "orderListId": self.list_id,
            "price": money(self.price),
            "qty": money(self.qty),
            "quoteQty": money(self.quote_qty),
            "commission": money(self.commission),
            "commissionAsset": self.commission_asset,
            "time": self.time,
            "isBuyer": self.side == "BUY",
            "isMaker": self.maker,
            "isBestMatch": True,
        }

    def in_truth(self, account: str) -> dict[str, Any]:
        return {
            "account": account,
            "symbol": self.symbol,
            "tradeId": self.trade_id,
            "orderId": self.order_id,
            "clientOrderId": self.client_id,
            "side": self.side,
            "price": money(self.price),
            "qty": money(self.qty),
            "quoteQty": money(self.quote_qty),
            "commission": money(self.commission),
            "commissionAsset": self.commission_asset,
            "time": self.time,
            "isMaker": self.maker,
        }


@dataclass(slots=True)
class Order:
    """An order the engine took, in its present state."""

    id: int
    account: str
    symbol: str
    client_id: str
    side: str
    type: str
    time_in_force: str
    price: Decimal
    qty: Decimal
    quote_qty: Decimal
    stop_price: Decimal
    trailing_delta: int | None
    iceberg: Decimal
    stp_mode: str
    time: int
    updated: int
    extra: tuple[tuple[str, int], ...] = ()
    status: str = "NEW"
    executed: Decimal = ZERO
    quote_executed: Decimal = ZERO
    working: bool = True
    working_time: int = -1
    locked: Decimal = ZERO
    extreme: int = 0
    extreme_at: int = 0
    trailing_time: int = -1  # since when a trailing stop follows the price; -1: not yet
    not_before: int = 0
    cancel_id: str = ""
    list_id: int = -1
    # number of the execution, client id before and after, quantity before and after, time
    amendments: tuple[tuple[Any, ...], ...] = ()
    prevented: Decimal = ZERO  # kept from trading with orders of the same account or group
    # the latest: number of the match, quantity, price, cost, trade group, the other order, what of this one expired
    prevention: tuple[tuple[Any, ...], ...] = ()
    # as taker: number, maker's order, mode, price, taker's and maker's prevented quantity, time, trade group
    matches: tuple[tuple[Any, ...], ...] = ()
    expiry_reason: str = ""
    peg: tuple[tuple[Any, ...], ...] = ()  # one: side of the book, levels off its best
    peg_limit: Decimal = ZERO  # the price that a pegged order may not pass
    pegged: bool = False  # whether a pegged order has got its price

    @classmethod
    def of(cls, ticket: Ticket, number: int, account: str, quantity: Decimal, now: int) -> Order:
        """The order that a ticket asks for; a stop waits, any other order works from now on."""
        waits = ticket.type in STOPS
        return cls(
            id=number,
            account=account,
            symbol=ticket.rules.symbol,
            client_id=ticket.client_id,
            side=ticket.side,
            type=ticket.type,
            time_in_force=ticket.time_in_force,
            price=ticket.price or ZERO,
            qty=quantity,
            quote_qty=ticket.quote_quantity or ZERO,
            stop_price=ticket.stop_price or ZERO,
            trailing_delta=ticket.trailing_delta,
            iceberg=ticket.iceberg or ZERO,
            stp_mode=ticket.stp_mode,
            time=now,
            updated=now,
            extra=ticket.extra,
            peg=() if ticket.peg is None else (ticket.peg,),
            peg_limit=(ticket.peg_limit if ticket.pegged else ticket.price) or ZERO,
            pegged=ticket.pegged,
            working=not waits,
            working_time=-1 if waits else now,
            extreme_at=now,
            trailing_time=now if ticket.trailing_delta is not None and ticket.stop_price is None else -1,
            not_before=now,
        )

    @property
    def buys(self) -> bool:
        return self.side == "BUY"

    @property
    def open(self) -> bool:
        return self.status in OPEN

    @property
    def shown_price(self) -> Decimal:
        """The price that the client gave, which is 0 where a peg alone decides."""
        return self.peg_limit if self.peg else self.price

    @property
    def remaining(self) -> Decimal:
        return self.qty - self.executed - self.prevented

    @property
    def triggers_rising(self) -> bool:
        return self.type.startswith("STOP_LOSS") == self.buys

    def view(self) -> dict[str, Any]:
        """As GET order and openOrders show it."""
        return {
            "symbol": self.symbol,
            "orderId": self.id,
            "orderListId": self.list_id,
            "clientOrderId": self.client_id,
            **self._amounts(),
            "stopPrice": money(self.stop_price),
            **self._trailing(),
            "icebergQty": money(self.iceberg),
            "time": self.time,
            "updateTime": self.updated,
            "isWorking": self.working,
            "workingTime": self.working_time,
            "origQuoteOrderQty": money(self.quote_qty),
            "selfTradePreventionMode": self.stp_mode,
            **self._optional(),
        }

    def answer(self, response: str, fills: list[Fill], now: int) -> dict[str, Any]:
        """As POST order answers: ACK, RESULT or FULL."""
        ack = {
            "symbol": self.symbol,
            "orderId": self.id,
            "orderListId": self.list_id,
            "clientOrderId": self.client_id,
            "transactTime": now,
        }
        if response == "ACK":
            return ack
        result = {**ack, **self._amounts(), **self._stop(), "workingTime": self.working_time}
        result |= {"selfTradePreventionMode": self.stp_mode, **self._optional()}
        if self.matches:
            result["preventedMatches"] = [_in_answer(match) for match in self.matches]
            if self.matches[-1][-1] >= 0:
                result["tradeGroupId"] = self.matches[-1][-1]
        return result | {"fills": [fill.in_order() for fill in fills]} if response == "FULL" else result

    def canceled(self, now: int) -> dict[str, Any]:
        """As DELETE order answers."""
        return {
            "symbol": self.symbol,
            "origClientOrderId": self.client_id,
            "orderId": self.id,
            "orderListId": self.list_id,
            "clientOrderId": self.cancel_id,
            "transactTime": now,
            **self._amounts(),
            **self._stop(),
            "selfTradePreventionMode": self.stp_mode,
            **self._optional(),
        }

    def in_truth(self) -> dict[str, Any]:
        return {"account": self.account, **self.view()}

    def _amounts(self) -> dict[str, Any]:
        return {
            "price": money(self.shown_price),
            **self._peg(),
            "origQty": money(self.qty),
            "executedQty": money(self.executed),
            "origQuoteOrderQty": money(self.quote_qty),
            "cummulativeQuoteQty": money(self.quote_executed),
            "status": self.status,
            "timeInForce": self.time_in_force,
            "type": self.type,
            "side": self.side,
        }

    def _stop(self) -> dict[str, Any]:
        stop = {"stopPrice": money(self.stop_price)} if self.stop_price else {}
        iceberg = {"icebergQty": money(self.iceberg)} if self.iceberg else {}
        return stop | self._trailing() | iceberg

    def _peg(self) -> dict[str, Any]:
        if not self.peg:
            return {}
        side, levels = self.peg[0]
        offset = {"pegOffsetType": PEG_UNIT, "pegOffsetValue": levels} if levels is not None else {}
        price = {"peggedPrice": money(self.price)} if self.pegged else {}
        return {"pegPriceType": side, **offset, **price}

    def _optional(self) -> dict[str, Any]:
        """What only some orders have."""
        shown: dict[str, Any] = dict(self.extra)
        if self.prevention:
            shown |= {"preventedMatchId": self.prevention[0][0], "preventedQuantity": money(self.prevented)}
        return shown | ({"expiryReason": self.expiry_reason} if self.expiry_reason else {})

    def _trailing(self) -> dict[str, Any]:
        if self.trailing_delta is None:
            return {}
        active = {"trailingTime": self.trailing_time} if self.trailing_time >= 0 else {}
        return {"trailingDelta": self.trailing_delta, **active}


def _in_answer(match: tuple[Any, ...]) -> dict[str, Any]:
    """A prevented match as the answer to the taker's order shows it."""
    number, maker, _, price, taken, made, *_ = match
    taker_part = {"takerPreventedQuantity": taken} if taken else {}
    maker_part = {"makerPreventedQuantity": made} if made else {}
    return {"preventedMatchId": number, "makerOrderId": maker, "price": price, **taker_part, **maker_part}
