"""What the exchange says of one symbol, order or asset cannot be read or booked: the others trade, and it is named."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from tests.crash.cells import CROSSING, clean
from tests.crash.world import SYMBOL, Trial, World, strategy

OTHER = "ETHUSDT"


def _wants(*symbols: str) -> list[dict[str, Any]]:
    return [{**strategy("long", "0.3"), "symbols": list(symbols)}]


@pytest.fixture
def held(world: World) -> Iterator[Trial]:
    """A position in one symbol; a candle later the strategy wants the other one, too."""
    with world.trial(
        symbols=[SYMBOL, OTHER],
        strategies=_wants(SYMBOL),
        trading__limit_offset=CROSSING,
        risk__max_jump_sigmas=0,
    ) as trial:
        clean(trial.run())
        trial.leap()
        trial.hold(trial.close(OTHER), OTHER)
        trial.change(strategies=[*_wants(SYMBOL), {**_wants(OTHER)[0], "name": "other"}])
        yield trial


def _answer(trial: Trial, path: str, body: Any) -> None:
    trial.simulator.fault(path, {"status": 200, "body": json.dumps(body)}, times=1000)


def _traded(trial: Trial) -> set[str]:
    return {order["symbol"] for order in trial.simulator.orders() if order["side"] == "BUY"}


def _drifts(trial: Trial) -> list[tuple[str, str]]:
    return [
        (symbol, facts["detail"])
        for symbol, facts in trial.rows("SELECT symbol, facts FROM open_drifts WHERE reason = 'other'")
    ]


def _sound_again(trial: Trial) -> None:
    trial.simulator.ask("/simulator/faults", method="DELETE")
    clean(trial.run("reconcile"))
    assert _drifts(trial) == []
    assert trial.wrongs() == []


@pytest.mark.parametrize("name", ["origQty", "orderId", "status", "time"])
def test_an_order_that_cannot_be_read_blocks_its_symbol_alone(held: Trial, name: str) -> None:
    (stop,) = [order for order in held.simulator.orders() if order["status"] == "NEW"]
    _answer(held, "GET /api/v3/openOrders", [{**stop, name: None}, "nonsense"])
    held.run()
    assert _traded(held) == {SYMBOL, OTHER}
    assert _drifts(held) == [(SYMBOL, f"an order of it cannot be read: {name} is null or missing")]
    _sound_again(held)


def test_a_balance_that_cannot_be_read_blocks_its_symbols_alone(held: Trial) -> None:
    (balances,) = held.simulator.truth()["balances"].values()
    listed = [{"asset": asset, **amounts} for asset, amounts in balances.items() if asset != "BTC"]
    _answer(
        held, "GET /api/v3/account", {"balances": [*listed, {"asset": "BTC", "free": "much", "locked": "0"}]}
    )
    seen = "SELECT free, locked FROM balances WHERE asset = 'BTC'"
    before = held.rows(seen)
    held.run()
    assert _traded(held) == {SYMBOL, OTHER}
    assert _drifts(held) == [(SYMBOL, "the balance of BTC cannot be read: free is 'much'")]
    assert held.rows(seen) == before, "it stays as it was"
    _sound_again(held)


def test_an_order_of_which_more_is_executed_than_was_ordered_blocks_its_symbol_alone(held: Trial) -> None:
    (stop,) = [order for order in held.simulator.orders() if order["status"] == "NEW"]
    odd = {**stop, "executedQty": str(Decimal(stop["origQty"]) * 2), "status": "PARTIALLY_FILLED"}
    held.simulator.fault(
        "GET /api/v3/order", {"status": 200, "body": json.dumps(odd)}, times=1000, match={"symbol": SYMBOL}
    )
    held.run()
    assert OTHER in _traded(held)
    ((symbol, detail),) = _drifts(held)
    assert symbol == SYMBOL
    assert f"order {stop['clientOrderId']} cannot be booked" in detail


@pytest.mark.parametrize(
    "changes", [{"orderTypes": None}, {"filters": {"LOT_SIZE": {"stepSize": None}}}, {"status": 7}]
)
def test_an_entry_of_exchange_info_that_cannot_be_read_stops_its_symbol_alone(
    held: Trial, changes: dict[str, Any]
) -> None:
    held.simulator.control("settings", symbols={SYMBOL: changes})
    held.run()
    assert OTHER in _traded(held)
    assert [order["status"] for order in held.simulator.orders() if order["symbol"] == SYMBOL] == [
        "FILLED",
        "NEW",
    ]
