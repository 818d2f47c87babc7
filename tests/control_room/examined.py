"""What the tests of `eightbells doctor` share: an exchange at the present time, and a finding looked up."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import pytest

from cli.doctor.findings import Finding
from eightbells.settings import Settings
from tests.conftest import Configure
from tests.exchange import Simulator

DEAD = "http://127.0.0.1:9"
Use = Callable[..., Settings]


def of(findings: Iterable[Finding], name: str, verdict: str) -> Finding:
    """The finding of this name; it must have this verdict, and a remedy where it is not well."""
    (found,) = [finding for finding in findings if finding.name == name and finding.verdict == verdict]
    assert (verdict == "ok") == (found.remedy == "")
    return found


async def gathered(findings: AsyncIterator[Finding]) -> list[Finding]:
    return [finding async for finding in findings]


def set_to_present(market: Simulator) -> None:
    """Set its clock to this machine's; on a busy one the request may take a while."""
    market.control("clock", time=int(time.time() * 1000), speed=1)
    for _ in range(10):
        offset = int(time.time() * 1000) - market.now
        if abs(offset) < 100:
            return
        market.advance(offset)


@pytest.fixture
def use(market: Simulator, configure: Configure, monkeypatch: pytest.MonkeyPatch) -> Use:
    """Settings for the exchange at the present time, with a key that it knows; live unless told otherwise."""
    market.begin()
    set_to_present(market)
    market.control(
        "settings", accounts={"pape": {"permissions": {"read": True, "trade": True, "withdraw": False}}}
    )
    address = market.url.replace("http", "ws", 1)

    def using(key: str = "paper", secret: str = "paper", **given: Any) -> Settings:
        monkeypatch.setenv("BINANCE_API_KEY", key)
        monkeypatch.setenv("BINANCE_API_SECRET", secret)
        usual = {
            "mode": "live",
            "symbols": ["BTCUSDT", "ETHUSDT"],
            "exchange__stream_url": f"{address}/",
            "exchange__ws_api_url": f"{address}/ws-api/v3",
        }
        return configure(market, **{**usual, **given})

    return using
