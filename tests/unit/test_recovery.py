"""Every kind of failure, and what follows it: nothing ambiguous is ever called refused."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest
from binance.exceptions import BinanceRequestException

from eightbells.errors import EightbellsError
from eightbells.exchange.classification import banned_until_ms, classify
from eightbells.exchange.recovery import TABLE, Action, ExchangeError, remedies
from tests.unit.failures import answer, code, not_json

# the page of facts about the exchange: what each code leads to
PROMISED: dict[Action, list[str]] = {
    Action.ASK: [
        "-1000", "-1001", "-1006", "-1007", "-2011", "-2013", "http-5xx", "network", "timeout", "unreadable",
        "duplicate-order", "http-202", "http-3xx",
    ],
    Action.WAIT: [
        "-1003", "-1008", "-1015", "-1034", "http-418", "http-429", "market-closed", "maintenance",
        "name-resolution", "connection-refused", "no-connection", "proxy",
    ],
    Action.FIX: ["-1013", "-1100", "-1111", "price-passed"],
    Action.RESYNC: ["-1021"],
    Action.STOP: [
        "-1002", "-1016", "-1020", "-1022", "-1120", "-2014", "-2015", "http-403", "http-407", "http-451",
        "account-restricted", "symbol-restricted", "key-characters", "address", "certificate",
    ],
    Action.REFUSE: [
        *(f"-{code}" for code in (*range(1101, 1109), *range(1114, 1120), 1127, 1128, 1130)),
        "-1010", "-1121", "-2010", "-2026", "http-4xx", "insufficient-balance", "order-kind", "thin-book",
    ],
}  # fmt: skip


def test_every_entry_of_the_table_does_what_is_promised() -> None:
    assert {key: remedy.action for key, remedy in TABLE.items()} == {
        key: action for action, keys in PROMISED.items() for key in keys
    }


@pytest.mark.parametrize("number", [int(key) for key in TABLE if key.startswith("-")])
def test_a_code_is_classified_by_its_entry(number: int) -> None:
    failure = classify(code(number, "words"))
    assert (failure.code, failure.message, failure.status) == (str(number), "words", 400)
    assert failure.remedy == TABLE[str(number)]


@pytest.mark.parametrize(
    ("error", "key"),
    [
        (TimeoutError(), "timeout"),
        (aiohttp.ServerTimeoutError(), "timeout"),
        (aiohttp.ServerDisconnectedError(), "network"),
        (aiohttp.ClientPayloadError(), "network"),
        (aiohttp.ClientOSError(), "network"),
        (ConnectionResetError(), "network"),
        (OSError("no route"), "network"),
        (not_json(), "unreadable"),
        (BinanceRequestException("Invalid Response"), "unreadable"),
        (json.JSONDecodeError("no", "", 0), "unreadable"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value,
)
def test_what_never_became_an_answer_leaves_the_outcome_unknown(error: Exception, key: str) -> None:
    failure = classify(error)
    assert failure.code == key
    assert failure.remedy.action is Action.ASK
    assert not failure.certainly_not_executed


@pytest.mark.parametrize("status", [500, 502, 503, 504, 599])
@pytest.mark.parametrize(
    "body", ["<html>Bad Gateway</html>", "", {"code": -1013, "msg": "Filter failure"}, {}], ids=str
)
def test_a_5xx_leaves_the_outcome_unknown_whatever_else_it_says(status: int, body: Any) -> None:
    failure = classify(answer(status, body))
    assert failure.remedy.action is Action.ASK
    assert not failure.certainly_not_executed


@pytest.mark.parametrize(
    ("status", "key", "action"),
    [(400, "http-4xx", Action.REFUSE), (403, "http-403", Action.STOP), (404, "http-4xx", Action.REFUSE),
     (407, "http-407", Action.STOP), (418, "http-418", Action.WAIT), (429, "http-429", Action.WAIT),
     (451, "http-451", Action.STOP)],
)  # fmt: skip
def test_an_answer_without_a_code_is_judged_by_its_status(status: int, key: str, action: Action) -> None:
    failure = classify(answer(status, "<html>no</html>"))
    assert (failure.code, failure.remedy.action, failure.message) == (key, action, f"HTTP {status}: no")
    assert failure.certainly_not_executed


def test_an_unknown_code_is_judged_by_its_status() -> None:
    assert classify(code(-9999, "new")).code == "http-4xx"
    assert classify(code(-9999, "new", 503)).code == "http-5xx"


def test_the_exchange_says_how_long_to_wait() -> None:
    limited = code(-1003, "Too many requests.", 429)
    assert classify(limited).remedy.delay == 60
    assert classify(limited, TABLE, 7).remedy.delay == 7
    assert classify(code(-1021), TABLE, 7).remedy.delay == 0  # only where waiting is the remedy


def test_a_ban_names_its_end() -> None:
    message = "Way too many requests; IP banned until 1659146400000. Please use the websocket."
    assert banned_until_ms(message) == 1_659_146_400_000
    assert banned_until_ms("Too many requests.") is None


def test_what_is_no_failure_of_the_exchange_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        classify(ZeroDivisionError())


def test_an_error_tells_code_endpoint_message_and_advice() -> None:
    error = ExchangeError("order.place", classify(code(-2015, "Invalid API-key.", 401)))
    assert str(error).startswith("Binance -2015 on order.place: Invalid API-key. (check BINANCE_API_KEY")
    assert str(ExchangeError("klines", classify(answer(502, "")))).startswith(
        "Binance http 5xx on klines: HTTP 502"
    )


def test_a_long_answer_does_not_fill_the_log() -> None:
    assert len(classify(code(-1013, "x" * 10_000)).message) == 300


def test_the_table_can_be_changed_entry_by_entry() -> None:
    changed = remedies({"-1003": {"delay": 90, "attempts": 5}, "-1008": {"action": "stop"}})
    assert (changed["-1003"].delay, changed["-1003"].attempts) == (90, 5)
    assert changed["-1003"].action is Action.WAIT
    assert changed["-1008"].action is Action.STOP
    assert {key for key in TABLE if TABLE[key] != changed[key]} == {"-1003", "-1008"}
    assert classify(code(-1003, status=429), changed).remedy.delay == 90


@pytest.mark.parametrize(
    ("key", "error"),
    [
        ("timeout", TimeoutError()), ("network", ConnectionResetError()), ("unreadable", not_json()),
        ("-1007", code(-1007)), ("-1003", code(-1003, status=503)),
    ],
)  # fmt: skip
def test_no_setting_makes_an_unknown_outcome_certain(key: str, error: Exception) -> None:
    assert not classify(error, remedies({key: {"action": "wait"}})).certainly_not_executed


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"-4711": {"delay": 1}}, "-4711, which is not in the table"),
        ({"-1003": {"dealy": 1}}, "-1003: .*dealy"),
        ({"-1003": {"action": "panic"}}, "-1003: .*panic"),
    ],
)
def test_a_mistake_in_the_table_is_one_clear_line(overrides: dict[str, Any], words: str) -> None:
    with pytest.raises(EightbellsError, match=words) as error:
        remedies(overrides)
    assert "\n" not in str(error.value)
