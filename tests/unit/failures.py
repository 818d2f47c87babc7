"""Failed requests as the client sees them."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
from yarl import URL

from eightbells.exchange.answers import BadAnswer


def answer(status: int, body: Any, **headers: str) -> BadAnswer:
    """What the client makes of an answer that is an error."""
    text = body if isinstance(body, str) else json.dumps(body)
    return BadAnswer(status, text, {name.replace("_", "-"): value for name, value in headers.items()})


def code(number: int, message: str = "", status: int = 400) -> BadAnswer:
    return answer(status, {"code": number, "msg": message})


def not_json(status: int = 200) -> aiohttp.ContentTypeError:
    request = aiohttp.RequestInfo(URL("http://exchange"), "GET", {}, URL("http://exchange"))  # type: ignore[arg-type]
    return aiohttp.ContentTypeError(request, (), status=status)
