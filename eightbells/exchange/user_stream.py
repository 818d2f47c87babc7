"""Our own orders and fills as they happen: the user data stream of the WebSocket API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import WebSocketException

from eightbells.exchange.answers import UnreadableAnswer
from eightbells.exchange.models import OrderReport
from eightbells.exchange.sockets import open_socket
from eightbells.exchange.streams import Pace, Waits

_METHOD = "userDataStream.subscribe.signature"
_PATIENCE_SECONDS = 10.0

Event = dict[str, Any]


async def user_events(
    url: str, sign: Callable[[], dict[str, Any]], lost: Callable[[str], None], pace: Pace
) -> AsyncIterator[OrderReport | None]:
    """Reports of the account's orders, without end. None where some may be missed: the orders must be asked for.

    That is so after each subscription, and after a report that cannot be read.

    Args:
        url: the WebSocket API's address.
        sign: makes the signed parameters of a subscription, stamped now.
        lost: told why a connection or a subscription ended, or what of a report cannot be read.
        pace: an account may be quiet for days, so after half its silence the exchange is asked to answer.
    """
    waits = Waits(pace)
    while True:
        try:
            async with open_socket(url, open_timeout=10, compression=None) as socket:
                await _subscribe(socket, sign())
                yield None
                waits.begin()
                watch = asyncio.create_task(_watch(socket, pace.silence / 2))
                try:
                    while True:
                        async with asyncio.timeout(pace.silence):
                            frame = await socket.recv(decode=False)
                        event = _event(frame)
                        if event is not None and event.get("e") == "executionReport":
                            yield _report(event, lost)
                finally:
                    watch.cancel()
        except TimeoutError:
            lost(f"no answer for {pace.silence:g} s")
        except (OSError, WebSocketException) as error:
            lost(f"{type(error).__name__}: {error}"[:200])
        await asyncio.sleep(waits.next())


async def _subscribe(socket: ClientConnection, params: dict[str, Any]) -> None:
    await socket.send(orjson.dumps({"id": "user", "method": _METHOD, "params": params}).decode())
    async with asyncio.timeout(_PATIENCE_SECONDS):
        answer = _read(await socket.recv(decode=False))
    if answer.get("status") != 200:
        error = answer.get("error")
        reason = error.get("msg") if isinstance(error, dict) else None
        raise OSError(f"the subscription was refused: {reason or 'no reason'}")


async def _watch(socket: ClientConnection, seconds: float) -> None:
    """Let the exchange answer now and then: one that only answers pings of the protocol may be deaf to us."""
    with suppress(OSError, WebSocketException):
        while True:
            await asyncio.sleep(seconds)
            await socket.send('{"id":"watch","method":"ping"}')


def _report(event: Event, lost: Callable[[str], None]) -> OrderReport | None:
    try:
        return OrderReport.of_event(event)
    except UnreadableAnswer as error:
        lost(f"an executionReport cannot be read: {error.why}")
        return None


def _event(frame: bytes) -> Event | None:
    """The event that a frame carries; None for answers.

    Raises:
        OSError: the subscription has ended, or cannot be read: what is missed is asked for after the next one.
    """
    event = _read(frame).get("event")
    if not isinstance(event, dict):
        return None
    if event.get("e") in ("eventStreamTerminated", "serverShutdown"):
        raise OSError(f"the exchange ended the subscription ({event['e']})")
    return event


def _read(frame: bytes) -> dict[str, Any]:
    try:
        read = orjson.loads(frame)
    except orjson.JSONDecodeError:
        read = None
    if not isinstance(read, dict):
        raise OSError("a frame could not be read")
    return read
