"""An answer of the exchange, or of something in its place, that is no success; and its words, fit to be shown."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping

import orjson

_LONGEST = 300
_NOT_SHOWN = re.compile(r"(?is)<(script|style)\b.*?(?:</\1>|\Z)|<!--.*?-->|<[^>]*>")
# an error page may quote the request, which is signed
_QUERY = re.compile(r"(?i)\?\S+=\S*|\bsignature\W{1,3}[\w%+/=-]+")


class BadAnswer(Exception):
    """An answer that is an error, or a success that cannot be read; `body` is as it came."""

    def __init__(self, status: int, body: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"HTTP {status}")
        self.status, self.body, self.headers = status, body, headers or {}


class HalfAnswer(BadAnswer):
    """The half of a replacement that the exchange refused.

    `attempted`: it is the new order's; `cancelled` is then the answer to the half that was carried out.
    """

    def __init__(
        self, status: int, body: str, headers: Mapping[str, str] | None, attempted: bool, cancelled: object
    ) -> None:
        super().__init__(status, body, headers)
        self.attempted, self.cancelled = attempted, cancelled


def failed_half(answer: BadAnswer) -> HalfAnswer | None:
    """The refused half of a replacement that failed; None where the answer does not tell the halves apart."""
    try:
        read = orjson.loads(answer.body)
        data = read["data"] if read["code"] in (-2021, -2022) else None
        if data is None:
            return None
        attempted = data["newOrderResult"] == "FAILURE"
        half = data["newOrderResponse" if attempted else "cancelResponse"]
        if data["newOrderResult"] == "SUCCESS" or not isinstance(half, dict):
            return None
    except (ValueError, KeyError, TypeError):
        return None
    cancelled = data.get("cancelResponse") if attempted else None
    return HalfAnswer(400, orjson.dumps(half).decode(), answer.headers, attempted, cancelled)


class UnreadableAnswer(BadAnswer):
    """A success that is JSON and not what it must be; `why` names the field and what stands there."""

    def __init__(self, why: str) -> None:
        super().__init__(200, "")
        self.why = why


def shown(text: str) -> str:
    """The first words of a text or an HTML page, on one line, without the request that it may quote."""
    plain = html.unescape(_NOT_SHOWN.sub(" ", text[:20_000]))
    words = " ".join(_QUERY.sub("?...", plain).split())
    return "".join(letter for letter in words if letter.isprintable())[:_LONGEST]
