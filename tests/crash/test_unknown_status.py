"""An order whose status at the exchange is not known: it stays live, its symbol alone waits, and one line names it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from eightbells.exchange.gateway import open_gateway
from eightbells.exchange.models import OrderReport
from eightbells.settings import load_settings
from eightbells.trading import outbox
from eightbells.trading.execution import OrderExecutor
from eightbells.trading.outbox import client_order_id
from tests.conftest import Configure
from tests.crash.cells import CROSSING, RESTING, clean
from tests.crash.command import command
from tests.crash.world import SYMBOL, Trial, World, strategy

OTHER = "ETHUSDT"
STATUS = "PENDING_LIQUIDATION"
ORDER, OPEN, ALL = "/api/v3/order", "/api/v3/openOrders", "/api/v3/allOrders"
MANY = 999


@pytest.fixture
def trial(world: World) -> Iterator[Trial]:
    """Two symbols; what is ordered rests, until another offset is set."""
    with world.trial(trading__limit_offset=RESTING, symbols=[SYMBOL, OTHER]) as trial:
        trial.hold(trial.close(OTHER), OTHER)
        yield trial


def _told(trial: Trial, **changed: Any) -> dict[str, Any]:
    """The order of this candle in SYMBOL as the exchange would list it."""
    return {
        "symbol": SYMBOL,
        "orderId": 4711,
        "orderListId": -1,
        "price": "1",
        "origQty": "0.01",
        "executedQty": "0.000",
        "clientOrderId": client_order_id("paper", "always", "1", SYMBOL, trial.opened, "entry", 1),
        "cummulativeQuoteQty": "0",
        "status": STATUS,
        "timeInForce": "GTC",
        "type": "LIMIT",
        "side": "BUY",
        "time": trial.simulator.now,
        "updateTime": trial.simulator.now,
        **changed,
    }


def _everywhere(trial: Trial, told: dict[str, Any], places: tuple[str, ...]) -> None:
    for place in places:
        body = told if place == ORDER else [told]
        # openOrders is asked for without a symbol
        match = {} if place == OPEN else {"symbol": SYMBOL}
        trial.simulator.fault(f"GET {place}", {"status": 200, "body": body}, times=MANY, match=match)


def _listed(trial: Trial) -> dict[str, Any]:
    """The order in SYMBOL that the exchange really has, under a status that is not known."""
    (order,) = [it for it in trial.simulator.orders() if it["symbol"] == SYMBOL]
    return _told(
        trial, orderId=order["orderId"], clientOrderId=order["clientOrderId"], origQty=order["origQty"]
    )


def _states(trial: Trial, symbol: str) -> list[tuple[str, str]]:
    return [
        (side, state)
        for side, state in trial.rows(f"SELECT side, state FROM orders WHERE symbol = '{symbol}' ORDER BY id")
    ]


def _drifts(trial: Trial) -> list[tuple[Any, ...]]:
    return trial.rows("SELECT symbol, reason, facts ->> 'exchange' FROM open_drifts ORDER BY id")


def _line(told: dict[str, Any]) -> str:
    number, name = told["orderId"], told["clientOrderId"]
    return f"{SYMBOL}: order {name} is {STATUS} at the exchange, a status that is not known (exchange order {number})"


def test_in_the_answer_to_its_placement_it_blocks_its_symbol_until_it_is_known(trial: Trial) -> None:
    trial.change(trading__limit_offset=CROSSING)
    told = _told(trial)
    answered = {name: told[name] for name in ("orderId", "status", "executedQty")}
    trial.simulator.fault(f"POST {ORDER}", {"status": 200, "body": answered}, match={"symbol": SYMBOL})
    _everywhere(trial, told, (ORDER, ALL))
    asked = trial.simulator.requests()[f"GET {ORDER}"]
    ended = trial.run()
    assert ended.told is not None
    assert ended.told.problems == [_line(told)]
    assert (_states(trial, SYMBOL), _states(trial, OTHER)) == ([("BUY", "UNKNOWN")], [("BUY", "FILLED")])
    assert _drifts(trial) == [(SYMBOL, "unknown_status", STATUS)]
    assert trial.simulator.requests()[f"GET {ORDER}"] - asked <= 4, "it is asked for once at each look"

    trial.leap()
    trial.change(strategies=[strategy("flat")])
    ended = trial.run()
    assert ended.told is not None
    assert ended.told.problems.count(_line(told)) == len(ended.told.problems) == 1
    assert _states(trial, OTHER) == [("BUY", "FILLED"), ("SELL", "FILLED")]
    for _ in range(2):
        ended = trial.run("reconcile")
        assert ended.told is not None
        assert ended.told.error == ""
        assert _drifts(trial) == [(SYMBOL, "unknown_status", STATUS)]
        assert _states(trial, SYMBOL) == [("BUY", "UNKNOWN")]

    trial.simulator.ask("/simulator/faults", method="DELETE")
    _everywhere(trial, told | {"status": "CANCELED"}, (ORDER, ALL))
    clean(trial.run("reconcile"))
    assert _states(trial, SYMBOL) == [("BUY", "CANCELED")]
    assert _drifts(trial) == []


@pytest.mark.parametrize("places", [(OPEN, ALL), (ALL,), (ORDER, ALL), (ORDER, OPEN, ALL)], ids=str)
def test_wherever_the_exchange_says_so_a_reconciliation_goes_on(
    trial: Trial, places: tuple[str, ...]
) -> None:
    clean(trial.run())
    told = _listed(trial)
    _everywhere(trial, told, places)
    for _ in range(2):
        ended = trial.run("reconcile")
        assert ended.told is not None
        assert ended.told.error == ""
        assert _drifts(trial) == [(SYMBOL, "unknown_status", STATUS)]
        assert _states(trial, SYMBOL) == [("BUY", "OPEN")]
    trial.simulator.ask("/simulator/faults", method="DELETE")
    clean(trial.run("reconcile"))
    assert _drifts(trial) == []
    assert trial.wrongs() == []


def test_of_an_order_that_is_closed_in_the_books_it_is_one_drift(trial: Trial) -> None:
    trial.change(trading__limit_offset=CROSSING)
    clean(trial.run())
    told = _listed(trial) | {"executedQty": f"{trial.simulator.orders()[0]['executedQty']}"}
    _everywhere(trial, told, (ALL, ORDER))
    trial.run("reconcile")
    assert _drifts(trial) == [(SYMBOL, "unknown_status", STATUS)]


def test_it_is_not_over_for_who_would_accept_its_drift(trial: Trial) -> None:
    clean(trial.run())
    _everywhere(trial, _listed(trial), (ORDER, ALL))
    trial.run("reconcile")
    ((number,),) = trial.rows("SELECT id FROM open_drifts")
    trial.leap(30)
    said = command(trial.environment(), "accept-drift", str(number), "--reason", "looked at it").complaint
    assert f"is {STATUS} at the exchange, a status that is not known" in said
    assert _drifts(trial) == [(SYMBOL, "unknown_status", STATUS)]


def test_one_that_was_seen_is_never_taken_for_absent(trial: Trial) -> None:
    told = _told(trial)
    trial.simulator.fault(f"POST {ORDER}", {"status": 200, "body": told}, match={"symbol": SYMBOL})
    trial.run()
    trial.leap()
    ended = trial.run("reconcile")  # the exchange knows it no more
    assert ended.told is not None
    assert ended.told.error == ""
    assert _states(trial, SYMBOL) == [("BUY", "UNKNOWN")]
    assert _drifts(trial) == [(SYMBOL, "unknown_status", STATUS)]


def test_in_a_report_of_the_stream_it_books_fills_and_leaves_the_state(
    trial: Trial, configure: Configure
) -> None:
    clean(trial.run())
    told = _listed(trial)
    configure(trial.simulator, trial.engine.url.set(drivername="postgresql"))

    def report(status: str, executed: str) -> OrderReport:
        return OrderReport.of_event(
            {
                "s": SYMBOL,
                "i": told["orderId"],
                "c": told["clientOrderId"],
                "x": "TRADE",
                "X": status,
                "z": executed,
                "t": 1,
                "L": "2",
                "l": "0.001",
                "Y": "0.002",
                "n": "0",
                "N": "BNB",
                "T": trial.simulator.now,
            }
        )

    async def follow() -> None:
        settings = load_settings()
        async with open_gateway(settings, trial.engine) as gateway:
            executor = OrderExecutor(settings, trial.engine, gateway)
            executor.take_report(report(STATUS, "0.001"))
            executor.take_report(report(STATUS, "0.001"))

    asyncio.run(follow())
    with trial.engine.connect() as connection:
        (order,) = outbox.named(connection, "paper", [told["clientOrderId"]])
    assert (order.state, order.executed_quantity, order.booked_quantity) == (
        "OPEN",
        Decimal("0.001"),
        Decimal("0.001"),
    )
    assert _drifts(trial) == [(SYMBOL, "unknown_status", STATUS)]
