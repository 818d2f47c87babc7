"""A redenomination as one event: prices, balances, orders, candles, and a pause."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
import requests
from order_prices import below, refused
from simulated import H4, START

from tests.exchange import Simulator

SLOT = START - START % H4


def klines(simulator: Simulator, **query: Any) -> list[list[Any]]:
    query = {"symbol": "BTCUSDT", "interval": "4h", "startTime": SLOT - 3 * H4, **query}
    return list(simulator.get("/api/v3/klines", **query).json())


def worth(simulator: Simulator) -> Decimal:
    return Decimal(simulator.balance("BTC")["free"]) * Decimal(simulator.price())


@pytest.mark.parametrize("ratio", ["1000", "0.01", 3])
def test_prices_are_divided_and_balances_multiplied(simulator: Simulator, ratio: str | int) -> None:
    price, value = Decimal(simulator.price()), worth(simulator)
    before = klines(simulator)
    simulator.control("redenominate", symbol="BTCUSDT", ratio=ratio)
    assert Decimal(simulator.balance("BTC")["free"]) == Decimal(ratio)
    assert abs(Decimal(simulator.price()) * Decimal(ratio) / price - 1) < Decimal("0.0005")
    assert abs(worth(simulator) / value - 1) < Decimal("0.0005")
    after = klines(simulator)
    assert after[:-1] == before[:-1]
    assert after[-1][0] == SLOT
    assert abs(Decimal(after[-1][1]) - Decimal(before[-1][1]) / Decimal(ratio)) <= Decimal("0.01")
    simulator.advance(3 * H4)
    later = klines(simulator)
    assert [row[0] for row in later] == [SLOT + i * H4 for i in range(-3, 4)]
    assert Decimal(later[-1][4]) == Decimal(simulator.price())


def test_orders_of_everything_with_the_coin_expire(simulator: Simulator) -> None:
    simulator.order(price=below(simulator, "0.5"))
    simulator.order(side="SELL", type="STOP_LOSS", stopPrice=below(simulator, "0.5"))
    price = f"{Decimal(simulator.price('ETHUSDT')) / 2:.2f}"
    simulator.order(symbol="ETHUSDT", quantity="0.1", price=price)
    answer = simulator.control("redenominate", symbol="BTCUSDT", ratio=10)
    assert answer == {"coin": "BTC", "symbols": ["BTCUSDT"], "expired": [1, 2], "resumes": START}
    orders = simulator.truth()["orders"]
    assert [order["status"] for order in orders] == ["EXPIRED", "EXPIRED", "NEW"]
    assert {order["expiryReason"] for order in orders[:2]} == {"EXCHANGE_CANCELED"}
    assert simulator.balance("BTC") == {"free": "10.00000000", "locked": "0.00000000"}


def test_orders_are_filled_at_the_new_prices(simulator: Simulator) -> None:
    simulator.control("redenominate", symbol="BTCUSDT", ratio=1000)
    order = simulator.order(type="MARKET", quantity="10").json()
    assert Decimal(order["fills"][0]["price"]) == Decimal(simulator.price())
    resting = simulator.order(price=below(simulator, "0.9999"), quantity="10").json()
    for _ in range(48):
        simulator.advance(H4 // 8)
        found = simulator.signed("GET", "/api/v3/order", symbol="BTCUSDT", orderId=resting["orderId"]).json()
        if found["status"] == "FILLED":
            return
    pytest.fail("the price never came back to where it was")


def test_a_pause_has_no_candles_and_no_trades(simulator: Simulator) -> None:
    simulator.advance(H4 // 2)
    price = simulator.price()
    answer = simulator.control("redenominate", symbol="BTCUSDT", ratio=1000, pause=3)
    assert answer["resumes"] == SLOT + 3 * H4
    simulator.advance(H4)
    assert simulator.price() == price  # the last one that was traded
    info = simulator.get("/api/v3/exchangeInfo", symbol="BTCUSDT").json()["symbols"][0]
    assert info["status"] == "BREAK"
    assert refused(simulator.order(type="MARKET")) == (-2010, "Market is closed.")
    cut = klines(simulator)[-1]
    assert (cut[0], cut[4]) == (SLOT, price)
    simulator.control("clock", time=SLOT + 4 * H4 + 1000)
    info = simulator.get("/api/v3/exchangeInfo", symbol="BTCUSDT").json()["symbols"][0]
    assert info["status"] == "TRADING"
    rows = klines(simulator, startTime=SLOT - H4)
    assert [(row[0] - SLOT) // H4 for row in rows] == [-1, 0, 3, 4]
    assert rows[1] == cut
    assert Decimal(rows[2][1]) < Decimal(price) / 900
    minutes = klines(simulator, interval="1m", startTime=SLOT + H4 // 2 + 60_000, limit=1)
    assert minutes[0][0] == SLOT + 3 * H4
    assert simulator.order(type="MARKET", quantity="10").json()["status"] == "FILLED"


def test_it_can_happen_again_and_a_reset_undoes_it(simulator: Simulator) -> None:
    price, before = Decimal(simulator.price()), klines(simulator)
    for _ in range(2):
        simulator.control("redenominate", symbol="BTCUSDT", ratio=10)
    assert Decimal(simulator.balance("BTC")["free"]) == 100
    assert abs(Decimal(simulator.price()) - price / 100) <= Decimal("0.02")
    simulator.control("reset")
    assert (Decimal(simulator.price()), klines(simulator)) == (price, before)


def test_candles_from_a_file_go_on_in_the_new_denomination(filed: Simulator) -> None:
    last = filed.get("/api/v3/klines", symbol="ETHUSDT", interval="4h").json()[-1]
    filed.control("clock", time=last[0] + H4)
    filed.control("redenominate", symbol="ETHUSDT", ratio="0.5")
    row = [last[0] + H4, "14", "16", "12", "14.5", "10", last[0] + 2 * H4 - 1, "140", 4, "5", "70"]
    filed.control("candles", symbol="ETHUSDT", add=[row])
    filed.advance(H4)
    rows = filed.get("/api/v3/klines", symbol="ETHUSDT", interval="4h").json()
    assert rows[-2] == last
    assert [Decimal(value) for value in rows[-1][1:6]] == [Decimal(str(value)) for value in row[1:6]]
    assert filed.price("ETHUSDT") == "14.50000000"


@pytest.mark.parametrize(
    "body",
    [
        {"symbol": "BTCUSDT"}, {"symbol": "BTCUSDT", "ratio": 0}, {"symbol": "BTCUSDT", "ratio": "-1"},
        {"symbol": "BTCUSDT", "ratio": True}, {"symbol": "BTCUSDT", "ratio": "much"}, {"symbol": "NOSUCH", "ratio": 2},
        {"symbol": "BTCUSDT", "ratio": 2, "pause": -1}, {"symbol": "BTCUSDT", "ratio": 2, "at": 5},
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(simulator: Simulator, body: dict[str, Any]) -> None:
    before = simulator.truth()["balances"]
    answer = requests.post(f"{simulator.url}/simulator/redenominate", json=body, timeout=10)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert simulator.truth()["balances"] == before
