"""Protective stops at the exchange: one a position, for exactly what is held, gone when it is."""

from __future__ import annotations

import signal
from decimal import Decimal
from typing import Any

import pytest

from tests.crash.cells import CROSSING, LOST, RESTING, clean
from tests.crash.world import SYMBOL, Trial, World, strategy

_LONG, _FLAT = [strategy("long", "0.1")], [strategy("flat", "0.1")]
_NEVER = 10**10


@pytest.fixture
def holding(world: World) -> Any:
    """A position with its stop, a candle later."""
    with world.trial(strategies=_LONG, trading__limit_offset=CROSSING) as trial:
        clean(trial.run())
        trial.leap()
        yield trial


def _stops(trial: Trial) -> list[dict[str, Any]]:
    return [order for order in trial.simulator.orders() if order["type"] == "STOP_LOSS_LIMIT"]


def _open(trial: Trial) -> list[dict[str, Any]]:
    return [stop for stop in _stops(trial) if stop["status"] == "NEW"]


def _fall(trial: Trial, share: str = "0.897") -> None:
    """Let the price fall to a share of what was paid: by default between a stop's trigger and its limit."""
    ((paid,),) = trial.rows("SELECT price FROM fills WHERE side = 'BUY'")
    trial.hold(f"{paid * Decimal(share):.2f}")


def test_a_stop_is_placed_when_the_entry_is_filled_for_what_can_be_sold(holding: Trial) -> None:
    (stop,) = _stops(holding)
    ((held, cost),) = holding.rows("SELECT quantity, -quote_flow / quantity FROM positions")
    assert stop["status"] == "NEW"
    assert Decimal(0) <= held - Decimal(stop["origQty"]) < Decimal("0.00001")
    trigger, limit = Decimal(stop["stopPrice"]), Decimal(stop["price"])
    assert abs(trigger - cost * Decimal("0.9")) < Decimal("0.011")
    assert abs(limit - trigger * Decimal("0.99")) < Decimal("0.011")
    assert holding.wrongs() == []


def test_there_is_no_stop_without_a_position(world: World) -> None:
    with world.trial(strategies=_LONG, trading__limit_offset=RESTING) as trial:
        clean(trial.run())
        assert _stops(trial) == []


def test_an_exit_cancels_the_stop_and_sells(holding: Trial) -> None:
    holding.change(strategies=_FLAT)
    clean(holding.run())
    assert [order["status"] for order in holding.simulator.orders()] == ["FILLED", "CANCELED", "FILLED"]
    assert holding.wrongs() == []


def test_the_stop_follows_an_entry_that_is_filled_in_parts(world: World) -> None:
    with world.trial(strategies=_LONG, trading__limit_offset=CROSSING, trading__unfilled="keep") as trial:
        trial.simulator.control("settings", taker_fraction="0.4", fill_gap_ms=60_000)
        clean(trial.run())
        (first,) = _open(trial)
        trial.leap()
        clean(trial.run())
        (second,) = _open(trial)
        assert [stop["status"] for stop in _stops(trial)] == ["CANCELED", "NEW"]
        assert Decimal(second["origQty"]) > 2 * Decimal(first["origQty"])
        assert trial.wrongs() == []


def test_a_stop_that_was_filled_leaves_no_position_and_nothing_is_sold_twice(holding: Trial) -> None:
    _fall(holding)
    holding.change(strategies=_FLAT)
    clean(holding.run())
    assert [order["status"] for order in holding.simulator.orders()] == ["FILLED", "FILLED"]
    assert holding.wrongs() == []


def test_a_stop_that_is_filled_while_it_is_to_be_cancelled_is_not_sold_again(holding: Trial) -> None:
    holding.change(strategies=_FLAT)
    child = holding.start(target="order.cancel, no permit", act=signal.SIGSTOP)
    holding.until_stopped(child)
    _fall(holding)
    child.send(signal.SIGCONT)
    clean(child.wait())
    assert [order["status"] for order in holding.simulator.orders()] == ["FILLED", "FILLED"]
    assert holding.wrongs() == []


def test_a_stop_that_is_being_filled_is_left_to_go_on(holding: Trial) -> None:
    holding.simulator.control("settings", taker_fraction="0.4", fill_gap_ms=_NEVER)
    _fall(holding)
    clean(holding.run())
    assert [stop["status"] for stop in _stops(holding)] == ["PARTIALLY_FILLED"]


def test_an_exit_goes_out_though_a_run_died_before_it_sent_the_stop(world: World) -> None:
    with world.trial(strategies=_LONG, trading__limit_offset=CROSSING) as trial:
        assert trial.run(target="commit plan_stops, done").killed
        trial.leap()
        trial.change(strategies=_FLAT)
        clean(trial.run())
        assert [order["type"] for order in trial.simulator.orders()] == ["LIMIT", "LIMIT"]
        assert trial.wrongs() == []
        trial.leap()
        clean(trial.run())
        assert trial.wrongs() == []


def test_a_stop_below_which_the_price_has_fallen_already_is_told(world: World) -> None:
    with world.trial(strategies=_LONG, trading__limit_offset=CROSSING) as trial:
        assert trial.run(target="commit plan_stops, due").killed
        _fall(trial, "0.85")
        ended = trial.run()
        assert ended.told is not None
        assert ended.told.problems


def test_a_stop_that_is_filled_while_the_books_are_reconciled_is_a_drift_until_they_are_again(
    holding: Trial,
) -> None:
    child = holding.start(target="openOrders, no permit", act=signal.SIGSTOP)
    holding.until_stopped(child)
    _fall(holding)
    child.send(signal.SIGCONT)
    child.wait()
    assert holding.rows("SELECT reason, cleared_at FROM drifts") == [("balance", None)]
    clean(holding.run("reconcile"))
    assert [order["status"] for order in holding.simulator.orders()] == ["FILLED", "FILLED"]
    assert holding.wrongs() == []


def test_a_stop_that_cannot_be_cancelled_stops_only_its_symbol(world: World) -> None:
    with world.trial(strategies=_LONG, trading__limit_offset=CROSSING, symbols=[SYMBOL, "ETHUSDT"]) as trial:
        clean(trial.run())
        trial.leap()
        trial.change(strategies=_FLAT)
        trial.simulator.fault("DELETE /api/v3/order", LOST, match={"symbol": SYMBOL}, times=100)
        ended = trial.run()
        assert ended.told is not None
        assert not ended.told.error
        assert any("504" in problem for problem in ended.told.problems)
        sold = [
            order["symbol"]
            for order in trial.simulator.orders()
            if (order["side"], order["status"]) == ("SELL", "FILLED")
        ]
        assert sold == ["ETHUSDT"]
