"""Every row of the table of errors, met by an order: what is sent again and what never, and what the books say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from prefect.client.schemas import State

from eightbells.exchange.recovery import TABLE
from eightbells.trading.outbox import Order
from tasks.orders import send_order, settle_order, trading_lease
from tasks.session import Session
from tests.conftest import Configure
from tests.exchange import Simulator
from tests.gateway.answers import QUICK, Answer, Counted, body, error, html
from tests.gateway.runs import TaskHistory, retried, run
from tests.gateway.trading import Books
from tests.klines import wait_until

ORDER, TIME, RULES = "POST /api/v3/order", "GET /api/v3/time", "GET /api/v3/exchangeInfo"
FOR_EVER = 99
BUGS = (*range(-1108, -1100), *range(-1119, -1113), -1127, -1128, -1130)
# Whether the engine has the order after these is not known: they are met before and after it took it.
UNKNOWN: dict[str, list[Answer]] = {
    "-1000 -1001 -1006 -1007": [error(code) for code in (-1000, -1001, -1006, -1007)],
    "5xx with a code": [error(-1007, status=504), error(-1008, status=503), error(-2010, status=500)],
    "5xx that is not JSON": [html(500), html(502), html(503), body(504, "")],
    "3xx of a network that wants a login": [html(302), html(308)],
    "202 of a firewall": [body(202, ""), html(202)],
    "200 that is not JSON": [html(200), body(200, ""), body(200, '{"half":')],
    "reset": [{"reset": True}],
    "timeout": [{"silence": 0.7}],
}


@dataclass(frozen=True)
class Row:
    """Answers that say for certain that there is no order: how often it goes again, after what wait."""

    answers: list[Answer]
    tries: int = 0
    wait: float = 0
    key: str = ""
    again: str = ""  # what is asked in between
    row: str = ""  # of the table, where the answer's words decide


CERTAIN = {
    "W -1003": Row([error(-1003, status=429), error(-1003, status=418)], 3, QUICK),
    "W -1003 Retry-After": Row([error(-1003, status=418, Retry_After=1)], 3, 1),
    "W 429 418 in HTML": Row([html(429)], 3, QUICK, "http-429"),
    "W -1008 -1015 -1034": Row([error(-1008), error(-1015, status=429), error(-1034)], 3, QUICK),
    "N -1021": Row([error(-1021)], 3, again=TIME),
    "F -1013 -1100 -1111": Row([error(-1013), error(-1100), error(-1111)], 1, again=RULES),
    "X signature, key, service": Row([error(it) for it in (-1022, -1002, -2014, -2015, -1016, -1020)]),
    "X 403 firewall": Row([html(403)], key="http-403"),
    "X 407 proxy": Row([html(407)], key="http-407"),
    "X 451 country": Row([error(0, "Service unavailable from a restricted location.", 451)], key="http-451"),
    "X account": Row([error(-2010, "This action is disabled on this account.")], row="account-restricted"),
    "W maintenance": Row([error(-2010, "Rest API trading is not enabled.")], 3, QUICK, row="maintenance"),
    "W market": Row([error(-1013, "Market is closed.")], 3, QUICK, row="market-closed"),
    "R malformed": Row([error(code) for code in BUGS]),
    "R -1121": Row([error(-1121, "Invalid symbol.")]),
    "R 400 that is not JSON": Row([html(400)], key="http-4xx"),
}


@dataclass(frozen=True)
class Sent:
    """One order that met an answer, and what that led to."""

    order: Order
    answer: Answer
    code: str
    asked: Any  # requests that reached the exchange
    counted: tuple[float, float]
    state: State[Any]


async def send(
    simulator: Simulator, books: Books, session: Session, answer: Answer, code: str, **script: Any
) -> Sent:
    """Send a new order into an answer."""
    order = books.plan()
    fault = simulator.fault(ORDER, answer, **script)
    asked, before = simulator.requests(), Counted.now("order.place", code)
    async with trading_lease(session) as lease:
        state = await send_order(session, order.id, lease, "a buy", return_state=True)
    wait_until(lambda: simulator.requests()[ORDER] > asked[ORDER])  # silence is recorded at its end
    counted = Counted.now("order.place", code).since(before)
    made = simulator.requests() - asked
    simulator.ask(f"/simulator/faults?id={fault}", method="DELETE")
    return Sent(order, answer, code, made, counted, state)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("name", UNKNOWN)
def test_an_order_whose_fate_is_unknown_is_asked_for_and_never_sent_again(
    prefect_server: str, simulator: Simulator, configure: Configure, books: Books, name: str, when: str
) -> None:
    configure(exchange__timeout_seconds=0.5)
    met, settled = [], []

    async def send_and_settle(session: Session) -> list[State[Any]]:
        for answer in UNKNOWN[name]:
            met.append(await send(simulator, books, session, answer, code_of(name, answer), when=when))
        assert [books.states(one.order) for one in met] == [["UNKNOWN"]] * len(met)
        simulator.advance(16_000)  # past the window and the engine's own timeout
        await session.gateway.sync_clock()
        settled.extend(
            [await settle_order(session, one.order, "a buy", False, return_state=True) for one in met]
        )
        return [one.state for one in met] + settled

    histories = run(send_and_settle)
    exists = when == "after"
    for one, sending, settling in zip(met, histories, histories[len(met) :], strict=False):
        assert sending.names == ["Running", "Failed"]
        assert_words(sending.said, one)
        assert (one.asked[ORDER], one.counted) == (1, (1, 1))
        assert settling.names == ["Running", "Completed"]
        assert books.states(one.order) == ["OPEN" if exists else "ABSENT"]
        assert len(books.at_the_exchange(one.order)) == int(exists)
    assert simulator.requests()[ORDER] == len(met)


def code_of(name: str, answer: Answer) -> str:
    if "code" in answer:
        return str(answer["code"])
    kinds = {
        "reset": "network",
        "timeout": "timeout",
        "202": "http-202",
        "3xx": "http-3xx",
        "5xx": "http-5xx",
    }
    return kinds.get(name.split()[0], "unreadable")


@pytest.mark.parametrize("name", CERTAIN)
def test_an_order_that_certainly_is_not_there_goes_again_only_as_an_attempt_of_its_own(
    prefect_server: str, simulator: Simulator, books: Books, name: str
) -> None:
    row, met = CERTAIN[name], []

    async def meet(session: Session) -> list[State[Any]]:
        for answer in row.answers:
            met.append(await send(simulator, books, session, answer, row.key or str(answer["code"])))
        if row.tries and row.wait < 1:
            code = row.key or str(row.answers[0]["code"])
            met.append(await send(simulator, books, session, row.answers[0], code, times=FOR_EVER))
        return [one.state for one in met]

    histories = run(meet)
    for one, history in zip(met, histories, strict=True):
        attempts = books.attempts(one.order)
        assert [order.attempt for order in attempts] == list(range(1, len(attempts) + 1))
        assert len({order.client_order_id for order in attempts}) == len(attempts)
        assert one.asked[ORDER] == one.counted[0] == len(attempts)
        assert_words(history.waits[0].message if row.tries else history.said, one, row.row)
        if row.tries and one.counted[1] == 1:
            assert history.names == retried(1), history.said
            assert books.states(one.order) == ["REJECTED", "OPEN"]
            assert [it["clientOrderId"] for it in books.at_the_exchange(one.order)] == [
                attempts[1].client_order_id
            ]
            assert_wait(history, row)
        else:
            assert history.names == retried(row.tries, "Failed"), history.said
            assert books.states(one.order) == ["REJECTED"] * (row.tries + 1)
            assert books.at_the_exchange(one.order) == []
        if row.again:
            assert one.asked[row.again] == (5 if row.again == TIME else 1) * min(one.counted[1], row.tries)


def assert_words(says: str, sent: Sent, row: str = "") -> None:
    label = sent.code if sent.code.startswith("-") else sent.code.replace("-", " ")
    assert f"Binance {label} on order.place: " in says
    assert str(sent.answer.get("msg", "")) in says
    assert TABLE[row or sent.code].advice in says


def assert_wait(history: TaskHistory, row: Row) -> None:
    wait = history.waits[0]
    assert f"waiting {row.wait:g} s (attempt 1 of {row.tries})" in wait.message
    assert wait.seconds == pytest.approx(row.wait, abs=0.1)
