"""Where the exchange is found by a proxy alone, requests and sockets take the same way, and the doctor tells which."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from cli.doctor.exchange import look_at_exchange
from cli.doctor.route import look_at_route
from eightbells.exchange.gateway import open_gateway
from eightbells.exchange.streams import Connected, Feed, StreamEvent
from eightbells.exchange.user_stream import user_events
from eightbells.settings import Settings
from tests import proxy as proxies
from tests.conftest import Configure
from tests.control_room.examined import gathered, of
from tests.exchange import Simulator
from tests.proxy import ELSEWHERE, Proxy

SECRETS = ("p@ss/w0rd", "w0rd+9", "w0rd%2B9")


@pytest.fixture
def proxy(market: Simulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """The only way to an exchange that is elsewhere."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    market.begin()
    with proxies.running(market.url) as proxy:
        for name in ("HTTP_PROXY", "https_proxy"):
            monkeypatch.setenv(name, proxy.url)
        yield proxy


@pytest.fixture
def settings(proxy: Proxy, configure: Configure) -> Settings:
    return _elsewhere(configure, "http", "ws")


def _elsewhere(configure: Configure, rest: str, sockets: str) -> Settings:
    return configure(
        symbols=["BTCUSDT", "ETHUSDT"],
        exchange__rest_url=f"{rest}://{ELSEWHERE}/api",
        exchange__stream_url=f"{sockets}://{ELSEWHERE}/",
        exchange__ws_api_url=f"{sockets}://{ELSEWHERE}/ws-api/v3",
    )


async def test_the_doctor_reaches_the_exchange_and_tells_the_way(settings: Settings, proxy: Proxy) -> None:
    route = of(look_at_route(settings), "route", "ok")
    assert route.what == f"by the proxy {proxy.address} (HTTP_PROXY), to {ELSEWHERE}"
    findings = await gathered(look_at_exchange(settings))
    for name in ("exchange", "symbols", "key", "stream socket", "account socket"):
        of(findings, name, "ok")
    assert set(proxy.asked) == {f"GET {ELSEWHERE}", f"CONNECT {ELSEWHERE}"}


async def test_the_gateway_and_both_streams_take_the_same_way(
    settings: Settings, proxy: Proxy, engine: Engine
) -> None:
    events = asyncio.Queue[StreamEvent]()
    async with asyncio.timeout(20), open_gateway(settings, engine) as gateway:
        assert await gateway.balances()
        asked = len(proxy.asked)
        feed = asyncio.create_task(Feed(settings.stream_url, {"BTCUSDT"}, events.put_nowait).run())
        assert isinstance(await events.get(), Connected)
        feed.cancel()
        ours = user_events(
            settings.ws_api_url, gateway.signed_subscription, pytest.fail, Feed("", set(), print).pace
        )
        assert await anext(ours) is None
        await ours.aclose()  # type: ignore[attr-defined]
    assert proxy.asked[asked:] == [f"CONNECT {ELSEWHERE}"] * 2


async def test_what_is_encrypted_is_connected_by_the_proxy_too_and_a_refusal_shows_no_password(
    configure: Configure, proxy: Proxy
) -> None:
    settings = _elsewhere(configure, "https", "wss")
    proxy.target = ""
    findings = [*look_at_route(settings), *await gathered(look_at_exchange(settings))]
    assert "(HTTPS_PROXY)" in of(findings, "route", "ok").what
    assert set(proxy.asked) == {f"CONNECT {ELSEWHERE}"}
    for name in ("exchange", "stream socket", "account socket"):
        of(findings, name, "fail")
    shown = " ".join(it.what + it.remedy for it in findings)
    assert not [secret for secret in SECRETS if secret in shown]


async def test_an_excepted_exchange_and_this_machine_are_reached_directly(
    configure: Configure, proxy: Proxy, market: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = configure(market, exchange__stream_url=f"wss://{ELSEWHERE}/")
    monkeypatch.setenv("NO_PROXY", ELSEWHERE)
    found = [it.what for it in look_at_route(settings)]
    assert found == [f"direct, to 127.0.0.1, {ELSEWHERE}"]
    of(await gathered(look_at_exchange(settings)), "exchange", "ok")
    assert proxy.asked == []
