"""What becomes of an order that is not filled when its candle is over: renewed, cancelled or kept, by setting."""

from __future__ import annotations

import pytest

from tests.crash.cells import CROSSING, RESTING, clean
from tests.crash.world import Trial, World, strategy

_WAITING = {"trading__limit_offset": RESTING, "trading__exit_steps": ["close"]}


def _statuses(trial: Trial) -> list[str]:
    return [order["status"] for order in trial.simulator.orders()]


def _refusals(trial: Trial) -> list[tuple[str, str]]:
    return [(stage, reason) for stage, reason in trial.rows("SELECT stage, reason FROM refusals ORDER BY id")]


@pytest.mark.parametrize(
    ("unfilled", "statuses"),
    [("renew", ["CANCELED", "NEW"]), ("cancel", ["CANCELED"]), ("keep", ["NEW"])],
)
def test_an_order_that_was_not_filled_in_its_candle(world: World, unfilled: str, statuses: list[str]) -> None:
    with world.trial(trading__unfilled=unfilled, trading__limit_offset=RESTING) as trial:
        clean(trial.run())
        clean(trial.run())
        assert _statuses(trial) == ["NEW"], "in its own candle it stays"
        trial.leap()
        clean(trial.run())
        assert _statuses(trial) == statuses
        assert trial.wrongs() == []


@pytest.mark.parametrize("unfilled", ["renew", "cancel", "keep"])
def test_a_part_that_was_filled_is_kept_and_not_bought_again(world: World, unfilled: str) -> None:
    with world.trial(trading__unfilled=unfilled, trading__limit_offset=CROSSING) as trial:
        trial.simulator.control("settings", taker_fraction="0.4", fill_gap_ms=10**10)
        clean(trial.run())
        trial.leap()
        clean(trial.run())
        assert _statuses(trial) == ["PARTIALLY_FILLED" if unfilled == "keep" else "CANCELED"]
        ((held,),) = trial.rows("SELECT quantity FROM positions")
        assert held > 0
        assert trial.wrongs() == []


def test_cancelled_for_good_it_is_not_bought_until_the_strategy_was_flat(world: World) -> None:
    with world.trial(trading__unfilled="cancel", trading__limit_offset=RESTING) as trial:
        for _ in range(3):
            clean(trial.run())
            trial.leap()
        assert _statuses(trial) == ["CANCELED"]
        assert all(
            stage == "risk" and "has not been flat since" in reason for stage, reason in _refusals(trial)
        )
        trial.change(strategies=[strategy("flat")])
        clean(trial.run())
        trial.leap()
        trial.change(strategies=[strategy("long")])
        clean(trial.run())
        assert _statuses(trial) == ["CANCELED", "NEW"]


def test_an_exit_that_was_not_filled_is_renewed_though_entries_are_not(world: World) -> None:
    with world.trial(trading__unfilled="cancel", trading__limit_offset=CROSSING) as trial:
        clean(trial.run())
        trial.change(strategies=[strategy("flat")], **_WAITING)
        for _ in range(2):
            trial.leap()
            clean(trial.run())
        assert _statuses(trial) == ["FILLED", "CANCELED", "NEW"]
        assert trial.wrongs() == []


def test_what_is_kept_is_cancelled_when_the_strategy_wants_the_contrary(world: World) -> None:
    with world.trial(trading__unfilled="keep", trading__limit_offset=RESTING) as trial:
        clean(trial.run())
        trial.leap()
        trial.change(strategies=[strategy("flat")])
        clean(trial.run())
        assert _statuses(trial) == ["CANCELED"]
        trial.leap()
        trial.change(strategies=[strategy("long")], trading__limit_offset=CROSSING)
        clean(trial.run())
        trial.leap()
        trial.change(strategies=[strategy("flat")], **_WAITING)
        clean(trial.run())
        trial.leap()
        trial.change(strategies=[strategy("long")])
        clean(trial.run())
        assert _statuses(trial) == ["CANCELED", "FILLED", "CANCELED"]
        assert trial.wrongs() == []


def test_what_is_kept_counts_as_spent(world: World) -> None:
    with world.trial(trading__unfilled="keep", trading__limit_offset=RESTING) as trial:
        clean(trial.run())
        trial.change(strategies=[strategy(), strategy(name="other")])
        trial.leap()
        clean(trial.run())
        assert _statuses(trial) == ["NEW", "NEW"], "one for each strategy, none twice"
        ((spent,),) = trial.rows("SELECT max(quantity * price) FROM orders")
        assert spent <= 1000
