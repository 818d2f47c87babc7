"""Coins that a person bought become a strategy's: booked once, protected, sold, and never more than there are."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.crash.cells import CROSSING, clean
from tests.crash.test_guardian import _sales
from tests.crash.test_reconcile import _by_hand
from tests.crash.world import SYMBOL, Trial, World, strategy

D = Decimal


def _asked(trial: Trial, target: str = "flat", stop: str = "0.1") -> None:
    """A strategy that has decided on the symbol and holds nothing of it."""
    trial.change(strategies=[strategy(target, stop)])
    clean(trial.run())


def _deposit(trial: Trial, **amounts: str) -> None:
    trial.simulator.control("settings", accounts={"paper": {"deposit": amounts}})


def _adopt(trial: Trial, **options: Any) -> str:
    """Why nothing was adopted; empty where it was."""
    given = {"symbol": SYMBOL, "strategy": "always", "reason": "bought by hand", "by": "a person", **options}
    ended = trial.run("adopt", **given)
    assert ended.told is not None
    return ended.told.error


def test_coins_get_their_stop_and_are_sold_as_the_strategy_decides(world: World) -> None:
    with world.trial(trading__limit_offset=CROSSING) as trial:
        _asked(trial)
        _deposit(trial, BTC="0.02")
        assert _adopt(trial, price="50000") == ""
        assert trial.rows("SELECT quantity, quote_flow FROM positions") == [(D("0.02"), D(-1000))]
        assert trial.rows("SELECT command, why, by_whom FROM commands") == [
            ("adopt", "bought by hand", "a person")
        ]
        assert _sales(trial) == [("STOP_LOSS", "NEW")]
        (stop,) = trial.simulator.orders()
        assert D(stop["stopPrice"]) == D(45000)
        trial.leap()
        clean(trial.run())
        assert _sales(trial) == [("STOP_LOSS", "CANCELED"), ("LIMIT", "FILLED")]
        assert trial.wrongs() == []


def test_what_a_foreign_order_bought_counts_as_it_was_paid(world: World) -> None:
    with world.trial() as trial:
        _asked(trial, stop="0")
        bought = _by_hand(trial, side="BUY", newClientOrderId="mine")
        number, fees = bought["orderId"], sum(D(fill["commission"]) for fill in bought["fills"])
        assert _adopt(trial, order=number) == ""
        assert trial.rows("SELECT quantity, quote_flow FROM positions") == [
            (D("0.01") - fees, -D(bought["cummulativeQuoteQty"]))
        ]
        _deposit(trial, BTC="0.01")
        assert "was adopted before" in _adopt(trial, order=number)
        assert trial.rows("SELECT count(*) FROM adoptions") == [(1,)]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"quantity": "5"}, "BTC of the account belong to no strategy"),
        ({"quantity": "0.00000001"}, "too little for an order"),
        ({"quantity": "-1"}, "must be a number above 0"),
        ({"price": "nan"}, "must be a number above 0"),
        ({"order": 7, "price": "1"}, "leave the others out"),
        ({"order": 7}, "-2013"),
        ({"reason": " "}, "a reason is needed"),
        ({"strategy": "nobody"}, "there is no strategy 'nobody'"),
        ({"symbol": "ETHUSDT"}, "does not trade ETHUSDT"),
    ],
)
def test_what_cannot_be_adopted_is_refused_and_nothing_is_booked(
    world: World, options: dict[str, Any], words: str
) -> None:
    with world.trial() as trial:
        _asked(trial)
        _deposit(trial, BTC="0.02")
        assert words in _adopt(trial, **options)
        assert trial.rows("SELECT count(*) FROM commands") == [(0,)]
        assert trial.rows("SELECT count(*) FROM positions") == [(0,)]


def test_a_strategy_that_never_decided_on_the_symbol_adopts_nothing(world: World) -> None:
    with world.trial() as trial:
        _deposit(trial, BTC="0.02")
        assert "adopt it after the next cycle" in _adopt(trial)


@pytest.mark.parametrize(
    "point",
    ["commit adopt, due", "commit adopt, done", "commit _plan, done", "order.cancelReplace, on the wire"],
)
def test_a_kill_leaves_all_or_nothing_and_the_next_look_protects(world: World, point: str) -> None:
    with world.trial(trading__limit_offset=CROSSING) as trial:
        _asked(trial, "long", "0.1")
        trial.leap()
        _deposit(trial, BTC="0.02")
        wanted = {
            "symbol": SYMBOL,
            "strategy": "always",
            "reason": "by hand",
            "quantity": "0.02",
            "price": "60000",
        }
        ended = trial.run("adopt", target=point, **wanted)
        assert ended.killed
        booked = trial.rows("SELECT count(*) FROM adoptions") == [(1,)]
        assert booked is (point != "commit adopt, due")
        if not booked:
            clean(trial.run("adopt", **wanted))
        clean(trial.run("reconcile"))
        assert trial.rows("SELECT sum(quantity) FROM adoptions") == [(D("0.02"),)]
        assert trial.wrongs() == []
