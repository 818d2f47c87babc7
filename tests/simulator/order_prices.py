"""What the tests about orders share: prices near the present one, a refusal's code and words, the candle to come."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from simulated import H4

from tests.exchange import Simulator


def tick(value: Decimal | str) -> str:
    return f"{Decimal(value):.2f}"


def below(simulator: Simulator, share: str = "0.999") -> str:
    return tick(Decimal(simulator.price()) * Decimal(share))


def above(simulator: Simulator, share: str = "1.001") -> str:
    return below(simulator, share)


def refused(answer: Any) -> tuple[int, str]:
    assert answer.status_code == 400, answer.text
    return answer.json()["code"], answer.json()["msg"]


def next_candle(simulator: Simulator) -> list[Any]:
    """The running candle as it will be when it has closed."""
    now = simulator.now
    simulator.advance(2 * H4)
    answer = simulator.get(
        "/api/v3/klines", symbol="BTCUSDT", interval="4h", startTime=now - now % H4, limit=1
    )
    simulator.control("clock", time=now)
    return list(answer.json()[0])
