"""What every failure of the exchange means and what is done about it: one table, one function that reads it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import aiohttp
from binance.exceptions import BinanceAPIException, BinanceRequestException

from eightbells.errors import EightbellsError


class Action(StrEnum):
    """What follows a failure."""

    RESYNC = "resync"  # repair the clock, go again at once
    WAIT = "wait"  # wait, then go again
    ASK = "ask"  # the outcome is unknown: an order is asked for by its client order id, a read goes again
    FIX = "fix"  # fetch the symbol's rules, quantize anew, once
    REFUSE = "refuse"  # it certainly did not happen and never will: tell, go on without
    STOP = "stop"  # configuration or account at fault: tell, end


@dataclass(frozen=True)
class Remedy:
    """Action, seconds to wait before the next attempt, and how many attempts follow the first."""

    action: Action
    delay: float = 0.0
    attempts: int = 0
    advice: str = ""


_A = Action
_UNKNOWN = Remedy(_A.ASK, 5, 3, "the outcome is unknown until the exchange has been asked")
_BUG = Remedy(_A.REFUSE, advice="the request was malformed: report it, it is a mistake of this program")
_ACCESS = Remedy(_A.STOP, advice="check BINANCE_API_KEY, its secret, its permissions and its IP list")

TABLE: dict[str, Remedy] = {
    "-1000": _UNKNOWN,
    "-1001": _UNKNOWN,
    "-1006": _UNKNOWN,
    "-1007": _UNKNOWN,
    "-1002": _ACCESS,
    "-1003": Remedy(_A.WAIT, 60, 3, "too many requests: every process waits"),
    "-1008": Remedy(_A.WAIT, 10, 3, "the exchange is busy"),
    "-1013": Remedy(_A.FIX, 0, 1, "the order broke a filter: its symbol's rules are fetched anew"),
    "-1015": Remedy(_A.WAIT, 10, 3, "too many orders"),
    "-1016": Remedy(_A.STOP, advice="the service has been shut down"),
    "-1020": Remedy(_A.STOP, advice="the operation is not supported"),
    "-1021": Remedy(_A.RESYNC, 0, 3, "the clock is measured anew"),
    "-1022": _ACCESS,
    "-1034": Remedy(_A.WAIT, 10, 3, "too many connections"),
    "-1100": Remedy(_A.FIX, 0, 1, "illegal characters in a value"),
    "-1111": Remedy(_A.FIX, 0, 1, "too many digits in a value"),
    **{f"-{code}": _BUG for code in (*range(1101, 1109), *range(1114, 1120), 1127, 1128, 1130)},
    "-1120": Remedy(_A.STOP, advice="the interval is not one of the exchange's"),
    "-1121": Remedy(_A.REFUSE, advice="check the list of symbols: this one is left out of the run"),
    "-2010": Remedy(_A.REFUSE, advice="check the allocated capital"),
    "-2011": Remedy(_A.ASK, 0, 1, "the order was filled, cancelled or never there"),
    "-2013": Remedy(_A.ASK, 2, 3, "the order is not visible, or not there"),
    "-2014": _ACCESS,
    "-2015": _ACCESS,
    "-2026": Remedy(_A.REFUSE, advice="the order was archived without a fill"),
    "http-403": Remedy(_A.STOP, advice="the exchange's firewall refuses this address or this request"),
    "http-418": Remedy(_A.WAIT, 120, 3, "this address is banned: every process waits"),
    "http-429": Remedy(_A.WAIT, 60, 3, "too many requests: every process waits"),
    "http-4xx": Remedy(_A.REFUSE, advice="the request was refused"),
    "http-5xx": _UNKNOWN,
    "network": Remedy(_A.ASK, 2, 5, "the connection failed, what the exchange did is unknown"),
    "timeout": Remedy(_A.ASK, 2, 5, "no answer in time, what the exchange did is unknown"),
    "unreadable": Remedy(_A.ASK, 5, 3, "the answer could not be read"),
}

# -2010 says many things under one code; what its message says decides.
_REJECTED: tuple[tuple[str, Remedy], ...] = (
    ("duplicate order", _UNKNOWN),
    ("market is closed", Remedy(_A.WAIT, 60, 1, "the market is closed")),
    ("would trigger immediately", Remedy(_A.FIX, 0, 1, "the price has moved past the order's")),
    ("would immediately match", Remedy(_A.FIX, 0, 1, "the price has moved past the order's")),
    ("account may not", _ACCESS),
    ("symbol is not permitted", _ACCESS),
    ("trading is not enabled", _ACCESS),
)


@dataclass(frozen=True)
class Failure:
    """A failure, classified: `code` is the table's key, `message` what the exchange said."""

    code: str
    message: str
    status: int | None
    remedy: Remedy

    @property
    def certainly_not_executed(self) -> bool:
        """Whether an order that failed like this cannot exist at the exchange.

        That is a fact about the exchange and no setting: an override may say what is done, never what is certain.
        """
        doubtful = TABLE[self.code].action is Action.ASK or (self.status is not None and self.status >= 500)
        return not doubtful and self.remedy.action is not Action.ASK


class ExchangeError(EightbellsError):
    """A request to the exchange failed; carries its `failure` and never the request itself, which is signed."""

    def __init__(self, endpoint: str, failure: Failure) -> None:
        self.endpoint, self.failure = endpoint, failure
        label = failure.code if failure.code.startswith("-") else failure.code.replace("-", " ")
        super().__init__(f"Binance {label} on {endpoint}: {failure.message} ({failure.remedy.advice})")


def remedies(overrides: Mapping[str, Mapping[str, Any]]) -> dict[str, Remedy]:
    """The table with the overrides of `[errors]` in eightbells.toml.

    Raises:
        EightbellsError: an override names an unknown code or field.
    """
    table = dict(TABLE)
    for code, changes in overrides.items():
        if code not in table:
            raise EightbellsError(f"[errors] names {code}, which is not in the table of docs/error-codes.md")
        try:
            action = {"action": Action(changes["action"])} if "action" in changes else {}
            table[code] = replace(table[code], **{**changes, **action})
        except (TypeError, ValueError) as error:
            raise EightbellsError(f"[errors] {code}: {error}") from None
    return table


def classify(
    error: BaseException, table: Mapping[str, Remedy] = TABLE, retry_after: float | None = None
) -> Failure:
    """Say what a failed request means.

    Args:
        error: what python-binance, aiohttp or asyncio raised.
        table: remedies by code.
        retry_after: the answer's Retry-After in seconds, where it had one.
    """
    if isinstance(error, BinanceAPIException):
        return _classify_answer(error, table, retry_after)
    if isinstance(error, TimeoutError):
        return _failure("timeout", "no answer in time", None, table)
    if isinstance(error, aiohttp.ContentTypeError | BinanceRequestException | ValueError):
        return _failure("unreadable", "the answer is not JSON", getattr(error, "status", None), table)
    if isinstance(error, aiohttp.ClientError | OSError):
        return _failure("network", type(error).__name__, None, table)
    raise error


def _classify_answer(
    error: BinanceAPIException, table: Mapping[str, Remedy], retry_after: float | None
) -> Failure:
    status, code, message = int(error.status_code), error.code, str(error.message or "")
    key = f"{code}" if code and f"{code}" in table else _key_of_status(status)
    if not code:
        message = f"HTTP {status}"
    failure = _failure(key, message, status, table)
    if status >= 500:  # whatever the code says, the engine may have taken the order
        return replace(failure, remedy=replace(failure.remedy, action=Action.ASK))
    if key == "-2010":
        for words, remedy in _REJECTED:
            if words in message.lower():
                return replace(failure, remedy=remedy)
    if failure.remedy.action is Action.WAIT and retry_after is not None:
        return replace(failure, remedy=replace(failure.remedy, delay=retry_after))
    return failure


def _key_of_status(status: int) -> str:
    if f"http-{status}" in TABLE:
        return f"http-{status}"
    return "http-5xx" if status >= 500 else "http-4xx"


def banned_until_ms(message: str) -> int | None:
    """The end of the ban that a -1003 names, in ms of the exchange's clock."""
    found = re.search(r"banned until (\d{13})", message)
    return int(found.group(1)) if found else None


def _failure(key: str, message: str, status: int | None, table: Mapping[str, Remedy]) -> Failure:
    return Failure(key, message[:300], status, table[key])
