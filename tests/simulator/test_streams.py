"""Market data streams: what they say, when, and how they can fail."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest
import websockets
from simulated import DAY, H4, START, running
from websockets.asyncio.client import ClientConnection

from tests.exchange import Simulator

PATIENCE = 20.0


@asynccontextmanager
async def connected(simulator: Simulator, path: str) -> AsyncIterator[ClientConnection]:
    async with websockets.connect(simulator.ws + path, open_timeout=5) as socket:
        yield socket


async def next_event(socket: ClientConnection, closed: bool | None = None) -> dict[str, Any]:
    """The next event, or the next kline that is closed or not."""
    async with asyncio.timeout(PATIENCE):
        while True:
            event = json.loads(await socket.recv())
            data = event.get("data", event)
            if closed is None or ("k" in data and data["k"]["x"] is closed):
                return dict(event)


async def until_closed(socket: ClientConnection) -> None:
    """Read until the other side ends the connection."""
    async with asyncio.timeout(PATIENCE):
        await socket.wait_closed()
    with pytest.raises(websockets.ConnectionClosed):
        await read_everything(socket)


async def read_everything(socket: ClientConnection) -> None:
    while True:
        await socket.recv()


async def act(name: str, simulator: Simulator, **body: Any) -> Any:
    return await asyncio.to_thread(simulator.control, name, **body)


async def ask(socket: ClientConnection, method: str, *params: Any, number: int = 1) -> dict[str, Any]:
    await socket.send(json.dumps({"method": method, "params": params, "id": number}))
    async with asyncio.timeout(PATIENCE):
        while True:
            answer = json.loads(await socket.recv())
            if "id" in answer:
                return dict(answer)


async def test_a_raw_stream_tells_the_running_candle_as_klines_does(simulator: Simulator) -> None:
    async with connected(simulator, "/ws/btcusdt@kline_4h") as socket:
        event = await next_event(socket)
    row = simulator.get("/api/v3/klines", symbol="BTCUSDT", interval="4h", limit=1).json()[0]
    k = event["k"]
    assert (event["e"], event["s"], event["E"]) == ("kline", "BTCUSDT", START)
    assert [k[name] for name in "tohlcvTqnVQB"] == row
    assert (k["i"], k["x"]) == ("4h", False)


async def test_combined_streams_wrap_their_events(simulator: Simulator) -> None:
    names = [
        "btcusdt@kline_1m",
        "ethusdt@miniTicker",
        "bnbusdt@ticker",
        "solusdt@bookTicker",
        "btcusdt@avgPrice",
    ]
    seen: dict[str, Any] = {}
    async with connected(simulator, "/stream?streams=" + "/".join([*names, "!miniTicker@arr"])) as socket:
        while len(seen) < 6:
            event = await next_event(socket)
            seen[event["stream"]] = event["data"]
    assert seen["ethusdt@miniTicker"]["e"] == "24hrMiniTicker"
    assert seen["bnbusdt@ticker"]["c"] == simulator.price("BNBUSDT")
    assert Decimal(seen["solusdt@bookTicker"]["b"]) < Decimal(seen["solusdt@bookTicker"]["a"])
    assert len(seen["!miniTicker@arr"]) == 8


async def test_a_candle_is_told_closed_exactly_as_klines_then_serves_it(simulator: Simulator) -> None:
    opened = START - START % H4
    async with connected(simulator, "/ws/btcusdt@kline_4h") as socket:
        await next_event(socket)
        await act("clock", simulator, advance=H4)
        event = await next_event(socket, closed=True)
    row = simulator.get("/api/v3/klines", symbol="BTCUSDT", interval="4h", startTime=opened, limit=1).json()[
        0
    ]
    assert [event["k"][name] for name in "tohlcvTqnVQB"] == row
    assert 0 < event["E"] - event["k"]["T"] < 100


async def test_a_leap_closes_every_candle_it_passes_in_order(simulator: Simulator) -> None:
    path = "/stream?streams=btcusdt@kline_4h/ethusdt@kline_4h/btcusdt@kline_1d"
    async with connected(simulator, path) as socket:
        await next_event(socket)
        await act("clock", simulator, advance=DAY)
        closed = [await next_event(socket, closed=True) for _ in range(13)]
    times = [event["data"]["E"] for event in closed]
    assert times == sorted(times)
    assert sum(event["stream"].endswith("1d") for event in closed) == 1


async def test_a_candle_closes_on_the_running_clock_to_the_moment(simulator: Simulator) -> None:
    async with connected(simulator, "/ws/btcusdt@kline_4h") as socket:
        await act("clock", simulator, time=START - 2000 + H4 - 600, speed=1)
        loop = asyncio.get_running_loop()
        began = loop.time()
        event = await next_event(socket, closed=True)
        waited = loop.time() - began
    assert 0.3 < waited < 0.9
    assert event["k"]["T"] == START - 2000 + H4 - 1


async def test_compressed_time_closes_candles_quickly(simulator: Simulator) -> None:
    async with connected(simulator, "/ws/btcusdt@kline_4h") as socket:
        await act("clock", simulator, speed=28_800)
        opens = [(await next_event(socket, closed=True))["k"]["t"] for _ in range(3)]
    assert [b - a for a, b in itertools.pairwise(opens)] == [H4, H4]


async def test_subscriptions_can_be_changed_while_connected(simulator: Simulator) -> None:
    async with connected(simulator, "/ws") as socket:
        assert await ask(socket, "SUBSCRIBE", "btcusdt@bookTicker", "ethusdt@kline_4h") == {
            "result": None,
            "id": 1,
        }
        assert (await next_event(socket)).keys() & {"u", "k"}
        listed = await ask(socket, "LIST_SUBSCRIPTIONS", number=2)
        assert listed == {"result": ["btcusdt@bookTicker", "ethusdt@kline_4h"], "id": 2}
        await ask(socket, "UNSUBSCRIBE", "btcusdt@bookTicker", number=3)
        await ask(socket, "SET_PROPERTY", "combined", True, number=4)
    async with connected(simulator, "/stream") as socket:
        await ask(socket, "SUBSCRIBE", "ethusdt@kline_4h")
        assert (await next_event(socket))["stream"] == "ethusdt@kline_4h"
        assert (await ask(socket, "DREAM"))["error"]["code"] == 2
        assert (await ask(socket, "GET_PROPERTY", "colour"))["error"]["code"] == 0


async def test_one_connection_carries_a_thousand_streams_and_not_more(simulator: Simulator) -> None:
    names = [f"s{n:04d}usdt@kline_4h" for n in range(1024)]
    async with connected(simulator, "/ws") as socket:
        assert (await ask(socket, "SUBSCRIBE", *names))["result"] is None
        assert (await ask(socket, "SUBSCRIBE", "btcusdt@kline_4h"))["error"]["code"] == 2


async def test_a_thousand_symbols_close_in_the_same_second() -> None:
    with running("--generate", "1000", "--speed", "0", "--stream-interval", "60") as simulator:
        await act("clock", simulator, time=START)
        names = "/".join(f"s{n:03d}usdt@kline_4h" for n in range(6, 1001))
        async with connected(simulator, "/ws") as socket:
            await ask(socket, "SUBSCRIBE", *names.split("/"))
            loop = asyncio.get_running_loop()
            leap = asyncio.create_task(act("clock", simulator, advance=H4))
            seen = set()
            began = 0.0
            while len(seen) < 995:
                async with asyncio.timeout(20):
                    event = json.loads(await socket.recv())
                if event["k"]["x"]:
                    began = began or loop.time()
                    seen.add(event["s"])
            assert loop.time() - began < 1.5
            await leap


async def test_more_than_five_messages_a_second_end_the_connection(simulator: Simulator) -> None:
    async with connected(simulator, "/ws") as socket:
        for number in range(8):
            await socket.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": number}))
        await until_closed(socket)


async def test_a_connection_is_ended_after_a_day(simulator: Simulator) -> None:
    async with connected(simulator, "/ws/btcusdt@bookTicker") as socket:
        await next_event(socket)
        await act("clock", simulator, advance=DAY)
        await until_closed(socket)


async def test_the_server_pings(simulator: Simulator) -> None:
    await act("settings", simulator, ping_interval=0.1)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(simulator.url.rsplit(":", 1)[1]))
    upgrade = (
        "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
    )
    writer.write(upgrade.encode())
    await reader.readuntil(b"\r\n\r\n")
    frame = await asyncio.wait_for(reader.readexactly(2), PATIENCE)
    assert frame[0] & 0x0F == 9  # the opcode of a ping
    writer.close()


# Faults


async def break_streams(simulator: Simulator, kind: str, **script: Any) -> Any:
    return await act("faults", simulator, action={"stream": kind}, **script)


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1011, 1012, 1013, 4000])
async def test_a_connection_is_closed_with_a_chosen_code(simulator: Simulator, code: int) -> None:
    async with connected(simulator, "/ws/btcusdt@kline_4h") as socket:
        await act(
            "faults",
            simulator,
            match={"channel": "stream"},
            times=1,
            action={"stream": "close", "code": code},
        )
        await until_closed(socket)
        assert socket.close_code == code


@pytest.mark.parametrize("kind", ["close", "reset"])
async def test_a_connection_can_be_closed_or_reset(simulator: Simulator, kind: str) -> None:
    async with connected(simulator, "/ws/btcusdt@bookTicker") as socket:
        await next_event(socket)
        await break_streams(simulator, kind, match={"channel": "stream"})
        await until_closed(socket)


async def test_a_silent_connection_still_answers_pings(simulator: Simulator) -> None:
    async with connected(simulator, "/ws/btcusdt@bookTicker") as socket:
        await next_event(socket)
        await break_streams(simulator, "silent")
        await asyncio.sleep(0.1)
        await asyncio.wait_for(await socket.ping(), PATIENCE)
        assert await silence(socket)


async def test_a_half_open_connection_answers_nothing(simulator: Simulator) -> None:
    socket = await websockets.connect(simulator.ws + "/ws/btcusdt@bookTicker", close_timeout=0.1)
    await next_event(socket)
    await break_streams(simulator, "half_open")
    await asyncio.sleep(0.1)
    pong = await socket.ping()
    assert await silence(socket)
    assert not pong.done()
    socket.transport.abort()
    with pytest.raises(websockets.ConnectionClosed):
        await pong


async def silence(socket: ClientConnection) -> bool:
    """Whether nothing comes for a while, once what was under way has arrived."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while loop.time() - began < PATIENCE:
        try:
            await asyncio.wait_for(socket.recv(), 0.3)
        except TimeoutError:
            return True
    return False


async def test_a_shutdown_is_announced(simulator: Simulator) -> None:
    async with connected(simulator, "/ws/btcusdt@kline_4h") as socket:
        await next_event(socket)
        await break_streams(simulator, "server_shutdown")
        events = [await next_event(socket) for _ in range(5)]
    assert {"e": "serverShutdown", "E": START} in events


async def test_a_closed_candle_can_be_missing_repeated_late_or_garbled(simulator: Simulator) -> None:
    match = {"stream": "btcusdt@kline_4h"}
    async with connected(simulator, "/stream?streams=btcusdt@kline_4h/ethusdt@kline_4h") as socket:
        await next_event(socket)
        await act("settings", simulator, stream_interval=3600)

        async def leap(kind: str) -> list[str]:
            await break_streams(simulator, kind, match=match, times=1)
            await act("clock", simulator, advance=H4)
            frames = []
            try:
                while True:
                    frames.append(str(await asyncio.wait_for(socket.recv(), 0.2)))
            except TimeoutError:
                await asyncio.to_thread(simulator.session.delete, simulator.url + "/simulator/faults")
            closed = [frame for frame in frames if '"x":false' not in frame]
            return [frame[11:14] if frame.endswith("}}}") else "cut" for frame in closed]

        assert await leap("missing_close") == ["eth"]
        assert await leap("duplicate") == ["btc", "btc", "eth"]
        assert await leap("out_of_order") == ["eth", "btc"]
        assert await leap("garbage") == ["cut", "eth"]


@pytest.mark.parametrize("status", [403, 429, 503])
async def test_connections_can_be_refused_for_a_time(simulator: Simulator, status: int) -> None:
    await act(
        "faults",
        simulator,
        match={"channel": "stream"},
        seconds=0.3,
        action={"stream": "refuse", "status": status},
    )
    with pytest.raises(websockets.InvalidStatus) as refused:
        await websockets.connect(simulator.ws + "/ws/btcusdt@kline_4h")
    assert refused.value.response.status_code == status
    await asyncio.sleep(0.35)
    async with connected(simulator, "/ws/btcusdt@kline_4h") as socket:
        await next_event(socket)
