"""The halt: from its commit on nothing follows a signal; what is open is cancelled, what is held sold if wanted."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.crash.cells import CROSSING, RESTING, clean
from tests.crash.world import DUST, Trial, World, strategy

_LONG = [strategy("long", "0.2")]


@pytest.fixture
def holding(world: World) -> Iterator[Trial]:
    """A position with its stop, a candle later."""
    with world.trial(strategies=_LONG, trading__limit_offset=CROSSING) as trial:
        clean(trial.run())
        trial.leap()
        yield trial


def _orders(trial: Trial) -> list[tuple[str, str]]:
    return [(order["type"], order["status"]) for order in trial.simulator.orders()]


def _refused(trial: Trial) -> list[str]:
    return [stage for (stage,) in trial.rows("SELECT stage FROM refusals ORDER BY id")]


def _halt(trial: Trial, **given: object) -> None:
    clean(trial.run("halt", **{"action": "halt", "reason": "a bad feeling", **given}))


def test_after_a_halt_nothing_is_bought_until_it_is_resumed(world: World) -> None:
    with world.trial(trading__limit_offset=CROSSING) as trial:
        _halt(trial)
        clean(trial.run())
        assert _orders(trial) == []
        assert trial.rows("SELECT stage, reason FROM refusals") == [
            ("switch", "trading is switched off: a bad feeling")
        ]
        _halt(trial, action="resume")
        clean(trial.run())
        assert _orders(trial) == [("LIMIT", "FILLED")]


def test_a_halt_stops_an_order_that_is_planned_already(world: World) -> None:
    with world.trial(trading__limit_offset=CROSSING) as trial:
        child = trial.start(target="order.place, permitted", act=signal.SIGSTOP)
        trial.until_stopped(child)
        _halt(trial)
        child.send(signal.SIGCONT)
        clean(child.wait())
        assert _orders(trial) == []
        assert trial.rows("SELECT state FROM orders") == [("DENIED",)]


def test_an_order_that_goes_out_while_the_switch_is_turned_is_cancelled(world: World) -> None:
    with world.trial(trading__limit_offset=RESTING) as trial:
        child = trial.start(target="commit begin_sending, due", act=signal.SIGSTOP)
        trial.until_stopped(child)
        halt = trial.start("halt", action="halt", reason="a bad feeling")
        trial.until(lambda: trial.is_waiting() or halt.state in ("Z", "gone"))
        child.send(signal.SIGCONT)
        clean(halt.wait())
        child.wait()
        assert {status for _, status in _orders(trial)} <= {"CANCELED"}


def test_a_halt_cancels_what_is_open_and_leaves_the_stops(holding: Trial) -> None:
    holding.change(strategies=[*_LONG, strategy(name="other")], trading__limit_offset=RESTING)
    clean(holding.run())
    _halt(holding)
    assert _orders(holding) == [("LIMIT", "FILLED"), ("STOP_LOSS", "NEW"), ("LIMIT", "CANCELED")]


def test_a_position_stays_protected_while_trading_is_halted(holding: Trial) -> None:
    _halt(holding)
    clean(holding.run())
    holding.change(strategies=[strategy("flat", "0.2")])
    holding.leap()
    clean(holding.run())
    assert _refused(holding) == ["switch"]
    assert holding.wrongs() == [], "the stop was placed again"


def test_selling_out_cancels_the_stops_and_sells_everything_at_market(holding: Trial) -> None:
    _halt(holding, sell_everything=True)
    assert _orders(holding) == [
        ("LIMIT", "FILLED"),
        ("STOP_LOSS", "CANCELED"),
        ("MARKET", "FILLED"),
    ]
    clean(holding.run())
    assert holding.wrongs() == []


def test_a_sale_that_a_killed_halt_left_unsent_is_not_sent_once_trading_is_on_again(holding: Trial) -> None:
    assert holding.run("halt", action="halt", sell_everything=True, target="commit plan_sellout, done").killed
    _halt(holding, action="resume")
    clean(holding.run())
    assert _orders(holding) == [("LIMIT", "FILLED"), ("STOP_LOSS", "NEW")]
    assert holding.wrongs() == []


def test_selling_out_twice_sells_once(holding: Trial) -> None:
    _halt(holding, sell_everything=True)
    _halt(holding, sell_everything=True)
    assert [kind for kind, _ in _orders(holding)] == ["LIMIT", "STOP_LOSS", "MARKET"]


def test_a_sale_that_was_refused_is_tried_again_by_the_next_halt(holding: Trial) -> None:
    place = "POST /api/v3/order/cancelReplace"
    holding.simulator.fault(place, {"code": -2010, "msg": "Market is closed."}, times=4)
    ended = holding.run("halt", action="halt", sell_everything=True)
    assert ended.told is not None
    assert ended.told.problems
    holding.simulator.ask("/simulator/faults", method="DELETE")
    _halt(holding, sell_everything=True)
    assert _orders(holding)[-1] == ("MARKET", "FILLED")


def test_what_was_sold_in_part_is_sold_on(holding: Trial) -> None:
    holding.simulator.control("settings", taker_fraction="0.4")
    _halt(holding, sell_everything=True)
    assert _orders(holding)[2:4] == [("MARKET", "EXPIRED"), ("MARKET", "EXPIRED")]
    assert holding.rows(f"SELECT count(*) FROM positions WHERE quantity > {DUST}") == [(0,)]


@pytest.mark.parametrize(
    "point",
    [
        "commit set_switch, done",
        "commit plan_sellout, done",
        "order.cancelReplace, on the wire",
        "order.cancelReplace, answered",
    ],
)
def test_a_halt_that_was_killed_is_completed_by_another(holding: Trial, point: str) -> None:
    assert holding.run("halt", action="halt", sell_everything=True, target=point).killed
    assert holding.rows("SELECT is_on FROM switches") == [(False,)]
    _halt(holding, sell_everything=True)
    clean(holding.run("reconcile"))
    assert [kind for kind, _ in _orders(holding)] == ["LIMIT", "STOP_LOSS", "MARKET"]
    assert holding.wrongs() == []
