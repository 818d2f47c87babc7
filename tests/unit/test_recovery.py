"""Every kind of failure, and what follows it: nothing ambiguous is ever called refused."""

from __future__ import annotations

import json
import ssl
from typing import Any

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from binance.exceptions import BinanceRequestException
from yarl import URL

from eightbells.errors import EightbellsError, UnsendableKey
from eightbells.exchange.answers import BadAnswer
from eightbells.exchange.classification import banned_until_ms, classify
from eightbells.exchange.recovery import REJECTED, TABLE, WORDS, Action, ExchangeError, remedies

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


def answer(status: int, body: Any, **headers: str) -> BadAnswer:
    """What the client makes of an answer that is an error."""
    text = body if isinstance(body, str) else json.dumps(body)
    return BadAnswer(status, text, {name.replace("_", "-"): value for name, value in headers.items()})


def code(number: int, message: str = "", status: int = 400) -> BadAnswer:
    return answer(status, {"code": number, "msg": message})


def not_json(status: int = 200) -> aiohttp.ContentTypeError:
    request = aiohttp.RequestInfo(URL("http://exchange"), "GET", {}, URL("http://exchange"))  # type: ignore[arg-type]
    return aiohttp.ContentTypeError(request, (), status=status)


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


SAID = [
    ("Account has insufficient balance for requested action.", "insufficient-balance"),
    ("Duplicate order sent.", "duplicate-order"),
    ("Market is closed.", "market-closed"),
    ("Rest API trading is not enabled.", "maintenance"),
    ("WebSocket API trading is not enabled.", "maintenance"),
    ("FIX API trading is not enabled.", "maintenance"),
    ("System is under maintenance.", "maintenance"),
    ("Order would trigger immediately.", "price-passed"),
    ("Stop price would trigger immediately.", "price-passed"),
    ("Order would immediately match and take.", "price-passed"),
    ("This action is disabled on this account.", "account-restricted"),
    ("This account may not place or cancel orders.", "account-restricted"),
    ("Your account has been restricted.", "account-restricted"),
    ("This account is locked.", "account-restricted"),
    ("This symbol is not permitted for this account.", "symbol-restricted"),
    ("This symbol is restricted for this account.", "symbol-restricted"),
    ("Market orders are not supported for this symbol.", "order-kind"),
    ("Quote order qty market orders are not support for this symbol.", "order-kind"),
    ("This order type is not possible in this trading pair.", "order-kind"),
    ("Unsupported order combination", "order-kind"),
    ("Order book liquidity is less than LOT_SIZE filter minimum quantity.", "thin-book"),
    ("Filter failure: MAX_NUM_ALGO_ORDERS", "-1013"),
    ("Price * QTY is zero or less.", "-1013"),
]


@pytest.mark.parametrize(("message", "row"), SAID, ids=[message for message, _ in SAID])
@pytest.mark.parametrize("number", sorted(map(int, REJECTED)))
def test_the_words_of_a_rejection_decide_under_each_of_its_codes(number: int, message: str, row: str) -> None:
    failure = classify(code(number, message))
    assert (failure.code, failure.row, failure.message) == (str(number), row, message)
    assert failure.remedy == TABLE[row]
    assert failure.certainly_not_executed == (TABLE[row].action is not Action.ASK)


@pytest.mark.parametrize("number", sorted(map(int, REJECTED)))
def test_a_rejection_in_other_words_is_its_codes(number: int) -> None:
    assert classify(code(number, "Something new.")).row == str(number)


def test_every_phrase_leads_to_a_row_and_is_in_small_letters() -> None:
    assert {row for _, row in WORDS} <= set(TABLE)
    assert [words for words, _ in WORDS if words != words.lower()] == []


@pytest.mark.parametrize("number", [-1000, -1007, -1003, -2013, -2015])
def test_no_words_overrule_a_code_that_says_enough(number: int) -> None:
    assert classify(code(number, "Market is closed. System maintenance.")).row == str(number)


@pytest.mark.parametrize("status", [202, 302, 407, 418, 429])
def test_no_words_overrule_a_status_that_says_enough(status: int) -> None:
    assert classify(
        answer(status, "System maintenance. Your account has been locked.")
    ).row == f"http-{status}".replace("302", "3xx")


@pytest.mark.parametrize("words", ["Market is closed.", "insufficient balance", "Filter failure: LOT_SIZE"])
def test_no_words_make_a_5xx_certain(words: str) -> None:
    assert not classify(code(-2010, words, 503)).certainly_not_executed
    assert not classify(answer(503, words)).certainly_not_executed


def test_maintenance_is_waited_for_whatever_it_comes_as() -> None:
    page = classify(answer(503, "<html><title>System maintenance</title></html>"))
    assert (page.code, page.row, page.remedy.delay) == ("http-5xx", "maintenance", 60)
    assert classify(code(1, "System is under maintenance.")).row == "maintenance"
    assert classify(code(0, "System is under maintenance.")).remedy.action is Action.WAIT


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (451, ""),
        (
            451,
            {
                "code": 0,
                "msg": "Service unavailable from a restricted location according to 'b. Eligibility'",
            },
        ),
        (403, {"code": 0, "msg": "Service unavailable from a restricted location."}),
        (403, "<html>The distribution is configured to block access from your country.</html>"),
    ],
    ids=str,
)
def test_a_country_that_is_not_served_is_named_as_such(status: int, body: Any) -> None:
    failure = classify(answer(status, body))
    assert (failure.row, failure.certainly_not_executed) == ("http-451", True)


@pytest.mark.parametrize(
    ("status", "headers", "key"),
    [
        (202, {}, "http-202"),
        (202, {"x_amzn_waf_action": "challenge"}, "http-202"),
        (200, {"X_Amzn_Waf_Action": "challenge"}, "http-202"),
        (405, {"x_amzn_waf_action": "captcha"}, "http-403"),
        (302, {"Location": "http://login"}, "http-3xx"),
        (308, {}, "http-3xx"),
    ],
)
def test_what_stands_in_between_is_no_answer_of_the_exchange(
    status: int, headers: dict[str, str], key: str
) -> None:
    failure = classify(answer(status, "", **headers))
    assert failure.code == key
    assert failure.certainly_not_executed == (key == "http-403")


QUOTED = "getting http://x/api/v3/order?symbol=A&signature=abcdef0123 failed"
PAGE = "<head><style>b{}</style><title>Bad &amp; ugly</title></head><p>Go\naway</p><script>x"
WORDED: list[tuple[Any, str]] = [
    ({"code": 0, "msg": "Said so."}, ": Said so."),
    ({"msg": "Said so."}, ": Said so."),
    ({"code": None, "msg": None}, ""),
    ({"code": "-9999", "msg": "new"}, ": -9999 new"),
    ({"code": {"a": 1}, "msg": ["x"]}, ": ['x']"),
    ("[1]", ": [1]"),
    ("plain\r\nwords \x1b[31m", ": plain words [31m"),
    (PAGE, ": Bad & ugly Go away"),
    ("<!-- hidden -->", ""),
    (QUOTED, ": getting http://x/api/v3/order?... failed"),
    ("signature: abcdef0123456789", ": ?..."),
]


@pytest.mark.parametrize(("body", "message"), WORDED, ids=str)
def test_what_an_answer_without_a_code_says_is_kept_fit_to_be_shown(body: Any, message: str) -> None:
    assert classify(answer(400, body)).message == f"HTTP 400{message}"


KEY = ConnectionKey("exchange", 443, True, True, None, None, None)


def unconnected(kind: type[aiohttp.ClientConnectorError], reason: Exception) -> Exception:
    return kind(KEY, reason)  # type: ignore[arg-type]


def refused_by_the_proxy(status: int) -> Exception:
    request = aiohttp.RequestInfo(URL("http://exchange"), "CONNECT", {}, URL("http://exchange"))  # type: ignore[arg-type]
    return aiohttp.ClientHttpProxyError(request, (), status=status)


@pytest.mark.parametrize(
    ("error", "key"),
    [
        (
            unconnected(aiohttp.ClientConnectorDNSError, OSError(None, "Domain name not found")),
            "name-resolution",
        ),
        (
            unconnected(aiohttp.ClientConnectorError, ConnectionRefusedError(111, "refused")),
            "connection-refused",
        ),
        (unconnected(aiohttp.ClientConnectorError, OSError(113, "No route to host")), "no-connection"),
        (unconnected(aiohttp.ClientConnectorError, OSError("Multiple exceptions")), "no-connection"),
        (unconnected(aiohttp.ClientConnectorSSLError, ssl.SSLError(1, "wrong version")), "no-connection"),
        (
            unconnected(aiohttp.ClientConnectorCertificateError, ssl.SSLCertVerificationError(1, "no")),
            "certificate",
        ),
        (unconnected(aiohttp.ClientProxyConnectionError, ConnectionRefusedError(111, "refused")), "proxy"),
        (refused_by_the_proxy(502), "proxy"),
        (refused_by_the_proxy(407), "http-407"),
        (aiohttp.InvalidURL("http://"), "address"),
        (aiohttp.NonHttpUrlClientError(URL("x://y")), "address"),
        (UnsendableKey("BINANCE_API_KEY ends with a carriage return"), "key-characters"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value,
)
def test_what_was_never_sent_is_certainly_not_executed(error: Exception, key: str) -> None:
    failure = classify(error)
    assert (failure.code, failure.certainly_not_executed) == (key, True)
    assert failure.remedy == TABLE[key]


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
