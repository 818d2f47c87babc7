"""What the exchange refuses and in which words: one exception, and the refusals that several places share."""

from __future__ import annotations

from collections.abc import Mapping


class Refusal(Exception):
    """An answer that is an error: HTTP status, Binance's code and message, extra headers."""

    def __init__(self, code: int, msg: str, status: int = 400, headers: Mapping[str, str] | None = None):
        super().__init__(f"{code}: {msg}")
        self.code = code
        self.msg = msg
        self.status = status
        self.headers = dict(headers or {})
        self.data: dict[str, object] | None = None

    def body(self) -> dict[str, object]:
        """The JSON body that Binance sends with this error."""
        answer: dict[str, object] = {"code": self.code, "msg": self.msg}
        if self.data is not None:
            answer["data"] = self.data
        return answer


def missing(name: str) -> Refusal:
    return Refusal(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def missing_either(first: str, second: str) -> Refusal:
    return Refusal(-1102, f"Param '{first}' or '{second}' must be sent, but both were empty/null!")


def not_required(name: str) -> Refusal:
    return Refusal(-1106, f"Parameter '{name}' sent when not required.")


def illegal(name: str, pattern: str) -> Refusal:
    return Refusal(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{pattern}'.")


def not_valid(name: str) -> Refusal:
    return Refusal(-1130, f"Data sent for parameter '{name}' is not valid.")


def bad_symbol() -> Refusal:
    return Refusal(-1121, "Invalid symbol.")


def filter_failure(name: str) -> Refusal:
    return Refusal(-1013, f"Filter failure: {name}")


def rejected(msg: str) -> Refusal:
    """Refused by the matching engine."""
    return Refusal(-2010, msg)


def insufficient_balance() -> Refusal:
    return rejected("Account has insufficient balance for requested action.")
