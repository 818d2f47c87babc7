"""Stops that follow the price: the exchange moves them up, and no look of ours moves them down."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.crash.cells import CROSSING, clean
from tests.crash.test_guardian import _sales
from tests.crash.world import SYMBOL, Trial, World, strategy

D = Decimal


def wants(
    target: str = "long", trailing: str = "0.05", stop: str = "0.2", **given: Any
) -> list[dict[str, Any]]:
    return [{**strategy(target, stop), "trailing_stop": trailing, **given}]


def _go(trial: Trial, base: Decimal, *shares: str) -> None:
    for share in shares:
        trial.hold(f"{base * D(share):.2f}")
        trial.simulator.advance(1000)


def _last_stop(trial: Trial) -> dict[str, Any]:
    return dict(trial.simulator.orders()[-1])


def test_the_exchange_moves_the_stop_and_a_look_leaves_it(world: World) -> None:
    with world.trial(strategies=wants(), trading__limit_offset=CROSSING) as trial:
        clean(trial.run())
        assert _sales(trial) == [("STOP_LOSS", "NEW")]
        assert _last_stop(trial)["trailingDelta"] == 500
        base = D(trial.close())
        _go(trial, base, "1.04")
        clean(trial.run("reconcile"))
        clean(trial.run())
        assert _sales(trial) == [("STOP_LOSS", "NEW")]
        _go(trial, base, "1.1", "1.046")
        assert _sales(trial) == [("STOP_LOSS", "NEW")]
        _go(trial, base, "1.044")
        clean(trial.run("reconcile"))
        assert _sales(trial) == [("STOP_LOSS", "FILLED")]
        assert trial.wrongs() == []


def test_a_stop_that_is_lost_after_a_rise_comes_back_at_its_height(world: World) -> None:
    """It would begin lower where it is placed again, so it is placed at its price, and follows again from a new top."""
    with world.trial(
        strategies=wants(), trading__limit_offset=CROSSING, risk__max_jump_sigmas=0, risk__price_collar="0"
    ) as trial:
        clean(trial.run())
        trial.free()
        trial.leap(3)
        clean(trial.run())
        ((high,),) = trial.rows(
            f"SELECT max(high) FROM candles WHERE symbol = '{SYMBOL}' AND open_time > "
            "(SELECT min(traded_at) FROM fills)"
        )
        trial.simulator.control("expire", symbol=SYMBOL)
        trial.hold(f"{high * D('0.97'):.2f}")
        clean(trial.run("reconcile"))
        placed = _last_stop(trial)
        assert placed["status"] == "NEW"
        assert "trailingDelta" not in placed
        assert abs(D(placed["stopPrice"]) / (high * D("0.95")) - 1) < D("0.0005")
        trial.hold(f"{high * D('1.01'):.2f}")
        clean(trial.run("reconcile"))
        assert _last_stop(trial)["trailingDelta"] == 500
        assert trial.wrongs() == []


@pytest.mark.parametrize("trailing", ["0.3", "0.0005"])
def test_where_the_exchange_takes_no_such_delta_the_stop_is_moved(world: World, trailing: str) -> None:
    settings = {"trading__limit_offset": CROSSING, "risk__max_jump_sigmas": 0}
    with world.trial(strategies=wants(trailing=trailing, stop="0.4"), **settings) as trial:
        clean(trial.run())
        assert "trailingDelta" not in _last_stop(trial)
        first = D(_last_stop(trial)["stopPrice"])
        _go(trial, D(trial.close()), "1.02")
        clean(trial.run("reconcile"))
        assert D(_last_stop(trial)["stopPrice"]) > first
        assert trial.wrongs() == []


def test_a_trailing_stop_lies_in_one_list_with_a_target(world: World) -> None:
    given = wants()
    given[0]["parameters"] |= {"take_profit": 0.2}
    settings = {"trading__limit_offset": CROSSING, "exchange__recv_window_ms": 5000}
    with world.trial(strategies=given, **settings) as trial:
        clean(trial.run())
        assert _sales(trial) == [("STOP_LOSS", "NEW"), ("LIMIT_MAKER", "NEW")]
        base = D(trial.close())
        _go(trial, base, "1.1", "1.03")
        clean(trial.run("reconcile"))
        assert _sales(trial) == [("STOP_LOSS", "FILLED"), ("LIMIT_MAKER", "EXPIRED")]
        assert trial.wrongs() == []
