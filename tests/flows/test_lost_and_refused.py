"""Orders whose reply is lost or who are refused: never two for one decision, and the retry that the table promises."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from tests.exchange import SYMBOLS
from tests.flows.conftest import Watch
from tests.klines import wait_until

ORDER = "POST /api/v3/order"
LOST: list[dict[str, Any]] = [
    {"reset": True},
    {"silence": 5},
    {"status": 504, "html": True},
    {"status": 502, "body": ""},
    {"status": 200, "html": True},
    {"truncate": True},
    {"body": ""},
    {"body": []},
    {"status": 400, "code": -1006, "msg": "An unexpected response was received from the message bus."},
    {"status": 500, "code": -1000, "msg": "An unknown error occurred while processing the request."},
    {"status": 408, "code": -1007, "msg": "Timeout waiting for response from backend server."},
    {"status": 503, "code": -1008, "msg": "Server is currently overloaded with other requests."},
]


def books(watch: Watch) -> list[tuple[Any, ...]]:
    return watch.rows("SELECT attempt, state FROM orders ORDER BY id")


def ways(watch: Watch) -> list[list[str]]:
    """The states that each order went through."""
    return [
        states
        for (states,) in watch.rows(
            "SELECT array_agg(to_state ORDER BY id) FROM order_events GROUP BY order_id ORDER BY order_id"
        )
    ]


@pytest.mark.parametrize("lost", [LOST[:4], LOST[4:8], LOST[8:]], ids=["broken", "unreadable", "errors"])
async def test_a_lost_reply_never_places_a_second_order(watch: Watch, lost: list[dict[str, Any]]) -> None:
    """The exchange has taken the order; what comes back is nothing, or says nothing. Each symbol has its own fault."""
    watch.use(exchange__timeout_seconds=3)
    struck = dict(zip(SYMBOLS, lost, strict=False))
    faults = [
        watch.simulator.fault(ORDER, action, when="after", match={"symbol": symbol})
        for symbol, action in struck.items()
    ]
    report = await watch.cycle()
    assert report.outcome == "complete"
    assert [watch.simulator.fired()[fault] for fault in faults] == [1] * len(lost)
    assert watch.orders() == [(symbol, "BUY", "FILLED") for symbol in sorted(SYMBOLS)]
    asked = watch.rows(
        "SELECT symbol FROM orders o JOIN order_events e ON e.order_id = o.id WHERE to_state = 'UNKNOWN'"
    )
    assert {symbol for (symbol,) in asked} == struck.keys()
    assert len(watch.simulator.orders()) == len(SYMBOLS)
    assert watch.differences() == []


@pytest.mark.parametrize("lost", [{"reset": True}, {"status": 503, "body": ""}], ids=str)
async def test_an_order_that_never_arrived_is_sent_again_only_once_that_is_proven(
    watch: Watch, lost: dict[str, Any]
) -> None:
    watch.simulator.fault(ORDER, lost, when="before")
    cycle = asyncio.create_task(watch.cycle(symbols=["BTCUSDT"]))
    await asyncio.to_thread(wait_until, lambda: books(watch) == [(1, "UNKNOWN")])
    sent = watch.simulator.requests()[ORDER]
    await asyncio.to_thread(wait_until, lambda: watch.simulator.requests()["GET /api/v3/order"] >= 1)
    assert watch.simulator.requests()[ORDER] == sent  # the window has not passed: it is asked for, not sent
    watch.simulator.advance(16_000)
    report = await cycle
    assert report.outcome == "complete"
    assert books(watch) == [(1, "ABSENT"), (2, "FILLED")]
    assert len(watch.simulator.orders()) == 1
    assert watch.differences() == []


async def test_an_order_that_is_slow_to_be_visible_is_not_taken_for_absent(watch: Watch) -> None:
    watch.simulator.control("settings", visibility_ms=4000)
    watch.simulator.fault(ORDER, {"reset": True}, when="after")
    await watch.cycle(symbols=["BTCUSDT"])
    assert ways(watch) == [["PLANNED", "SENDING", "UNKNOWN", "FILLED"]]
    assert len(watch.simulator.orders()) == 1


async def test_a_trade_that_is_known_keeps_its_order_from_being_taken_for_absent(watch: Watch) -> None:
    """Neither the order nor the list of orders shows it yet, but its trade is there."""
    watch.simulator.fault(ORDER, {"reset": True}, when="after")
    hidden = {"code": -2013, "msg": "Order does not exist."}
    watch.simulator.fault("GET /api/v3/order", hidden, times=3)
    watch.simulator.fault("GET /api/v3/allOrders", {"body": []}, times=3)
    cycle = asyncio.create_task(watch.cycle(symbols=["BTCUSDT"]))
    await asyncio.to_thread(wait_until, lambda: books(watch) == [(1, "UNKNOWN")])
    watch.simulator.advance(16_000)
    await cycle
    assert books(watch) == [(1, "FILLED")]
    assert len(watch.simulator.orders()) == 1
    assert watch.differences() == []


@pytest.mark.parametrize(
    ("refusal", "asked_again"),
    [
        (
            {"code": -1021, "msg": "Timestamp for this request is outside of the recvWindow."},
            "GET /api/v3/time",
        ),
        ({"code": -1013, "msg": "Filter failure: LOT_SIZE"}, "GET /api/v3/exchangeInfo"),
        ({"code": -1111, "msg": "Parameter 'quantity' has too much precision."}, "GET /api/v3/exchangeInfo"),
    ],
    ids=lambda value: str(value.get("code")) if isinstance(value, dict) else "",
)
async def test_a_refusal_that_can_be_mended_leads_to_one_more_attempt(
    watch: Watch, refusal: dict[str, Any], asked_again: str
) -> None:
    await watch.cycle(trade=False, symbols=["BTCUSDT"])
    before = watch.simulator.requests()[asked_again]
    await watch.cycle(trade=False, symbols=["BTCUSDT"])
    usual = watch.simulator.requests()[asked_again] - before
    watch.simulator.fault(ORDER, refusal)
    report = await watch.cycle(symbols=["BTCUSDT"])
    assert report.outcome == "complete"
    assert books(watch) == [(1, "REJECTED"), (2, "FILLED")]
    assert watch.simulator.requests()[asked_again] - before - usual > usual
    assert len(watch.simulator.orders()) == 1
    assert watch.differences() == []


async def test_a_real_filter_that_was_tightened_is_met_by_the_next_attempt(watch: Watch) -> None:
    """The rules change between the look at them and the order: what was 0.00001 is now 0.002."""
    watch.use(trading__order_type="limit")
    watch.simulator.fault(ORDER, {"code": -1013, "msg": "Filter failure: LOT_SIZE"})
    watch.simulator.fault("GET /api/v3/ticker/price", {"delay": 0.5})
    cycle = asyncio.create_task(watch.cycle(symbols=["BTCUSDT"]))
    await asyncio.to_thread(wait_until, lambda: watch.one("SELECT count(*) FROM symbols"))
    coarse = {"LOT_SIZE": {"stepSize": "0.00200000", "minQty": "0.00200000"}}
    watch.simulator.control("settings", symbols={"BTCUSDT": {"filters": coarse}})
    await cycle
    first, second = watch.rows("SELECT quantity FROM orders ORDER BY id")
    assert second[0] % Decimal("0.002") == 0
    assert second[0] < first[0]
    assert len(watch.simulator.orders()) == 1


async def test_too_many_requests_makes_everybody_wait_as_long_as_the_exchange_says(watch: Watch) -> None:
    refusal = {"status": 429, "code": -1003, "msg": "Too many requests.", "headers": {"Retry-After": "2"}}
    watch.simulator.fault(ORDER, refusal)
    await watch.cycle(symbols=["BTCUSDT"])
    assert books(watch) == [(1, "REJECTED"), (2, "FILLED")]
    first, second = watch.rows("SELECT request_time FROM orders ORDER BY id")
    assert (second[0] - first[0]).total_seconds() >= 2
    assert watch.one("SELECT reason FROM budgets WHERE name = 'weight'").startswith("Binance -1003")


@pytest.mark.parametrize(
    "refusal",
    [
        {"code": -2010, "msg": "Account has insufficient balance for requested action."},
        {"code": -1102, "msg": "Mandatory parameter 'side' was not sent, was empty/null, or malformed."},
        {"status": 401, "code": -2015, "msg": "Invalid API-key, IP, or permissions for action."},
        {"status": 403, "html": True},
    ],
    ids=lambda refusal: str(refusal.get("code", "403")),
)
async def test_a_refusal_for_good_is_written_down_and_not_tried_again(
    watch: Watch, refusal: dict[str, Any]
) -> None:
    watch.simulator.fault(ORDER, refusal, match={"symbol": "BTCUSDT"})
    await watch.cycle(symbols=["BTCUSDT", "ETHUSDT"])
    assert watch.orders() == [("BTCUSDT", "BUY", "REJECTED"), ("ETHUSDT", "BUY", "FILLED")]
    reason = watch.one("SELECT detail ->> 'reason' FROM order_events WHERE to_state = 'REJECTED'")
    assert reason.startswith(f"Binance {refusal.get('code', 'http 403')} on order.place")
    assert len(watch.simulator.orders()) == 1
    await watch.cycle(symbols=["BTCUSDT", "ETHUSDT"])
    assert len(watch.orders()) == 2


async def test_a_duplicate_is_asked_for_and_not_called_refused(watch: Watch) -> None:
    watch.simulator.fault(ORDER, {"code": -2010, "msg": "Duplicate order sent."}, when="after")
    await watch.cycle(symbols=["BTCUSDT"])
    assert ways(watch) == [["PLANNED", "SENDING", "UNKNOWN", "FILLED"]]


async def test_a_fill_after_the_cancel_was_asked_for_is_booked(watch: Watch) -> None:
    """The order is filled before the cancel arrives: -2011, and the fill counts."""
    watch.use(trading__order_type="limit", trading__limit_offset="-0.04")
    close = watch.simulator.klines("BTCUSDT", watch.simulator.now - 4 * 3600 * 1000 * 2)[0][4]
    watch.simulator.control("settings", prices={"BTCUSDT": close})
    await watch.cycle(symbols=["BTCUSDT"])
    assert books(watch) == [(1, "OPEN")]
    limit = watch.one("SELECT price FROM orders")
    opened = watch.next_candle()
    watch.simulator.fault("DELETE /api/v3/order", {"delay": 0.3})
    watch.simulator.control("settings", prices={"BTCUSDT": str(limit)})
    await watch.cycle(opened, symbols=["BTCUSDT"])
    assert books(watch)[0] == (1, "FILLED")
    assert watch.differences() == []


async def test_an_order_that_cannot_be_followed_is_a_problem_of_its_cycle(watch: Watch) -> None:
    watch.use(
        errors={"http-5xx": {"delay": 0, "attempts": 1}},
        trading__order_type="limit",
        trading__limit_offset="-0.04",
    )
    kept = "SELECT summary -> 'problems' FROM cycles"
    watch.simulator.fault("GET /api/v3/order", {"status": 502, "html": True}, times=99)
    report = await watch.cycle(symbols=["BTCUSDT"])
    assert watch.orders() == [("BTCUSDT", "BUY", "OPEN")]
    assert report.outcome == "problems"
    assert "order.get" in report.problems[0]
    assert watch.one(kept) == report.problems
    watch.simulator.ask("/simulator/faults", method="DELETE")
    assert (await watch.cycle(symbols=["BTCUSDT"])).outcome == "complete"
    assert watch.one(kept) == []
