"""Our own orders and fills as they happen: the user data stream of the WebSocket API."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0
_METHOD = "userDataStream.subscribe.signature"

Event = dict[str, Any]


async def user_events(
    url: str, sign: Callable[[], dict[str, Any]], lost: Callable[[str], None]
) -> AsyncIterator[Event | None]:
    """Events of the account, without end. After each subscription None: what happened before must be asked for.

    Args:
        url: the WebSocket API's address.
        sign: makes the signed parameters of a subscription, stamped now.
        lost: told why a connection or a subscription ended.
    """
    wait = _FIRST_WAIT
    while True:
        try:
            async with connect(url, open_timeout=10, close_timeout=1) as socket:
                await socket.send(orjson.dumps({"id": "user", "method": _METHOD, "params": sign()}).decode())
                answer = orjson.loads(await asyncio.wait_for(socket.recv(), 10))
                if answer.get("status") != 200:
                    raise OSError(
                        f"the subscription was refused: {answer.get('error', {}).get('msg', 'no reason')}"
                    )
                yield None
                wait = _FIRST_WAIT
                async for frame in socket:
                    event = orjson.loads(frame).get("event", {})
                    if event.get("e") == "eventStreamTerminated":
                        raise OSError("the exchange ended the subscription")
                    yield event
            lost("closed by the exchange")
        except (OSError, TimeoutError, WebSocketException, orjson.JSONDecodeError) as error:
            lost(f"{type(error).__name__}: {error}"[:200])
        await asyncio.sleep(wait * random.uniform(0.5, 1.5))
        wait = min(wait * 2, _LONGEST_WAIT)
