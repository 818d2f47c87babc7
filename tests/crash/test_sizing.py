"""Weights, parts and rebalancing through whole cycles: the exchange has what the strategy wanted, and a stop."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from cli.story_view import show
from eightbells.exchange.rules import wire
from eightbells.trading.story import tell
from tests.crash.cells import CROSSING, clean
from tests.crash.world import SYMBOL, Trial, World, strategy

D = Decimal


def _wants(target: str = "long", **given: Any) -> dict[str, Any]:
    parameters = {name: given.pop(name) for name in ("weight", "stop", "take_profit") if name in given}
    return {
        **strategy(target, given.pop("stop_loss", "0")),
        "parameters": {"target": target, **parameters},
        **given,
    }


def _held(trial: Trial) -> Decimal:
    return D(trial.rows("SELECT coalesce(sum(quantity), 0) FROM positions")[0][0])


def _legs(trial: Trial) -> list[str]:
    return [leg for (leg,) in trial.rows("SELECT leg FROM orders WHERE state = 'FILLED' ORDER BY id")]


def test_levels_of_an_opinion_are_kept_with_its_signal(world: World) -> None:
    with world.trial(strategies=[_wants(stop=0.1, take_profit=0.3, weight=0.5)]) as trial:
        clean(trial.run())
        ((price, stop, target, weight),) = trial.rows("SELECT price, stop, take_profit, weight FROM signals")
        assert abs(stop / price - D("0.9")) < D("1e-9")
        assert abs(target / price - D("1.3")) < D("1e-9")
        assert weight == D("0.5")


def test_a_weight_buys_its_share_and_a_smaller_one_sells_the_difference_under_a_stop(world: World) -> None:
    settings = {"trading__limit_offset": CROSSING, "risk__max_jump_sigmas": 0}
    with world.trial(
        strategies=[_wants(weight=0.8, stop_loss="0.2", rebalance_band="0.1")], **settings
    ) as trial:
        clean(trial.run())
        first = _held(trial)
        assert abs(first * D(trial.close()) - 800) < 5
        trial.change(strategies=[_wants(weight=0.4, stop_loss="0.2", rebalance_band="0.1")])
        trial.leap()
        clean(trial.run())
        assert abs(_held(trial) * D(trial.close()) - 400) < 5
        assert _legs(trial) == ["entry", "trim"]
        ((quantity,),) = trial.rows("SELECT quantity FROM orders WHERE leg = 'stop' AND state = 'OPEN'")
        assert 0 <= _held(trial) - quantity < D("0.00002")
        trial.change(strategies=[_wants(weight=0.9, stop_loss="0.2", rebalance_band="0.1")])
        trial.leap()
        clean(trial.run())
        assert abs(_held(trial) * D(trial.close()) - 900) < 5
        clean(trial.run())
        assert _legs(trial) == ["entry", "trim", "entry"], "a second run adds nothing"
        assert trial.wrongs() == []


def test_a_position_in_parts_is_bought_and_sold_one_part_per_candle(world: World) -> None:
    settings = {"trading__limit_offset": CROSSING, "risk__max_jump_sigmas": 0}
    with world.trial(strategies=[_wants(scale_steps=2, stop_loss="0.3")], **settings) as trial:
        for _ in range(3):
            clean(trial.run())
            trial.leap()
        assert _legs(trial) == ["entry", "entry"]
        trial.change(strategies=[_wants("flat", scale_steps=2, stop_loss="0.3")])
        clean(trial.run())
        clean(trial.run())
        assert _legs(trial) == ["entry", "entry", "trim"]
        assert trial.wrongs() == []
        trial.leap()
        clean(trial.run())
        assert _legs(trial) == ["entry", "entry", "trim", "exit"]
        assert trial.wrongs() == []


def test_profit_compounds_with_equity(world: World) -> None:
    with world.trial(
        strategies=[_wants(sizing="equity", rebalance_band="0.01")],
        trading__limit_offset=CROSSING,
        risk__max_jump_sigmas=0,
    ) as trial:
        for _ in range(4):
            clean(trial.run())
            trial.leap()
        ((equity,),) = trial.rows("SELECT equity FROM cycles ORDER BY open_time DESC LIMIT 1")
        ((opened, close),) = trial.rows(
            f"SELECT open_time, close FROM candles WHERE symbol = '{SYMBOL}' AND open_time = "
            "(SELECT max(open_time) FROM cycles)"
        )
        assert abs(_held(trial) * close / equity - 1) < D("0.012"), opened


def test_what_is_too_small_to_be_placed_is_in_the_report_with_its_reason(world: World) -> None:
    with world.trial(strategies=[_wants(weight=0.001)]) as trial:
        clean(trial.run())
        ((stage, reason),) = trial.rows("SELECT stage, reason FROM refusals")
        assert stage == "sizing"
        assert "below the minimum" in reason


def test_explain_shows_what_the_strategy_set(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    with world.trial(strategies=[_wants(stop=0.5, weight=0.5)]) as trial:
        clean(trial.run())
        with trial.engine.connect() as connection:
            story = tell(connection, trial.rows("SELECT client_order_id FROM orders")[0][0])
        ((stop,),) = trial.rows("SELECT stop FROM signals")
        show(story)
        assert f"stop {wire(stop)}, weight 0.5" in capsys.readouterr().out
