"""What decides where no code does: the exchange's words, what stands in its place, how far a request came."""

from __future__ import annotations

import ssl
from typing import Any

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from yarl import URL

from eightbells.errors import UnsendableKey
from eightbells.exchange.classification import classify
from eightbells.exchange.recovery import REJECTED, TABLE, WORDS, Action
from tests.unit.failures import answer, code

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
