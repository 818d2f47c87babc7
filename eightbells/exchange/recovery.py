"""What every failure of the exchange means and what is done about it: one table, one function that reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from eightbells.errors import EightbellsError
from eightbells.exchange.codes import ErrorCode


class Action(StrEnum):
    """What follows a failure."""

    RESYNC = "resync"  # repair the clock, go again at once
    WAIT = "wait"  # wait, then go again
    ASK = "ask"  # the outcome is unknown: an order is asked for by its client order id, a read goes again
    FIX = "fix"  # fetch the symbol's rules, quantize again, once
    REFUSE = "refuse"  # it certainly did not happen and never will: report it, go on without
    STOP = "stop"  # configuration or account at fault: report it, end


@dataclass(frozen=True)
class Remedy:
    """Action, seconds to wait before the next attempt, and how many attempts follow the first."""

    action: Action
    delay: float = 0.0
    attempts: int = 0
    advice: str = ""


_A = Action
_C = ErrorCode
_UNKNOWN = Remedy(_A.ASK, 5, 3, "the outcome is unknown until Eightbells has queried it")
_BUG = Remedy(_A.REFUSE, advice="the request was malformed: report it, it is a mistake of this program")
_ACCESS = Remedy(_A.STOP, advice="check BINANCE_API_KEY, its secret, its permissions and its IP list")
_BUSY = "too many requests, every process waits: stop other programs on this address, or lower [budgets]"
_NETWORK = "check the network, and exchange.rest_url in eightbells.toml"

TABLE: dict[str, Remedy] = {
    _C.UNKNOWN: _UNKNOWN,
    _C.DISCONNECTED: _UNKNOWN,
    _C.UNEXPECTED_RESPONSE: _UNKNOWN,
    _C.TIMEOUT: _UNKNOWN,
    _C.UNAUTHORIZED: _ACCESS,
    _C.TOO_MANY_REQUESTS: Remedy(_A.WAIT, 60, 3, _BUSY),
    _C.SERVER_BUSY: Remedy(_A.WAIT, 10, 3, "the exchange is busy"),
    _C.ERROR_MESSAGE_RECEIVED: Remedy(
        _A.REFUSE, advice="the exchange refused the order for the reason it gives"
    ),
    _C.INVALID_MESSAGE: Remedy(
        _A.FIX, 0, 1, "the order broke a filter: its symbol's rules are fetched again"
    ),
    _C.TOO_MANY_ORDERS: Remedy(_A.WAIT, 10, 3, "too many orders"),
    _C.SERVICE_SHUTTING_DOWN: Remedy(_A.STOP, advice="the service has been shut down"),
    _C.UNSUPPORTED_OPERATION: Remedy(_A.STOP, advice="the operation is not supported"),
    _C.INVALID_TIMESTAMP: Remedy(
        _A.RESYNC, 0, 3, "the clock is measured again; `timedatectl set-ntp true` keeps this machine's right"
    ),
    _C.INVALID_SIGNATURE: _ACCESS,
    _C.TOO_MANY_CONNECTIONS: Remedy(_A.WAIT, 10, 3, "too many connections"),
    _C.ILLEGAL_CHARACTERS: Remedy(_A.FIX, 0, 1, "illegal characters in a value"),
    _C.BAD_PRECISION: Remedy(_A.FIX, 0, 1, "too many digits in a value"),
    **{f"-{code}": _BUG for code in (*range(1101, 1109), *range(1114, 1120), 1127, 1128, 1130)},
    _C.BAD_INTERVAL: Remedy(_A.STOP, advice="the interval is not one of the exchange's"),
    _C.BAD_SYMBOL: Remedy(_A.REFUSE, advice="check the list of symbols: this one is left out of the run"),
    _C.NEW_ORDER_REJECTED: Remedy(_A.REFUSE, advice="the exchange refused the order for the reason it gives"),
    _C.CANCEL_REJECTED: Remedy(_A.ASK, 0, 1, "the order was filled or cancelled, or it never existed"),
    _C.NO_SUCH_ORDER: Remedy(_A.ASK, 2, 3, "the order is not visible yet, or does not exist"),
    _C.BAD_API_KEY_FORMAT: _ACCESS,
    _C.REJECTED_API_KEY: _ACCESS,
    _C.ORDER_ARCHIVED: Remedy(_A.REFUSE, advice="the order was archived without a fill"),
    # what the words of an answer mean: see WORDS
    "duplicate-order": _UNKNOWN,
    "market-closed": Remedy(_A.WAIT, 60, 3, "the market of this symbol is closed"),
    "maintenance": Remedy(_A.WAIT, 60, 3, "the exchange takes no orders for now: it is under maintenance"),
    "price-passed": Remedy(_A.FIX, 0, 1, "the price has moved past the order's"),
    "insufficient-balance": Remedy(_A.REFUSE, advice="check the allocated capital"),
    "account-restricted": Remedy(
        _A.STOP,
        advice="the exchange has restricted this account; key and capital are not the cause: "
        "log in to Binance, or ask its support",
    ),
    "symbol-restricted": Remedy(
        _A.STOP, advice="this account may not trade this symbol: take it out of symbols in eightbells.toml"
    ),
    "order-kind": Remedy(
        _A.REFUSE,
        advice="this symbol does not take orders of this kind: change trading.order_type or stop_loss",
    ),
    "thin-book": Remedy(_A.REFUSE, advice="the order book holds too little for this order"),
    # answers without a code, by their status
    "http-202": Remedy(
        _A.ASK, 5, 3, "the exchange's firewall blocks requests from this address: lower [budgets], or wait"
    ),
    "http-3xx": Remedy(
        _A.ASK,
        5,
        3,
        "the network redirects the request: log in to this network, or check exchange.rest_url",
    ),
    "http-403": Remedy(
        _A.STOP,
        advice="the exchange's firewall refuses this address or this request: try from another address",
    ),
    "http-407": Remedy(_A.STOP, advice="the proxy wants a user and a password: set them in HTTPS_PROXY"),
    "http-418": Remedy(
        _A.WAIT,
        120,
        3,
        "this address is banned, every process waits: send nothing until the ban ends, then lower [budgets]",
    ),
    "http-429": Remedy(_A.WAIT, 60, 3, _BUSY),
    "http-451": Remedy(
        _A.STOP, advice="Binance does not serve the country of this address: run from where you may use it"
    ),
    "http-4xx": Remedy(
        _A.REFUSE, advice="the request was refused: read the reason, and check exchange.rest_url"
    ),
    "http-5xx": Remedy(
        _A.ASK,
        5,
        3,
        "wait: the exchange has a problem; Eightbells queries an order with an unknown outcome",
    ),
    # no answer: of the first ones nothing was sent
    "key-characters": Remedy(
        _A.STOP,
        advice="set the variable to exactly what Binance shows, without quotation marks, spaces or line ends",
    ),
    "address": Remedy(_A.STOP, advice="exchange.rest_url in eightbells.toml is no address of http or https"),
    "name-resolution": Remedy(
        _A.WAIT,
        5,
        3,
        "the exchange's name cannot be resolved: check the network, its DNS, and exchange.rest_url",
    ),
    "connection-refused": Remedy(_A.WAIT, 2, 5, f"no program listens at that address: {_NETWORK}"),
    "no-connection": Remedy(_A.WAIT, 2, 5, f"no connection can be made: {_NETWORK}"),
    "proxy": Remedy(_A.WAIT, 5, 3, "the proxy makes no connection to the exchange: check HTTPS_PROXY"),
    "certificate": Remedy(
        _A.STOP,
        advice="the certificate is not trusted: something inspects the connection, this machine's clock is wrong, or "
        "it lacks a CA; name its file in SSL_CERT_FILE",
    ),
    "network": Remedy(_A.ASK, 2, 5, f"the connection failed, what the exchange did is unknown: {_NETWORK}"),
    "timeout": Remedy(_A.ASK, 2, 5, f"no answer in time, what the exchange did is unknown: {_NETWORK}"),
    "unreadable": Remedy(_A.ASK, 5, 3, "the answer could not be read"),
}

# The rows that say that something is wrong with the key.
KEY_ROWS = frozenset(key for key, remedy in TABLE.items() if remedy is _ACCESS)

# The engine and the gate before it say many things under each of these codes: the exchange's own words decide.
REJECTED: frozenset[str] = frozenset(
    {_C.ERROR_MESSAGE_RECEIVED, _C.INVALID_MESSAGE, _C.NEW_ORDER_REJECTED, _C.CANCEL_REJECTED}
)

# The exchange's words, in small letters, and the row of the table that they lead to. The first that is found counts.
WORDS: tuple[tuple[str, str], ...] = (
    ("filter failure", _C.INVALID_MESSAGE),
    ("duplicate order", "duplicate-order"),
    ("insufficient balance", "insufficient-balance"),
    ("market is closed", "market-closed"),
    ("api trading is not enabled", "maintenance"),
    ("maintenance", "maintenance"),
    ("would trigger immediately", "price-passed"),
    ("would immediately match", "price-passed"),
    ("disabled on this account", "account-restricted"),
    ("account may not", "account-restricted"),
    ("account is restricted", "account-restricted"),
    ("account has been", "account-restricted"),
    ("account is locked", "account-restricted"),
    ("account is banned", "account-restricted"),
    ("account is frozen", "account-restricted"),
    ("symbol is not permitted", "symbol-restricted"),
    ("symbol is restricted", "symbol-restricted"),
    ("not supported for this symbol", "order-kind"),
    ("not support for this symbol", "order-kind"),
    ("not possible in this trading pair", "order-kind"),
    ("unsupported order combination", "order-kind"),
    ("order book liquidity", "thin-book"),
    ("zero or less", _C.INVALID_MESSAGE),
    ("less than zero", _C.INVALID_MESSAGE),
    ("restricted location", "http-451"),
    ("access from your country", "http-451"),
)


@dataclass(frozen=True)
class Failure:
    """A failure, classified.

    `code` is the exchange's code, or the kind of failure where it gave none that is known; `row` the table's key
    of the remedy, which is the code unless the exchange's words lead to another; `message` what the exchange said.
    """

    code: str
    message: str
    status: int | None
    remedy: Remedy
    row: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "row", self.row or self.code)

    @property
    def certainly_not_executed(self) -> bool:
        """Whether an order that failed like this cannot exist at the exchange.

        That is a fact about the exchange and no setting: an override may say what is done, never what is certain.
        """
        doubtful = TABLE[self.row].action is Action.ASK or (self.status is not None and self.status >= 500)
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
