"""The exchange against the books: the foreign is listed, what disagrees blocks its symbol, late fills are booked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.crash.cells import CROSSING, RESTING, clean
from tests.crash.world import SYMBOL, Trial, World, strategy


@pytest.fixture
def trading(world: World) -> Iterator[Trial]:
    with world.trial(trading__limit_offset=CROSSING) as trial:
        yield trial


def _by_hand(trial: Trial, **order: Any) -> dict[str, Any]:
    """Place an order as the account's owner might, past our books."""
    answer = trial.simulator.order(**{"symbol": SYMBOL, "type": "MARKET", **order})
    assert answer.ok, answer.text
    return dict(answer.json())


def _drifts(trial: Trial) -> list[tuple[str, str, bool]]:
    return [
        (symbol, reason, cleared is None)
        for symbol, reason, cleared in trial.rows("SELECT symbol, reason, cleared_at FROM drifts ORDER BY id")
    ]


def _everything(trial: Trial) -> dict[str, list[tuple[Any, ...]]]:
    tables = ("orders", "order_events", "fills", "positions", "drifts", "refusals")
    found = {table: trial.rows(f"SELECT * FROM {table} ORDER BY 1, 2, 3") for table in tables}
    return found | {
        "foreign_orders": trial.rows("SELECT exchange_order_id, status FROM foreign_orders ORDER BY 1"),
        "balances": trial.rows("SELECT asset, free, locked FROM balances ORDER BY 1"),
    }


def test_orders_that_are_not_ours_are_listed_and_never_touched(trading: Trial) -> None:
    mine = _by_hand(trading, side="BUY", type="LIMIT", timeInForce="GTC", price="30000.00")
    clean(trading.run())
    clean(trading.run("reconcile"))
    trading.leap()
    clean(trading.run())
    assert trading.rows("SELECT exchange_order_id, client_order_id, side, status FROM foreign_orders") == [
        (mine["orderId"], mine["clientOrderId"], "BUY", "NEW")
    ]
    assert trading.simulator.orders()[0]["status"] == "NEW"
    assert _drifts(trading) == []


def test_reconciling_again_changes_nothing(trading: Trial) -> None:
    _by_hand(trading, side="BUY", type="LIMIT", timeInForce="GTC", price="30000.00")
    trading.change(strategies=[strategy(), strategy(name="resting")])
    clean(trading.run())
    _by_hand(trading, side="SELL", quantity="0.02")
    trading.run("reconcile")
    before = _everything(trading)
    assert before["drifts"]
    trading.run("reconcile")
    assert _everything(trading) == before


def test_coins_that_are_gone_block_their_symbol_until_they_are_back(trading: Trial) -> None:
    clean(trading.run())
    _by_hand(trading, side="SELL")
    trading.leap()
    trading.change(strategies=[strategy("flat")])
    ended = trading.run()
    assert ended.told is not None
    assert ["in the books" in problem for problem in ended.told.problems] == [True]
    assert _drifts(trading) == [(SYMBOL, "balance", True)]
    assert trading.rows("SELECT stage FROM refusals") == [("drift",)]
    assert len(trading.simulator.orders()) == 2, "ours and the one by hand"
    _by_hand(trading, side="BUY", quantity="0.0101")
    clean(trading.run())
    assert _drifts(trading) == [(SYMBOL, "balance", False)]
    assert trading.simulator.orders()[-1]["clientOrderId"].startswith("eb-")


def test_coins_of_the_owner_beside_ours_are_no_drift_and_are_not_sold(trading: Trial) -> None:
    _by_hand(trading, side="BUY", quantity="0.5")
    clean(trading.run())
    trading.leap()
    trading.change(strategies=[strategy("flat")])
    clean(trading.run())
    assert _drifts(trading) == []
    ((bought,), (sold,)) = trading.rows("SELECT quantity FROM orders ORDER BY id")
    assert sold <= bought


def test_an_order_with_our_name_that_the_books_do_not_know_is_a_drift(trading: Trial) -> None:
    clean(trading.run())
    _by_hand(trading, side="BUY", newClientOrderId="eb-0123456789012345678901234567-1")
    trading.run("reconcile")
    assert _drifts(trading) == [(SYMBOL, "unknown_order", True)]


def test_a_drift_does_not_go_away_by_itself(trading: Trial) -> None:
    clean(trading.run())
    _by_hand(trading, side="BUY", newClientOrderId="eb-0123456789012345678901234567-1")
    trading.run("reconcile")
    for candles in (3, 30):
        trading.leap(candles)
        trading.run("reconcile")
        assert _drifts(trading) == [(SYMBOL, "unknown_order", True)]


def test_an_order_of_ours_is_found_though_the_books_have_lost_all_of_its_symbol(trading: Trial) -> None:
    _by_hand(trading, side="BUY", newClientOrderId="eb-0123456789012345678901234567-1")
    trading.run("reconcile")
    assert _drifts(trading) == [(SYMBOL, "unknown_order", True)]


def test_an_order_that_the_books_have_lost_is_found_however_long_ago_they_were_saved(trading: Trial) -> None:
    """As after a restore: the last look at the exchange's orders is as old as the backup."""
    clean(trading.run("reconcile"))
    trading.leap(7)
    _by_hand(trading, side="BUY", newClientOrderId="eb-0123456789012345678901234567-1")
    trading.leap(30)
    trading.run("reconcile")
    assert _drifts(trading) == [(SYMBOL, "unknown_order", True)]


@pytest.mark.parametrize(
    ("name", "drift"),
    [("eb-0123456789012345678901234567-1", "unknown_order"), ("", "order_state")],
    ids=["unknown", "planned"],
)
def test_what_a_killed_run_planned_is_not_sent_where_the_exchange_and_the_books_disagree(
    trading: Trial, name: str, drift: str
) -> None:
    """A drift that came after the planning; or the very order is there, though the books never sent it."""
    assert trading.run(target="commit plan_orders, done").killed
    ((planned,),) = trading.rows("SELECT client_order_id FROM orders")
    _by_hand(trading, side="BUY", newClientOrderId=name or planned)
    trading.run()
    assert (SYMBOL, drift, True) in _drifts(trading)
    assert len(trading.simulator.orders()) == 1
    ((state, reason),) = trading.rows(
        "SELECT state, detail ->> 'reason' FROM orders JOIN order_events e ON order_id = orders.id "
        "WHERE to_state = state"
    )
    assert state == "DENIED"
    assert "do not agree" in reason


def test_what_has_not_moved_since_it_was_looked_at_is_not_asked_about_again(trading: Trial) -> None:
    def looks() -> int:
        return trading.simulator.requests()["GET /api/v3/allOrders"]

    clean(trading.run())
    trading.simulator.advance(120_000)
    before = looks()
    clean(trading.run("reconcile"))
    assert looks() == before + 1
    trading.leap()
    clean(trading.run())
    assert looks() == before + 1, "the reconciliation has seen how the order ended"
    clean(trading.run("reconcile"))
    assert looks() == before + 2, "one that is asked to looks everywhere"


def test_a_fill_of_which_the_cancel_did_not_tell_is_booked(world: World) -> None:
    """The order is older than a candle by then."""
    with world.trial(trading__limit_offset=RESTING) as trial:
        trial.simulator.control("settings", fill_parts=3, fill_gap_ms=10**10)
        clean(trial.run())
        ((price, number),) = trial.rows("SELECT price, exchange_order_id FROM orders")
        trial.leap(price=f"{price - 1:.2f}")
        told = {"status": "CANCELED", "orderId": number, "executedQty": "0.00000000"}
        trial.simulator.fault("DELETE /api/v3/order", {"status": 200, "body": told}, when="after")
        clean(trial.run())
        assert trial.rows("SELECT state FROM orders ORDER BY id")[0] == ("CANCELED",)
        assert trial.rows("SELECT count(*) FROM fills") == [(1,)]
        assert trial.wrongs() == []


def test_a_fill_that_becomes_visible_after_the_cancel_is_booked(world: World) -> None:
    with world.trial(trading__limit_offset=CROSSING) as trial:
        trial.simulator.control("settings", taker_fraction="0.4", fill_gap_ms=10**10, visibility_ms=60_000)
        trial.simulator.fault("POST /api/v3/order", {"delay": 0.01})
        trial.run()
        trial.leap()
        trial.simulator.control("settings", visibility_ms=0)
        clean(trial.run())
        assert [order["status"] for order in trial.simulator.orders()] == ["CANCELED"]
        assert trial.wrongs() == []


def test_a_trade_that_is_listed_only_after_its_order_was_closed_is_booked(world: World) -> None:
    """The cancel's answer says that a part was executed; the trade itself is listed later."""
    with world.trial(trading__limit_offset=RESTING) as trial:
        trial.simulator.control("settings", fill_parts=3, fill_gap_ms=10**10)
        clean(trial.run())
        ((price,),) = trial.rows("SELECT price FROM orders")
        trial.simulator.control("settings", visibility_ms=30_000)
        trial.leap(price=f"{price - 1:.2f}")
        trial.simulator.fault("GET /api/v3/myTrades", {"body": "[]", "status": 200}, times=20)
        trial.run()
        assert trial.rows("SELECT state FROM orders ORDER BY id")[0] == ("CANCELED",)
        assert trial.rows("SELECT count(*) FROM fills") == [(0,)]
        trial.simulator.ask("/simulator/faults", method="DELETE")
        trial.simulator.control("settings", visibility_ms=0)
        trial.run("reconcile")
        assert trial.rows("SELECT count(*) FROM fills") == [(1,)]
        clean(trial.run("reconcile"))
        assert trial.wrongs() == []
