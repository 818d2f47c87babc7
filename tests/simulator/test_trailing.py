"""Trailing stops as Binance documents them: from when they follow the price, and what triggers them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from order_prices import tick

from tests.exchange import Simulator


def trailing(simulator: Simulator, **given: Any) -> dict[str, Any]:
    return dict(
        simulator.order(
            side="SELL", type="STOP_LOSS", trailingDelta=100, newOrderRespType="RESULT", **given
        ).json()
    )


def go(simulator: Simulator, base: Decimal, *shares: str) -> None:
    """Let the price stand at each of these shares of a price for a second."""
    for share in shares:
        simulator.control("settings", prices={"BTCUSDT": tick(base * Decimal(share))})
        simulator.advance(1000)


def status(simulator: Simulator) -> str:
    return str(simulator.truth()["orders"][-1]["status"])


def test_it_sells_so_far_below_the_highest_price_since_it_was_placed(simulator: Simulator) -> None:
    base = Decimal(simulator.price())
    placed = trailing(simulator)
    assert placed["trailingDelta"] == 100
    assert placed["trailingTime"] == placed["transactTime"]
    go(simulator, base, "1.05", "1.10", "1.0891")
    assert status(simulator) == "NEW"
    go(simulator, base, "1.0889")
    assert status(simulator) == "FILLED"


def test_it_does_not_know_of_prices_that_never_came(simulator: Simulator) -> None:
    """The candle that runs would go far up: held still from now on, its price never gets there."""
    base = Decimal(simulator.price())
    trailing(simulator)
    go(simulator, base, "1", "0.9901")
    assert status(simulator) == "NEW"
    go(simulator, base, "0.9899")
    assert status(simulator) == "FILLED"


def test_with_a_stop_price_it_follows_only_once_that_is_reached(simulator: Simulator) -> None:
    base = Decimal(simulator.price())
    placed = trailing(simulator, stopPrice=tick(base * Decimal("0.95")))
    assert "trailingTime" not in placed
    go(simulator, base, "1.1", "1.0", "0.96")
    assert status(simulator) == "NEW"
    go(simulator, base, "0.949", "0.9401")
    (order,) = simulator.signed("GET", "/api/v3/openOrders", symbol="BTCUSDT").json()
    assert order["trailingTime"] == order["updateTime"]
    go(simulator, base, "0.939")
    assert status(simulator) == "FILLED"
