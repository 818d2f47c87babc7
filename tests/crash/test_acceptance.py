"""`eightbells accept-drift`: what a person lets stand blocks no more, and nothing else is let through with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from tests.crash.cells import CROSSING, RESTING, clean
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
    ((number,),) = trial.rows("SELECT max(id) FROM drifts WHERE cleared_at IS NULL AND kind = 'order'")
    return int(number)


def accept(trial: Trial, number: int, reason: str = WHY) -> str:
    """What the command says: nothing on stderr where it accepted, else its one line."""
    done = trial.command("accept-drift", str(number), "--reason", reason)
    assert (done.returncode == 0) == (done.stderr == ""), done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


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
    still = trading.rows("SELECT detail FROM drifts WHERE cleared_at IS NULL ORDER BY id")
    assert [detail for (detail,) in still if "2 times" in detail] != []


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
        assert "could be taken, and sent, once more" in accept(trading, number)
        assert drifts(trading) == [(number, False)]
    trading.leap()
    assert accept(trading, number) == ""


def test_coins_that_are_missing_cannot_be_accepted_by_anybody(trading: Trial) -> None:
    clean(trading.run())
    _by_hand(trading, side="SELL")
    trading.run("reconcile")
    ((number,),) = trading.rows("SELECT id FROM drifts WHERE kind = 'balance'")
    assert "not there" in accept(trading, number)
    with pytest.raises(IntegrityError):
        trading.execute(
            "INSERT INTO drift_acceptances (drift_id, exchange_order_id, reason, accepted_by, accepted_at) "
            f"VALUES ({number}, 1, 'I said so', 'me', now())"
        )


def test_what_is_over_unknown_or_without_a_reason_is_one_clear_line(trading: Trial) -> None:
    clean(trading.run())
    _by_hand(trading, side="SELL")
    trading.run("reconcile")
    number = lost(trading)
    assert "a reason is needed" in accept(trading, number, " ")
    assert "there is no drift 4711" in accept(trading, 4711)
    assert accept(trading, number) == ""
    assert f"drift {number} ({SYMBOL}) is over" in accept(trading, number)


def test_status_and_reconcile_tell_the_number(trading: Trial) -> None:
    trading.change(strategies=[strategy("flat")])
    number = lost(trading)
    problems = json.loads(trading.command("status", "--json").stdout)["problems"]
    assert [f"(drift {number})" in problem for problem in problems if SYMBOL in problem] == [True]
