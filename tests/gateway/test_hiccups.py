"""A bad answer to the first question is no reason to end: the exchange's time is asked for again, like all else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from prefect.client.schemas import State

from eightbells.errors import EightbellsError
from eightbells.exchange.recovery import ExchangeError
from eightbells.trading.switch import read_switch
from tasks.candles import refresh_rules
from tasks.orders import send_order, trading_lease
from tasks.session import Session, set_clock
from tests.conftest import Configure
from tests.exchange import Simulator
from tests.gateway.answers import Answer, body, error, html
from tests.gateway.runs import retried, run
from tests.gateway.trading import BTC, Books
from tests.klines import wait_until

ORDER, TIME = "POST /api/v3/order", "GET /api/v3/time"
HICCUPS: dict[str, Answer] = {
    "502": html(502),
    "202 without an answer": body(202, ""),
    "429": error(-1003, status=429),
    "no answer in time": {"silence": 0.7},
    "a page": html(200),
    "no time": body(200, "{}"),
    "a list": body(200, "[]"),
    "a redirect": html(302),
}


@pytest.mark.parametrize("name", HICCUPS)
def test_one_bad_answer_to_the_question_for_the_time_is_asked_again(
    prefect_server: str, simulator: Simulator, configure: Configure, books: Books, name: str
) -> None:
    configure(exchange__timeout_seconds=0.5)
    simulator.fault(TIME, HICCUPS[name])

    async def step(session: Session) -> list[State[Any]]:
        assert simulator.requests()[TIME] in (5, 6)  # the session is open
        simulator.fault(TIME, HICCUPS[name], nth=3)
        return [await set_clock(session, return_state=True)]

    (history,) = run(step)
    assert history.names == retried(1)
    assert " on time: " in history.waits[0].message
    # one and five, three and five; silence is recorded at its end, and not in the next test
    wait_until(lambda: simulator.requests()[TIME] == 14)


def test_a_clock_that_cannot_be_measured_at_once_keeps_no_order_and_no_read_from_going_again(
    prefect_server: str, simulator: Simulator, books: Books
) -> None:
    order = books.plan()

    async def step(session: Session) -> list[State[Any]]:
        simulator.fault(ORDER, error(-1021))
        simulator.fault("GET /api/v3/exchangeInfo", error(-1021))
        simulator.fault(TIME, html(502), nth=1)
        async with trading_lease(session) as lease:
            sent = await send_order(session, order.id, lease, "a buy", return_state=True)
        simulator.fault(TIME, html(502), nth=1)
        return [sent, await refresh_rules(session, [BTC], return_state=True)]

    for history in run(step):
        assert history.names == retried(2)
    assert books.states(order) == ["REJECTED", "OPEN"]
    assert len(books.at_the_exchange(order)) == 1


def test_an_exchange_that_never_says_its_time_ends_the_run_with_the_reason(
    prefect_server: str, simulator: Simulator, books: Books
) -> None:
    simulator.fault(TIME, html(502), times=99)

    async def step(session: Session) -> list[State[Any]]:
        raise AssertionError("there is no session")

    with pytest.raises(ExchangeError, match="Binance http 5xx on time: HTTP 502"):
        run(step)
    assert simulator.requests()[TIME] == 4


def test_an_exchange_that_is_not_there_is_named_with_its_address(
    prefect_server: str, simulator: Simulator, configure: Configure, books: Books
) -> None:
    configure(exchange__rest_url="http://127.0.0.1:9/api")

    async def step(session: Session) -> list[State[Any]]:
        raise AssertionError("there is no session")

    words = r"nothing answers at http://127.0.0.1:9/api \(paper mode needs its simulator.*127.0.0.1:9 refuses"
    with pytest.raises(EightbellsError, match=words):
        run(step)


def test_a_halt_holds_though_the_exchange_does_not_answer(
    prefect_server: str, simulator: Simulator, books: Books
) -> None:
    from flows.halt import halt

    simulator.fault(TIME, html(403), times=99)
    try:
        with pytest.raises(ExchangeError, match="403"):
            asyncio.run(halt(reason="enough"))
        with books.engine.connect() as connection:
            assert read_switch(connection)[:2] == (False, "enough")
    finally:
        asyncio.run(halt(action="resume"))  # asks the exchange nothing
    with books.engine.connect() as connection:
        assert read_switch(connection)[0]
