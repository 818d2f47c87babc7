"""The guardian: what protects is replaced, restored and completed, whatever the exchange does to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest

from tests import surroundings
from tests.crash.cells import CROSSING, RESTING, clean
from tests.crash.world import DUST, SYMBOL, Trial, World, strategy

_PATIENCE = 90.0  # seconds: a busy machine starts processes slowly
_LONG, _FLAT = [strategy("long", "0.1")], [strategy("flat", "0.1")]
REPLACE, PLACE, PRICES = "POST /api/v3/order/cancelReplace", "POST /api/v3/order", "GET /api/v3/ticker/price"


@pytest.fixture
def holding(world: World) -> Iterator[Trial]:
    """A position with its stop, a candle later."""
    with world.trial(strategies=_LONG, trading__limit_offset=CROSSING) as trial:
        clean(trial.run())
        trial.leap()
        yield trial


def _sales(trial: Trial) -> list[tuple[str, str]]:
    return [(order["type"], order["status"]) for order in trial.simulator.orders() if order["side"] == "SELL"]


def _fall(trial: Trial, share: str) -> None:
    ((paid,),) = trial.rows("SELECT price FROM fills WHERE side = 'BUY' LIMIT 1")
    trial.hold(f"{paid * Decimal(share):.2f}")


def _status(trial: Trial, status: str) -> None:
    trial.simulator.control("settings", symbols={SYMBOL: {"status": status}})


def _unprotected(trial: Trial) -> list[str]:
    return [reason for (reason,) in trial.rows("SELECT reason FROM unprotected")]


@contextmanager
def _streaming(trial: Trial, **settings: str) -> Iterator[None]:
    """The stream in a process of its own."""
    address = trial.simulator.url.replace("http", "ws", 1)
    trial.change(
        exchange__stream_url=f"{address}/",
        exchange__ws_api_url=f"{address}/ws-api/v3",
        stream__heartbeat_seconds="0.5",
        **settings,
    )
    worker = subprocess.Popen(
        [sys.executable, "-m", "tests.stream.worker"],
        cwd=surroundings.ROOT,
        env={**os.environ, **trial.environment()},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert worker.stdout is not None
        assert worker.stdout.readline(), "the stream did not start"
        yield
    finally:
        worker.terminate()
        worker.communicate(timeout=20)


def test_the_stream_protects_a_fill_that_comes_late_and_restores_a_stop_that_is_lost(world: World) -> None:
    with world.trial(strategies=_LONG, trading__limit_offset=RESTING) as trial:
        clean(trial.run())
        with _streaming(trial, trading__guard_seconds="1"):
            trial.hold(f"{Decimal(trial.close()) * Decimal('0.969'):.2f}")
            trial.until(lambda: _sales(trial) == [("STOP_LOSS", "NEW")], _PATIENCE)
            trial.simulator.control("expire", symbol=SYMBOL)
            trial.until(lambda: _sales(trial) == [("STOP_LOSS", "EXPIRED"), ("STOP_LOSS", "NEW")], _PATIENCE)
            _status(trial, "BREAK")
            trial.simulator.control("expire", symbol=SYMBOL)
            trial.until(
                lambda: any("Market is closed" in reason for reason in _unprotected(trial)), _PATIENCE
            )
            _status(trial, "TRADING")
            trial.until(lambda: _sales(trial)[-1] == ("STOP_LOSS", "NEW"), _PATIENCE)
            trial.until(lambda: not _unprotected(trial), _PATIENCE)
        clean(trial.run("reconcile"))
        assert trial.wrongs() == []


@pytest.mark.parametrize("status", ["BREAK", "CANCEL_ONLY", "HALT"])
def test_an_exit_that_cannot_go_leaves_the_stop(holding: Trial, status: str) -> None:
    _status(holding, status)
    holding.change(strategies=_FLAT)
    ended = holding.run()
    assert ended.told is not None
    assert any(status in problem for problem in ended.told.problems)
    assert _sales(holding) == [("STOP_LOSS", "NEW")]
    _status(holding, "TRADING")
    clean(holding.run())
    assert _sales(holding) == [("STOP_LOSS", "CANCELED"), ("LIMIT", "FILLED")]
    assert holding.wrongs() == []


def test_an_exit_that_could_not_go_follows_without_a_cycle_once_the_symbol_trades(holding: Trial) -> None:
    _status(holding, "BREAK")
    holding.change(strategies=_FLAT)
    holding.run()
    holding.run("reconcile")
    assert _sales(holding) == [("STOP_LOSS", "NEW")]
    _status(holding, "TRADING")
    holding.simulator.advance(20_000)
    clean(holding.run("reconcile"))
    assert _sales(holding) == [("STOP_LOSS", "CANCELED"), ("LIMIT", "FILLED")]
    assert holding.wrongs() == []


def test_a_symbol_that_stops_trading_after_its_rules_were_read_keeps_its_stop(holding: Trial) -> None:
    holding.change(strategies=_FLAT)
    child = holding.start(target="commit plan_orders, done", act=19)
    holding.until_stopped(child)
    _status(holding, "CANCEL_ONLY")
    child.send(18)
    child.wait()
    assert _sales(holding) == [("STOP_LOSS", "NEW")]


def test_an_exit_goes_without_a_price_and_a_purchase_does_not(holding: Trial) -> None:
    holding.change(
        strategies=[*_FLAT, strategy(name="other")], errors={"http-5xx": {"attempts": 1, "delay": 0}}
    )
    holding.simulator.fault(PRICES, {"status": 502}, times=1000)
    ended = holding.run()
    assert ended.told is not None
    assert _sales(holding) == [("STOP_LOSS", "CANCELED"), ("LIMIT", "FILLED")]
    assert [reason for (reason,) in holding.rows("SELECT reason FROM refusals")] == [
        "the exchange's last price is not known, so the price collar cannot be kept"
    ]


def test_a_stop_that_is_cancelled_without_its_replacement_is_restored_at_once(holding: Trial) -> None:
    holding.change(strategies=_FLAT)
    refused = {
        "code": -2021, "msg": "Order cancel-replace partially failed.",
        "data": {
            "cancelResult": "SUCCESS", "newOrderResult": "FAILURE", "cancelResponse": {},
            "newOrderResponse": {"code": -2010, "msg": "This action is disabled on this account."},
        },
    }  # fmt: skip
    (stop,) = [order for order in holding.simulator.orders() if order["side"] == "SELL"]
    child = holding.start(target="order.place, permitted", act=19)
    holding.until_stopped(child)
    holding.simulator.control("expire", symbol=SYMBOL)
    holding.simulator.fault(REPLACE, {"status": 409, "body": json.dumps(refused)}, times=1)
    child.send(18)
    child.wait()
    assert stop["status"] == "NEW"
    assert _sales(holding)[0] == ("STOP_LOSS", "EXPIRED")
    assert _sales(holding)[-1][1] in ("NEW", "FILLED")
    assert holding.rows("SELECT count(*) FROM unprotected") == [(0,)]


def test_an_exit_that_waits_above_the_market_keeps_its_stop_below_it(holding: Trial) -> None:
    holding.change(strategies=_FLAT, trading__exit_steps=["close"], trading__limit_offset=RESTING)
    clean(holding.run())
    assert _sales(holding) == [("STOP_LOSS", "CANCELED"), ("STOP_LOSS", "NEW"), ("LIMIT_MAKER", "NEW")]
    _fall(holding, "0.85")
    clean(holding.run("reconcile"))
    assert _sales(holding)[1:] == [("STOP_LOSS", "FILLED"), ("LIMIT_MAKER", "EXPIRED")]
    assert holding.wrongs() == []


def test_the_rest_of_a_waiting_exit_that_is_filled_in_part_gets_its_stop_again(holding: Trial) -> None:
    holding.change(
        strategies=_FLAT,
        trading__exit_steps=["close"],
        trading__limit_offset=RESTING,
        exchange__recv_window_ms=5000,
    )
    clean(holding.run())
    holding.simulator.control("settings", fill_parts=2, fill_gap_ms=10**9)
    close = Decimal(holding.close())
    for share in ("1.04", "1"):
        holding.hold(f"{close * Decimal(share):.2f}")
        holding.simulator.advance(1000)
    clean(holding.run("reconcile"))
    assert _sales(holding)[1:] == [
        ("STOP_LOSS", "EXPIRED"),
        ("LIMIT_MAKER", "CANCELED"),
        ("STOP_LOSS", "NEW"),
        ("LIMIT_MAKER", "NEW"),
    ]
    assert holding.wrongs() == []


def test_a_waiting_exit_takes_its_next_step_when_its_time_is_over(holding: Trial) -> None:
    holding.change(
        strategies=_FLAT,
        trading__exit_steps=["close", "market"],
        trading__limit_offset=RESTING,
        trading__exit_step_seconds="600",
    )
    clean(holding.run())
    clean(holding.run("reconcile"))
    assert _sales(holding)[1:] == [("STOP_LOSS", "NEW"), ("LIMIT_MAKER", "NEW")]
    holding.simulator.advance(600_000)
    clean(holding.run("reconcile"))
    assert _sales(holding)[1:] == [
        ("STOP_LOSS", "CANCELED"),
        ("LIMIT_MAKER", "CANCELED"),
        ("MARKET", "FILLED"),
    ]
    assert holding.wrongs() == []


def test_an_exit_that_is_no_longer_wanted_is_replaced_by_the_stop(holding: Trial) -> None:
    holding.change(
        strategies=_FLAT,
        trading__exit_steps=["close"],
        trading__limit_offset=RESTING,
        trading__unfilled="keep",
    )
    clean(holding.run())
    holding.leap()
    holding.change(strategies=_LONG)
    clean(holding.run())
    assert _sales(holding)[1:] == [
        ("STOP_LOSS", "CANCELED"),
        ("LIMIT_MAKER", "CANCELED"),
        ("STOP_LOSS", "NEW"),
    ]
    assert holding.wrongs() == []


def test_an_exit_that_is_filled_in_part_is_completed(holding: Trial) -> None:
    holding.change(strategies=_FLAT, trading__exit_steps=["market"])
    holding.simulator.control("settings", taker_fraction="0.4")
    clean(holding.run())
    assert {kind for kind, _ in _sales(holding)[1:]} == {"MARKET"}
    assert holding.rows(f"SELECT count(*) FROM positions WHERE quantity > {DUST}") == [(0,)]
    assert holding.wrongs() == []


def test_a_strategy_that_is_gone_keeps_its_stop_and_gets_it_back(holding: Trial) -> None:
    (before,) = [order["stopPrice"] for order in holding.simulator.orders() if order["side"] == "SELL"]
    holding.change(strategies=[strategy("flat", name="another")])
    holding.simulator.control("expire", symbol=SYMBOL)
    clean(holding.run())
    assert _sales(holding) == [("STOP_LOSS", "EXPIRED"), ("STOP_LOSS", "NEW")]
    assert [order["stopPrice"] for order in holding.simulator.orders() if order["status"] == "NEW"] == [
        before
    ]


def test_another_stop_loss_moves_the_stop(holding: Trial) -> None:
    holding.change(strategies=[strategy("long", "0.05")])
    clean(holding.run("reconcile"))
    assert _sales(holding) == [("STOP_LOSS", "CANCELED"), ("STOP_LOSS", "NEW")]
    assert holding.wrongs() == []


def test_after_a_stop_the_strategy_waits_until_it_was_flat(holding: Trial) -> None:
    _fall(holding, "0.85")
    clean(holding.run())
    holding.leap()
    clean(holding.run())
    assert ("protection",) in holding.rows("SELECT DISTINCT stage FROM refusals")
    for target in ("flat", "long"):
        holding.leap()
        holding.change(strategies=[strategy(target, "0.1")])
        clean(holding.run())
    assert [order["side"] for order in holding.simulator.orders()] == ["BUY", "SELL", "BUY", "SELL"]


@pytest.mark.parametrize("candles", [0, 1, 2])
def test_after_a_stop_the_strategy_waits_for_so_many_candles(holding: Trial, candles: int) -> None:
    """The candle in which the stop sold is the first that is decided on after it."""
    holding.change(strategies=[strategy("long", "0.1") | {"cooldown": candles}])
    _fall(holding, "0.85")
    clean(holding.run("reconcile"))
    for waited in range(candles + 1):
        holding.leap()
        clean(holding.run())
        bought = [order for order in holding.simulator.orders() if order["side"] == "BUY"]
        assert len(bought) == (2 if waited == candles else 1)


@pytest.mark.parametrize("limit", [{"risk__max_stops": "1"}, {"risk__max_drawdown": "0.001"}])
def test_a_limit_on_losses_stops_purchases(holding: Trial, limit: dict[str, Any]) -> None:
    holding.change(strategies=[strategy("long", "0.1") | {"cooldown": 0}], **limit)
    _fall(holding, "0.85")
    clean(holding.run("reconcile"))
    holding.leap()
    clean(holding.run())
    assert [stage for (stage,) in holding.rows("SELECT stage FROM refusals")] == ["protection"]


@pytest.mark.parametrize("point", ["move to REJECTED, done", "commit move, done"])
@pytest.mark.parametrize("code", [-1021, -1013, -1003])
def test_a_decision_is_not_lost_with_the_process_that_was_to_try_it_again(
    world: World, code: int, point: str
) -> None:
    with world.trial(strategies=_LONG, trading__limit_offset=CROSSING) as trial:
        trial.simulator.fault(PLACE, {"code": code, "msg": "Filter failure: for a test"}, times=1)
        assert trial.run(target=point).killed
        clean(trial.run())
        assert [order["side"] for order in trial.simulator.orders()] == ["BUY", "SELL"]
        assert trial.wrongs() == []


def test_two_strategies_do_not_trade_with_each_other(holding: Trial) -> None:
    holding.change(
        strategies=[*_FLAT, strategy(name="other")], trading__exit_steps=["close"], trading__limit_offset="0"
    )
    holding.simulator.control("settings", taker_fraction="0.4", fill_gap_ms=10**10)
    clean(holding.run())
    assert [order["side"] for order in holding.simulator.orders()] == ["BUY", "SELL", "SELL"]
    assert holding.rows("SELECT stage FROM refusals WHERE strategy = 'other'") == [("risk",)]


def test_an_exit_that_is_kept_over_candles_waits_on(holding: Trial) -> None:
    holding.change(
        strategies=_FLAT,
        trading__exit_steps=["close"],
        trading__limit_offset=RESTING,
        trading__unfilled="keep",
    )
    for _ in range(3):
        clean(holding.run())
        clean(holding.run("reconcile"))
        assert _sales(holding)[1:] == [("STOP_LOSS", "NEW"), ("LIMIT_MAKER", "NEW")]
        holding.leap()
    assert holding.wrongs() == []


def test_a_stop_whose_cancelling_is_told_with_the_refusal_is_restored_though_nothing_can_be_asked(
    holding: Trial,
) -> None:
    (stop,) = [order for order in holding.simulator.orders() if order["side"] == "SELL"]
    holding.change(strategies=_FLAT)
    cancelled = {"orderId": stop["orderId"], "status": "CANCELED", "executedQty": "0.00000000"}
    refused = {
        "code": -2021, "msg": "Order cancel-replace partially failed.",
        "data": {
            "cancelResult": "SUCCESS", "newOrderResult": "FAILURE", "cancelResponse": cancelled,
            "newOrderResponse": {"code": -2010, "msg": "This action is disabled on this account."},
        },
    }  # fmt: skip
    child = holding.start(target="order.place, permitted", act=19)
    holding.until_stopped(child)
    holding.simulator.control("expire", symbol=SYMBOL)
    holding.simulator.fault(REPLACE, {"status": 409, "body": json.dumps(refused)}, times=1)
    holding.simulator.fault("GET /api/v3/order", {"status": 502}, times=3)
    child.send(18)
    child.wait()
    assert _sales(holding)[-1][1] in ("NEW", "FILLED")
    assert holding.rows("SELECT count(*) FROM unprotected") == [(0,)]
