"""Answers that are JSON and not what they must be: unreadable, with the field named, and orders are then asked for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest
from sqlalchemy import Engine
from websockets.asyncio.server import ServerConnection, serve

from eightbells.exchange.gateway import Gateway
from eightbells.exchange.models import OrderReport
from eightbells.exchange.order_requests import OrderRequest
from eightbells.exchange.recovery import Action, ExchangeError
from eightbells.exchange.streams import Feed
from eightbells.exchange.user_stream import user_events
from tests.conftest import Configure
from tests.gateway.served import answer, serving
from tests.klines import FIRST, rows_of
from tests.unit.test_models import BALANCE, EVENT, LISTED, TRADE

SYMBOL = "币安人生USDT"
REQUEST = OrderRequest(SYMBOL, "BUY", "MARKET", "1", "eb-1", FIRST, 5000)
Ask = Callable[[Gateway], Awaitable[Any]]

ASKED: dict[str, tuple[str, Ask, Any]] = {
    "order.place": ("status", lambda it: it.place_order(REQUEST), LISTED),
    "order.get": ("executedQty", lambda it: it.order(SYMBOL, "eb-1"), LISTED),
    "order.cancel": ("orderId", lambda it: it.cancel_order(SYMBOL, 7), LISTED),
    "openOrders": ("clientOrderId", lambda it: it.open_orders(), [LISTED]),
    "allOrders": ("origQty", lambda it: it.recent_orders(SYMBOL, FIRST), [LISTED]),
    "myTrades": ("commissionAsset", lambda it: it.trades(SYMBOL, 7), [TRADE]),
    "account": ("free", lambda it: it.balances(), {"balances": [BALANCE]}),
}
# Of these an odd entry is set aside: it must not keep the others from being used.
LISTS = ("openOrders", "allOrders", "account")
ODD = [None, {"not": "a word"}, ""]


def asked(configure: Configure, engine: Engine, said: Any, *asks: Ask) -> tuple[list[Any], list[str]]:
    """What the questions bring where the server says one thing to all, and the request lines."""

    async def ask() -> tuple[list[Any], list[str]]:
        async with serving(lambda _: answer(200, json.dumps(said))) as served:
            settings = configure(
                exchange__rest_url=f"http://127.0.0.1:{served.port}/api", budgets__account="1000"
            )
            gateway = Gateway(settings, engine)

            async def now() -> int:
                return FIRST

            try:
                await gateway.clock.sync(now)
                return [await it(gateway) for it in asks], served.lines
            finally:
                await gateway.close()

    return asyncio.run(ask())


def with_odd_field(endpoint: str, odd: object) -> Any:
    """The endpoint's answer, whose field that is needed is missing or odd."""
    field, _, right = ASKED[endpoint]
    wrong = json.loads(json.dumps(right).replace(json.dumps(field), '"was"', 1))
    found = wrong["balances"][0] if endpoint == "account" else wrong[0] if isinstance(wrong, list) else wrong
    found[field] = odd
    return wrong


@pytest.mark.parametrize("endpoint", LISTS)
def test_an_odd_field_of_an_entry_is_named_and_the_others_are_read(
    configure: Configure, decided: tuple[Engine, int], endpoint: str
) -> None:
    field, ask, right = ASKED[endpoint]
    for odd in ODD:
        wrong = with_odd_field(endpoint, odd)
        both = {"balances": wrong["balances"] + right["balances"]} if endpoint == "account" else wrong + right
        ((found,), _) = asked(configure, decided[0], both, ask)
        assert len(found) == 1
        (aside,) = found.odd
        assert aside.why.startswith(f"{field} is ")
        assert aside.name == (BALANCE["asset"] if endpoint == "account" else LISTED["symbol"])


@pytest.mark.parametrize("endpoint", [name for name in ASKED if name not in LISTS])
def test_an_odd_field_makes_the_answer_unreadable_and_is_named(
    configure: Configure, decided: tuple[Engine, int], endpoint: str
) -> None:
    field, ask, right = ASKED[endpoint]
    assert asked(configure, decided[0], right, ask)[0]
    for odd in ODD:
        wrong = with_odd_field(endpoint, odd)
        with pytest.raises(ExchangeError) as raised:
            asked(configure, decided[0], wrong, ask)
        failure = raised.value.failure
        assert (failure.code, failure.remedy.action, failure.status) == ("unreadable", Action.ASK, 200)
        assert f"{field} is " in str(raised.value)
        assert not failure.certainly_not_executed


def test_a_list_where_an_object_belongs_is_unreadable(
    configure: Configure, decided: tuple[Engine, int]
) -> None:
    for said, ask in ((LISTED, ASKED["openOrders"][1]), ([LISTED], ASKED["order.get"][1])):
        with pytest.raises(ExchangeError, match=r"unreadable on \w+.*the answer is no JSON"):
            asked(configure, decided[0], said, ask)


def test_a_name_of_any_script_is_encoded_in_every_question(
    configure: Configure, decided: tuple[Engine, int]
) -> None:
    singles = [ASKED[name][1] for name in ("order.place", "order.get", "order.cancel")]
    _, lines = asked(configure, decided[0], LISTED, *singles)
    _, more = asked(configure, decided[0], [TRADE], ASKED["myTrades"][1])
    for line in lines + more:
        assert line.isascii()
        assert line.count(" ") == 2, line
    assert sum("%E5%B8%81%E5%AE%89" in line for line in lines + more) == 2, (
        "the others carry it in their body"
    )


def test_questions_about_orders_take_no_permit_of_the_account_budget(
    configure: Configure, decided: tuple[Engine, int]
) -> None:
    engine = decided[0]
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM budgets")

    def granted() -> list[tuple[Any, ...]]:
        return rows_of(engine, "SELECT sum(cost) FROM budget_grants WHERE name = 'account'")

    lists = [ASKED["openOrders"][1], ASKED["allOrders"][1], lambda it: it.recently_traded(SYMBOL, FIRST)]
    asked(configure, engine, LISTED, ASKED["order.get"][1], lambda it: it.order_by_number(SYMBOL, 7))
    asked(configure, engine, [LISTED], *lists)
    asked(configure, engine, [TRADE], ASKED["myTrades"][1])
    assert granted() == [(None,)]
    asked(configure, engine, {"balances": [BALANCE]}, ASKED["account"][1])
    assert granted() == [(1,)]


async def test_a_report_that_cannot_be_read_is_told_and_asked_for() -> None:
    """The stream goes on: None says that something may have been missed, as after a subscription."""
    wrong = [EVENT | {"z": None}, EVENT | {"x": "TRADE", "Y": "much"}]
    events = [EVENT, *wrong, {"e": "balanceUpdate"}, EVENT | {"X": "PENDING_LIQUIDATION"}]

    async def speak(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send('{"id": "user", "status": 200}')
        for event in events:
            await socket.send(orjson.dumps({"subscriptionId": 0, "event": event}).decode())
        await socket.wait_closed()

    lost: list[str] = []
    async with asyncio.timeout(20), serve(speak, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        reports = user_events(f"ws://127.0.0.1:{port}", dict, lost.append, Feed("", set(), print).pace)
        found = [await anext(reports) for _ in range(5)]
        await reports.aclose()  # type: ignore[attr-defined]
    assert found[0] is None
    assert found[1:] == [
        OrderReport.of_event(EVENT),
        None,
        None,
        OrderReport.of_event(EVENT | {"X": "PENDING_LIQUIDATION"}),
    ]
    assert lost == [
        "an executionReport cannot be read: z is null or missing",
        "an executionReport cannot be read: Y is 'much'",
    ]
