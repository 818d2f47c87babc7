"""What talks to the exchange closes each socket that it has opened, also where it was refused or cut."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import Engine

from cli.doctor.exchange import look_at_exchange
from eightbells.exchange.gateway import open_gateway
from eightbells.exchange.recovery import ExchangeError
from eightbells.exchange.streams import Connected, Feed, StreamEvent
from eightbells.exchange.user_stream import user_events
from eightbells.settings import Settings
from tests import proxy as proxies
from tests.conftest import Configure
from tests.control_room.examined import gathered
from tests.exchange import Simulator
from tests.proxy import ELSEWHERE

_CLOSED_WITHIN = 3.0


def sockets() -> set[str]:
    """The sockets that this process has open, each by its number."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found.add(os.readlink(entry))
    return {name for name in found if name.startswith("socket:")}


async def stays(before: set[str]) -> set[str]:
    """What is open now and was not before; a moment is left for what is closing."""
    async with asyncio.timeout(_CLOSED_WITHIN + 1):
        for _ in range(int(_CLOSED_WITHIN / 0.05)):
            if not sockets() - before:
                break
            await asyncio.sleep(0.05)
    return sockets() - before


def _at(configure: Configure, market: Simulator, rest: str, sockets: str) -> Settings:
    return configure(
        market,
        symbols=["BTCUSDT"],
        exchange__rest_url=f"{rest}/api",
        exchange__stream_url=f"{sockets}/",
        exchange__ws_api_url=f"{sockets}/ws-api/v3",
    )


async def talk(settings: Settings, engine: Engine) -> None:
    """Ask, sign, listen to candles and to the account, and leave."""
    events = asyncio.Queue[StreamEvent]()
    async with open_gateway(settings, engine) as gateway:
        with suppress(ExchangeError):
            await gateway.balances()
        feed = asyncio.create_task(Feed(settings.stream_url, {"BTCUSDT"}, events.put_nowait).run())
        answer = await events.get()
        feed.cancel()
        await asyncio.wait({feed})
        if isinstance(answer, Connected):
            account = user_events(
                settings.ws_api_url, gateway.signed_subscription, pytest.fail, Feed("", set(), print).pace
            )
            assert await anext(account) is None
            await account.aclose()  # type: ignore[attr-defined]


async def test_none_of_a_gateway_and_its_streams(
    market: Simulator, engine: Engine, configure: Configure
) -> None:
    settings = _at(configure, market, market.url, market.url.replace("http", "ws", 1))
    await asyncio.to_thread(engine.connect().close)
    before = sockets()
    await talk(settings, engine)
    engine.dispose()
    assert await stays(before) == set()


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_none_of_a_proxy_that_refuses(
    market: Simulator, engine: Engine, configure: Configure, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    sockets_of = scheme.replace("http", "ws")
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    with proxies.running(market.url) as proxy:
        for name in ("HTTP_PROXY", "https_proxy"):
            monkeypatch.setenv(name, proxy.url)
        settings = _at(configure, market, f"{scheme}://{ELSEWHERE}", f"{sockets_of}://{ELSEWHERE}")
        proxy.target = ""
        before = sockets()
        await gathered(look_at_exchange(settings))
        assert await stays(before) == set()
