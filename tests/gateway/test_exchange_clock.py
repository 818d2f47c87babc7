"""The exchange's clock, whatever happens to the machine's: over the wire, with orders that depend on it."""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.engine import URL

from eightbells import metrics
from eightbells.exchange.gateway import Gateway, open_gateway
from eightbells.exchange.models import OrderReport
from eightbells.exchange.order_requests import OrderRequest
from eightbells.settings import load_settings
from tests.conftest import Configure
from tests.exchange import Simulator

DAY = 86_400
TIME = "GET /api/v3/time"


def offset() -> float:
    return float(metrics.COUNTED.get_sample_value("eightbells_clock_offset_seconds") or 0)


async def place(gateway: Gateway, name: str, price: str) -> OrderReport:
    """Place a buy that rests, stamped by the gateway's clock."""
    now, window = gateway.clock.now_ms(), gateway.recv_window_ms
    order = OrderRequest("BTCUSDT", "BUY", "LIMIT", "0.01", name, now, window, price, time_in_force="GTC")
    return await gateway.place_order(order)


@pytest.fixture
def gateway(simulator: Simulator, configure: Configure, database: URL, engine: Engine) -> Any:
    configure(simulator, database, budgets__account="exchange")
    return lambda: open_gateway(load_settings(), engine)


@pytest.fixture
def far_below(simulator: Simulator) -> str:
    return f"{Decimal(simulator.ask('/api/v3/ticker/price?symbol=BTCUSDT')['price']) / 2:.2f}"


@pytest.mark.parametrize("jump", [DAY, -DAY], ids=["a day ahead", "a day back"])
def test_a_jump_of_the_machines_clock_changes_nothing(
    simulator: Simulator, gateway: Any, far_below: str, monkeypatch: pytest.MonkeyPatch, jump: int
) -> None:
    real = time.time

    async def jump_and_trade() -> None:
        async with gateway() as opened:
            await place(opened, "before", far_below)
            asked, before, then = simulator.requests()[TIME], opened.clock.now_ms(), time.monotonic()
            known = offset()
            monkeypatch.setattr(time, "time", lambda: real() + jump)
            passed = (time.monotonic() - then) * 1000
            assert opened.clock.now_ms() - before == pytest.approx(passed, abs=20)
            assert abs(opened.clock.now_ms() - simulator.now) < 100
            await place(opened, "after", far_below)  # its timestamp is still one that the exchange takes
            assert simulator.requests()[TIME] == asked
            await opened.sync_clock()
            assert offset() - known == pytest.approx(-jump, abs=1)
            await place(opened, "measured-again", far_below)

    asyncio.run(jump_and_trade())
    assert len(simulator.orders()) == 3


def test_after_an_hour_the_clock_is_measured_again_before_anything_is_asked(
    simulator: Simulator, gateway: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    steady, hours = time.clock_gettime_ns, [0.0]
    monkeypatch.setattr(time, "clock_gettime_ns", lambda clock: steady(clock) + int(hours[0] * 3600e9))

    async def wait_and_ask() -> list[int]:
        measured = []
        async with gateway() as opened:
            for hour in (0.0, 0.99, 1.01, 1.02, 2.5):
                simulator.advance(int((hour - hours[0]) * 3_600_000))  # it has gone on as long as we have
                hours[0] = hour
                await opened.balances()
                measured.append(simulator.requests()[TIME])
        return measured

    assert asyncio.run(wait_and_ask()) == [5, 5, 10, 10, 15]


def test_the_metric_tells_how_far_the_exchange_is_ahead(simulator: Simulator, gateway: Any) -> None:
    async def measure() -> float:
        async with gateway() as opened:
            first = offset()
            simulator.advance(3_600_000)
            await opened.sync_clock()
            assert offset() - first == pytest.approx(3600, abs=1)
            return first

    assert asyncio.run(measure()) == pytest.approx(simulator.now / 1000 - 3600 - time.time(), abs=2)
