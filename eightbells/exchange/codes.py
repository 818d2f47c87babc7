"""The exchange's error codes that have a row or a meaning of their own here, by Binance's names."""

from __future__ import annotations

from enum import StrEnum


class ErrorCode(StrEnum):
    """An error code, as text: rows of the table that are no codes stand beside it (see recovery.TABLE)."""

    UNKNOWN = "-1000"
    DISCONNECTED = "-1001"
    UNAUTHORIZED = "-1002"
    TOO_MANY_REQUESTS = "-1003"
    UNEXPECTED_RESPONSE = "-1006"
    TIMEOUT = "-1007"
    SERVER_BUSY = "-1008"
    ERROR_MESSAGE_RECEIVED = "-1010"
    INVALID_MESSAGE = "-1013"
    TOO_MANY_ORDERS = "-1015"
    SERVICE_SHUTTING_DOWN = "-1016"
    UNSUPPORTED_OPERATION = "-1020"
    INVALID_TIMESTAMP = "-1021"
    INVALID_SIGNATURE = "-1022"
    TOO_MANY_CONNECTIONS = "-1034"
    ILLEGAL_CHARACTERS = "-1100"
    BAD_PRECISION = "-1111"
    BAD_INTERVAL = "-1120"
    BAD_SYMBOL = "-1121"
    NEW_ORDER_REJECTED = "-2010"
    CANCEL_REJECTED = "-2011"
    NO_SUCH_ORDER = "-2013"
    BAD_API_KEY_FORMAT = "-2014"
    REJECTED_API_KEY = "-2015"
    ORDER_ARCHIVED = "-2026"


# An order that the exchange answers so about is not visible: not yet, not any more, or it was never there.
NOT_SHOWN = frozenset({ErrorCode.BAD_SYMBOL, ErrorCode.NO_SUCH_ORDER, ErrorCode.ORDER_ARCHIVED})
