"""A strategy's own stop and target: one order list at the exchange, and whatever becomes of it, no sale too many."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from tests.crash.cells import CROSSING, CUT, clean
from tests.crash.test_guardian import _sales, _unprotected
from tests.crash.world import DUST, SYMBOL, Trial, World, strategy

D = Decimal
LIST = "POST /api/v3/orderList/oco"
STOP, TARGET = ("STOP_LOSS", "NEW"), ("LIMIT_MAKER", "NEW")


def wants(target: str = "long", stop: float | None = 0.1, take_profit: float | None = 0.1) -> dict[str, Any]:
    levels = {"stop": stop, "take_profit": take_profit}
    given = {name: value for name, value in levels.items() if value is not None}
    return {**strategy(target), "parameters": {"target": target, **given}}


@pytest.fixture
def listed(world: World) -> Iterator[Trial]:
    """A position with its stop and its target, bought at the close."""
    with world.trial(strategies=[wants()], trading__limit_offset=CROSSING, risk__max_jump_sigmas=0) as trial:
        clean(trial.run())
        assert _sales(trial) == [STOP, TARGET]
        yield trial


def _move(trial: Trial, share: str) -> None:
    trial.hold(f"{D(trial.close()) * D(share):.2f}")


def _held(trial: Trial) -> int:
    return int(trial.rows(f"SELECT count(*) FROM positions WHERE quantity > {DUST}")[0][0])


def test_stop_and_target_lie_at_the_exchange_as_the_strategy_set_them(listed: Trial) -> None:
    ((stop, target),) = listed.rows("SELECT stop, take_profit FROM signals")
    placed = [order for order in listed.simulator.orders() if order["side"] == "SELL"]
    assert 0 <= D(placed[0]["stopPrice"]) - stop < D("0.02")
    assert 0 <= D(placed[1]["price"]) - target < D("0.02")
    assert len({order["orderListId"] for order in placed}) == 1
    assert placed[0]["origQty"] == placed[1]["origQty"]
    clean(listed.run())
    clean(listed.run("reconcile"))
    assert _sales(listed) == [STOP, TARGET], "a second look changes nothing"
    assert listed.wrongs() == []


@pytest.mark.parametrize(
    ("share", "ends"),
    [
        ("0.85", [("STOP_LOSS", "FILLED"), ("LIMIT_MAKER", "EXPIRED")]),
        ("1.15", [("STOP_LOSS", "EXPIRED"), ("LIMIT_MAKER", "FILLED")]),
    ],
)
def test_one_of_the_two_sells_and_the_strategy_does_not_buy_back_at_once(
    listed: Trial, share: str, ends: list[tuple[str, str]]
) -> None:
    _move(listed, share)
    clean(listed.run("reconcile"))
    assert _sales(listed) == ends
    assert _held(listed) == 0
    listed.leap()
    clean(listed.run())
    assert [order["side"] for order in listed.simulator.orders()].count("BUY") == 1
    assert "(cooldown)" in listed.rows("SELECT reason FROM refusals")[-1][0]
    assert listed.wrongs() == []


def test_after_a_part_of_the_target_the_rest_is_sold_or_protected(listed: Trial) -> None:
    listed.simulator.control("settings", fill_parts=2, fill_gap_ms=10**9)
    _move(listed, "1.15")
    _move(listed, "1")
    clean(listed.run("reconcile"))
    assert _sales(listed)[:2] == [("STOP_LOSS", "EXPIRED"), ("LIMIT_MAKER", "CANCELED")]
    assert _sales(listed)[2:] == [STOP, TARGET]
    assert _held(listed) == 1
    assert listed.wrongs() == []


def test_an_exit_takes_the_place_of_both(listed: Trial) -> None:
    listed.leap()
    listed.change(strategies=[wants("flat")])
    clean(listed.run())
    assert _sales(listed) == [("STOP_LOSS", "CANCELED"), ("LIMIT_MAKER", "CANCELED"), ("LIMIT", "FILLED")]
    assert listed.wrongs() == []


def test_a_sale_by_hand_takes_the_place_of_both(listed: Trial) -> None:
    clean(listed.run("sell", symbol=SYMBOL, reason="a feeling"))
    clean(listed.run("reconcile"))
    assert _sales(listed) == [("STOP_LOSS", "CANCELED"), ("LIMIT_MAKER", "CANCELED"), ("MARKET", "FILLED")]
    assert listed.wrongs() == []


def test_another_stop_takes_the_place_of_both_in_one_request_and_the_target_is_watched(listed: Trial) -> None:
    listed.leap()
    listed.change(strategies=[wants(stop=0.05, take_profit=0.05)])
    clean(listed.run())
    assert _sales(listed) == [("STOP_LOSS", "CANCELED"), ("LIMIT_MAKER", "CANCELED"), STOP]
    _move(listed, "1.06")
    clean(listed.run("reconcile"))
    assert _sales(listed)[2:] == [("STOP_LOSS", "CANCELED"), ("MARKET", "FILLED")]
    assert listed.rows("SELECT leg FROM orders WHERE type = 'MARKET'") == [("target",)]
    assert listed.wrongs() == []


def test_a_target_without_a_stop_is_a_limit_order(world: World) -> None:
    with world.trial(strategies=[wants(stop=None)], trading__limit_offset=CROSSING) as trial:
        clean(trial.run())
        assert _sales(trial) == [("LIMIT", "NEW")]
        clean(trial.run())
        trial.leap()
        trial.change(strategies=[wants("flat", stop=None)])
        clean(trial.run())
        assert _sales(trial) == [("LIMIT", "CANCELED"), ("LIMIT", "FILLED")]
        assert trial.wrongs() == []


def test_a_symbol_that_takes_no_lists_has_its_stop_and_its_target_is_watched(world: World) -> None:
    with world.trial(strategies=[wants()], trading__limit_offset=CROSSING) as trial:
        trial.simulator.control("settings", symbols={SYMBOL: {"ocoAllowed": False}})
        clean(trial.run())
        assert _sales(trial) == [STOP]
        _move(trial, "1.12")
        clean(trial.run("reconcile"))
        assert _sales(trial) == [("STOP_LOSS", "CANCELED"), ("MARKET", "FILLED")]
        assert trial.wrongs() == []


@pytest.mark.parametrize("code", [-1013, -2010, -1021])
def test_where_the_list_is_refused_the_stop_goes_alone_at_once(world: World, code: int) -> None:
    with world.trial(strategies=[wants()], trading__limit_offset=CROSSING) as trial:
        trial.simulator.fault(LIST, {"code": code, "msg": "Filter failure: for a test"}, times=9)
        clean(trial.run())
        assert _sales(trial) == [STOP]
        assert _unprotected(trial) == []
        assert trial.wrongs() == []


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_list_whose_answer_is_lost_is_asked_for_and_never_doubled(world: World, when: str) -> None:
    with world.trial(strategies=[wants()], trading__limit_offset=CROSSING) as trial:
        trial.simulator.fault(LIST, CUT, when=when, times=1)
        clean(trial.run())
        clean(trial.run("reconcile"))
        assert _sales(trial) == [STOP, TARGET]
        assert trial.wrongs() == []


def test_a_list_that_the_exchange_ends_is_restored(listed: Trial) -> None:
    listed.simulator.control("expire", symbol=SYMBOL)
    clean(listed.run("reconcile"))
    assert _sales(listed) == [("STOP_LOSS", "EXPIRED"), ("LIMIT_MAKER", "EXPIRED"), STOP, TARGET]
    assert listed.wrongs() == []


def test_two_sales_of_a_position_are_refused_by_the_database(listed: Trial) -> None:
    columns = "signal_id, leg, account, strategy, symbol, open_time, side, type, quantity, client_order_id, planned_at"
    with pytest.raises(Exception, match="orders_one_live_sale"):
        listed.execute(
            f"INSERT INTO orders ({columns}) SELECT signal_id, 'exit', account, strategy, symbol, open_time, side, "
            "'MARKET', quantity, 'eb-another', planned_at FROM orders WHERE leg = 'target'"
        )
    with pytest.raises(Exception, match="listed with a planned stop"):
        listed.execute(
            f"INSERT INTO orders ({columns}, attempt, price, listed_with, paired) SELECT signal_id, 'target', account, "
            "strategy, symbol, open_time, side, 'LIMIT_MAKER', quantity, 'eb-another', planned_at, 9, 1, id, TRUE "
            "FROM orders WHERE leg = 'stop'"
        )
