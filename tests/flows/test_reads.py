"""Requests that fail: sent again as the table says, and reported in one sentence where that does not help."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from eightbells.errors import EightbellsError
from tests.exchange import SYMBOLS
from tests.flows.conftest import Watch
from tests.klines import wait_until

AT_ONCE = {code: {"delay": 0} for code in ("http-5xx", "network", "timeout", "unreadable", "-1000", "-1008")}
PASSING: list[dict[str, Any]] = [
    {"status": 502, "html": True},
    {"status": 503, "code": -1008, "msg": "Server is currently overloaded with other requests."},
    {"status": 500, "code": -1000, "msg": "An unknown error occurred."},
    {"reset": True},
    {"silence": 5},
    {"truncate": True},
    {"status": 200, "html": True},
    {"body": ""},
    {"status": 502, "body": '"Bad Gateway"'},  # JSON, but no object
    {"body": '{"klines": []}'},  # and no list
]


@pytest.mark.parametrize("failures", [PASSING[:5], PASSING[5:]], ids=["one by one", "and others"])
async def test_candles_are_fetched_through_passing_failures(
    watch: Watch, failures: list[dict[str, Any]]
) -> None:
    """Each symbol has its own fault; what came meanwhile is not asked for again."""
    watch.use(errors=AT_ONCE, exchange__timeout_seconds=3)
    struck = dict(zip(SYMBOLS, failures, strict=False))
    faults = [
        watch.simulator.fault("GET /api/v3/klines", action, match={"symbol": symbol})
        for symbol, action in struck.items()
    ]
    report = await watch.cycle(trade=False)
    assert report.outcome == "complete"
    assert [watch.simulator.fired()[fault] for fault in faults] == [1] * len(failures)
    assert len(report.evaluated.decisions) == len(SYMBOLS)
    asked = len(SYMBOLS) + len(failures)  # the exchange counts a silent answer once its silence is over
    wait_until(lambda: watch.simulator.requests()["GET /api/v3/klines"] == asked, 10)


@pytest.mark.parametrize("failure", [PASSING[0], PASSING[3], PASSING[7]], ids=str)
async def test_rules_are_fetched_through_passing_failures(watch: Watch, failure: dict[str, Any]) -> None:
    watch.use(errors=AT_ONCE)
    fault = watch.simulator.fault("GET /api/v3/exchangeInfo", failure, times=2)
    report = await watch.cycle(trade=False, symbols=["BTCUSDT"])
    assert report.outcome == "complete"
    assert watch.simulator.fired()[fault] == 2


async def test_a_symbol_whose_candles_cannot_be_fetched_stops_only_itself(watch: Watch) -> None:
    watch.use(errors={"http-5xx": {"delay": 0, "attempts": 1}})
    bad = {"status": 502, "html": True}
    watch.simulator.fault("GET /api/v3/klines", bad, times=99, match={"symbol": "BTCUSDT"})
    report = await watch.cycle()
    assert report.outcome == "problems"
    assert [symbol for symbol, _, _ in watch.orders()] == sorted(set(SYMBOLS) - {"BTCUSDT"})
    ((symbol, _, reason),) = watch.refusals()
    assert (symbol, reason[:24]) == ("BTCUSDT", "Binance http 5xx on klin")


async def test_a_wrong_clock_is_repaired_and_the_question_asked_again(watch: Watch) -> None:
    stale = {"code": -1021, "msg": "Timestamp for this request is outside of the recvWindow."}
    fault = watch.simulator.fault("GET /api/v3/account", stale, times=2)
    report = await watch.cycle()
    assert report.outcome == "complete"
    assert watch.simulator.fired()[fault] == 2
    assert watch.differences() == []


async def test_a_leap_of_the_exchanges_clock_is_followed(watch: Watch) -> None:
    """It leaps between its measurement and the orders: what is signed with the old one is refused, and signed again."""
    watch.simulator.fault("GET /api/v3/klines", {"delay": 0.5})
    cycle = asyncio.create_task(watch.cycle(symbols=["BTCUSDT"]))
    await asyncio.to_thread(wait_until, lambda: watch.one("SELECT count(*) FROM symbols"))
    watch.simulator.advance(120_000)
    report = await cycle
    assert report.outcome == "complete"
    assert watch.orders()[-1] == ("BTCUSDT", "BUY", "FILLED")
    assert watch.differences() == []


@pytest.mark.parametrize("status", [418, 429])
async def test_a_limit_is_kept_by_all_and_then_the_question_asked_again(watch: Watch, status: int) -> None:
    refusal = {
        "status": status,
        "code": -1003,
        "msg": "Way too many requests.",
        "headers": {"Retry-After": "1"},
    }
    watch.simulator.fault("GET /api/v3/klines", refusal)
    report = await watch.cycle(trade=False)
    assert report.outcome == "complete"
    closed = "SELECT closed_until IS NOT NULL, reason FROM budgets WHERE name = 'weight'"
    assert watch.rows(closed)[0][0]


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        ({"status": 401, "code": -2015, "msg": "Invalid API-key."}, "check BINANCE_API_KEY"),
        ({"status": 401, "code": -2014, "msg": "API-key format invalid."}, "check BINANCE_API_KEY"),
        ({"status": 403, "html": True}, "firewall"),
    ],
    ids=["-2015", "-2014", "403"],
)
async def test_what_only_a_person_can_mend_ends_the_run_with_what_to_do(
    watch: Watch, refusal: dict[str, Any], words: str
) -> None:
    fault = watch.simulator.fault("GET /api/v3/account", refusal, times=99)
    with pytest.raises(EightbellsError, match=words) as error:
        await watch.cycle()
    assert watch.simulator.fired()[fault] == 1
    assert "signature" not in str(error.value)
    assert watch.one("SELECT count(*) FROM cycles") == 0


async def test_a_failure_that_is_not_tried_again_is_told(watch: Watch) -> None:
    watch.use(errors={"http-5xx": {"attempts": 0}})
    fault = watch.simulator.fault("GET /api/v3/exchangeInfo", {"status": 502, "html": True}, times=99)
    with pytest.raises(EightbellsError, match="Binance http 5xx on exchangeInfo"):
        await watch.cycle()
    assert watch.simulator.fired()[fault] == 1


async def test_an_exchange_that_does_not_answer_at_all_is_one_sentence(watch: Watch) -> None:
    watch.use(exchange__rest_url="http://127.0.0.1:9/api")
    with pytest.raises(EightbellsError, match=r"nothing answers at http://127\.0\.0\.1:9/api"):
        await watch.cycle()


async def test_when_all_attempts_are_used_up_the_run_ends_with_the_failure_itself(watch: Watch) -> None:
    watch.use(errors={"http-5xx": {"delay": 0, "attempts": 2}})
    fault = watch.simulator.fault("GET /api/v3/exchangeInfo", {"status": 502, "html": True}, times=99)
    with pytest.raises(EightbellsError, match="Binance http 5xx on exchangeInfo"):
        await watch.cycle()
    assert watch.simulator.fired()[fault] == 3
