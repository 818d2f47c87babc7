"""Symbols that are removed and listed while the exchange runs, and renamed: out under one name, in under another."""

from __future__ import annotations

from order_prices import above, refused

from tests.exchange import Simulator


def names(simulator: Simulator) -> set[str]:
    return {entry["symbol"] for entry in simulator.get("/api/v3/exchangeInfo").json()["symbols"]}


def prices(simulator: Simulator) -> set[str]:
    return {entry["symbol"] for entry in simulator.get("/api/v3/ticker/price").json()}


def test_a_removed_symbol_is_unknown_and_its_orders_end(simulator: Simulator) -> None:
    simulator.order(side="SELL", price=above(simulator, "1.05"))
    simulator.control("settings", symbols={"BTCUSDT": {"listed": False}})
    assert "BTCUSDT" not in names(simulator) | prices(simulator)
    assert refused(simulator.order(type="MARKET"))[0] == -1121
    assert refused(simulator.get("/api/v3/exchangeInfo", symbol="BTCUSDT"))[0] == -1121
    assert refused(simulator.get("/api/v3/klines", symbol="BTCUSDT", interval="4h"))[0] == -1121
    assert [order["status"] for order in simulator.truth()["orders"]] == ["EXPIRED"]
    assert simulator.balance("BTC")["locked"] == "0.00000000"


def test_a_symbol_is_renamed_by_removing_one_and_listing_another(simulator: Simulator) -> None:
    simulator.control("settings", symbols={"ETHUSDT": {"listed": False}})
    simulator.control("settings", symbols={"BTCUSDT": {"listed": False}, "ETHUSDT": {"listed": True}})
    assert "ETHUSDT" in names(simulator) & prices(simulator)
    assert "BTCUSDT" not in names(simulator)
    assert simulator.order(symbol="ETHUSDT", type="MARKET", quantity="0.1").json()["status"] == "FILLED"


def test_a_reset_lists_all_of_them_again(simulator: Simulator) -> None:
    before = names(simulator)
    simulator.control("settings", symbols={"BTCUSDT": {"listed": False}})
    simulator.control("reset")
    assert names(simulator) == before
