"""A failed request read as one row of the table: by status, code and words, or by what kept it from being sent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import aiohttp
import orjson
from binance.exceptions import BinanceRequestException

from eightbells.errors import UnsendableKey
from eightbells.exchange.answers import BadAnswer, UnreadableAnswer, shown
from eightbells.exchange.recovery import REJECTED, TABLE, WORDS, Action, Failure, Remedy

_SAYING_LITTLE = frozenset({"http-403", "http-4xx", "http-5xx"})
_LONGEST_WAIT = 3 * 86_400.0  # seconds: no ban is longer


def classify(
    error: BaseException, table: Mapping[str, Remedy] = TABLE, retry_after: float | None = None
) -> Failure:
    """Say what a failed request means.

    Args:
        error: what the client, aiohttp or asyncio raised.
        table: remedies by row.
        retry_after: the answer's Retry-After in seconds, where it had one.
    """
    if isinstance(error, BadAnswer):
        return _of_answer(error, table, retry_after)
    key, message = _of_no_answer(error)
    return Failure(key, message, None, table[key])


def _of_answer(answer: BadAnswer, table: Mapping[str, Remedy], retry_after: float | None) -> Failure:
    if isinstance(answer, UnreadableAnswer):
        return Failure("unreadable", answer.why, answer.status, table["unreadable"])
    status = answer.status
    code, said = _code_and_words(answer.body)
    key = str(code) if str(code) in TABLE else _key_of_status(answer)
    row = _row_of_words(key, said)
    message = said if key == str(code) else _with_origin(key, status, code, said)
    failure = Failure(key, message, status, table[row], row)
    if status >= 500:  # whatever the code says, the engine may have taken the order
        return replace(failure, remedy=replace(failure.remedy, action=Action.ASK))
    if failure.remedy.action is Action.WAIT and retry_after is not None:
        delay = min(retry_after, _LONGEST_WAIT)
        return replace(failure, remedy=replace(failure.remedy, delay=delay))
    return failure


def _code_and_words(body: str) -> tuple[int, str]:
    """The code of an answer, 0 where it has none, and what it says."""
    try:
        read: Any = orjson.loads(body)
    except ValueError:
        return 0, shown(body)
    if not isinstance(read, dict):
        return 0, shown(body)
    code = str(read.get("code"))
    words = read.get("msg")
    return int(code) if re.fullmatch(r"-?[0-9]{1,9}", code) else 0, shown(str(words or ""))


def _key_of_status(answer: BadAnswer) -> str:
    status = answer.status
    if status == 202 or (status // 100 == 2 and _is_held_back(answer)):
        return "http-202"
    if status // 100 == 2:
        return "unreadable"
    if status < 500 and _is_held_back(answer):
        return "http-403"
    return f"http-{status}" if f"http-{status}" in TABLE else f"http-{status // 100}xx"


def _is_held_back(answer: BadAnswer) -> bool:
    """Whether the firewall in front of the exchange wants a browser to prove itself."""
    return any(name.lower() == "x-amzn-waf-action" for name in answer.headers)


def _row_of_words(key: str, said: str) -> str:
    """The row that the exchange's words lead to, where code and status say too little."""
    if key not in REJECTED | _SAYING_LITTLE:
        return key
    lower = said.lower()
    return next((row for words, row in WORDS if words in lower), key)


def _with_origin(key: str, status: int, code: int, said: str) -> str:
    if key == "unreadable":
        return f"the answer is not JSON{said and f': {said}'}"
    words = f"{code} {said}".strip() if code else said
    return f"HTTP {status}{words and f': {words}'}"


def _of_no_answer(error: BaseException) -> tuple[str, str]:
    """Key and words of a failure without an answer. After those of the connection nothing was sent."""
    if isinstance(error, UnsendableKey):
        return "key-characters", str(error)
    if isinstance(error, aiohttp.InvalidURL | aiohttp.NonHttpUrlClientError):
        return "address", "the address cannot be asked"
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return "http-407" if error.status == 407 else "proxy", f"the proxy answers HTTP {error.status}"
    if isinstance(error, aiohttp.ClientConnectorError):
        return _of_no_connection(error)
    if isinstance(error, TimeoutError):
        return "timeout", "no answer in time"
    if isinstance(error, aiohttp.ContentTypeError | BinanceRequestException | ValueError):
        return "unreadable", "the answer is not JSON"
    if isinstance(error, aiohttp.ClientError | OSError):
        return "network", type(error).__name__
    raise error


def _of_no_connection(error: aiohttp.ClientConnectorError) -> tuple[str, str]:
    where = f"{error.host}:{error.port}"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        reason = getattr(error.certificate_error, "verify_message", "") or "no reason given"
        return "certificate", f"{where}: {reason}"
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return "proxy", "the proxy cannot be reached"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "name-resolution", f"{error.host}: {error.os_error.strerror or 'no such name'}"
    if isinstance(error.os_error, ConnectionRefusedError):
        return "connection-refused", f"{where} refuses the connection"
    return "no-connection", f"{where}: {error.os_error.strerror or type(error.os_error).__name__}"


def requested_wait(error: Exception, now_ms: int | None) -> float | None:
    """How many seconds the exchange says to wait: by Retry-After, or by the end of a ban where its clock is known."""
    if not isinstance(error, BadAnswer):
        return None
    after, until = error.headers.get("Retry-After", ""), banned_until_ms(error.body)
    if re.fullmatch(r"[0-9]+", after):
        return float(after)
    return None if until is None or now_ms is None else max(0.0, (until - now_ms) / 1000)


def banned_until_ms(message: str) -> int | None:
    """The end of the ban that a -1003 names, in ms of the exchange's clock."""
    found = re.search(r"banned until (\d{13})", message)
    return int(found.group(1)) if found else None
