"""Protective stops at the exchange: one a position, for exactly what is held, gone when it is."""

from __future__ import annotations

import signal
from decimal import Decimal
from typing import Any

import pytest

from tests.crash.cells import CROSSING, LOST, RESTING, clean
from tests.crash.world import DUST, SYMBOL, Trial, World, strategy

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
    return [order for order in trial.simulator.orders() if order["type"] == "STOP_LOSS"]


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
    assert abs(Decimal(stop["stopPrice"]) - cost * Decimal("0.9")) < Decimal("0.011")
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
    child = holding.start(target="order.place, permitted", act=signal.SIGSTOP)
    holding.until_stopped(child)
    _fall(holding)
    child.send(signal.SIGCONT)
    clean(child.wait())
    assert [order["status"] for order in holding.simulator.orders()] == ["FILLED", "FILLED"]
    assert holding.wrongs() == []


def test_a_stop_that_is_being_filled_is_left_to_go_on(world: World) -> None:
    with world.trial(strategies=_LONG, trading__limit_offset=CROSSING, trading__stop_type="limit") as trial:
        clean(trial.run())
        trial.leap()
        trial.simulator.control("settings", taker_fraction="0.4", fill_gap_ms=_NEVER)
        _fall(trial)
        clean(trial.run())
        (stop,) = [order for order in trial.simulator.orders() if order["type"] == "STOP_LOSS_LIMIT"]
        assert stop["status"] == "PARTIALLY_FILLED"


def test_what_a_stop_leaves_unsold_is_sold_on(holding: Trial) -> None:
    holding.simulator.control("settings", taker_fraction="0.4")
    _fall(holding)
    clean(holding.run())
    first, *others = [order for order in holding.simulator.orders() if order["side"] == "SELL"]
    assert (first["type"], first["status"]) == ("STOP_LOSS", "EXPIRED")
    assert {order["type"] for order in others} == {"MARKET"}
    assert holding.rows(f"SELECT count(*) FROM positions WHERE quantity > {DUST}") == [(0,)]
    assert holding.wrongs() == []


def test_a_stop_whose_limit_the_price_has_jumped_over_is_replaced_by_a_sale_at_market(world: World) -> None:
    with world.trial(strategies=_LONG, trading__limit_offset=CROSSING, trading__stop_type="limit") as trial:
        clean(trial.run())
        trial.leap()
        _fall(trial, "0.7")
        clean(trial.run("reconcile"))
        kinds = [(order["type"], order["status"]) for order in trial.simulator.orders()]
        assert kinds == [("LIMIT", "FILLED"), ("STOP_LOSS_LIMIT", "CANCELED"), ("MARKET", "FILLED")]
        assert trial.wrongs() == []


def test_an_exit_goes_out_though_a_run_died_before_it_sent_the_stop(world: World) -> None:
    with world.trial(strategies=_LONG, trading__limit_offset=CROSSING) as trial:
        assert trial.run(target="commit _plan, done").killed
        trial.leap()
        trial.change(strategies=_FLAT)
        clean(trial.run())
        kinds = [(order["type"], order["status"]) for order in trial.simulator.orders()]
        assert kinds == [("LIMIT", "FILLED"), ("STOP_LOSS", "CANCELED"), ("LIMIT", "FILLED")]
        assert trial.wrongs() == []
        trial.leap()
        clean(trial.run())
        assert trial.wrongs() == []


@pytest.mark.parametrize("flow", ["cycle", "reconcile"])
def test_a_holding_whose_stop_the_price_has_passed_already_is_sold(world: World, flow: str) -> None:
    with world.trial(strategies=_LONG, trading__limit_offset=CROSSING) as trial:
        assert trial.run(target="commit _plan, due").killed
        _fall(trial, "0.85")
        clean(trial.run(flow))
        kinds = [(order["type"], order["status"]) for order in trial.simulator.orders()]
        assert kinds == [("LIMIT", "FILLED"), ("MARKET", "FILLED")]
        assert trial.wrongs() == []


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


def test_a_stop_that_cannot_be_replaced_stays_and_the_other_symbol_is_sold(world: World) -> None:
    with world.trial(strategies=_LONG, trading__limit_offset=CROSSING, symbols=[SYMBOL, "ETHUSDT"]) as trial:
        clean(trial.run())
        trial.leap()
        trial.change(strategies=_FLAT)
        trial.simulator.fault("POST /api/v3/order/cancelReplace", LOST, match={"symbol": SYMBOL}, times=100)
        ended = trial.run()
        assert ended.told is not None
        assert not ended.told.error
        assert [stop["symbol"] for stop in _open(trial)] == [SYMBOL]
        sold = [
            order["symbol"]
            for order in trial.simulator.orders()
            if (order["side"], order["status"]) == ("SELL", "FILLED")
        ]
        assert sold == ["ETHUSDT"]
