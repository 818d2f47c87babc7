"""Answers about orders, trades and balances: exact, strict where it matters, and an odd field is named."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from eightbells.exchange.answers import UnreadableAnswer
from eightbells.exchange.classification import classify
from eightbells.exchange.json_fields import each
from eightbells.exchange.models import Balance, ListedOrder, OrderReport, TradeReport, balances
from eightbells.exchange.recovery import Action

D = Decimal
AT = 1_767_225_600_000
LISTED = {
    "symbol": "币安人生USDT", "orderId": 7, "orderListId": -1, "clientOrderId": "eb-1", "price": "0.10000000",
    "origQty": "12345678.00000001", "executedQty": "1.00000000", "cummulativeQuoteQty": "0.10000000",
    "status": "PENDING_LIQUIDATION", "timeInForce": "GTC", "type": "STOP_LOSS_LIMIT", "side": "SELL",
    "stopPrice": "0.20000000", "time": AT, "updateTime": AT + 5, "expiryReason": "OCO_TRIGGER", "newField": [1],
}  # fmt: skip
FILL = {"price": "0.3", "qty": "0.1", "commission": "0.001", "commissionAsset": "BNB", "tradeId": 9}
EVENT = {
    "e": "executionReport", "s": "BTCUSDT", "c": "eb-1", "S": "BUY", "o": "LIMIT", "f": "GTC", "q": "2", "p": "0.3",
    "P": "0", "C": "", "x": "TRADE", "X": "PARTIALLY_FILLED", "i": 7, "l": "1", "z": "1", "L": "0.3", "n": "0.001",
    "N": "BNB", "T": AT, "t": 9, "Z": "0.3", "Y": "0.29999999", "O": AT - 1, "g": -1,
}  # fmt: skip
TRADE = {
    "id": 9, "orderId": 7, "price": "0.3", "qty": "1", "quoteQty": "0.3", "commission": "0", "commissionAsset": "BNB",
    "time": AT,
}  # fmt: skip
BALANCE = {"asset": "BTC", "free": "0.00000001", "locked": "0"}


def test_an_order_is_read_exactly_and_keeps_a_status_that_is_not_known() -> None:
    order = ListedOrder.read(LISTED)
    assert (order.symbol, order.order_id, order.client_order_id) == ("币安人生USDT", 7, "eb-1")
    assert (order.quantity, order.executed_quantity) == (D("12345678.00000001"), D(1))
    assert (order.price, order.stop_price, order.quote_quantity) == (D("0.1"), D("0.2"), D("0.1"))
    assert (order.status, order.expiry_reason) == ("PENDING_LIQUIDATION", "OCO_TRIGGER")
    assert (order.side, order.type, order.time_in_force) == ("SELL", "STOP_LOSS_LIMIT", "GTC")
    assert (order.created_ms, order.updated_ms, order.order_list_id) == (AT, AT + 5, -1)


def test_the_answer_to_a_cancel_may_hold_three_fields() -> None:
    order = OrderReport.read({"status": "CANCELED", "orderId": 7, "executedQty": "0.00000000"})
    assert (order.status, order.order_id, order.executed_quantity, order.fills) == ("CANCELED", 7, D(0), ())
    assert order.names == []


def test_a_cancel_names_the_order_by_its_original_id() -> None:
    told = OrderReport.read({**LISTED, "clientOrderId": "of-the-cancel", "origClientOrderId": "eb-1"})
    event = OrderReport.of_event(
        {**EVENT, "x": "CANCELED", "X": "CANCELED", "c": "of-the-cancel", "C": "eb-1"}
    )
    assert told.names == event.names == ["eb-1", "of-the-cancel"]
    assert event.fills == ()


def test_what_only_informs_may_be_odd() -> None:
    odd = {
        "price": "dear",
        "stopPrice": None,
        "cummulativeQuoteQty": "-1.0",
        "updateTime": -1,
        "orderListId": "?",
    }
    order = ListedOrder.read(LISTED | odd)
    assert (order.price, order.stop_price, order.quote_quantity) == (None, None, None)
    assert (order.updated_ms, order.order_list_id) == (None, None)


def test_fills_are_read_with_the_order_or_not_at_all() -> None:
    placed = OrderReport.read({**LISTED, "fills": [FILL], "transactTime": AT})
    (fill,) = placed.fills
    assert (fill.trade_id, fill.order_id, fill.time_ms) == (9, 7, AT)
    assert (fill.price, fill.quantity, fill.quote_quantity) == (D("0.3"), D("0.1"), D("0.03"))
    (traded,) = OrderReport.of_event(EVENT).fills
    assert (traded.trade_id, traded.quote_quantity) == (9, D("0.29999999"))
    with pytest.raises(UnreadableAnswer) as raised:
        OrderReport.read({**LISTED, "fills": [FILL, FILL | {"qty": None}], "transactTime": AT})
    assert raised.value.why == "entry 2: qty is null or missing"


READ: dict[str, tuple[Any, dict[str, Any], str]] = {
    "order": (OrderReport.read, LISTED, "orderId status executedQty"),
    "listed order": (
        ListedOrder.read, LISTED, "orderId status executedQty symbol clientOrderId side type origQty time",
    ),
    "event": (OrderReport.of_event, EVENT, "i X z x t L l Y n N T"),
    "trade": (TradeReport.read, TRADE, "id orderId price qty quoteQty commission commissionAsset time"),
    "balance": (Balance.read, BALANCE, "asset free locked"),
}  # fmt: skip
ODD: list[Any] = [None, "", True, [], {}, -1.5, float("nan")]


@pytest.mark.parametrize(("of", "field"), [(of, name) for of in READ for name in READ[of][2].split()])
def test_a_field_that_is_needed_and_odd_is_named_and_the_answer_is_unreadable(of: str, field: str) -> None:
    read, entry, _ = READ[of]
    without = {name: value for name, value in entry.items() if name != field}
    for odd in (without, *({**entry, field: value} for value in ODD)):
        with pytest.raises(UnreadableAnswer) as raised:
            read(odd)
        assert raised.value.why.startswith(f"{field} is ")
        failure = classify(raised.value)
        assert (failure.code, failure.remedy.action) == ("unreadable", Action.ASK)
        assert failure.message.startswith(f"{field} is ")
        assert not failure.certainly_not_executed


@pytest.mark.parametrize("amount", ["1e5", "-1", "NaN", "Infinity", "1_000", "１２", " 1", "1.", "0.1 ", 0.1])
def test_an_amount_is_plain_digits(amount: Any) -> None:
    with pytest.raises(UnreadableAnswer):
        Balance.read({**BALANCE, "free": amount})


@pytest.mark.parametrize("number", [2**63, "7.5", "seven", 7.0])
def test_a_number_is_one_that_the_books_can_hold(number: Any) -> None:
    with pytest.raises(UnreadableAnswer):
        OrderReport.read({**LISTED, "orderId": number})


@pytest.mark.parametrize("answer", [None, "words", 5, {"balances": None}, {"balances": {}}])
def test_an_answer_of_another_shape_is_unreadable(answer: Any) -> None:
    with pytest.raises(UnreadableAnswer):
        balances(answer)
    with pytest.raises(UnreadableAnswer):
        each(ListedOrder.read)(answer)


def test_an_entry_of_another_shape_is_set_aside_and_the_others_are_read() -> None:
    found = balances({"balances": [BALANCE, 5, {**BALANCE, "free": None}]})
    assert found == [Balance.read(BALANCE)]
    assert [it.name for it in found.odd] == ["", BALANCE["asset"]]
    with pytest.raises(UnreadableAnswer):
        each(Balance.read)([BALANCE, 5])
