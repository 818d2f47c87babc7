"""A part of the crash matrix, of the random walk and of the meetings of two workers; `make crash` runs them whole."""

from __future__ import annotations

import pytest

from tests.crash.cells import SCENARIOS, Cell, points, run
from tests.crash.matrix import sample, table, try_out
from tests.crash.random_walk import walk
from tests.crash.two_workers import meetings
from tests.crash.world import World

_SEED = 20260101


def test_every_crash_leaves_each_decision_with_one_order_and_the_books_complete(world: World) -> None:
    tried, failures = try_out(world, sample(world, 10, _SEED, 5))
    assert not failures, "\n".join(table(tried, failures))
    assert len(tried) == 10


def test_a_cycle_has_many_points_at_which_it_may_die(world: World) -> None:
    passed = points(world, SCENARIOS[0], SCENARIOS[0].deeds[0])
    assert len(set(passed)) == len(passed) >= 25
    for owner in ("plan_orders", "begin_sending", "_record", "reconcile", "_plan", "close_books"):
        assert {f"commit {owner}, due", f"commit {owner}, done"} <= set(passed)
    for place in ("no permit", "permitted", "not sent", "on the wire", "answered"):
        assert f"order.place, {place}" in passed


@pytest.mark.parametrize("point", ["commit begin_sending, done", "order.cancel, not sent"])
@pytest.mark.parametrize("name", ["exit", "waiting exit"])
def test_a_pair_that_was_never_sent_leaves_the_stop_that_it_was_to_replace(
    world: World, name: str, point: str
) -> None:
    (scenario,) = (it for it in SCENARIOS if it.name == name)
    (deed,) = (it for it in scenario.deeds if it.name == "rests")
    assert run(world, Cell(scenario, deed, point)) == []


def test_a_stop_that_was_never_sent_is_no_refusal_after_which_to_wait(world: World) -> None:
    (scenario,) = (it for it in SCENARIOS if it.name == "stop and target")
    (deed,) = (it for it in scenario.deeds if it.name == "list -1013")
    assert run(world, Cell(scenario, deed, "order.place, permitted #3")) == []


def test_faults_and_kills_at_random_leave_exchange_and_books_agreed(world: World) -> None:
    wrongs, counts = walk(world, 12, _SEED)
    assert wrongs == []
    assert counts["kills"] > 1
    assert counts["faults"] > 50
    assert counts["orders"] > 12


def test_two_workers_on_one_candle_never_place_two_orders(world: World) -> None:
    failed, seen = meetings(world, 2, _SEED)
    assert failed == 0
    assert seen["stopped"]
