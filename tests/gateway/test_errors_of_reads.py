"""Every row of the table of errors, met by a read: how often it is asked again, after what wait, and what is said."""

from __future__ import annotations

from collections import Counter
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

FOR_EVER = 99
READ = "GET /api/v3/order"
TIME = "GET /api/v3/time"
RETRY_AFTER = {"headers": {"Retry-After": "1"}}
BUGS = (*range(-1108, -1100), *range(-1119, -1113), -1127, -1128, -1130)


@dataclass(frozen=True)
class Row:
    """Answers that are treated alike: `key` in the table ("" for the answer's own code), tries and default wait."""

    answers: list[Answer]
    tries: int = 0
    delay: float = 0.0
    key: str = ""
    waits: float = QUICK
    sent: int = 1  # requests at the exchange for one of ours
    for_ever: bool = True  # whether the failure is also met until it is given up


ROWS = {
    "U -1000 -1001 -1006 -1007": Row([error(code) for code in (-1000, -1001, -1006, -1007)], 3, 5),
    "W -1003 429": Row([error(-1003, status=429)], 3, 60),
    "W -1003 418": Row([error(-1003, status=418)], 3, 60),
    "W -1003 Retry-After": Row([error(-1003, status=429, Retry_After=1)], 3, 60, waits=1, for_ever=False),
    "W 418 Retry-After": Row([{**html(418), **RETRY_AFTER}], 3, 120, "http-418", waits=1, for_ever=False),
    "W 429 in HTML": Row([html(429)], 3, 60, "http-429"),
    "W -1008": Row([error(-1008)], 3, 10),
    "W -1015 -1034": Row([error(-1015), error(-1034)], 3, 10),
    "N -1021": Row([error(-1021)], 3, waits=0),
    "X signature, key, service": Row([error(it) for it in (-1022, -1002, -2014, -2015, -1016, -1020)]),
    "X 401": Row([error(-2015, status=401)]),
    "X 403 firewall": Row([html(403)], key="http-403"),
    "F -1013 -1100 -1111": Row([error(-1013), error(-1100), error(-1111)], 1, waits=0),
    "R malformed": Row([error(code) for code in BUGS]),
    "R -1121": Row([error(-1121, "Invalid symbol.")]),
    "X -1120": Row([error(-1120, "Invalid interval.")]),
    "-2010": Row([error(-2010)]),
    "-2013": Row([error(-2013, "Order does not exist.")], 3, 2),
    "R -2026": Row([error(-2026)]),
    "unknown code": Row([error(-9999)], key="http-4xx"),
    "400 that is not JSON": Row([html(400), body(400, "")], key="http-4xx"),
    "U 5xx in HTML": Row([html(status) for status in (500, 502, 503, 504)], 3, 5, "http-5xx"),
    "U 5xx with a code": Row([error(-1007, status=504), error(-1000, status=500)], 3, 5),
    "U 5xx with another code": Row([error(-1008, status=503)], 3, 10),
    # python-binance's aiohttp asks at once a second time when a connection breaks: it takes two resets to be noticed
    "U reset": Row([{"reset": True}], 5, 2, "network", sent=2),
    "U timeout": Row([{"silence": 0.7}], 5, 2, "timeout", for_ever=False),
    "U 200 that is not JSON": Row([html(200), body(200, ""), {"truncate": True}], 3, 5, "unreadable"),
}


@dataclass(frozen=True)
class Met:
    """One answer that was given `times` times, and what it led to."""

    answer: Answer
    code: str
    times: int
    asked: Counter[str]  # requests that reached the exchange
    counted: tuple[float, float]  # requests and failures, as our metrics tell
    state: State[Any]


@pytest.mark.parametrize("name", ROWS)
def test_a_read_that_fails_is_treated_as_its_error_demands(
    prefect_server: str, simulator: Simulator, configure: Configure, books: Books, name: str
) -> None:
    row, order, met = ROWS[name], books.plan(), []
    configure(exchange__timeout_seconds=0.5)

    async def ask(session: Session) -> list[State[Any]]:
        async with trading_lease(session) as lease:
            await send_order(session, order.id, lease, "a buy")
        for answer in row.answers:
            met.append(await meet(simulator, session, order, row, answer, 1))
        if row.for_ever and row.tries:
            met.append(await meet(simulator, session, order, row, row.answers[0], FOR_EVER))
        return [one.state for one in met]

    for one, history in zip(met, run(ask), strict=True):
        if row.tries and one.times == 1:
            assert history.names == retried(1), history.said
            check_wait(history, row)
        else:
            assert history.names == retried(row.tries, "Failed"), history.said
        requests = min(one.times, row.tries) + 1
        assert one.counted == (requests, min(one.times, requests))
        assert one.asked[READ] == row.sent * one.counted[1] + requests - one.counted[1]
        assert one.asked[TIME] == (5 * (requests - 1) if one.code == "-1021" else 0)
        check_words(history.waits[0].message if row.tries else history.said, one.code, one.answer)
        assert (TABLE[one.code].delay, TABLE[one.code].attempts) == (row.delay, row.tries)


async def meet(
    simulator: Simulator, session: Session, order: Order, row: Row, answer: Answer, times: int
) -> Met:
    """Let the exchange answer like that to the question after an order."""
    when = "after" if "truncate" in answer else "before"
    fault = simulator.fault(READ, answer, times=times * row.sent, when=when)
    code = row.key or str(answer["code"])
    before, asked = Counted.now("order.get", code), simulator.requests()
    state = await settle_order(session, order, "the buy", False, return_state=True)
    counted = Counted.now("order.get", code).since(before)
    wait_until(lambda: (simulator.requests() - asked)[READ] >= counted[0])  # silence is recorded at its end
    made = simulator.requests() - asked
    simulator.ask(f"/simulator/faults?id={fault}", method="DELETE")
    return Met(answer, code, times, made, counted, state)


def check_words(says: str, code: str, answer: Answer) -> None:
    """A person reads which error it was, on what, in the exchange's words and with our advice."""
    label = code if code.startswith("-") else code.replace("-", " ")
    assert f"Binance {label} on order.get: " in says
    assert str(answer.get("msg", "")) in says
    assert TABLE[code].advice in says


def check_wait(history: TaskHistory, row: Row) -> None:
    wait = history.waits[0]
    assert f"waiting {row.waits:g} s (attempt 1 of {row.tries})" in wait.message
    assert wait.seconds == pytest.approx(row.waits, abs=0.1)
