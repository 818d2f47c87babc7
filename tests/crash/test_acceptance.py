"""`eightbells accept-drift`: what a person has settled blocks no more, and nothing else is let through with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from decimal import ROUND_DOWN, Decimal
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from tests.crash.cells import CROSSING, RESTING, clean
from tests.crash.command import command
from tests.crash.test_reconcile import _by_hand
from tests.crash.world import SYMBOL, Trial, World, strategy

UNKNOWN = "eb-0123456789012345678901234567-1"
WHY = "bought after the backup; sold by hand"


@pytest.fixture
def trading(world: World) -> Iterator[Trial]:
    with world.trial(trading__limit_offset=CROSSING) as trial:
        yield trial


def lost(trial: Trial, name: str = UNKNOWN, leap: int = 1, **order: Any) -> int:
    """An order of ours at the exchange, a candle ago, that the books do not know; returns its drift's number."""
    _by_hand(trial, side="BUY", newClientOrderId=name, **order)
    trial.leap(leap)
    trial.run("reconcile")
    ((number,),) = trial.rows(
        "SELECT max(id) FROM drifts WHERE cleared_at IS NULL AND exchange_order_id IS NOT NULL"
    )
    return int(number)


def gone(trial: Trial, quantity: str = "0.01") -> tuple[int, Decimal]:
    """Coins of a strategy that the owner has sold by hand: the number of the drift, and what they brought."""
    brought = sum(
        Decimal(fill["price"]) * Decimal(fill["qty"]) - Decimal(fill["commission"])
        for fill in _by_hand(trial, side="SELL", quantity=quantity)["fills"]
    )
    trial.run("reconcile")
    ((number,),) = trial.rows("SELECT id FROM drifts WHERE cleared_at IS NULL AND reason = 'balance'")
    return int(number), Decimal(brought)


def accept(trial: Trial, number: int, reason: str = WHY, *options: str) -> str:
    """What the command says: nothing on stderr where it accepted, else its one line."""
    done = command(trial.environment(), "accept-drift", str(number), "--reason", reason, *options)
    assert (done.code == 0) == (done.complaint == ""), done.complaint
    assert "Traceback" not in done.complaint
    return done.complaint


def drifts(trial: Trial) -> list[tuple[int, bool]]:
    return [
        (number, over)
        for number, over in trial.rows("SELECT id, cleared_at IS NOT NULL FROM drifts ORDER BY id")
    ]


def test_an_accepted_order_blocks_no_more_and_who_accepted_it_and_why_is_kept(trading: Trial) -> None:
    number = lost(trading)
    trading.run()
    assert trading.rows("SELECT DISTINCT stage FROM refusals") == [("drift",)]
    assert accept(trading, number) == ""
    ((kept, reason, by, at),) = trading.rows(
        "SELECT drift_id, reason, accepted_by, accepted_at FROM drift_acceptances"
    )
    assert (kept, reason, bool(by), isinstance(at, datetime)) == (number, WHY, True, True)
    trading.leap()
    clean(trading.run())
    assert len(trading.simulator.orders()) == 2, "the lost one and today's"
    for candles in (1, 30):
        trading.leap(candles)
        trading.run("reconcile")
        assert drifts(trading) == [(number, True)]


def test_another_order_of_that_symbol_blocks_all_the_same(trading: Trial) -> None:
    first = lost(trading)
    assert accept(trading, first) == ""
    second = lost(trading, "eb-0123456789012345678901234567-2")
    assert drifts(trading) == [(first, True), (second, False)]
    trading.run()
    assert trading.rows("SELECT stage FROM refusals") == [("drift",)]


def test_the_same_order_with_another_disagreement_blocks_again(trading: Trial) -> None:
    """Its name is used once more: what was accepted is one order of that name, not two."""
    first = lost(trading)
    assert accept(trading, first) == ""
    lost(trading)
    still = trading.rows("SELECT facts ->> 'times' FROM open_drifts WHERE reason = 'duplicate_order'")
    assert still == [("2",), ("2",)]


def test_an_open_order_is_not_accepted_before_it_is_cancelled(world: World) -> None:
    with world.trial(trading__limit_offset=RESTING) as trial:
        number = lost(trial, type="LIMIT", timeInForce="GTC", price="30000.00")
        assert "cancel it there first" in accept(trial, number)
        assert drifts(trial) == [(number, False)]
        assert trial.rows("SELECT count(*) FROM drift_acceptances") == [(0,)]


def test_an_order_whose_decision_may_still_be_taken_is_not_accepted(trading: Trial) -> None:
    """Books that have lost it would decide the same, under the same name; the exchange would take it once more."""
    number = lost(trading, leap=0)
    for minutes in (
        0,
        31,
    ):  # not traded on any more; but its stop might be planned while the candle is the newest
        trading.simulator.advance(minutes * 60_000)
        assert "could be sent again" in accept(trading, number)
        assert drifts(trading) == [(number, False)]
    trading.leap()
    assert accept(trading, number) == ""


def test_coins_that_are_gone_are_written_off_and_their_strategy_goes_on(trading: Trial) -> None:
    clean(trading.run())
    ((held, flow),) = trading.rows("SELECT quantity, quote_flow FROM positions")
    number, brought = gone(trading)
    assert accept(trading, number, WHY, "--proceeds", f"{brought:f}") == ""
    ((drift, quantity, proceeds, reason, by),) = trading.rows(
        "SELECT drift_id, quantity, proceeds, reason, written_off_by FROM write_offs"
    )
    assert (drift, quantity, proceeds, reason, bool(by)) == (number, Decimal("0.01"), brought, WHY, True)
    assert trading.rows("SELECT quantity, quote_flow FROM positions") == [(held - quantity, flow + brought)]
    trading.leap()
    trading.change(strategies=[strategy("flat")])
    clean(trading.run())
    assert drifts(trading) == [(number, True)]
    assert trading.simulator.orders()[-1]["clientOrderId"].startswith("eb-"), "the rest is sold"
    mine = trading.simulator.orders()[1]["clientOrderId"]
    assert trading.wrongs() == [
        f"order {mine} is at the exchange only",
        f"fill {SYMBOL} 2 is at the exchange only, or differs",
    ], "but for the sale by hand all agrees, the money too"


def test_what_two_strategies_hold_is_written_off_the_larger_position_first(trading: Trial) -> None:
    """Without proceeds nothing came in; what one strategy has not is taken from the other."""
    trading.change(strategies=[strategy(), strategy(name="smaller") | {"capital": "500"}])
    clean(trading.run())
    ((larger, large), (smaller, small)) = trading.rows(
        "SELECT strategy, quantity FROM positions ORDER BY quantity DESC"
    )
    quantity = (large + small / 2).quantize(Decimal("0.00001"), ROUND_DOWN)  # as the exchange takes them
    number, _ = gone(trading, str(quantity))
    assert accept(trading, number) == ""
    assert trading.rows("SELECT strategy, quantity, proceeds FROM write_offs ORDER BY quantity DESC") == [
        (larger, large, 0),
        (smaller, quantity - large, 0),
    ]
    clean(trading.run("reconcile"))


def test_coins_that_are_gone_are_never_let_stand_like_an_order(trading: Trial) -> None:
    clean(trading.run())
    number, _ = gone(trading)
    with pytest.raises(IntegrityError):
        trading.execute(
            "INSERT INTO drift_acceptances (drift_id, exchange_order_id, reason, accepted_by, accepted_at) "
            f"VALUES ({number}, 1, 'I said so', 'me', now())"
        )


def test_coins_that_came_back_meanwhile_are_not_written_off(trading: Trial) -> None:
    clean(trading.run())
    number, _ = gone(trading)
    _by_hand(trading, side="BUY", quantity="0.02")
    assert f"drift {number} ({SYMBOL}) is over" in accept(trading, number)
    assert trading.rows("SELECT count(*) FROM write_offs") == [(0,)]


def test_what_a_sale_took_whose_fills_are_not_booked_yet_is_not_written_off(trading: Trial) -> None:
    clean(trading.run())
    trading.leap()
    trading.change(
        strategies=[strategy("flat")], trading__limit_offset=RESTING, trading__exit_steps=["close"]
    )
    clean(trading.run())
    ((price,),) = trading.rows("SELECT price FROM orders WHERE side = 'SELL'")
    trading.simulator.fault("GET /api/v3/myTrades", {"body": "[]", "status": 200}, times=200)
    trading.hold(f"{price + 1:.2f}")
    trading.run("reconcile")
    ((number,),) = trading.rows("SELECT id FROM drifts WHERE cleared_at IS NULL AND reason = 'balance'")
    assert "changing now" in accept(trading, number)
    assert trading.rows("SELECT count(*) FROM write_offs") == [(0,)]
    trading.simulator.ask("/simulator/faults", method="DELETE")
    trading.run("reconcile")
    clean(trading.run("reconcile"))
    assert trading.wrongs() == []


def test_what_is_over_unknown_or_without_a_reason_is_one_clear_line(trading: Trial) -> None:
    clean(trading.run())
    _by_hand(trading, side="SELL")
    trading.run("reconcile")
    number = lost(trading)
    assert "a reason is needed" in accept(trading, number, " ")
    assert "is about an order" in accept(trading, number, WHY, "--proceeds", "1")
    assert "'much' is no amount" in accept(trading, number, WHY, "--proceeds", "much")
    assert "0 or more" in accept(trading, number, WHY, "--proceeds", "nan")
    assert "there is no drift 4711" in accept(trading, 4711)
    assert accept(trading, number) == ""
    assert f"drift {number} ({SYMBOL}) is over" in accept(trading, number)


def test_status_and_reconcile_tell_the_number(trading: Trial) -> None:
    trading.change(strategies=[strategy("flat")])
    number = lost(trading)
    problems = json.loads(command(trading.environment(), "status", "--json").answer)["problems"]
    assert [f"(drift {number})" in problem for problem in problems if SYMBOL in problem] == [True]
