"""The waits as they are installed: their length in the state that Prefect shows, and that everybody keeps them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from orchestration.waits import TERMINAL
from tasks.candles import refresh_rules
from tasks.orders import send_order, trading_lease
from tasks.session import Session
from tests.conftest import Configure
from tests.exchange import Simulator
from tests.gateway.answers import Answer, error, html
from tests.gateway.runs import first_wait
from tests.gateway.trading import BTC, Books
from tests.klines import one

CLOSED = "SELECT extract(EPOCH FROM closed_until - clock_timestamp()) FROM budgets WHERE name = 'weight'"


def banned(simulator: Simulator) -> Answer:
    """A ban whose end only the message tells."""
    words = f"Way too much request weight used; IP banned until {simulator.now + 90_000}. Please use WebSocket Streams."
    return error(-1003, words, status=418)


@pytest.mark.parametrize(
    ("answer", "seconds", "for_all"),
    [
        pytest.param(lambda _: error(-1003, status=429), 60, True, id="-1003"),
        pytest.param(lambda _: error(-1003, status=418, Retry_After=37), 37, True, id="418 with Retry-After"),
        pytest.param(banned, 90, True, id="418 with the end of the ban in its message"),
        pytest.param(lambda _: html(418), 120, True, id="418 that says nothing"),
        pytest.param(lambda _: error(-1008), 10, False, id="-1008"),
        pytest.param(lambda _: error(-1007, status=504), 5, False, id="5xx"),
    ],
)
def test_a_wait_is_as_long_as_the_exchange_or_the_table_says(
    prefect_server: str,
    simulator: Simulator,
    configure: Configure,
    books: Books,
    answer: Callable[[Simulator], Answer],
    seconds: float,
    for_all: bool,
) -> None:
    configure(errors={})
    told: list[str] = []
    TERMINAL.set(told.append)
    simulator.fault("GET /api/v3/exchangeInfo", answer(simulator))

    async def ask(session: Session) -> list[Any]:
        return [await refresh_rules(session, [BTC])]

    wait = first_wait(ask)
    assert wait.seconds == pytest.approx(seconds, abs=2)
    assert "Binance" in wait.message
    assert "(attempt 1 of 3)" in wait.message
    assert len(told) == 1
    assert re.fullmatch(r"waiting until [-\d ]*\d\d:\d\d:\d\d UTC: Binance .* \(attempt 1 of 3\)", told[0])
    shown = float(wait.message.split("waiting ")[1].split(" s ")[0])
    assert shown == pytest.approx(seconds, abs=2)
    if for_all:
        assert float(one(books.engine, CLOSED)) == pytest.approx(seconds, abs=5)
    else:
        assert one(books.engine, "SELECT count(closed_until) FROM budgets") == 0


def test_a_market_that_is_closed_is_waited_for(
    prefect_server: str, simulator: Simulator, configure: Configure, books: Books
) -> None:
    """The exchange's engine says so itself, of a symbol that it has halted."""
    configure(errors={})
    order = books.plan()
    simulator.control("settings", symbols={BTC: {"status": "BREAK"}})

    async def send(session: Session) -> list[Any]:
        async with trading_lease(session) as lease:
            return [await send_order(session, order.id, lease, "a buy")]

    wait = first_wait(send)
    assert wait.seconds == pytest.approx(60, abs=2)
    assert "Binance -2010 on order.place: Market is closed." in wait.message
    assert books.states(order) == ["REJECTED", "PLANNED"]
    assert books.at_the_exchange(order) == []
